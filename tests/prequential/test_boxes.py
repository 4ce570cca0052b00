from __future__ import annotations

import math

import pytest
import torch

from infoscope.data.targets import Boxes
from infoscope.data.task import Task
from infoscope.prequential.encode import encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner


def images(y) -> Task:
    return Task.from_arrays(torch.rand(len(y), 1, 8, 8), y, target=Boxes(("cat", "dog"), 1 / 16))


def test_boxes_that_say_nothing_cost_little_more_than_uniform():
    draws = torch.Generator().manual_seed(0)
    y = torch.full((200, 2, 5), -1.0)
    for image in y:
        count = int(torch.randint(0, 3, (1,), generator=draws))
        image[:count, 0] = torch.randint(0, 2, (count,), generator=draws).float()
        image[:count, 1:] = torch.randint(0, 17, (count, 4), generator=draws) / 16
    task = images(y)
    curve = encode(task, Kernel(), None, 0)
    assert curve.uniform - 30 < curve.total < curve.uniform + 6 * math.log(5)
    assert "boxes by counts alone; the images were not looked at" in curve.receipt.notes


def test_boxes_in_one_place_cost_next_to_nothing():
    one = torch.tensor([[1.0, 0.5, 0.5, 0.25, 0.25], [-1, 0, 0, 0, 0]])
    curve = encode(images(one.expand(200, 2, 5)), Kernel(), None, 0)
    assert curve.total < 0.05 * curve.uniform


def test_no_network_codes_boxes():
    with pytest.raises(ValueError, match=r"Replay codes Classes, Labels, Real, Tokens, not boxes .* take .* kernel"):
        encode(images(torch.full((2, 1, 5), -1.0)), Replay(), Learner(lambda: torch.nn.Linear(2, 2)), 0)
