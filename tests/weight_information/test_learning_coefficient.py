import math

import pytest
import torch
from torch import nn

from infoscope import LearningCoefficient, Status, Task, ask, learning_coefficient
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Receipt
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe
from infoscope.weight_information.gaussian import gaussian_learning_coefficients
from infoscope.weight_information.learning_coefficients.gibbs_curve import GibbsCurve
from infoscope.weight_information.learning_coefficients.gibbs_look import settled

IRIS = Task.from_dataset("iris")


def line() -> nn.Module:
    return nn.Linear(4, 1)


def numbers() -> Task:
    """A linear regression: its loss is quadratic, and everything is known."""
    from infoscope.data.targets import Real

    x = IRIS.array - IRIS.array.mean(0)
    y = (x @ torch.tensor([1.0, -0.5, 0.3, 0.2]))[:, None].double()
    return Task.from_arrays(x, y, target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0), name="line")


def test_a_linear_model_has_the_gaussian_coefficients():
    """λ_E and λ_H of a quadratic loss at the weights themselves, by chains and from the eigenvalues of its Hessian."""
    task = numbers()
    weights = Learner(line).network(task.shape, 1, 0).state_dict()
    loss = StackedLoss(line(), task)
    best, _ = settled(loss, loss.flat(weights))
    start = float(loss(best[None])[0][0])
    assert start < 1e-6
    own = {name: t.float() for name, t in loss.weights(best).items()}
    answer = ask(LearningCoefficient(task, line, own, centre="weights", replicates=4, steps=1500))
    b = 1 / math.log(len(task))
    wide = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    by_mean, by_variance = gaussian_learning_coefficients(torch.linalg.eigvalsh(wide.T @ wide), b, 1.0)
    rows = {row.measurement.quantity: row.measurement for row in list(answer.record())[:5]}
    assert rows["lambda_E"].value == pytest.approx(by_mean, rel=0.05)
    assert rows["lambda_H"].value == pytest.approx(by_variance, rel=0.15)
    assert rows["C*"].value == pytest.approx(rows["E_q L"].value + rows["KL(q|p)"].value / b, rel=1e-9)
    assert not rows["lambda_E"].status
    assert rows["lambda_E"].receipt.over == "chains"
    notes = "; ".join(rows["lambda_E"].receipt.notes)
    assert all(word in notes for word in ("R̂", "drift", "accepted", "prior N(w, 1²)"))


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 1))


def test_the_layer_of_a_linear_network_is_a_linear_regression_on_what_the_others_say():
    """Its loss is quadratic in this layer's weights, however it bends in all of them."""
    task = numbers()
    first = torch.tensor([[0.8, -0.4, 0.2, 0.3], [0.1, 0.0, -0.5, 0.2]])
    said = task.array @ first.T
    best = torch.linalg.lstsq(said.double(), task.y.double().reshape(-1, 1)).solution.T.float()
    weights = {"0.weight": first, "1.weight": best, "1.bias": torch.zeros(1)}
    how = {"centre": "weights", "layers": ("1",), "b": 30.0, "replicates": 4, "steps": 400}
    (found,) = ask(LearningCoefficient(task, two_layers, weights, **how)).found
    wide = torch.cat([said.double(), torch.ones(len(task), 1)], 1)
    truth = gaussian_learning_coefficients(torch.linalg.eigvalsh(wide.T @ wide), 30.0, 1.0)
    assert truth[0] == pytest.approx(3 / 2, rel=0.01)
    by_mean, by_variance = found.layers["1"].at(30.0)[:2]
    assert by_mean.value == pytest.approx(truth[0], abs=4 * by_mean.stderr)
    assert by_variance.value == pytest.approx(truth[1], abs=4 * by_variance.stderr)
    assert by_mean.stderr < 0.15
    assert "3 weights of 1 alone move, 8 are held" in by_mean.receipt.notes
    assert any(note.endswith("of steps accepted") for note in by_mean.receipt.notes)
    places = [row.coordinates for row in found.rows() if "layer" in row.coordinates]
    assert places[0] == {"task": "line", "layer": "1", "b": 30.0}


def test_a_layer_that_is_not_there_is_told_before_anything_is_trained():
    with pytest.raises(ValueError, match="no layer matches 'conv'; it has '0', '1'"):
        next(LearningCoefficient(numbers(), two_layers, layers=("conv",)).stages())


def test_weights_that_are_no_minimum_raise_the_alarm_and_none_other():
    """From weights beside the minimum λ_E is low by b times what the loss lies above it; λ_H does not feel it."""
    task = numbers()
    off = {"weight": torch.tensor([[1.0, -0.5, 0.3, 0.2]]), "bias": torch.tensor([0.6])}
    answer = ask(LearningCoefficient(task, line, off, replicates=4, steps=600))
    by_mean, by_variance, expected = (row.measurement for row in list(answer.record())[:3])
    assert Status.NOT_AT_A_MINIMUM in by_mean.status
    assert Status.NOT_AT_A_MINIMUM not in by_variance.status | expected.status
    assert "no minimum" in answer.sentence()
    with pytest.raises(ValueError, match="NOT_AT_A_MINIMUM"):
        learning_coefficient(task, line, weights=off, replicates=4, steps=200)


def test_chains_that_have_not_come_together_say_so():
    one, wide = torch.ones(1, dtype=torch.float64), torch.ones(1, 4, dtype=torch.float64)
    curve = GibbsCurve(one, wide, wide, wide, 1.2 * one, one, one, one[1:], 0.0, 0.0, 8, 32, Receipt("chains"))
    assert all(Status.NOT_MIXED in row.status for row in curve.at(1.0))
    back = GibbsCurve.from_bytes(curve.to_bytes())
    assert back.receipt == curve.receipt
    assert torch.equal(back.r_hat, curve.r_hat)


def test_a_dry_run_counts_a_training_and_chains():
    assert units(LearningCoefficient(IRIS, steps=20)) == {"trainings": 1, "minima": 1, "chains": 1}
    assert units(LearningCoefficient(IRIS, MLP((3,)), layers=("all",), steps=20))["chains"] == 3
    assert units(
        LearningCoefficient(numbers(), line, {"weight": torch.zeros(1, 4), "bias": torch.zeros(1)}, steps=20)
    ) == {"chains": 1}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"b": 0.0}, "b is 0"),
        ({"prior": math.nan}, "prior is nan"),
        ({"centre": "here"}, "'weights' or 'zero'"),
        ({"replicates": 1}, "replicates is 1"),
        ({"weights": {}, "epochs": 3}, "leave one of them out"),
    ],
)
def test_bad_options_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        LearningCoefficient("iris", **options)


def test_weights_that_diverged_are_told():
    wild = {"weight": torch.full((1, 4), math.nan), "bias": torch.zeros(1)}
    with pytest.raises(ValueError, match="the training diverged"):
        ask(LearningCoefficient(numbers(), line, wild, steps=20))


def test_recipes_are_the_learners_own():
    learner = Learner(line, Recipe(epochs=2, patience=None))
    assert ask(LearningCoefficient(numbers(), learner, replicates=2, steps=20)).found[0].name == "line"
