"""How far a unit of work has come, told by whoever does it, read by whoever waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

_PERIOD = 0.25  # seconds between two writes

_sink: ContextVar[_File | None] = ContextVar("sink", default=None)


class _File:
    def __init__(self, path: Path):
        self.path, self.next = path, 0.0

    def write(self, fraction: float) -> None:
        now = time.monotonic()
        if now >= self.next:
            self.next = now + _PERIOD
            with suppress(OSError):  # the run matters more than its progress bar
                self.path.write_text(f"{fraction:.4f}")


def report(done: int, total: int) -> None:
    """Say that `done` of `total` steps of the current unit are behind; costs nothing where nobody listens."""
    sink = _sink.get()
    if sink is not None:
        sink.write(done / total)


@contextmanager
def reporting(root: Path | None, key: str) -> Iterator[None]:
    """What `report` says inside is told under `key` in the run directory `root`."""
    if root is None:
        yield
        return
    folder = root / "progress"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    sink = _File(folder / key)
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)
        with suppress(OSError):
            sink.path.unlink(missing_ok=True)


def fractions(root: Path) -> dict[str, float]:
    """The fraction done of each unit that is being worked on now."""
    found = {}
    with suppress(OSError):
        for path in (root / "progress").iterdir():
            with suppress(OSError, ValueError):
                found[path.name] = float(path.read_text())
    return found
