"""A supervised pool of worker processes on this machine; a worker that is killed costs one call, not the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import connection, forkserver, process, resource_tracker, util
from pathlib import Path
from typing import Any

from infoscope.run.call_pickle import NotPortable, pickle_call, resolve
from infoscope.run.worker import NAME, NO_GUARD, READY, serve, thread_variables

_PRELOAD = ["torch", "numpy"]  # imported once, in the server that the workers are forked from
_LIVES = 2  # a work that has lost this many workers is given up
_SILENCE = 30.0  # seconds without a sign of life or work of the processor, after which a worker stands still
_LOOK = 5.0  # seconds between two looks at who is silent
_GONE = 10.0  # seconds in which the system buries a process that was killed
_FALSE_STARTS = 5  # workers lost before they were ready, after which the pool gives up

_UNGUARDED = """\
the main script starts workers while a worker imports it, so it would start itself for ever; put its work under a guard:

    def main():
        ...

    if __name__ == "__main__":
        main()
"""


class WorkerDied(RuntimeError):
    """The worker was killed, and its replacement too, both while they did the same work."""


class PoolBroken(RuntimeError):
    """The workers can't be started, or the pool was closed before the call was done."""


class _Call:
    def __init__(self, pickled: bytes):
        self.pickled, self.future, self.deaths = pickled, Future[Any](), 0


class _Worker:
    """One process, the parent's ends of its pipes, and the call it is busy with.

    It sends a beat twice a second. One that holds the interpreter for long sends none, but works: it stands still only
    if its processor time stands still too.
    """

    def __init__(self, threads: int):
        context = multiprocessing.get_context("forkserver")
        self.pipe, theirs = context.Pipe()
        self.beats, beating = context.Pipe(duplex=False)
        self.process = context.Process(target=serve, args=(theirs, beating, threads), name=NAME)
        self.ready, self.call = False, None
        self.heard, self.worked, self.stood_still = time.monotonic(), -1.0, False
        self.process.start()
        self.pid = self.process.pid
        theirs.close()
        beating.close()

    def give(self, call: _Call) -> None:
        self.call = call
        with suppress(OSError):  # it died just now; its sentinel will say so
            self.pipe.send_bytes(call.pickled)

    def read(self) -> bytes | None:
        """The next message, or None if the process is gone."""
        try:
            return self.pipe.recv_bytes() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None

    def hear(self) -> None:
        """Take note of its beats."""
        with suppress(EOFError, OSError):
            while self.beats.poll():
                self.beats.recv_bytes()
                self.heard = time.monotonic()

    def check(self) -> None:
        """Kill it if it stands still: another one is started in its place."""
        if not self.ready or time.monotonic() - self.heard < _SILENCE:
            return
        worked = _processor_seconds(self.pid)
        self.stood_still = worked is not None and worked <= self.worked
        if self.stood_still:
            self.kill()
        else:  # silent but busy, or nobody can tell
            self.heard, self.worked = time.monotonic(), worked or 0.0

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid or 0, signal.SIGKILL)

    def bury(self, patience: float) -> int:
        """Wait until the process is gone, by force after `patience` seconds, and give its exit status."""
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join(_GONE)
        status = self.process.exitcode or 0
        self.pipe.close()
        self.beats.close()
        with suppress(ValueError):  # the system has not ended it yet, as where a disk hangs
            self.process.close()
        return status


class Pool:
    """Up to `jobs` workers, each with `threads` threads (the machine's cores shared out, unless said otherwise).

    `submit` is all there is to it, so that an engine that spans machines can stand in its place. Workers are forked
    from a server that has loaded torch, start when there is work for them, ignore Ctrl-C, and die with this process.
    Leaving the `with` block stops them at once; wait for the futures that you want first. A call whose worker is
    killed, or stands still (no sign of life, no work of the processor), is tried once more; after that its future
    raises `WorkerDied`. A call that can't be sent to another process raises `NotPortable`.

    numpy's own threads follow the first pool of the process, torch's follow each pool.
    """

    def __init__(self, jobs: int, threads: int | None = None):
        _check_not_importing_main()
        if "forkserver" not in multiprocessing.get_all_start_methods():
            raise RuntimeError("worker processes need a Unix system (start method `forkserver`); use jobs=1")
        self._jobs = jobs
        self._threads = threads or max(1, _cores() // jobs)
        self._lock = threading.Lock()  # a call is queued before the supervisor gives up, or learns that it has
        self._queue: deque[_Call] = deque()
        self._workers: list[_Worker] = []
        self._false_starts = 0
        self._closing, self._broken = False, ""
        self._looked = time.monotonic()
        self._bell, self._ring = os.pipe()
        self._supervisor: threading.Thread | None = None
        self._at_exit = util.Finalize(None, self.close, exitpriority=100)  # before multiprocessing joins its children

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Have `fn(*args)` done by a worker."""
        try:
            call = _Call(pickle_call(fn, args))
        except NotPortable as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return failed
        with self._lock:
            if self._closing:
                raise RuntimeError("this pool is closed; submit inside its `with` block")
            if self._broken:
                call.future.set_exception(PoolBroken(self._broken))
                return call.future
            self._queue.append(call)
            os.write(self._ring, b"!")
        if self._supervisor is None:
            self._supervisor = threading.Thread(target=self._supervise, name="infoscope-pool", daemon=True)
            self._supervisor.start()
        return call.future

    def close(self) -> None:
        """Stop the workers at once, whatever they do."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            os.write(self._ring, b"!")
        for worker in list(self._workers):
            worker.kill()
        if self._supervisor is not None:
            self._supervisor.join()
        self._at_exit.cancel()
        os.close(self._bell)
        os.close(self._ring)

    def _supervise(self) -> None:
        try:
            while not self._closing:
                self._hand_out()
                self._listen()
                self._look_after()
        except PoolBroken as error:
            self._broken = str(error)
        except BaseException as error:  # nobody would see it on this thread, and the futures would wait for ever
            self._broken = f"the pool's supervisor failed: {error!r}"
        finally:
            for worker in self._workers:
                worker.kill()
            for worker in self._workers:
                worker.bury(patience=10)
            self._give_up()

    def _hand_out(self) -> None:
        busy = sum(worker.call is not None for worker in self._workers)
        while len(self._workers) < min(self._jobs, busy + len(self._queue)):
            _start_server(self._threads)
            self._workers.append(_Worker(self._threads))
        for worker in self._workers:
            while self._queue and worker.ready and worker.call is None:
                call = self._queue.popleft()
                if call.deaths or call.future.set_running_or_notify_cancel():
                    worker.give(call)

    def _listen(self) -> None:
        sources: dict[Any, _Worker | None] = {self._bell: None}
        for worker in self._workers:
            sources[worker.pipe] = sources[worker.process.sentinel] = sources[worker.beats] = worker
        told = connection.wait(list(sources), _LOOK)
        for worker in self._workers:
            worker.hear()
        beats = {id(worker.beats) for worker in self._workers}
        for worker in {sources[source] for source in told if id(source) not in beats}:
            if worker is None:
                os.read(self._bell, 65536)
            else:
                self._attend(worker)

    def _look_after(self) -> None:
        """Find the workers that stand still, unless this process itself did, stopped or asleep with the machine."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        asleep, self._looked = now - self._looked > _SILENCE, now
        for worker in self._workers:
            if asleep:
                worker.heard = now
            worker.check()

    def _attend(self, worker: _Worker) -> None:
        message = worker.read()
        if message is None:
            self._replace(worker)
        elif message == READY:
            worker.ready, self._false_starts = True, 0
        elif worker.call is not None:
            call, worker.call = worker.call, None
            resolve(call.future, message)

    def _replace(self, worker: _Worker) -> None:
        """Forget a worker that is gone; `_hand_out` starts another when there is still work."""
        self._workers.remove(worker)
        status, call = worker.bury(patience=1), worker.call
        if not worker.ready and not self._closing:
            self._count_false_start(status)
        if call is None:
            return
        call.deaths += 1
        if call.deaths < _LIVES:
            self._queue.append(call)  # last, when the machine is less crowded
        else:
            cause = "standing still" if worker.stood_still else _cause(status)
            call.future.set_exception(WorkerDied(f"its worker died {_LIVES} times, {cause}"))

    def _count_false_start(self, status: int) -> None:
        self._false_starts += 1
        if status == NO_GUARD:
            raise PoolBroken(_UNGUARDED)
        if status == 1:
            raise PoolBroken("a worker failed while it imported the main script; its message stands above")
        if self._false_starts == _FALSE_STARTS:
            raise PoolBroken(f"{_FALSE_STARTS} workers in a row died before they were ready, {_cause(status)}")

    def _give_up(self) -> None:
        """No future is left waiting."""
        why = PoolBroken(self._broken or "the pool was closed before this call was done")
        with self._lock:
            calls = [worker.call for worker in self._workers if worker.call is not None] + list(self._queue)
            self._workers, self._queue = [], deque()
        for call in calls:
            if call.future.running() or call.future.set_running_or_notify_cancel():
                call.future.set_exception(why)


def _cause(status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        killed = "; the system kills so when memory runs out: use fewer jobs or a smaller batch"
        return f"ended by {name}{killed if name == 'SIGKILL' else ''}"
    return f"with exit status {status}"


def _processor_seconds(pid: int | None) -> float | None:
    """Of a process so far; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_not_importing_main() -> None:
    """A worker that gets here while it imports the main script shows that the script lacks its guard."""
    current = process.current_process()
    if getattr(current, "_inheriting", False):
        if current.name == NAME:
            os._exit(NO_GUARD)  # the parent explains, once
        raise RuntimeError(_UNGUARDED)


def _start_server(threads: int) -> None:
    """Start the server the workers are forked from, deaf to Ctrl-C, unless it runs already."""
    resource_tracker.ensure_running()  # first, because it unblocks SIGINT when it starts
    forkserver.set_forkserver_preload(_PRELOAD)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with thread_variables(threads):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
