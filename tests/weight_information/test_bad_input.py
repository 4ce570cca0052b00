"""What no number can be made of is refused by every question of weights, in one line, before anything costly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infoscope import LearningCoefficient, Merge, Quantise, RiskCertificate, Task, WeightInformation
from infoscope.weight_information.between.question import Between

IRIS = Task.from_dataset("iris")


class Root(nn.Module):
    """Adds nothing; the derivative of the root at 0 is infinite, times 0 NaN."""

    def forward(self, x):
        return x + 0 * (x - x.detach()).abs().sqrt()


def steep() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2), Root(), nn.Linear(2, 3))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 3))


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
