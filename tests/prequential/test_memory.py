"""What is said to be filled is at least what is filled, and not much more: counted in bytes as they are taken."""

import tracemalloc

import numpy as np
import pytest
import torch

from infoscope import Task
from infoscope.data.targets import Classes, Real
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import encode
from infoscope.prequential.experts.processes import Processes
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.memory import memory_of
from infoscope.prequential.mixed import Mixed

TEN, NUMBER = Classes(tuple("0123456789")), Real(0.01, -1.0, 1.0)


def most_held(work):
    """Bytes of tensors and of arrays at their most, the caller's own left out."""
    tracemalloc.start()
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        work()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    events = [one for one in profile.kineto_results.events() if one.name() == "[memory]"]
    taken = np.cumsum([0, *(one.nbytes() for one in sorted(events, key=lambda one: one.start_ns()))])
    return int(taken.max()) + arrays


def begun(coder, x, target):
    """Two predictions: by then all is made that is made before the first block ends."""
    code = coder.experts(x, target, 0)
    next(code)
    code.send(0 if isinstance(target, Classes) else np.zeros(1))
    return code


def test_the_count_counts():
    assert most_held(lambda: [torch.zeros(250, 1000) for _ in range(3)]) == pytest.approx(3_000_000, rel=0.05)
    assert most_held(lambda: [np.zeros((500, 1000)) for _ in range(3)]) == pytest.approx(12_000_000, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "how", "target"),
    [
        ("images", "whole", TEN),
        ("images", "streamed", NUMBER),
        *(("vectors", how, target) for how in ("whole", "projected", "streamed") for target in (TEN, NUMBER)),
    ],
)
def test_kernels_fill_no_more_than_they_say(kind, how, target, monkeypatch):
    if how == "streamed":
        for place in ("rows.SAMPLE", "memory.SAMPLE"):
            monkeypatch.setattr(f"infoscope.prequential.{place}", 500)
        monkeypatch.setattr("infoscope.prequential.features.HELD", 0)
        for place in ("rows.AT_ONCE", "features.AT_ONCE", "memory.AT_ONCE"):
            monkeypatch.setattr(f"infoscope.prequential.{place}", 100)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(700, 1, 16, 16, generator=generator) if kind == "images" else torch.randn(2000, 20)
    coder = Kernel(block=100) if how == "whole" else Kernel(exact=0, landmarks=200, block=60)
    begun(coder, x[:50], target)  # what is loaded once
    filled, told = most_held(lambda: begun(coder, x, target)), memory_of(coder, x, target)
    assert filled <= told <= 3 * filled + 2**24


def test_processes_on_many_rows_fill_no_more_than_they_say(monkeypatch):
    for place in ("rows.SAMPLE", "memory.SAMPLE"):
        monkeypatch.setattr(f"infoscope.prequential.{place}", 600)
    x = np.random.default_rng(0).standard_normal((2000, 10))
    family = Processes(exact=0, landmarks=150, block=100)

    def run(x):
        code = family.experts(x, TEN, 0)
        next(code)
        code.send(0)

    run(x[:200])
    filled, told = most_held(lambda: run(x)), family.memory(*x.shape, TEN)
    assert filled <= told <= 3 * filled + 2**24


def test_a_table_of_50_000_rows_says_what_it_fills():
    """And it is refused before it begins where that cannot be had."""
    x = torch.zeros(1, 50).expand(50_000, 50)
    told = memory_of(Mixed(), x, Classes(("a", "b")))
    assert 2**30 < told < 8 * 2**30


def test_a_million_images_fill_less_than_16_gib():
    million = torch.zeros(1, 1, 28, 28).expand(1_000_000, 1, 28, 28)
    assert memory_of(Kernel(), million, TEN) < 16 * 2**30
    assert memory_of(Mixed(), million, TEN) < 16 * 2**30


@pytest.mark.parametrize("coder", [Kernel(), Mixed()])
def test_what_cannot_be_had_is_refused_before_it_begins(coder, monkeypatch):
    monkeypatch.setattr("infoscope.prequential.memory.available", lambda: 2**20)
    task = Task.from_arrays(torch.rand(400, 3), np.arange(400) % 2)
    told = rf"{type(coder).__name__}: 400 examples of 2 classes: needs \d+ MiB, and 1 MiB may be had; send fewer"
    with pytest.raises(ValueError, match=told):
        encode(task, coder, None, 0)


@pytest.mark.parametrize("name", CODERS)
def test_every_coder_says_what_it_fills_or_nothing(name):
    few = Task.from_arrays(np.zeros((20, 3)), np.arange(20) % 2)
    assert memory_of(CODERS[name], few.x, few.target) >= 0
