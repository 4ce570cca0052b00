from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.prequential.encode import encode
from infoscope.prequential.fixed import Fixed
from infoscope.testing import checks_of
from infoscope.testing.check import ContractBroken
from infoscope.training.learner import Learner
from infoscope.training.predict import predict

CELLS, CLASSES = 16, 10
TRUTH = np.random.default_rng(0).integers(0, CLASSES, CELLS)
TASK = Task.from_arrays(np.eye(CELLS).repeat(12, 0), TRUTH.repeat(12), alphabet=list("abcdefghij"))


def table(sure: float, wrong: int = 0) -> Learner:
    """A linear map from cells to logits: `sure` for the true class, or for the one `wrong` places on."""
    weight = torch.zeros(CLASSES, CELLS)
    weight[torch.from_numpy((TRUTH + wrong) % CLASSES), torch.arange(CELLS)] = sure
    return Learner(lambda: nn.Linear(CELLS, CLASSES, bias=False)).starting_from({"weight": weight})


def test_it_costs_no_more_than_the_network_says_and_the_choice_among_the_experts():
    p = predict(TASK, table(3.0), 0).p.numpy()
    said = -np.log(p[np.arange(len(TASK)), TASK.labels.numpy()]).sum()
    curve = encode(TASK, Fixed((1.0,)), table(3.0), 0)
    assert curve.total <= said + math.log(1 + 4)
    assert encode(TASK, Fixed(), table(30.0), 0).total < math.log(9) + 1e-6


def test_one_who_is_sure_of_wrong_answers_costs_what_one_who_knows_nothing_does():
    wrong, nothing = (encode(TASK, Fixed(), learner, 0).total for learner in (table(100.0, wrong=1), table(0.0)))
    assert wrong <= len(TASK) * math.log(CLASSES) + math.log(9)
    assert nothing == pytest.approx(wrong, rel=0.05)


def test_it_keeps_the_contract_of_coders_but_that_it_learns():
    for check in checks_of(Fixed()):
        if check.name == "learns_what_is_easy":
            with pytest.raises(ContractBroken):
                check()
        else:
            check()
