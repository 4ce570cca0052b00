"""Networks of every target, type and kind of input are trained, held out and asked, and refused in one line."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Boxes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.models import MLP
from infoscope.training.fit import fit, held_out_loss
from infoscope.training.learner import Learner
from infoscope.training.predict import Predictions, predict
from infoscope.training.recipe import SGD, Adam, Recipe

QUICK = Recipe(Adam(lr=0.03), epochs=60, patience=None)


def vectors(n=120) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0))


def regression(n=120) -> Task:
    x = vectors(n)
    return Task.from_arrays(x, (200 + 80 * x[:, :1]).clamp(0, 400), target=Real(1.0, 0.0, 400.0))


def labels() -> Task:
    x = vectors()
    y = torch.stack([x[:, 0] > 0, x[:, 1] > 0], 1).long()
    y[::5, 1] = -1
    return Task.from_arrays(x, y, target=Labels(("a", "b")))


def language(named: bool = False) -> Task:
    y = torch.arange(6)[None].repeat(40, 1) % 3
    ids = torch.nn.functional.pad(y[:, :-1], (1, 0))
    y[:, 5] = -100
    return Task.from_arrays(
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)} if named else ids, y, target=Tokens(3)
    )


class Named(nn.Module):
    """Takes its inputs by name and gives logits as Hugging Face models do."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(3, 3)

    def forward(self, input_ids, attention_mask):
        assert input_ids.dtype == attention_mask.dtype == torch.int64
        return SimpleNamespace(logits=self.table(input_ids), hidden_states=None)


CASES = {
    "real": (regression(), MLP((16,))),
    "labels": (labels(), MLP((16,))),
    "tokens": (language(), lambda: nn.Embedding(3, 3)),
    "tokens by name": (language(named=True), Named),
}


@pytest.mark.parametrize("case", CASES)
def test_the_default_loss_is_the_target_s_likelihood_and_falls(case):
    task, factory = CASES[case]
    learner = Learner(factory, QUICK)
    trained = fit(learner, task, task, seed=1)
    network = learner.starting_from(trained.weights).network(task.shape, task.target.outputs, 1)
    outputs = network(**task.x) if isinstance(task.x, dict) else network(task.x)
    outputs = getattr(outputs, "logits", outputs)
    assert held_out_loss(network, task) == pytest.approx(task.target.loss(outputs, task.y).item(), rel=1e-5)
    assert trained.losses[-1] < 0.5 * trained.losses[0]


def test_predictions_are_in_the_units_of_the_targets():
    task, factory = CASES["real"]
    learner = Learner(factory, QUICK)
    p = predict(task, learner.starting_from(fit(learner, task).weights), 0).p
    assert (p - task.y).abs().mean() < 12
    assert predict(labels(), Learner(MLP((4,))), 0).p.shape == (120, 2)
    logs = predict(language(), Learner(lambda: nn.Embedding.from_pretrained(torch.zeros(3, 3))), 0).p
    assert logs[:, :5].exp().allclose(torch.full((40, 5), 1 / 3, dtype=torch.float64))
    assert logs[:, 5].isnan().all()
    for task in (regression(), labels(), language()):
        assert Predictions.of_nobody(task).p.shape == task.y.shape
    assert Predictions.of_nobody(language()).p.allclose(torch.tensor(-math.log(3)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_gets_what_the_task_holds(dtype):
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1, dtype=dtype)

        def forward(self, x):
            assert x.dtype == torch.float32
            return self.layer(x.to(dtype))

    trained = fit(Learner(Cast, Recipe(SGD(lr=0.1), epochs=5, patience=None)), regression())
    assert trained.losses[-1] < trained.losses[0]
    assert trained.weights["layer.weight"].dtype == dtype


def test_booleans_and_bytes_come_as_they_are():
    x = np.random.default_rng(0).integers(0, 2, (64, 4)).astype(bool)
    task = Task.from_arrays(x, x[:, 0].astype(int), as_is=True)

    class Strict(nn.Linear):
        def forward(self, x):
            assert x.dtype == torch.bool
            return super().forward(x.float())

    assert fit(Learner(lambda: Strict(4, 2), QUICK), task).losses[-1] < 0.3


def test_inputs_by_name_can_be_augmented():
    def hide(x, draws):
        return {
            **x,
            "attention_mask": x["attention_mask"] * (torch.rand(x["attention_mask"].shape, generator=draws) < 0.5),
        }

    recipe = Recipe(epochs=1, patience=None, augment=hide)
    assert fit(Learner(Named, recipe), language(named=True)).epochs == 1


@pytest.mark.parametrize(
    ("task", "outputs", "wanted"),
    [
        (regression(), 2, "1 number from 0 to 400 by 1; it must give numbers of shape (2, 1)"),
        (labels(), 3, "2 labels; it must give logits of shape (2, 2)"),
    ],
    ids=["real", "labels"],
)
def test_outputs_of_another_shape_are_refused_in_one_line(task, outputs, wanted):
    with pytest.raises(ValueError, match="must give") as found:
        fit(Learner(lambda: nn.Linear(4, outputs)), task)
    assert str(found.value) == f"Linear gave an output of shape (2, {outputs}) for 2 examples of {wanted}"


def test_a_network_of_boxes_is_told_to_bring_its_loss():
    task = Task.from_arrays(torch.rand(2, 3, 8, 8), torch.full((2, 1, 5), -1.0), target=Boxes(("a",)))
    with pytest.raises(ValueError, match=r"Recipe\(loss=DetectionLoss\(\)\)"):
        fit(Learner(lambda: nn.Conv2d(3, 6, 8)), task)
