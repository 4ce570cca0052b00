"""Do what is not yet in the store, here or on workers, and keep each result as soon as it is there."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from infoscope.interrupt import interrupted_once
from infoscope.run.call_pickle import NotPortable
from infoscope.run.pool import Pool, PoolBroken, WorkerDied
from infoscope.run.progress import reporting
from infoscope.run.scratch import discard, scratch
from infoscope.run.store import Store


@dataclass(frozen=True)
class Work:
    """One unit: `fn(*args)` gives the bytes that are kept under `key`; `label` names it in messages."""

    key: str
    fn: Callable[..., bytes]
    args: tuple[Any, ...] = ()
    label: str = ""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.label or self.key


class Engine(Protocol):
    """Whatever can do a call elsewhere: `Pool` on this machine, or a cluster's scheduler."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Have `fn(*args)` done; the future gives its result."""
        ...


def execute(
    work: Iterable[Work],
    store: Store,
    jobs: int = 1,
    threads: int | None = None,
    on_done: Callable[[Work], None] | None = None,
    pool: Engine | None = None,
) -> dict[str, bytes]:
    r"""The results of all works by key, in the order of the works; only what the store lacks is computed.

    With `jobs` > 1, or a `pool`, works run in other processes, each with `threads` threads. A work that fails or loses
    its worker twice doesn't stop the others: they are finished and kept, then the first failure in the order of the
    works is raised with the worker's traceback as a note. What can't be sent to another process runs here
    afterwards, with a warning. Stopped by Ctrl-C or killed, the same call goes on where it was. `on_done` is called
    here once per key, as soon as its result is in the store, also for those that were there already.

    >>> execute([Work("a", bytes, (2,)), Work("b", bytes, (1,)), Work("a", bytes, (2,))], Store(None))
    {'a': b'\x00\x00', 'b': b'\x00'}
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it counts processes, so it is 1 or more")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}; give 1 or more, or None for a fair share of the cores")
    run = _Run({}, store, on_done)
    for unit in work:
        run.wanted.setdefault(unit.key, unit)
    waiting = [unit for unit in run.wanted.values() if not run.collect(unit, store.get(unit.key))]
    with ExitStack() as stack:
        stack.enter_context(interrupted_once())
        if pool is None and jobs > 1 and waiting:
            pool = stack.enter_context(Pool(jobs, threads))
        if pool is not None:
            waiting = _on_workers(run, waiting, pool)
        with _threads_here(threads):
            for unit in waiting:
                run.attempt(unit, lambda unit=unit: _do(store, unit.key, unit.fn, unit.args))
    run.raise_failures()
    return {key: run.done[key] for key in run.wanted}


class _Run:
    """What is wanted, what is done, what failed."""

    def __init__(self, wanted: dict[str, Work], store: Store, on_done: Callable[[Work], None] | None):
        self.wanted, self.store, self.on_done = wanted, store, on_done
        self.done: dict[str, bytes] = {}
        self.failed: dict[str, Exception] = {}

    def collect(self, unit: Work, result: bytes | None) -> bool:
        if result is None:
            return False
        self.done[unit.key] = result
        if self.on_done is not None:
            self.on_done(unit)
        return True

    def attempt(self, unit: Work, result: Callable[[], bytes | None]) -> None:
        """Collect the result, or note the failure; `NotPortable` and `PoolBroken` are the caller's to handle."""
        try:
            found = result()
            found = self.store.get(unit.key) if found is None else found
        except (NotPortable, PoolBroken):
            raise
        except WorkerDied as error:
            self.failed[unit.key] = WorkerDied(f"work {unit.name!r}: {error}")
        except Exception as error:
            error.add_note(f"In work {unit.name!r}.")
            self.failed[unit.key] = error
        else:
            if not self.collect(unit, found):
                self.failed[unit.key] = RuntimeError(
                    f"work {unit.name!r} is done but not in {self.store}; is it shared?"
                )

    def raise_failures(self) -> None:
        failures = [(unit, self.failed[key]) for key, unit in self.wanted.items() if key in self.failed]
        if failures:
            (_, first), *others = failures
            if others:
                names = ", ".join(repr(unit.name) for unit, _ in others[:10])
                first.add_note(
                    f"{len(others)} more of {len(self.wanted)} works failed: {names}{', …' * (len(others) > 10)}"
                )
            raise first


def _on_workers(run: _Run, waiting: list[Work], pool: Engine) -> list[Work]:
    """Have the works done by the pool; return those that can't be sent to it."""
    shared = run.store if run.store.root is not None else None
    futures = {pool.submit(_do, shared, unit.key, unit.fn, unit.args): unit for unit in waiting}
    left: dict[str, NotPortable] = {}
    try:
        for future in as_completed(futures):
            unit = futures[future]
            try:
                run.attempt(unit, lambda future=future, unit=unit: _fetched(run.store, unit.key, future))
            except NotPortable as error:
                left[unit.key] = error
    finally:
        for future in futures:
            future.cancel()
    if left:
        reason = (
            f"{len(left)} of {len(waiting)} works run one after another in this process: {next(iter(left.values()))}"
        )
        remedy = "define the function and its arguments' classes at the top of a module"
        warnings.warn(f"{reason}; {remedy}", UserWarning, stacklevel=3)
    return [unit for unit in waiting if unit.key in left]


def _fetched(store: Store, key: str, future: Future[bytes | None]) -> bytes | None:
    result = future.result()
    if result is not None:
        store.put(key, result)
    return result


def _do(store: Store | None, key: str, fn: Callable[..., bytes], args: tuple[Any, ...]) -> bytes | None:
    """One unit, where it runs: kept at once if the store is shared with whoever asked, returned otherwise."""
    if store is not None and key in store:
        return None
    root = store.root if store is not None else None
    with reporting(root, key), scratch(root, key):
        result = fn(*args)
    if not isinstance(result, bytes):
        raise TypeError(f"the function of a work gives bytes, but {fn!r} gave a {type(result).__name__}")
    if store is None:
        return result
    store.put(key, result)
    discard(root, key)
    return None


@contextmanager
def _threads_here(threads: int | None) -> Iterator[None]:
    """So many torch threads in this process for a while; as they are where nothing is said or torch is not loaded."""
    torch = sys.modules.get("torch")
    if threads is None or torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
