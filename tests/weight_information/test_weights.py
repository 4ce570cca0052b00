import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from infoscope import Status, Task, WeightInformation, ask, bits_in_weights
from infoscope.data.corruption import ShuffledLabels
from infoscope.data.named import training_part
from infoscope.data.targets import Real
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.models import MLP
from infoscope.observation.estimators import Exact
from infoscope.run.context import RunContext
from infoscope.run.question import cost, units
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe
from infoscope.weight_information.averaged_fisher import AveragedFisher, Blockwise
from infoscope.weight_information.gaussian import isotropic
from infoscope.weight_information.parts_of_data import PartOfData, pass_operations
from infoscope.weight_information.posterior import (
    SCALES,
    Prior,
    Rounds,
    closed_form,
    refined,
)
from infoscope.weight_information.prior_scale import rescaled
from infoscope.weight_information.tolerated_noise import FIRST, Slowly
from infoscope.weight_information.weights.curve import WeightCurve

IRIS = Task.from_dataset("iris")


def line() -> nn.Module:
    return nn.Linear(4, 1)


def softmax() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def tanh() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def numbers() -> Task:
    """A linear regression with noise of variance 1."""
    x = (IRIS.array - IRIS.array.mean(0)) / IRIS.array.std(0)
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    y = (x @ torch.tensor([1.0, -0.5, 0.3, 0.2]) + noise)[:, None].double()
    return Task.from_arrays(x, y, target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0), name="line")


def given(factory, task, seed=0):
    return Learner(factory).network(task.shape, task.target.outputs, seed).state_dict()


def main(answer):
    """Quantities of the reported posterior."""
    return {row.measurement.quantity: row.measurement for row in list(answer.record())[:4]}


def test_bayesian_linear_regression_is_exact():
    """C is −β log ∫ p e^(−L/β), in closed form; the sampled loss is the predicted one; dC/dβ is KL."""
    task = numbers()
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    y, scale = task.y.double()[:, 0], 0.7

    def least(beta: float) -> float:
        """½ yᵀ(I + λ²XXᵀ/β)⁻¹y + (β/2) log det(I + λ²XᵀX/β)."""
        gram = scale**2 * x @ x.T / beta + torch.eye(len(x), dtype=torch.float64)
        return float(y @ torch.linalg.solve(gram, y) + beta * torch.logdet(gram)) / 2

    answer = ask(WeightInformation(task, line, given(line, task), scale=scale, curve=(0.25, 4.0), draws=2000))
    (one,) = answer.found
    assert {p.way for p in one.curve.points} == {"closed"}
    for point in one.curve.points:
        predicted = point.predicted + point.beta * point.kl
        assert predicted == pytest.approx(least(point.beta), rel=1e-6)
        mean, error = point.expected
        assert abs(mean - point.predicted) < 4 * error
        slope = (least(point.beta * 1.001) - least(point.beta / 1.001)) / (point.beta * (1.001 - 1 / 1.001))
        assert point.kl == pytest.approx(slope, rel=1e-4)
    assert not any(m.status for m in main(answer).values())


def test_layers_and_parameters_sum_to_the_total():
    answer = ask(WeightInformation(IRIS, MLP((3,)), given(MLP((3,)), IRIS), rounds=3, draws=4, posterior="rounds"))
    (one,) = answer.found
    point = one.curve.main
    assert point.price == pytest.approx(math.log(29))
    assert sum(point.by_layer().values()) + point.price == pytest.approx(point.kl, rel=1e-12)
    rows = list(answer.record())
    parts = sum(r.measurement.value for r in rows if "part" in r.coordinates)
    assert parts + point.price == pytest.approx(main(answer)["KL(q|p)"].value, rel=1e-12)


@pytest.mark.parametrize("form", ["full", "ekfac", "diagonal", "filter"])
def test_parts_are_those_of_the_covariance_itself(form):
    """KL(q‖p) from the dense covariance: the same number, and each weight's share of its trace and log-determinant."""
    network = MLP((3,))(IRIS.shape, 3)
    fisher = AveragedFisher(network, IRIS, form)
    w = torch.cat([p.detach().double().flatten() for p in fisher.parameters.values()])
    found = closed_form(w, fisher.at, Prior(torch.zeros_like(w), 0.5), 2.0)
    basis = found.q.basis
    assert isinstance(basis, Blockwise)
    vectors = basis.back(torch.eye(len(w), dtype=torch.float64))
    sigma = vectors.T @ torch.diag(found.q.variances) @ vectors
    eigen, turned = torch.linalg.eigh(sigma)
    log = (turned * eigen.log()) @ turned.T
    dense = (sigma.diagonal() / 0.5 - 1 - log.diagonal() + math.log(0.5)) / 2
    shares = basis.by_weight((found.q.variances / 0.5 - 1 - (found.q.variances / 0.5).log()) / 2)
    assert torch.allclose(shares, dense, atol=1e-9)
    assert torch.allclose(basis.to(basis.back(w)), w)


def test_ever_dearer_weights_hold_nothing():
    """β → ∞: KL → 0, and never more of it at a higher price, in both ways."""
    answer = ask(WeightInformation(IRIS, MLP((4,)), curve=(1e2, 1e4, 1e7), scale=0.5, epochs=30, draws=8))
    for way in ("closed", "rounds"):
        points = answer.found[0].curve.of(way)
        held = [sum(p.precision.values()) if way == "closed" else p.kl for p in points]
        assert held == sorted(held, reverse=True)
        assert held[-1] < 0.5


@pytest.mark.long
def test_digits_reach_the_figures_of_the_field():
    """Softmax regression 561 nats, the tanh network below 930; Laplace's closed form fails there, and says so."""
    task = Task.from_dataset("digits")
    w = given(softmax, task)
    full = main(ask(WeightInformation(task, softmax, w, scale=1.0)))["C"]
    assert full.value == pytest.approx(561, abs=4)
    assert not full.status
    ekfac = main(ask(WeightInformation(task, softmax, w, scale=1.0, form="ekfac")))["C"]
    assert full.value < ekfac.value < 592
    (one,) = ask(WeightInformation(task, tanh, scale=1.0)).found
    rounds, closed = one.curve.of("rounds")[0], one.curve.of("closed")[0]
    assert rounds.complexity < 930
    assert closed.complexity > 2 * rounds.complexity
    assert all(Status.NOT_QUADRATIC in m.status for m in one.curve.measured(closed))
    assert Status.NOT_QUADRATIC not in one.curve.measured(rounds)[3].status
    chosen = ask(WeightInformation(task, tanh, posterior="rounds")).found[0].curve.main
    assert chosen.price == pytest.approx(math.log(29))
    assert chosen.complexity < 930


def test_steps_and_rounds_find_the_best_diagonal_of_a_linear_model():
    """Mean-field inference and rounds, from wrong variances and a wrong mean: the optimum is known in closed form."""
    task = numbers()
    network = line()
    fisher, loss = AveragedFisher(network, task, "diagonal"), StackedLoss(network, task)
    w, prior = loss.flat(network.state_dict()), Prior(torch.zeros(5, dtype=torch.float64), 0.5)
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    best = torch.linalg.solve(x.T @ x + torch.eye(5) / 0.5, x.T @ task.y.double()[:, 0])
    start = closed_form(best, fisher.at, prior, 1.0)
    draws = torch.Generator().manual_seed(0)
    wrong = dataclasses.replace(start, q=dataclasses.replace(start.q, variances=10 * start.q.variances))
    found = refined(wrong, loss, prior, 1.0, 400, draws)
    h = (x.T @ x).diagonal()

    def price(one) -> float:
        """E_q L + KL less what no q can change, exactly."""
        away = one.q.mean - best
        curved = float(away @ x.T @ x @ away + (h * one.q.variances).sum()) / 2
        slope = float(away @ (x.T @ (x @ best - task.y.double()[:, 0])))
        return curved + slope + one.q.kl(prior.mean, 0.5)

    assert price(start) < price(found) < price(start) + 0.5
    assert price(wrong) > price(start) + 10
    noisy = Rounds().fit(w, loss, fisher.at, prior, 1.0, draws)
    assert price(start) < price(noisy) < price(start) + 1
    assert torch.allclose(noisy.q.variances, 1 / (h + 1 / 0.5), rtol=1e-4)


def test_the_floor_lies_below_every_posterior():
    """C* ≤ C(q), and it is the evidence where that is known."""
    task = numbers()
    answer = ask(WeightInformation(task, line, given(line, task), scale=0.7, form="diagonal", floor=128))
    point = answer.found[0].curve.main
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    gram = 0.49 * x @ x.T + torch.eye(len(x), dtype=torch.float64)
    y = task.y.double()[:, 0]
    evidence = float(y @ torch.linalg.solve(gram, y) + torch.logdet(gram)) / 2
    assert point.floor is not None
    assert point.floor.upper == pytest.approx(evidence, abs=4 * point.floor.upper_stderr + 0.05)
    assert point.floor.upper < point.complexity
    assert "bits less" in answer.sentence()


def test_the_three_priors_and_the_distance():
    w = given(MLP((3,)), IRIS)
    small = {"rounds": 2, "draws": 4, "scale": 0.5, "epochs": 5}
    start = ask(WeightInformation(IRIS, MLP((3,)), prior="start", posterior="closed", **small))
    rows = {r.measurement.quantity: r.measurement for r in start.record()}
    closed = start.found[0].curve.main
    assert sum(closed.distance.values()) == pytest.approx(rows["d(w0,w)"].value ** 2 / (2 * 0.25), rel=1e-6)
    data = ask(WeightInformation(IRIS, MLP((3,)), prior="data", codelength=True, **small))
    rows = {r.measurement.quantity: r.measurement for r in data.record()}
    assert rows["L(y|x)"].receipt.n == rows["C"].receipt.n == 75
    assert units(WeightInformation(IRIS, MLP((3,)), prior="data", codelength=True)) == {
        "trainings": 2,
        "posteriors": 1,
        "codes": 1,
    }
    assert units(WeightInformation(IRIS, MLP((3,)), w)) == {"posteriors": 1}


def test_a_curve_does_not_depend_on_the_side_that_it_is_walked_from():
    task = Task.from_dataset("digits").shuffled(0)[:40].corrupted(ShuffledLabels(), seed=0)
    options = {"scale": 1.0, "posterior": "rounds", "rounds": 6, "epochs": 200, "draws": 20}
    walks = [
        ask(WeightInformation(task, MLP((6,)), beta=first, curve=rest, **options)).found[0].curve.of("rounds")
        for first, rest in ((2.0, (0.03, 0.2)), (0.03, (0.2, 2.0)))
    ]
    for one, other in zip(*walks, strict=True):
        assert one.complexity == pytest.approx(other.complexity, rel=0.15)
    memorised, forgotten = walks[0][0], walks[0][-1]
    assert memorised.kl > 5 * forgotten.kl


def test_a_curve_is_kept_without_loss():
    curve = ask(WeightInformation(numbers(), line, given(line, numbers()), floor=16, draws=3)).found[0].curve
    back = WeightCurve.from_bytes(curve.to_bytes())
    assert back == curve
    assert json.loads(curve.to_bytes())["points"][0]["way"] == "closed"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scale": 0.0}, "prior without variance"),
        ({"beta": 0.0}, "above 0"),
        ({"prior": "here"}, "zero, start, data"),
        ({"form": "banded"}, "ekfac"),
        ({"posterior": "best"}, "rounds"),
        ({"weights": {}, "epochs": 3}, "leave one of them out"),
        ({"weights": {}, "prior": "start"}, "needs it"),
        ({"start": {}}, "trained here"),
    ],
)
def test_bad_options_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        WeightInformation("iris", **options)


def test_bad_input_gets_a_word():
    bad = given(MLP((3,)), IRIS)
    bad["fc1.weight"] = bad["fc1.weight"] * math.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        bits_in_weights(IRIS, MLP((3,)), weights=bad)
    with pytest.raises(ValueError, match="half precision"):
        bits_in_weights(IRIS, lambda: nn.Linear(4, 3).half(), weights=nn.Linear(4, 3).half().state_dict())
    own = Learner(MLP((3,)), Recipe(loss=nn.functional.multi_margin_loss))
    with pytest.raises(ValueError, match="loss of its own"):
        bits_in_weights(IRIS, own)


def test_the_sentence_compares_with_the_start_a_code_and_no_network_at_all():
    """Far out, C is above n log 3, and so the weights are said to save nothing."""
    start = given(MLP((3,)), IRIS)
    far = {k: 30 * t for k, t in start.items()}
    asked = WeightInformation(
        IRIS, MLP((3,)), far, start, scale=0.1, posterior="closed", draws=2, codelength=True, examples=60
    )
    (one,) = ask(asked).found
    assert one.blind == pytest.approx(60 * math.log(3))
    assert one.curve.main.complexity > one.blind
    told = ask(asked).sentence()
    assert "from where they started" in told
    assert "A coder without this network sends" in told
    assert "Without any network they cost 95.1 bits" in told


def test_from_a_prior_that_is_far_too_wide_the_best_scale_of_a_linear_model_is_found():
    """C(λ) in closed form, ½ yᵀ(I + λ²XXᵀ)⁻¹y + ½ log det(I + λ²XᵀX): its least of the grid, or the next one."""
    task, network = numbers(), line()
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    y, eye = task.y.double()[:, 0], torch.eye(len(x), dtype=torch.float64)
    exact = [float(y @ torch.linalg.solve(g, y) + torch.logdet(g)) for s in SCALES for g in (eye + s**2 * x @ x.T,)]
    fisher, loss = AveragedFisher(network, task, "full"), StackedLoss(network, task)
    w, draws = loss.flat(network.state_dict()), torch.Generator().manual_seed(0)
    rounds, centre = Rounds(12, 15), torch.zeros_like(w)
    wide = rounds.fit(w, loss, fisher.at, Prior(centre, SCALES[-1] ** 2), 1.0, draws)
    found = rescaled(rounds, wide, w, loss, fisher.at, Prior(centre, None), 1.0, draws)
    place = min(range(len(SCALES)), key=lambda k: abs(SCALES[k] - found.variance**0.5))
    assert abs(place - exact.index(min(exact))) <= 1


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_noise_that_goes_slowly_comes_to_the_best_of_a_quadratic_loss(beta):
    """Where the curvature is the same everywhere the fixed point is Σ* = β (H + β/λ²)⁻¹, the mean at the weights."""
    task, network = numbers(), line()
    fisher, loss = AveragedFisher(network, task, "ekfac"), StackedLoss(network, task)
    w, prior = loss.flat(network.state_dict()), Prior(torch.zeros(5, dtype=torch.float64), 0.5)
    draws = torch.Generator().manual_seed(0)
    found = Slowly(30).fit(w, lambda rows, _: loss.values(rows), fisher.at, prior, beta, draws)
    best = closed_form(w, fisher.at, prior, beta)
    assert torch.equal(found.q.mean, w)

    def rest(q) -> float:
        """C without the loss at the mean: ½ tr HΣ + β KL."""
        return float(best.curvature.h @ q.variances) / 2 + beta * q.kl(prior.mean, 0.5)

    first = isotropic(w, FIRST**2 * 0.5)
    assert rest(best.q) <= rest(found.q) < rest(best.q) + 0.03 * (rest(first) - rest(best.q))


def test_a_part_of_the_examples_stands_for_all_without_bias():
    """The loss within the error of its draws; curvatures of all parts have that of the whole as their mean."""
    network = MLP((3,))(IRIS.shape, 3)
    whole = StackedLoss(network, IRIS)
    w = whole.flat(network.state_dict())
    part = PartOfData(network, IRIS, 10)
    found = part.loss(w.expand(300, -1), torch.Generator().manual_seed(0))
    error = float(found.std()) / math.sqrt(300)
    assert abs(float(found.mean()) - float(whole.values(w[None])[0])) < 4 * error
    assert float(PartOfData(network, IRIS).loss(w[None], torch.Generator())) == pytest.approx(
        float(whole(w[None])[0]), rel=1e-5
    )
    for form in ("diagonal", "full"):
        fisher = AveragedFisher(network, IRIS, form, Exact())
        parts = [_dense(fisher.on(IRIS[i : i + 50]).at(w[None]), len(w)) for i in (0, 50, 100)]
        assert torch.allclose(torch.stack(parts).mean(0), _dense(fisher.at(w[None]), len(w)), rtol=1e-5, atol=1e-6)


def _dense(curvature, size):
    vectors = curvature.basis.back(torch.eye(size, dtype=torch.float64))
    return vectors.T @ torch.diag(curvature.h) @ vectors


def test_operations_are_those_of_the_products():
    """Two for each product of an input and a weight, and two at least for each weight."""
    task = Task.from_dataset("digits")[:100]
    assert pass_operations(softmax(), task) == 100 * 2 * 650
    conv = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    assert pass_operations(conv, task) == 100 * 2 * (36 * 9 * 4 + 144 * 10)


def test_noise_alone_leaves_the_weights_where_they_are():
    w = given(MLP((3,)), IRIS)
    asked = WeightInformation(IRIS, MLP((3,)), w, posterior="noise", rounds=12, draws=20, scale=0.5, curve=(10.0,))
    answer = ask(asked)
    (one,) = answer.found
    size = sum(float(t.double().square().sum()) for t in w.values())
    for point in one.curve.points:
        assert sum(point.distance.values()) == pytest.approx(size / (2 * 0.5**2), rel=1e-6)
    cheap, dear = one.curve.of("noise")
    assert cheap.kl > dear.kl
    assert not main(answer)["C"].status
    assert "as they are" in answer.sentence()
    with pytest.raises(ValueError, match="leave it out"):
        ask(dataclasses.replace(asked, floor=10))


def test_a_dry_run_tells_the_time_of_every_way():
    """More rounds, prices and choices take longer, and nothing that is not asked for is counted."""
    w = given(MLP((3,)), IRIS)

    def seconds(**options) -> float:
        return cost(WeightInformation(IRIS, MLP((3,)), w, **options), RunContext()).seconds

    once = seconds(scale=1.0, posterior="rounds")
    assert seconds(posterior="rounds") > 1.5 * once
    assert seconds(scale=1.0, posterior="rounds", curve=(2.0, 4.0)) > 2 * once
    assert 0 < seconds(scale=1.0, posterior="noise") < once


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_pretrained_convolutional_network_holds_a_bit_a_weight(shared_data):
    """ResNet-20 on all 50,000 examples by one command: far below the closed form, which is void, and without a flag."""
    file = shared_data("weights") / "cifar10_resnet20.safetensors"
    network = "resnet20[mean=(0.485,0.456,0.406), deviation=(0.229,0.224,0.225)]"
    task = training_part(Task.from_dataset(shared_data("cifar10")))
    answer = ask(WeightInformation(task, network, file, draws=20))
    found = main(answer)
    assert found["KL(q|p)"].bits < 1.3 * 272_474
    assert found["E_q L"].bits < 0.25 * len(task) * math.log2(10)
    assert not found["C"].status
