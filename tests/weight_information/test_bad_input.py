"""What no number can be made of is refused by every question of weights, in one line, before anything costly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope import LearningCoefficient, Merge, Quantise, RiskCertificate, Task, WeightInformation, fisher
from infoscope.data.targets import Classes, Real
from infoscope.training.learner import load_weights
from infoscope.weight_information.between.question import Between
from infoscope.weight_information.checkpoint import Checkpoint

IRIS = Task.from_dataset("iris")


class Root(nn.Module):
    """Adds nothing; the derivative of the root at 0 is infinite, times 0 NaN."""

    def forward(self, x):
        return x + 0 * (x - x.detach()).abs().sqrt()


def steep() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2), Root(), nn.Linear(2, 3))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 3))


def line() -> nn.Module:
    return nn.Linear(3, 1)


def half() -> nn.Module:
    return plain().half()


def six(model, weights, **options):
    """All questions about these weights."""
    yield WeightInformation(IRIS, model, weights)
    yield LearningCoefficient(IRIS, model, weights=weights)
    yield RiskCertificate(IRIS, model, weights=weights)
    yield Quantise(weights, IRIS, model)
    yield Merge([weights, weights], IRIS, model=model)
    yield Between([weights, weights], IRIS, model=model)


BROKEN = {k: t * float("nan") for k, t in plain().state_dict().items()}
WIDE = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 3)).state_dict()


@pytest.mark.parametrize(
    ("model", "weights", "told"),
    [
        (steep, steep().state_dict(), "the gradients of Sequential on 'iris' are NaN or infinite, of '0.weight'"),
        (half, plain().state_dict(), "in half precision"),
        (plain, BROKEN, "hold NaN or infinity"),
        (plain, WIDE, "do not fit Sequential"),
    ],
)
def test_every_question_says_what_is_wrong_before_it_asks_for_anything(model, weights, told):
    for question in six(model, weights):
        with pytest.raises(ValueError, match=told):
            next(question.stages())


def test_gradients_of_documents_without_a_token_that_counts_are_none(tmp_path):
    """Eight documents that are masked in full are no reason to refuse a network."""
    from infoscope.data.targets import Tokens
    from infoscope.weight_information.example_losses import check_gradients

    task = Task.from_arrays(torch.zeros(9, 3).long(), torch.full((9, 3), -100), target=Tokens(4))
    check_gradients(nn.Sequential(nn.Embedding(4, 4)), task)


def test_a_network_that_speaks_the_units_of_y_is_not_taken_for_a_bad_one():
    """Half of a variance is explained by y itself, and next to nothing by (y − centre)/scale: that is no accident."""
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    y = (x @ torch.tensor([[3.0], [1.0], [-2.0]]) + 40).double()
    own = {"weight": torch.tensor([[3.0, 1.0, -2.0]]), "bias": torch.tensor([40.0])}
    task = Task.from_arrays(x, y, target=Real(0.001, 20.0, 60.0), name="prices")
    with pytest.raises(
        ValueError, match=r"numbers of 'prices' themselves.*\(y − 40\)/10; declare centre=0 and scale=1"
    ):
        Checkpoint.of(own).learner(task, line)
    standard = {"weight": own["weight"] / 10, "bias": torch.zeros(1)}
    Checkpoint.of(standard).learner(task, line)
    raw = Task.from_arrays(x, y, target=Real(0.001, 20.0, 60.0, centre=0.0, scale=1.0))
    Checkpoint.of(own).learner(raw, line)
    Checkpoint.of({k: torch.zeros_like(t) for k, t in own.items()}).learner(task, line)  # nothing is told of nothing


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"another shape for weight, \(1, 5\) and not \(1, 3\)"):
        load_weights(line(), {"weight": torch.zeros(1, 5), "bias": torch.zeros(1)})


def test_a_pickled_network_is_told_from_a_damaged_file(tmp_path):
    torch.save(line(), tmp_path / "whole.pt")
    with pytest.raises(
        ValueError, match=r"objects that take code to read, such as a whole network.*save the tensors alone"
    ):
        Checkpoint.of(tmp_path / "whole.pt")


class Positions(nn.Module):
    """Knows four places."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(4, 3), nn.Linear(3, 2)

    def forward(self, input_ids):
        return self.head((input_ids[:, :, None] + self.table.weight).mean(1))


def test_what_a_network_does_not_take_is_told_with_its_place_and_a_remedy():
    long = Task.from_arrays({"input_ids": torch.ones(8, 6).long()}, torch.arange(8) % 2, name="reviews")
    weights = Positions().state_dict()
    with pytest.raises(
        ValueError, match=r"Positions does not take .*'reviews', input_ids \(6,\): .*; cut texts .*--length"
    ):
        next(Quantise(weights, long, Positions).stages())
    with pytest.raises(
        ValueError, match=r"does not take the examples of 'iris', x \(4,\): .*; name a model that takes"
    ):
        Checkpoint.of(line().state_dict()).learner(IRIS, line)


def test_a_task_of_one_class_is_refused_as_nothing_depends_on_the_weights():
    alone = Task.from_arrays(torch.randn(9, 4), torch.zeros(9).long(), name="alone")
    with pytest.raises(ValueError, match="'alone' has one class, so that its labels cost nothing"):
        next(WeightInformation(alone, plain).stages())
    with pytest.raises(ValueError, match="one class"):
        fisher(plain(), alone)
    two = Task.from_arrays(torch.randn(9, 4), torch.zeros(9).long(), target=Classes(("a", "b")), name="alone")
    next(WeightInformation(two, plain).stages())
