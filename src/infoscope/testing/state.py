"""The state of a process that a call must leave as it found it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def changes(work: Callable[[], object]) -> list[str]:
    """What the work changed of the process's random states, threads and modes, in words.

    >>> changes(lambda: random.random())
    ["python's random state"]
    """
    before = snapshot()
    work()
    after = snapshot()
    return [name for name, value in before.items() if after[name] != value]


def snapshot() -> dict[str, object]:
    """Global random states, thread count and modes; torch's only once somebody has imported it."""
    legacy: Any = np.random.get_state()  # noqa: NPY002 - whether somebody draws from it is the question
    found: dict[str, object] = {
        "python's random state": random.getstate(),
        "numpy's random state": (legacy[1].tobytes(), *legacy[2:]),
        "numpy's error modes": tuple(np.geterr().items()),
        "numpy's printing": repr(np.get_printoptions()),
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= {
            "torch's random state": torch.get_rng_state().numpy().tobytes(),
            "torch's number of threads": torch.get_num_threads(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's default type": torch.get_default_dtype(),
        }
    return found
