from __future__ import annotations

import signal
from pathlib import Path

import jaxtyping
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Path of a real data set beside the checkout, or a skip that says what is missing."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs the real data set {name!r} in {SHARED}")
        return path

    return find


@pytest.fixture
def any_shape():
    """Shapes are not checked, so that a wrong one reaches the function, whose own error the test is about."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def heeds_ctrl_c():
    """What the test starts heeds Ctrl-C, also where the caller ignores it, as a shell's background job does.

    A program inherits that a signal is ignored, but not that it is caught.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small networks are fastest on one thread, and one thread is what makes runs repeat bit for bit."""
    import torch

    torch.set_num_threads(1)
