"""What runs inside a worker process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, process

from infoscope.run.call_pickle import run_pickled

NAME = "infoscope-worker"
READY = b""
_BEAT = 0.5  # seconds between two signs of life
NO_GUARD = 97  # exit status of a worker whose main script starts workers while it is imported

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def serve(pipe: connection.Connection, beats: connection.Connection, threads: int) -> None:
    """Do one pickled call after another until the parent hangs up or is gone; beats say that it lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    threading.Thread(target=_beat, args=(beats,), daemon=True).start()
    _own_locks()
    sys.stdout = sys.stderr  # what a caller's code prints is not the parent's output
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with suppress(EOFError, OSError):
        pipe.send_bytes(READY)
        while True:
            pipe.send_bytes(run_pickled(pipe.recv_bytes()))


def _beat(beats: connection.Connection) -> None:
    with suppress(OSError):
        while True:
            beats.send_bytes(b"!")
            time.sleep(_BEAT)


def _own_locks() -> None:
    """Locks that libraries make in a worker (tqdm, behind `datasets`) are its own and have no name that outlives it.

    A worker inherits the start method of its server, under which a lock is a named semaphore. Workers are killed, and
    each such name would be reported as leaked.
    """
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)


def _leave_with_parent() -> None:
    """Don't outlive the parent, not even in the middle of a work."""
    parent = process.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def thread_variables(threads: int) -> Iterator[None]:
    """The environment in which numerical libraries start with so many threads."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
