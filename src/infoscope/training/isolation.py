"""A region that draws from its own seed and leaves the caller's random state and thread count as they were."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def isolated(seed: int, threads: int | None = None) -> Iterator[None]:
    """Global random state seeded inside, restored outside (torch on every device, numpy, python), and so are threads.

    >>> torch.manual_seed(0); before = torch.get_rng_state()
    <torch._C.Generator object at ...>
    >>> with isolated(7): _ = torch.rand(3)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices), threaded(threads):
        try:
            _seed_torch(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 - a caller's network may draw from it
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def _seed_torch(seed: int) -> None:
    """Every generator of torch; the CPU's alone where no other can draw, which is a hundred times as fast."""
    if _accelerated():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@cache
def _accelerated() -> bool:
    return torch.accelerator.is_available()


@contextmanager
def threaded(threads: int | None) -> Iterator[None]:
    """So many threads inside for torch and for numpy's BLAS, whose last bits depend on it; as they were outside."""
    before = torch.get_num_threads()
    if threads is None:
        yield
        return
    with _blas("scipy.linalg" in sys.modules).limit(limits=threads, user_api="blas"):
        try:
            if threads != before:
                torch.set_num_threads(threads)
            yield
        finally:
            if threads != before:
                torch.set_num_threads(before)


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """What is too small for full precision is 0 inside, where a processor can do that: else it takes 50 times as long.

    >>> with subnormals_as_zero(): pass
    >>> bool(torch.tensor(1e-38) * 0.1)
    True
    """
    before = not bool(torch.tensor(1e-38) * 0.1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@cache
def _blas(scipy: bool) -> ThreadpoolController:
    """The BLAS libraries that are loaded: scipy brings its own, so it is looked for anew once scipy is there."""
    return ThreadpoolController()
