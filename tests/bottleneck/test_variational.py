"""The question of the bottleneck: its ends, what must hold at every price, and bad input."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from infoscope import InformationBottleneck, Learner, Recipe, Task, information_bottleneck
from infoscope.bottleneck.learned_code import LearnedCode
from infoscope.bottleneck.noisy_code import NoisyCode, Rate
from infoscope.bottleneck.nuisances import Pattern
from infoscope.data.targets import Classes, Real
from infoscope.measurement import Bound, Status
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.penalties import Together
from infoscope.training.recipe import Adam

FAST = Learner(MLP((16,)), Recipe(Adam(0.01), batch=50))


def told_labels(classes: int = 4, n: int = 400) -> Task:
    """Inputs that tell their labels, with something of their own besides."""
    draws = torch.Generator().manual_seed(0)
    y = torch.arange(n) % classes
    x = torch.cat([torch.eye(classes)[y], torch.randn(n, 2, generator=draws)], 1)
    return Task.from_arrays(x, y, alphabet=[str(c) for c in range(classes)], name="told")


@pytest.fixture(scope="module")
def found():
    prices = (1e-3, 0.1, 0.5, 5.0)
    task = told_labels()
    return information_bottleneck(task, FAST, betas=prices, width=3, nuisance=Pattern(2), replicates=2, epochs=40)


def test_its_ends_where_the_input_tells_the_label(found):
    cheap, dear = found.points[0], found.points[-1]
    assert cheap.label_entropy == pytest.approx(math.log(4), abs=0.01)
    assert cheap.measured("I(Z;Y)").value == pytest.approx(cheap.label_entropy, abs=0.03)
    assert cheap.measured("accuracy").value > 0.99
    for quantity in ("I(Z;X)", "rate", "I(Z;Y)", "TC(Z)"):
        assert dear.measured(quantity).value == pytest.approx(0, abs=0.02)


def test_what_must_hold_at_every_price(found):
    for point in found.points:
        m = point.measured
        assert m("I(Z;X), at least").value - 0.02 <= m("I(Z;X)").value <= m("rate").value + 0.02
        assert m("I(Z;Y)").value <= m("I(Z;X)").value + 0.02
        assert m("I(Z;N)").value <= m("I(Z;X) − I(Z;Y)").value + 3 * m("I(Z;N)").stderr + 0.02
        assert m("TC(Z), at least").value <= m("TC(Z)").value + 0.02
        assert m("H(Y|Z)").value + m("I(Z;Y)").value == pytest.approx(point.label_entropy)
        assert m("I(Z;X) − I(Z;Y)").bound is Bound.UPPER
        assert m("I(Z;Y)").bound is m("I(Z;N)").bound is Bound.LOWER
    rates = [point.measured("rate").value for point in found.points]
    assert rates == sorted(rates, reverse=True)
    # Beyond its label a dear code has no room for the nuisance, and a cheap one tells it.
    assert found.points[0].measured("I(Z;N)").value > 0.3 > found.points[-1].measured("I(Z;N)").value
    assert "β = 5 it tells nothing of the label" in found.sentence()


def test_training_that_has_only_begun_says_so():
    """Though its rate goes down to nothing, and its loss with it stands still."""
    how = {"betas": (0.1,), "width": 3, "replicates": 1}
    for epochs, said in ((1, True), (8, True), (300, False)):
        point = information_bottleneck(told_labels(), FAST, epochs=epochs, **how).points[0]
        assert (Status.NOT_CONVERGED in point.measured("I(Z;X)").status) is said
    assert Status.NOT_CONVERGED not in point.measured("TC(Z)").status


def test_codes_are_kept_with_their_mixture(found):
    code = found.points[0].codes[0]
    back = LearnedCode.from_bytes(code.to_bytes())
    assert torch.equal(back.mixture.log_density(code.mean), code.mixture.log_density(code.mean))
    assert (back.converged, back.overfit) == (code.converged, code.overfit)


def test_each_training_is_a_look_of_its_own(found):
    question = InformationBottleneck(told_labels(), FAST, betas=(0.1, 1.0), replicates=3)
    assert units(question) == {"trainings": 6}


def test_noise_that_multiplies_tells_as_much_as_its_logarithm():
    torch.manual_seed(0)
    plain = NoisyCode(nn.Linear(5, 6), 3, 2)
    twin = NoisyCode(nn.Linear(5, 6), 3, 2, "lognormal")
    twin.load_state_dict(plain.state_dict())
    x = torch.randn(7, 5)
    assert all(torch.equal(a, b) for a, b in zip(plain.encoded(x), twin.encoded(x), strict=True))
    plain(x), twin(x)
    assert torch.equal(plain.rate, twin.rate)
    assert torch.allclose(twin.decoded(torch.zeros(1, 3)), twin.decoder(torch.ones(1, 3)))
    other = information_bottleneck(
        told_labels(), FAST, betas=(1e-3,), width=3, noise="lognormal", replicates=1, epochs=25
    )
    assert other.points[0].measured("accuracy").value > 0.95


def test_the_penalty_is_beta_times_the_mean_rate():
    torch.manual_seed(0)
    network = NoisyCode(nn.Linear(5, 6), 3, 2)
    x = torch.randn(7, 5)
    term = Rate(0.3).begin(network, 0)
    said = network(x)
    mean, sd = network.encoded(x)
    by_torch = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, sd), torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    )
    assert term(x, said).item() == pytest.approx(0.3 * by_torch.sum(1).mean().item(), rel=1e-6)
    with pytest.raises(TypeError, match="NoisyCode"):
        Rate(0.3).begin(nn.Linear(2, 2), 0)


def no_options() -> nn.Module:
    return nn.Linear(6, 4)


def a_class_only(shape: tuple[int, ...], outputs: int) -> nn.Module:
    return nn.Linear(6, 4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"betas": ()}, "give one or more"),
        ({"betas": (0.1, 0.1)}, "each once"),
        ({"betas": (math.nan,)}, "a price is 0 or more"),
        ({"noise": "pink"}, "take gaussian or lognormal"),
        ({"model": no_options}, r"give a factory \(shape, outputs\)|takes \(shape, outputs\)"),
        ({"model": a_class_only}, r"gives \(2, 4\) where 16 numbers an example"),
        ({"model": dataclasses.replace(FAST, recipe=Recipe(loss=Classes(4).loss))}, "has a loss of its own"),
        ({"model": dataclasses.replace(FAST, recipe=Recipe(penalty=Together((Rate(1.0),))))}, "has a penalty"),
        ({"data": Task.from_arrays(torch.rand(9, 2), torch.rand(9, 1), target=Real)}, "real numbers"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(change, told):
    with pytest.raises(ValueError, match=told):
        next(InformationBottleneck(**({"data": told_labels(), "model": FAST} | change)).stages())
