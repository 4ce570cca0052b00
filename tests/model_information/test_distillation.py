"""What a teacher tells a student: known answers, both readings of eq. (8), and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from infoscope import Distillation, Learner, Replay, Status, Task, ask, distillation
from infoscope.model_information.cost import seconds_to_send
from infoscope.model_information.distillation.answer import distilled
from infoscope.models import MLP
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.synced import Synced
from infoscope.run.question import requests
from infoscope.training.recipe import Recipe

QUICK = Replay(replays=1, start=100, last_layer=None)
TEACHER = Learner(MLP((16,)), Recipe(epochs=20))
STUDENT = Learner(MLP((8,)), Recipe(epochs=20))


def lookup(rows: np.ndarray, labels: np.ndarray, alpha: float = 0.01, classes: int = 10) -> LossCurve:
    """The code of a table that counts labels a row, α beforehand: what a synced student says who copies his teacher."""
    counts, p = np.full((rows.max() + 1, classes), alpha), []
    for row, label in zip(rows, labels, strict=True):
        p.append(counts[row] / counts[row].sum())
        counts[row, label] += 1
    return LossCurve.from_probabilities(p, labels)


def test_a_teacher_who_ties_cells_in_pairs_tells_half_of_the_table():
    """64 cells, 32 labels each, 10 classes, α .01: 245.3668 bits alone, 125.5925 with the pairs, 119.7743 gained."""
    draws = np.random.default_rng(0)
    cell = draws.permutation(np.repeat(np.arange(64), 32))
    label = draws.integers(10, size=32)[cell % 32]
    alone, pairs = lookup(cell, label), lookup(cell % 32, label)
    assert distilled([alone], [pairs]).bits == pytest.approx(119.7743, abs=1e-4)
    assert [one.nats.sum() / np.log(2) for one in (alone, pairs)] == pytest.approx([245.3668, 125.5925], abs=1e-4)
    assert distilled([alone], [lookup(cell, label)]).bits == 0


@pytest.fixture(scope="module")
def answer():
    digits = Task.from_dataset("digits")
    return ask(
        Distillation(digits, TEACHER, STUDENT, (0.0, 0.5), coder=QUICK, controls=True, train=80, k=40, replicates=2)
    )


def test_both_readings_of_every_teacher_are_there_and_paired(answer):
    gains = [row for row in answer.record() if row.measurement.quantity == "I(distilled)"]
    assert [(row.coordinates["teacher"], row.coordinates["reading"]) for row in gains] == [
        (teacher, reading) for teacher in ("MLP", "random-labels", "label-smoothing") for reading in ("synced", "fresh")
    ]
    for row in gains:
        assert set(row.measurement.replicates) == {0, 1}
        assert Status.INCOMPARABLE not in row.measurement.status
    plain, taught = answer.found[0], answer.found[1]
    saved = [a.nats.sum() - b.nats.sum() for a, b in zip(plain.curves, taught.curves, strict=True)]
    assert list(gains[0].measurement.replicates.values()) == pytest.approx(saved)


def test_a_gain_on_fresh_examples_is_a_difference_of_two_informations(answer):
    rows = {
        (row.coordinates["teacher"], row.coordinates.get("reading"), row.measurement.quantity): row.measurement.value
        for row in answer.record()
    }
    more = rows["MLP", None, "L(M,D)"] - rows["none", None, "L(M,D)"]
    assert rows["MLP", "fresh", "I(distilled)"] == pytest.approx(more)


def test_share_zero_is_the_student_alone(answer):
    digits = Task.from_dataset("digits")
    (alone,) = ask(Distillation(digits, TEACHER, STUDENT, (0.0,), coder=QUICK, train=80, k=40, replicates=1)).found
    assert np.array_equal(alone.curves[0].nats, answer.found[0].curves[0].nats)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"teacher": Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 7)))}, "speak of the 10 classes"),
        ({"teacher": TEACHER.starting_from({"w": np.zeros(1)})}, "may have seen the labels"),
        ({"data": Task.from_arrays(np.eye(9), np.arange(9) / 7)}, "are of classes"),
    ],
)
def test_what_cannot_be_done_is_told_before_any_training(options, told):
    asked = {"data": "digits", "teacher": TEACHER} | options
    with pytest.raises(ValueError, match=told):
        next(Distillation(**asked).stages())


@pytest.mark.parametrize(
    ("options", "told"),
    [({"alpha": (1.5,)}, "alpha"), ({"temperature": (0.0,)}, "temperature"), ({"teacher": ()}, "one teacher")],
)
def test_options_out_of_range_are_told(options, told):
    with pytest.raises(ValueError, match=told):
        Distillation(**{"data": "digits", "teacher": TEACHER} | options)


def test_a_code_without_steps_has_no_student():
    from infoscope import Kernel

    with pytest.raises(ValueError, match="step by step"):
        distillation("digits", TEACHER, coder=Kernel())


def test_all_students_take_as_many_epochs(answer):
    digits = Task.from_dataset("digits")
    asked = Distillation(digits, TEACHER, STUDENT, coder=QUICK, train=80, k=40, replicates=1)
    fits = [look.args[0].recipe for request in requests(asked) for look in getattr(request, "looks", ())
            if look.kind == "trainings"]  # fmt: skip
    first, *others = fits
    assert first.patience == 10
    assert {(recipe.epochs, recipe.patience) for recipe in others} == {(1, None)}  # a stand-in is best after one


def test_a_dry_run_reckons_with_the_trainings_of_the_teachers_and_of_the_students():
    digits = Task.from_dataset("digits")
    seconds = []
    for epochs in (20, 2000):
        teacher = Learner(MLP((16,)), Recipe(epochs=epochs, patience=None))
        seconds.append(seconds_to_send(digits, Synced(teacher, student=QUICK), STUDENT, 100))
    assert seconds[1] > 5 * seconds[0]
    students = Distillation(digits, TEACHER, STUDENT, coder=QUICK, train=80, k=40, replicates=1)
    fits = [one for request in requests(students) for one in getattr(request, "looks", ()) if one.kind == "trainings"]
    assert len(fits) == 3
    assert all(one.seconds() > 0 for one in fits)
