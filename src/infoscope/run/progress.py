"""The fraction done of each unit of work: written by the process that does it, read by the one that waits."""

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
    """Note that `done` of `total` steps of the current unit are done; costs nothing outside of `reporting`."""
    sink = _sink.get()
    if sink is not None:
        sink.write(done / total)


@contextmanager
def reporting(root: Path | None, key: str) -> Iterator[None]:
    """Inside, `report` writes the fraction under `key` in the run directory `root`."""
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
