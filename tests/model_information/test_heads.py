"""What becomes of a network's head: only the head changes, the draws are the seed's own, and misfits are told."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.measurement import NATS_PER_BIT
from infoscope.model_information.heads import check_head, head_layer, with_head
from infoscope.models import MLP, SmallCNN
from infoscope.prequential.encode import encode
from infoscope.prequential.entk import NTK
from infoscope.prequential.replay import Replay
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights


def task(classes: int = 4, n: int = 60, shape: tuple[int, ...] = (6,)) -> Task:
    draws = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, *shape, generator=draws), torch.randint(classes, (n,), generator=draws)
    return Task.of((x, y), target=Classes(tuple("abcdefgh"[:classes])))


MLP_8 = Learner(MLP((8,)))


def weights_of(learner: Learner, given: Task, seed: int) -> dict[str, torch.Tensor]:
    return copy_weights(learner.network(given.shape, given.target.outputs, seed))


def changed(before, after) -> set[str]:
    return {
        name for name in before if before[name].shape != after[name].shape or not torch.equal(before[name], after[name])
    }


@pytest.mark.parametrize(
    ("learner", "shape", "head"),
    [
        (MLP_8, (6,), "fc2"),
        (Learner(SmallCNN()), (1, 16, 16), None),
        (Learner(lambda shape, outputs: Squeezed(outputs)), (3, 8, 8), "last"),
    ],
)
def test_only_the_head_changes_and_its_draw_is_the_seeds_own(learner, shape, head):
    given = task(shape=shape)
    trained, start = weights_of(learner, given, 5), weights_of(learner, given, 6)
    name = head_layer(learner.network(given.shape, 4, 0), given)
    assert head in (name, None)
    assert with_head(learner, trained, given, 0, "kept").weights == trained
    draws = [with_head(learner, trained, given, seed, "new").weights for seed in (0, 0, 1)]
    assert changed(trained, draws[0]) == {f"{name}.weight", f"{name}.bias"}
    assert not changed(draws[0], draws[1])
    assert changed(draws[0], draws[2])
    for seed in range(8):  # nobody's training began with it
        assert changed(weights_of(learner, given, seed), draws[0]) >= {f"{name}.weight"}
    set_back = with_head(learner, trained, given, 0, "start", start).weights
    assert all(torch.equal(set_back[key], (start if key.startswith(name) else trained)[key]) for key in trained)


class Squeezed(nn.Module):
    """A network that ends in a convolution, an activation and a mean, as SqueezeNet does."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 5, 3), nn.Conv2d(5, outputs, 1)

    def forward(self, x):
        return self.last(self.first(x).relu()).relu().mean((2, 3))


def test_a_task_of_other_outputs_takes_a_new_head_and_no_old_one():
    four, seven = task(4), task(7)
    trained = weights_of(MLP_8, four, 0)
    assert with_head(MLP_8, trained, seven, 0, "new").network(seven.shape, 7, 0)(seven.x).shape == (60, 7)
    assert with_head(MLP_8, trained, seven, 0, "closed-form").network(seven.shape, 7, 0)(seven.x).abs().sum() == 0
    for head in ("kept", "start"):
        with pytest.raises(ValueError, match=r"fc2.weight is \(4, 8\) and would have to be \(7, 8\).*take head new"):
            with_head(MLP_8, trained, seven, 0, head, trained)
        with pytest.raises(ValueError, match="different numbers of outputs"):
            check_head(head, Replay(), four, seven)
    check_head("new", Replay(), four, seven)


def test_the_closed_form_does_not_care_what_the_classes_are_called():
    """With the body still and the head silent, renamed classes cost the same, as with none of the other policies."""
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(80, 6)).astype(np.float32), draws.integers(4, size=80)
    given, renamed = (Task.of((x, (y + by) % 4), target=Classes(tuple("abcd"))) for by in (0, 1))
    learner = with_head(MLP_8, weights_of(MLP_8, given, 0), given, 0, "closed-form")
    coder = Replay(replays=1, start=8)
    lengths = [encode(one, coder, learner, 0).total for one in (given, renamed)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-9)
    assert pickle.loads(pickle.dumps(learner.factory)) == learner.factory


def test_what_cannot_be_done_is_told():
    given = task()
    trained = weights_of(MLP_8, given, 0)
    with pytest.raises(ValueError, match="needs the weights that the training began with"):
        with_head(MLP_8, trained, given, 0, "start")
    with pytest.raises(ValueError, match="there are kept, new, start, closed-form"):
        check_head("old")
    with pytest.raises(ValueError, match="NTK lacks"):
        check_head("closed-form", NTK())
    images, squeezed = task(shape=(3, 8, 8)), Learner(lambda shape, outputs: Squeezed(outputs))
    with pytest.raises(ValueError, match=r"Squeezed.*does not: take new"):
        with_head(squeezed, weights_of(squeezed, images, 0), images, 0, "closed-form")
    fixed = Learner(lambda: nn.Linear(6, 4))
    with pytest.raises(ValueError, match="asks for 7 outputs, and the last layer of Linear"):
        with_head(fixed, weights_of(fixed, given, 0), task(7), 0, "new")


def test_a_head_that_the_body_shares_is_only_kept():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(6, 6), nn.Linear(6, 6)
            self.up.weight = self.down.weight

        def forward(self, x):
            return self.up(self.down(x).relu())

    tied, given = Learner(Tied), task(6)
    trained = weights_of(tied, given, 0)
    assert with_head(tied, trained, given, 0).weights == trained
    with pytest.raises(ValueError, match=r"shares its weights with 'down.weight'"):
        with_head(tied, trained, given, 0, "new")


def test_digits_under_other_names_cost_what_their_features_leave_open():
    """1000 trained, 400 coded: at most 120 bits where the untrained network takes 156."""
    digits = Task.from_dataset("digits").shuffled(0)
    learner = Learner(MLP((512,)))
    trained = fit(learner, digits[400:1400], digits[1400:], seed=0)
    coded = digits[:400]
    renamed = Task.from_arrays(coded.array, (3 * coded.y + 1) % 10, target=coded.target)
    bits = encode(renamed, Replay(), with_head(learner, trained.weights, renamed, 0), 0).total / NATS_PER_BIT
    assert bits <= 120
