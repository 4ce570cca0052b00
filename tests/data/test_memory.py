from __future__ import annotations

import pickle

import pytest
import torch

from infoscope.data import task as tasks
from infoscope.data.memory import Memory
from infoscope.data.task import Task


@pytest.fixture
def memory() -> Memory[torch.Tensor]:
    return Memory(limit=100, tensors=lambda tensor: [tensor])


def test_what_was_used_longest_ago_goes_first(memory):
    made = []

    def get(key):
        return memory.get(key, lambda: made.append(key) or torch.zeros(40, dtype=torch.uint8))

    for key in "abacb":  # b is forgotten for c, since a was used after it
        get(key)
    assert made == ["a", "b", "c", "b"]
    assert (len(memory), memory.held) == (2, 80)


def test_the_last_is_kept_whatever_its_size(memory):
    memory.get("small", lambda: torch.zeros(1))
    memory.get("large", lambda: torch.zeros(1000))
    assert (len(memory), memory.held) == (1, 4000)


def test_views_of_one_storage_count_once(memory):
    whole = torch.zeros(90, dtype=torch.uint8)
    for i in range(5):
        memory.get(i, lambda i=i: whole[i : i + 10])
    assert (len(memory), memory.held) == (5, 90)


def test_tasks_made_again_stay_within_bytes(monkeypatch):
    digits = Task.from_dataset("digits")
    size = digits.x.nbytes + digits.y.nbytes
    memory = Memory(limit=3 * size, tensors=tasks._held)
    monkeypatch.setattr(tasks, "REMADE", memory)
    for seed in range(6):
        shuffled = digits.shuffled(seed)
        assert pickle.loads(pickle.dumps(shuffled)).fingerprint == shuffled.fingerprint
    assert size < memory.held <= 3 * size
    again = pickle.loads(pickle.dumps(digits.shuffled(5)))
    assert again.x is pickle.loads(pickle.dumps(digits.shuffled(5))).x
    part = pickle.loads(pickle.dumps(digits.shuffled(5)[10:20]))
    assert part.x.untyped_storage().data_ptr() == again.x.untyped_storage().data_ptr()


def test_a_quarter_of_a_gibibyte_is_kept():
    assert tasks.REMADE.limit == 256 << 20
