"""What a unit of work has done so far, kept while it runs, so that it goes on from there after a crash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

_page: ContextVar[Path | None] = ContextVar("page", default=None)


class Scratch:
    """The current unit's own page: `load()` what an interrupted run left, `save(data)` what is done now.

    `due()` says whether `period` seconds have passed since the last save. Without a store on disk nothing is kept.
    """

    def __init__(self, period: float = 20.0):
        self._period, self._saved = period, time.monotonic()

    def load(self) -> bytes | None:
        """What the last `save` kept, or None."""
        page = _page.get()
        if page is None:
            return None
        try:
            return page.read_bytes()
        except FileNotFoundError:
            return None

    def due(self) -> bool:
        """Whether it is time to save."""
        return _page.get() is not None and time.monotonic() - self._saved >= self._period

    def save(self, data: bytes) -> None:
        """Replace the page as a whole."""
        page = _page.get()
        self._saved = time.monotonic()
        if page is not None:
            beside = page.with_suffix(".tmp")
            with suppress(OSError):  # losing a checkpoint costs time only
                beside.write_bytes(data)
                beside.replace(page)


@contextmanager
def scratch(root: Path | None, key: str) -> Iterator[None]:
    """Inside, `Scratch` is the page of `key` in the run directory `root`; the page goes when the unit is finished."""
    if root is None:
        yield
        return
    folder = root / "scratch"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    token = _page.set(folder / key)
    try:
        yield
    finally:
        _page.reset(token)


def discard(root: Path | None, key: str) -> None:
    """The unit is in the store: its page is not wanted any more."""
    if root is not None:
        with suppress(OSError):
            (root / "scratch" / key).unlink(missing_ok=True)
