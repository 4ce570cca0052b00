"""Shannon information between the weights of networks and the data that they were trained on."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from infoscope import ShannonInformation, Task, ask, shannon
from infoscope.data.targets import Real
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Bound, Status
from infoscope.models import MLP
from infoscope.run.question import requests, units
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Recipe
from infoscope.weight_information.minimum import Pull, hessian, settled
from infoscope.weight_information.weights_and_data.closed_form import minimiser_jacobian, signal_to_noise
from infoscope.weight_information.weights_and_data.noisy_network import Noise, following, noisy_network

IRIS = Task.from_dataset("iris")
POOL = IRIS.shuffled(0)[:40]


def line() -> nn.Module:
    return nn.Linear(4, 1)


def numbers() -> Task:
    """A linear regression with noise of variance 1."""
    x = (IRIS.array - IRIS.array.mean(0)) / IRIS.array.std(0)
    noise = torch.randn(len(x), generator=torch.Generator().manual_seed(0))
    y = (x @ torch.tensor([1.0, -0.5, 0.3, 0.2]) + noise)[:, None].double()
    return Task.from_arrays(x, y, target=Real(0.001, -10.0, 10.0, centre=0.0, scale=1.0), name="line")


def start(factory, task, seed=0):
    return Learner(factory).network(task.shape, task.target.outputs, seed).state_dict()


def test_the_channel_of_a_linear_regression_is_in_closed_form():
    """Minimum, curvature and gradients of examples by hand: s = eig of Cov(c) Gᵀ H⁻¹ G/β, H = XᵀX + β/λ²."""
    task, noise = numbers(), Noise(0.5, 0.7, 2, 0)
    x = torch.cat([task.array.double(), torch.ones(len(task), 1)], 1)
    h = x.T @ x + noise.pull * torch.eye(5)
    w = torch.linalg.solve(h, x.T @ task.y.double()[:, 0])
    g = x * (x @ w - task.y.double()[:, 0])[:, None]
    centred = g - g.mean(0)
    known = torch.linalg.eigvalsh(centred @ torch.linalg.solve(h, centred.T)) / noise.beta
    found = following(task, Learner(line), start(line, task), noise, "cpu")
    assert found.at_minimum
    assert found.linear
    assert torch.allclose(found.signal[-5:], known[-5:], rtol=1e-4)
    assert float(found.signal[:-5].max()) < 1e-6 * float(known[-1])  # as many directions as weights
    q = noisy_network(task, task, Learner(line), start(line, task), noise, "cpu").q
    covariance = q.basis.back(q.variances.diag()).T @ q.basis.back(torch.eye(5, dtype=torch.float64))
    assert torch.allclose(covariance, noise.beta * torch.linalg.inv(h), rtol=1e-4, atol=1e-8)


def regression(n: int = 30) -> tuple[Task, torch.Tensor]:
    """Inputs with XᵀX = diag(1, 3, 8): with λ = 1 and noise of variance 1 those are the s_j."""
    s = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
    draws = torch.Generator().manual_seed(0)
    x = torch.linalg.qr(torch.randn(n, 3, generator=draws, dtype=torch.float64)).Q * s.sqrt()
    y = torch.randn(n, 1, generator=draws, dtype=torch.float64)
    return Task.from_arrays(x.float(), y, target=Real(1e-6, -30.0, 30.0, centre=0.0, scale=1.0), name="three"), s


def three() -> nn.Module:
    return nn.Linear(3, 1, bias=False)


def test_the_channel_of_labels_of_the_prior_is_bayesian_linear_regression():
    """½ Σ log(1 + s_j); with labels of one network, as data around their mean, ½ Σ log(1 + s_j/(1 + s_j))."""
    task, s = regression()
    noise, weights = Noise(1.0, 1.0, 2, 0), start(three, task)
    of_prior = following(task, Learner(three), weights, noise, "cpu", "prior")
    assert torch.allclose(of_prior.signal, s, rtol=1e-5)
    assert 0.5 * float(of_prior.signal.log1p().sum()) == pytest.approx(2.1383330595, rel=1e-6)
    of_labels = following(task, Learner(three), weights, noise, "cpu", "labels")
    assert torch.allclose(of_labels.signal, s / (1 + s), rtol=1e-5)


@pytest.mark.parametrize(("source", "truth"), [("prior", 2.1383330595), ("labels", 0.8005348314)])
def test_labels_drawn_anew_tell_what_the_closed_form_says(source, truth):
    """By networks that were trained on them: counted, and between the bounds."""
    task, s = regression()
    moved = s if source == "prior" else s / (1 + s)
    assert truth == pytest.approx(0.5 * float(moved.log1p().sum()), abs=1e-9)
    how = {"replicates": 40, "seeds": 0, "epochs": 1, "draws": 8, "source": source}
    (one,) = ask(ShannonInformation(task, three, **how)).found
    channel, counted, below, above = (one.of(name, 1.0) for name in ("channel", "ensemble", "mixture", "prior"))
    assert channel.value == pytest.approx(truth, rel=1e-3)
    assert abs(counted.value - truth) < 3 * counted.stderr < 1.0
    assert below.bound is Bound.LOWER
    assert below.value - 3 * below.stderr < truth < above.value + 3 * above.stderr
    assert one.lowest(one.priced[0]).bound is Bound.LOWER
    assert one.has("decoder", 1.0) is (source == "labels")
    if source == "labels":
        decoded = one.of("decoder", 1.0)
        assert 3 * decoded.stderr < decoded.value < truth + 3 * decoded.stderr
        assert decoded.bound is Bound.LOWER


def test_labels_of_classes_have_an_entropy_and_bounds_of_what_weights_say_of_them():
    how = {"replicates": 8, "seeds": 1, "epochs": 20, "draws": 4, "curve": (10.0,)}
    answer = ask(ShannonInformation(POOL, MLP(()), source="labels", **how))
    (one,) = answer.found
    entropy = next(row.measurement for row in one.rows() if row.measurement.quantity == "H(D)")
    assert 0 < entropy.value < len(POOL) * math.log(3)
    below, above = one.of("decoder", 1.0), one.of("prior", 1.0)
    assert below.value + 3 * below.stderr > 0
    assert below.value - 3 * below.stderr < one.of("channel", 1.0).value < above.value + 3 * above.stderr
    assert one.of("channel", 10.0).value < one.of("channel", 1.0).value
    assert "Which labels of" in answer.sentence()
    drawn = ask(ShannonInformation(POOL, MLP(()), source="prior", **how | {"replicates": 4, "curve": ()}))
    assert not drawn.found[0].has("channel", 1.0)
    assert "hold at most" in drawn.sentence()


def test_labels_that_cannot_be_drawn_are_told():
    narrow = dataclasses.replace(regression()[0], target=Real(1e-6, -3.0, 3.0, centre=0.0, scale=1.0))
    with pytest.raises(ValueError, match="declare a wider range, or take a smaller scale"):
        ask(ShannonInformation(narrow, three, source="prior", scale=3.0, replicates=4, epochs=1))
    with pytest.raises(ValueError, match="source is 'weights'; take examples, labels, prior"):
        ShannonInformation(POOL, source="weights")


def test_a_network_follows_its_data_as_its_exact_derivatives_say():
    """A tanh network: the Hessian by differences and the gradients of examples, against autograd through the loss."""
    model, noise = MLP((3,), "tanh"), Noise(1.0, 1.0, 2, 0)
    found = following(POOL, Learner(model), start(model, POOL), noise, "cpu")
    assert found.at_minimum
    assert not found.linear
    network = Learner(model).network(POOL.shape, 3, 0)
    stacked = StackedLoss(network, POOL)
    begin = stacked.flat(start(model, POOL))
    w = settled(stacked, begin, Pull(torch.zeros_like(begin), noise.pull))
    shapes = {name: p.shape for name, p in network.named_parameters()}

    def loss(w: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        parts = w.split([s.numel() for s in shapes.values()])
        weights = {name: part.view(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}
        outputs = functional_call(network, weights, (POOL.x.double(),))
        costs = nn.functional.cross_entropy(outputs, POOL.y, reduction="none")
        return (counts * costs).sum() + noise.pull * w.square().sum() / 2

    jacobian, curved = minimiser_jacobian(loss, w, torch.ones(len(POOL), dtype=torch.float64))
    pulled = noise.pull * torch.eye(len(w), dtype=torch.float64)
    assert torch.allclose(hessian(stacked, w) + pulled, curved, atol=1e-5)
    q = noisy_network(POOL, POOL, Learner(model), start(model, POOL), noise, "cpu").q
    rows = q.basis.back(torch.eye(len(w), dtype=torch.float64))
    precision = rows.T @ (rows / q.variances[:, None])
    counts = torch.eye(len(POOL), dtype=torch.float64) - 1 / len(POOL)
    assert torch.allclose(found.signal, signal_to_noise(counts, jacobian, precision), rtol=1e-3, atol=1e-6)


def test_bounds_enclose_the_channel_of_a_convex_model():
    """Softmax regression has one minimum, to which every seed leads; nothing here assumes that it is Gaussian."""
    (one,) = ask(ShannonInformation(IRIS, MLP(()), seeds=1, replicates=16, epochs=30, curve=(0.1,), draws=4)).found
    for beta in (1.0, 0.1):
        channel, below, above = (one.of(name, beta) for name in ("channel", "decoder", "prior"))
        assert below.bound is Bound.LOWER
        assert above.bound is Bound.UPPER
        assert below.value - 3 * below.stderr < channel.value < above.value + 3 * above.stderr
        assert below.value > 2 * below.stderr
        counted = one.of("ensemble", beta)
        assert abs(counted.value - channel.value) < 3 * counted.stderr
        assert counted.status == {Status.TOO_FEW_SAMPLES}
    assert one.of("mixture", 0.1).value < math.log(16)
    assert one.of("channel", 0.1).value > one.of("channel", 1.0).value
    price = one.priced[0]
    plain = next(r.measurement for r in one.rows() if r.measurement.quantity == "KL(q|p)")
    assert plain.value > one.most(price)  # E KL(q‖p) = I(w;D) + KL(p̄‖p)


def test_weights_too_many_for_a_matrix_have_noise_each_and_no_channel(monkeypatch):
    monkeypatch.setattr("infoscope.weight_information.weights_and_data.noisy_network.MOST_FULL", 10)
    monkeypatch.setattr("infoscope.weight_information.weights_and_data.question.MOST_FOLLOWED", 10)
    asked = ShannonInformation(POOL, MLP((4,)), seeds=0, replicates=4, epochs=5, draws=2)
    answer = ask(asked)
    (one,) = answer.found
    assert one.priced[0].channel is None
    assert one.priced[0].noisy[0][0].q.variances.shape == one.priced[0].noisy[0][0].q.mean.shape
    assert "Gaussian channel" not in answer.sentence()
    assert any("a noise a weight" in note for note in one.of("decoder", 1.0).receipt.notes)
    assert sum(units(asked).values()) == 5 + 1 + 4


def test_a_dry_run_knows_the_time_of_posteriors_and_of_the_channel():
    """By one trial for all networks, and one for the channel; from the same data, more of it takes longer."""
    question = ShannonInformation(POOL, MLP((3,)), seeds=1, replicates=4, curve=(0.1,), draws=2)
    looks = [one for request in requests(question) for one in getattr(request, "looks", ())]
    seconds = {kind: [one.seconds for one in looks if one.kind == kind] for kind in ("posteriors", "derivatives")}
    assert {kind: len(several) for kind, several in seconds.items()} == {"posteriors": 8, "derivatives": 2}
    assert all(len(set(several)) == 1 and several[0]() > 0 for several in seconds.values())


def test_one_call_is_the_lower_bound():
    found = shannon(POOL, MLP(()), replicates=4, epochs=3, draws=2, seeds=0)
    assert found.bound is Bound.LOWER
    assert found.receipt.data == POOL.fingerprint[:16]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"beta": 0.0}, "beta is 0"), ({"scale": math.inf}, "scale is inf"), ({"replicates": 3}, "replicates is 3")],
)
def test_bad_options_are_refused_by_name(wrong, word):
    with pytest.raises(ValueError, match=word):
        ShannonInformation(POOL, **wrong)


def test_bad_data_and_learners_are_refused_before_anything_is_trained():
    own = Learner(MLP(()), Recipe(loss=nn.CrossEntropyLoss()))
    for question, word in (
        (ShannonInformation(POOL[:1]), "has 1 examples"),
        (ShannonInformation(POOL, own), "a loss of its own"),
    ):
        with pytest.raises(ValueError, match=word):
            next(question.stages())
    wild = Learner(MLP((4,)), Recipe(SGD(1e12), epochs=3))
    with pytest.raises(ValueError, match=r"failed|not finite"):
        ask(ShannonInformation(POOL, wild, replicates=4, seeds=0))


def test_it_does_not_matter_what_examples_are_called():
    """Losses by the pool's order: permuting pool and counts together leaves the decoder's bound as it is."""
    (one,) = ask(ShannonInformation(POOL, MLP(()), replicates=4, epochs=3, draws=2, seeds=0)).found
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(POOL)))
    turned = dataclasses.replace(one, counts=one.counts[:, order], trained=one.trained[..., order])
    assert turned.of("decoder").value == pytest.approx(one.of("decoder").value, rel=1e-9)
