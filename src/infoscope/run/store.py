"""A run directory: finished units as one atomic file each, rows as append-only streams, both safe against a crash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAGIC = b"infoscope unit 1\n"
_DIGEST = 16  # bytes
_DAY = 86_400.0  # seconds
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*")


class Store:
    """What a run has finished so far, under the folder `root`; with `root=None` in memory only.

    `units/<key>` holds the bytes of one finished unit, written beside, synced and renamed, so that a unit is there as a
    whole or not at all. `streams/<name>-<pid>-<token>.jsonl` holds the rows of one writer. Any number of processes
    may use one folder at once; of two that finish the same unit the later one stays.

    >>> store = Store(None)
    >>> store.put("a", b"result")
    >>> store.get("a"), store.get("b"), "a" in store
    (b'result', None, True)
    """

    def __init__(self, root: Path | str | None):
        self.root = None if root is None else Path(root).expanduser().absolute()
        self._memory: dict[str, bytes] = {}
        self._lines: dict[str, list[str]] = {}
        self._token = _token()
        if self.root is not None:
            for folder in (self.root / "units", self.root / "streams"):
                with _clear_errors(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.root / "units"):
                _sweep(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.root,)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})" if self.root else "Store(None)"

    def get(self, key: str) -> bytes | None:
        """The unit's bytes, or None if it is not finished; a damaged file is reported and counts as not finished."""
        if self.root is None:
            return self._memory.get(_checked(key))
        path = self.root / "units" / _checked(key)
        try:
            with _clear_errors(path):
                content = path.read_bytes()
        except FileNotFoundError:
            return None
        head, data = content[: len(_MAGIC) + _DIGEST], content[len(_MAGIC) + _DIGEST :]
        if head == _MAGIC + _digest(data):
            return data
        warnings.warn(f"{path} is damaged ({len(content)} bytes, wrong checksum): counted as missing", stacklevel=2)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Keep a finished unit; when this returns, it survives a crash of the machine."""
        if self.root is None:
            self._memory[_checked(key)] = data
        else:
            _write_atomically(self.root / "units" / _checked(key), _MAGIC + _digest(data), data)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def append(self, name: str, row: Any) -> None:
        """Add one row (anything JSON can say) to this writer's part of the stream `name`.

        A row outlives its process at once; rows aren't synced one by one, so a power cut can cost the last seconds.
        """
        line = json.dumps(row)
        if self.root is None:
            self._lines.setdefault(_checked(name), []).append(line)
        else:
            path = self.root / "streams" / f"{_checked(name)}-{os.getpid()}-{self._token}.jsonl"
            with _clear_errors(path):
                _append_line(path, line.encode() + b"\n")

    def rows(self, name: str) -> list[Any]:
        """The rows of the stream `name`: writers in the order in which they opened the store, each in its own order."""
        if self.root is None:
            return [json.loads(line) for line in self._lines.get(_checked(name), [])]
        pattern = re.compile(re.escape(_checked(name)) + r"-\d+-([0-9a-f]+)\.jsonl")
        with _clear_errors(self.root / "streams"):
            matches = [
                (match[1], path) for path in self.root.glob("streams/*") if (match := pattern.fullmatch(path.name))
            ]
            return [row for _, path in sorted(matches) for row in _read_lines(path)]

    def write_json(self, name: str, value: Any) -> None:
        """Replace the document `<name>.json` (the run's manifest, say) as a whole."""
        text = json.dumps(value, indent=2) + "\n"
        if self.root is None:
            self._memory[f"{_checked(name)}.json"] = text.encode()
        else:
            _write_atomically(self.root / f"{_checked(name)}.json", text.encode())

    def read_json(self, name: str) -> Any:
        """The document `<name>.json`, or None if there is none."""
        if self.root is None:
            text = self._memory.get(f"{_checked(name)}.json")
            return None if text is None else json.loads(text)
        path = self.root / f"{_checked(name)}.json"
        try:
            with _clear_errors(path):
                return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error}); delete it, or restore it from a copy") from error


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} can't name a file of the run; use letters, digits and _ . = + -")
    return name


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _token() -> str:
    """Sorts by time, differs between writers that start in the same nanosecond."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"


def _write_atomically(path: Path, *parts: bytes) -> None:
    """Write beside, sync, rename, sync the folder: readers see the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{_token()}.tmp")
    with _clear_errors(path):
        try:
            with beside.open("xb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _append_line(path: Path, line: bytes) -> None:
    """One unbuffered write; what a full disk cuts short is taken back, lest the next row be glued to it."""
    with path.open("ab", buffering=0) as file:
        start = file.seek(0, os.SEEK_END)
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(start)
            raise


def _read_lines(path: Path) -> Iterator[Any]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # after the last newline stands nothing, or a torn row
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines) - 1:
                warnings.warn(f"{path}, line {number} is damaged: left out", stacklevel=3)


def _sweep(folder: Path) -> None:
    """Remove what writers killed in mid-write left behind, once no live writer can still want it."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    """An OSError of the same kind that says whose file it was and what to do."""
    try:
        yield
    except OSError as error:
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another run directory"
        fact = error.strerror or str(error)
        raise OSError(error.errno, f"{fact}: infoscope keeps a run's results here; {remedy}", str(path)) from error
