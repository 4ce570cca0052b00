"""The checkpoint of a unit of work: what it has done so far, from which it goes on after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

_file: ContextVar[Path | None] = ContextVar("file", default=None)


class Scratch:
    """The checkpoint of the current unit: `load()` what an interrupted run left, `save(data)` what is done now.

    `due()` says whether `period` seconds have passed since the last save. Without a store on disk nothing is kept.
    """

    def __init__(self, period: float = 20.0):
        self._period, self._saved = period, time.monotonic()

    def load(self) -> bytes | None:
        """What the last `save` kept, or None."""
        file = _file.get()
        if file is None:
            return None
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None

    def due(self) -> bool:
        """Whether it is time to save."""
        return _file.get() is not None and time.monotonic() - self._saved >= self._period

    def save(self, data: bytes) -> None:
        """Replace the checkpoint as a whole."""
        file = _file.get()
        self._saved = time.monotonic()
        if file is not None:
            beside = file.with_suffix(".tmp")
            with suppress(OSError):  # losing a checkpoint costs time only
                beside.write_bytes(data)
                beside.replace(file)


@contextmanager
def scratch(root: Path | None, key: str) -> Iterator[None]:
    """Inside, `Scratch` is the checkpoint of `key` in the run directory `root`; `discard` removes it."""
    if root is None:
        yield
        return
    folder = root / "scratch"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    token = _file.set(folder / key)
    try:
        yield
    finally:
        _file.reset(token)


def discard(root: Path | None, key: str) -> None:
    """Remove the checkpoint of a unit that is finished."""
    if root is not None:
        with suppress(OSError):
            (root / "scratch" / key).unlink(missing_ok=True)
