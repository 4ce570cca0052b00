"""What is forgotten of tables that are learned one after the other, where the truth is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.model_information.forgetting.continual import EWC, SI, LwF, Plain, Rehearsal
from infoscope.model_information.forgetting.lessons import fisher
from infoscope.model_information.forgetting.question import Forgetting, ForgettingAnswer
from infoscope.models import MLP
from infoscope.prequential.entk import NTK
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask, units
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

CELLS, CLASSES = 16, 10
TRUTH = np.arange(CELLS) % CLASSES
QUICK = Replay(replays=1, start=64)
SHALLOW = {"depth": ("head-kept",), "k": 96, "replicates": 2, "epochs": 15, "coder": QUICK}


class Table(nn.Module):
    """A table of logits, one row a cell."""

    def __init__(self, shape, outputs):
        super().__init__()
        self.flat = nn.Linear(shape[0], outputs, bias=False)
        nn.init.zeros_(self.flat.weight)

    def forward(self, x):
        return self.flat(x)


TABLE = Learner(Table, Recipe(Adam(0.1), batch=32))


def lookup(cells, labels=TRUTH, name="A", classes=CLASSES) -> Task:
    """So many examples of each of these cells, labelled by a table."""
    x = np.repeat(np.eye(CELLS)[list(cells)], 24, 0) + 0.0
    y = np.repeat(np.asarray(labels)[list(cells)], 24)
    x += np.random.default_rng(len(name)).normal(0, 1e-6, x.shape) * (x == 1)  # equal inputs would count as seen
    return Task.from_arrays(x, y, alphabet=list(map(str, range(classes))), name=name)


def asked(data, algorithm, model=TABLE, **options) -> ForgettingAnswer:
    return ask(Forgetting(data, algorithm, model, **{**SHALLOW, **options}))


def one(answer: ForgettingAnswer, quantity: str, **at) -> Measurement:
    """The only such row."""
    rows = [
        row.measurement
        for row in answer.record()
        if row.measurement.quantity == quantity and at.items() <= row.coordinates.items()
    ]
    assert len(rows) == 1, (quantity, at, len(rows))
    return rows[0]


A, APART = lookup(range(8)), lookup(range(8, 16), name="apart")
OTHER = lookup(range(8), (TRUTH + 3) % CLASSES, name="other labels")
EVERY = [Plain(), EWC(100.0), SI(10.0), LwF(1.0), Rehearsal(50)]


def test_of_disjoint_tables_nothing_is_forgotten():
    """Nobody who learns other cells touches these: 0 to the last bit, at every depth."""
    answer = asked([A, APART], [Plain()], depth=("head-kept", "closed-form", "whole"), k=24)
    for depth in ("head-kept", "closed-form", "whole"):
        lost = one(answer, "forgotten", depth=depth, task="A")
        assert (lost.value, lost.stderr) == (0.0, 0.0)
    assert one(answer, "L(M,D)", depth="head-kept", task="A", after="A").bits > 40
    assert one(answer, "accuracy", task="A", after="apart").value == 1


def test_of_a_table_that_is_written_over_all_is_forgotten():
    """With weights that decay, where training ends does not depend on where it began."""
    answer = asked([A, OTHER], [Plain()], replace(TABLE, recipe=Recipe(Adam(0.1, weight_decay=1.0), batch=32)))
    share = one(answer, "forgotten share", task="A")
    assert 0.9 < share.value < 1.05
    assert one(answer, "accuracy", task="A", after="other labels").value == 0
    lost, learned = one(answer, "forgotten", task="A"), one(answer, "L(M,D)", task="A", after="A")
    kept = one(answer, "L(M,D)", task="A", after="other labels")
    assert lost.value == pytest.approx(learned.value - kept.value)
    assert lost.replicates == pytest.approx({s: learned.replicates[s] - kept.replicates[s] for s in (0, 1)})
    assert share.value == pytest.approx(lost.value / learned.value)


def test_the_stronger_an_anchor_the_less_is_forgotten_and_in_the_end_nothing():
    answer = asked([A, OTHER], [EWC(1.0), EWC(1e2), EWC(1e6)])
    shares = [one(answer, "forgotten share", algorithm=name, task="A").value for name in
              ("ewc(strength=1.0)", "ewc(strength=100.0)", "ewc(strength=1000000.0)")]  # fmt: skip
    assert shares[0] > shares[1] > shares[2]
    assert abs(shares[2]) < 0.05
    held = {"algorithm": "ewc(strength=1000000.0)", "after": "other labels"}
    assert one(answer, "accuracy", task="A", **held).value == 1
    assert one(answer, "accuracy", task="other labels", **held).value < 0.2


def test_all_algorithms_learn_what_is_apart_and_forget_nothing():
    answer = asked([A, APART], EVERY)
    for found in answer.found:
        assert abs(one(answer, "forgotten share", algorithm=found.algorithm, task="A").value) < 0.05, found.algorithm
        assert one(answer, "accuracy", algorithm=found.algorithm, task="apart").value > 0.9, found.algorithm
    assert "bits" in answer.sentence()
    assert [len(figure.lines) for figure in answer.figures()] == [1, 5]


def test_strengths_are_chosen_on_examples_that_are_not_coded_and_stand_in_the_answer():
    answer = asked([A, OTHER], [EWC(), Plain()], replicates=1)
    chosen, plain = (found.algorithm for found in answer.found)
    assert chosen.startswith("ewc(strength=")
    assert plain == "plain"
    assert chosen in answer.choices()["Strengths"]
    for part in answer.chain.parts:
        assert not set(part.validation.ids) & (set(part.coded.ids) | set(part.train.ids))
    counted = units(Forgetting([A, OTHER], [EWC(), Plain()], TABLE, **{**SHALLOW, "replicates": 1}))
    assert counted["trainings"] == 1 + 4 + 1 + 1


def test_three_tasks_are_told_for_every_earlier_after_every_later_one():
    third = lookup(range(4, 12), (TRUTH + 5) % CLASSES, name="third")
    answer = asked([A, APART, third], [Plain(), EWC(10.0), SI(1.0)], replicates=1, k=60)
    for name in ("plain", "ewc(strength=10.0)", "si(strength=1.0)"):
        pairs = {
            (row.coordinates["task"], row.coordinates["after"])
            for row in answer.record()
            if row.measurement.quantity == "forgotten" and row.coordinates["algorithm"] == name
        }
        assert pairs == {("A", "apart"), ("A", "third"), ("apart", "third"), ("all earlier tasks", "third")}
    parts = [one(answer, "forgotten", algorithm="plain", task=task, after="third").value for task in ("A", "apart")]
    assert one(answer, "forgotten", algorithm="plain", task="all earlier tasks").value == pytest.approx(sum(parts))
    assert one(answer, "forgotten", algorithm="plain", task="A", after="apart").value == 0
    assert parts[0] > 10


def test_with_heads_of_their_own_the_same_inputs_may_mean_other_things():
    """Rows of the last layer that are another task's are never touched: of one linear layer nothing is forgotten."""
    few = lookup(range(8), np.random.default_rng(3).integers(0, 3, CELLS), name="few", classes=3)
    answer = asked([A, few], [Plain(), Rehearsal(20), LwF(1.0), EWC(10.0), SI(1.0)])
    assert answer.chain.heads == "own"
    solved = asked([A, few], [Plain()], depth=("head-kept", "closed-form"), k=20)
    for depth in ("head-kept", "closed-form"):
        lost = one(solved, "forgotten", depth=depth, task="A")
        assert (lost.value, lost.stderr) == (0.0, 0.0)
    for found in answer.found:
        assert one(answer, "accuracy", algorithm=found.algorithm, task="A", after="few").value > 0.95, found.algorithm
        assert one(answer, "accuracy", algorithm=found.algorithm, task="few", after="few").value > 0.95, found.algorithm


class Next(nn.Module):
    """A causal table: what comes next by this token alone."""

    def __init__(self, shape, vocabulary):
        super().__init__()
        self.table = nn.Embedding(vocabulary, vocabulary)
        nn.init.zeros_(self.table.weight)

    def forward(self, x):
        return self.table(x)


def text(tokens: range, step: int, name: str) -> Task:
    """Each token is `step` or `step` + 1 above the one before, round and round."""
    first = tokens.start
    moves = np.random.default_rng(step).integers(step, step + 2, (60, 13)).cumsum(1)
    y = first + torch.from_numpy(moves % len(tokens))
    return Task.from_arrays(y[:, :-1], y[:, 1:], target=Tokens(16), name=name)


def test_of_text_the_frozen_code_is_exact_and_the_learning_one_goes_deeper():
    """Disjoint tokens: nothing. Other steps between the same: more is lost on the surface than below it."""
    learner, options = Learner(Next, Recipe(Adam(0.1), batch=16)), {"k": 8, "epochs": 20, "replicates": 2}
    whole = text(range(8), 1, "text")
    apart = ask(Forgetting([whole, text(range(8, 16), 1, "apart")], [Plain()], learner, **options))
    assert [found.depths for found in apart.found] == [("head-kept", "whole")]
    for depth in ("head-kept", "whole"):
        lost = one(apart, "forgotten", depth=depth, task="text")
        assert (lost.value, lost.stderr) == (0.0, 0.0)
    over = ask(Forgetting([whole, text(range(8), 4, "over")], [Plain()], learner, **options))
    surface, deep = (one(over, "forgotten", depth=depth, task="text").bits for depth in ("head-kept", "whole"))
    assert surface > 2 * deep > 0
    said = over.found[0].codes.curves["head-kept", 0, 0][0]
    tokens = over.found[0].tasks[0].y
    assert said.symbols == tokens.numel()
    assert said.total / math.log(2) / said.symbols == pytest.approx(1.0, abs=0.15)  # a bit a token, once learned
    loss = one(over, "loss a token", task="text", after="text")
    assert loss.replicates[0] == pytest.approx(said.total / said.symbols)


@pytest.mark.parametrize(
    ("data", "options", "told"),
    [
        ([A], {}, "needs two tasks or more, and 1 was given"),
        ([A, Task.from_dataset("iris")], {}, "one network learns all: scale images"),
        ([A, lookup(range(4), TRUTH % 3, classes=3)], {"heads": "shared"}, "can't share a head; take heads own"),
        ([A, APART], {"algorithm": []}, "no algorithm was given; there are plain, ewc"),
        ([A, APART], {"depth": ("deep",)}, "no depth 'deep'"),
        ([A, APART], {"depth": ("closed-form",), "coder": NTK()}, "solved for by replay's regressions"),
        ([A, APART], {"train": 5000}, "examples to train on; 5000 were asked for"),
        ([text(range(8), 1, "t"), text(range(8), 2, "u")], {"heads": "own"}, "where they have classes"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_is_trained(data, options, told):
    with pytest.raises(ValueError, match=told):
        next(Forgetting(data, **{"algorithm": [Plain()], "model": TABLE, **options}).stages())


def test_a_model_of_fixed_outputs_can_have_no_heads_of_its_own():
    fixed = Learner(lambda: nn.Linear(CELLS, CLASSES))
    few = lookup(range(8), TRUTH % 3, name="few", classes=3)
    with pytest.raises((ValueError, TypeError), match="heads"):
        next(Forgetting([A, few], [Plain()], fixed).stages())


def test_distillation_is_of_probabilities():
    numbers = Task.from_arrays(np.random.default_rng(0).normal(size=(60, 3)), np.linspace(0.1, 1, 60)[:, None])
    with pytest.raises(ValueError, match="lwf distils probabilities"):
        next(Forgetting([numbers, replace(numbers, name="b")], [LwF(1.0)], MLP((4,))).stages())


def test_the_importance_of_a_task_is_the_fisher_information_of_its_own_outputs():
    """Of a linear layer F from input j to output c is E x_j² p_c (1 − p_c), and 0 for another's outputs."""
    torch.manual_seed(0)
    learner = Learner(lambda: nn.Linear(3, 5))
    weights = learner.network((3,), 5, 0).state_dict()
    task = Task.from_arrays(np.random.default_rng(0).normal(size=(400, 3)), np.arange(400) % 2)
    found = fisher(learner.starting_from(weights), task, (3, 5), 0, "cpu").tensors["weight"]
    with torch.no_grad():
        p = learner.starting_from(weights).network((3,), 5, 0)(task.x)[:, 3:].softmax(1)
    assert torch.allclose(found[3:], (p * (1 - p)).T @ task.array.square() / 400, rtol=0.05)
    assert found[:3].abs().max() == 0


def test_ewc_holds_text_too():
    learner = Learner(Next, Recipe(Adam(0.1), batch=16))
    tasks = [text(range(8), 1, "text"), text(range(8), 4, "over")]
    options = {"k": 8, "epochs": 10, "replicates": 1, "depth": ("head-kept",)}
    answer = ask(Forgetting(tasks, [Plain(), EWC(1e6)], learner, **options))
    plain, held = (one(answer, "forgotten", algorithm=found.algorithm, task="text").bits for found in answer.found)
    assert plain > 50
    assert abs(held) < 0.1 * plain
