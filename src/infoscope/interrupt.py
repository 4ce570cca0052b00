"""Ctrl-C once is as good as three times: what follows the first is not heard while things are put in order."""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(BaseException):
    """The system asked this process to end (SIGTERM)."""


@contextmanager
def interrupted_once(for_good: bool = False) -> Iterator[None]:
    """Inside, the first Ctrl-C raises KeyboardInterrupt and the next ones do nothing, until the block is left.

    With `for_good` nothing is heard after it either: this process is about to end. Once one was heard, Python's own
    exit hears no other. Where somebody else has taken Ctrl-C over, and on other threads than the main one, all stays
    as it is.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    heard = False

    def first(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        heard = True
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if not (heard and for_good):
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def terminated_in_order() -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated`, so that workers are stopped and what was opened is closed."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
