"""Effective information against closed forms, samples and inequalities."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from infoscope import EffectiveInformation, Learner, Recipe, Status, Task, ask, effective_layers
from infoscope.bottleneck import channel_information, determinant_form, effective_information, signal_to_noise
from infoscope.bottleneck.activation_noise import activation_noise, one_hot, renamed, slopes
from infoscope.bottleneck.input_spread import covariance_root
from infoscope.bottleneck.weight_noise import Channels, Looking, layer_channels
from infoscope.data.targets import Real
from infoscope.models import MLP
from infoscope.observation.jacobians import jacobian
from infoscope.observation.listening import Call
from infoscope.observation.rows import Differentiated
from infoscope.observation.up_to import UpTo
from infoscope.run.question import requests, units
from infoscope.weight_information.averaged_fisher import AveragedFisher, Blockwise
from infoscope.weight_information.gaussian import Posterior
from infoscope.weight_information.posterior import Prior, closed_form

IRIS = Task.from_dataset("iris")


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(d: int, seed: int = 0) -> torch.Tensor:
    a = draws(d, 2 * d, seed=seed)
    return a @ a.T / (2 * d)


def looking(**options) -> Looking:
    held = {
        "layers": None, "betas": (1.0,), "scale": 0.7, "way": "closed", "form": "ekfac", "rounds": 2, "inputs": 12,
        "covariance": "data", "spread": 1.0, "places": "mean", "seed": 0,
    }  # fmt: skip
    return Looking(**held | options)


def noise_at(network: nn.Module, layer: str, x: torch.Tensor, fisher: AveragedFisher, q: Posterior):
    """Σ_z and ∂f of a layer."""
    of = Differentiated(UpTo(network, Call(layer, 1)), x, dtype=torch.float64)
    passed = of.at(x)
    forms = renamed(passed.rows(one_hot(passed.outputs)))
    return activation_noise(forms, fisher.blocks, q), slopes(of, x)


def numbers() -> tuple[Task, torch.Tensor]:
    """A linear regression of two targets with noise of variance 1, and its inputs with a 1 behind."""
    x = (IRIS.array - IRIS.array.mean(0)) / IRIS.array.std(0)
    y = (x @ draws(4, 2).float() + draws(len(x), 2, seed=1).float()).double()
    task = Task.from_arrays(x, y, target=Real(0.001, -20.0, 20.0, dim=2, centre=0.0, scale=1.0), name="line")
    return task, torch.cat([x.double(), torch.ones(len(x), 1)], 1)


def test_a_linear_layer_has_the_closed_form():
    """Weights of one variance v: Σ_z = v (|x|² + 1) I, so I = ½ log det(I + W Cov Wᵀ / v(|x|² + 1))."""
    line, x, v = nn.Linear(4, 3).double(), draws(6, 4), 0.3
    task = Task.from_arrays(x, torch.tensor([0, 1, 2, 0, 1, 2]), as_is=True)
    fisher = AveragedFisher(nn.Sequential(line), task, "diagonal")
    q = Posterior(
        torch.zeros(15),
        torch.full((15,), v, dtype=torch.float64),
        Blockwise(fisher.places, fisher.at(torch.zeros(1, 15)).basis.bases),
    )
    noise, slope = noise_at(nn.Sequential(line), "0", x, fisher, q)
    cov = covariance(4)
    found = channel_information(signal_to_noise(noise, slope @ torch.linalg.cholesky(cov)))
    w = line.weight.detach()
    for i, one in enumerate(x):
        ratio = w @ cov @ w.T / (v * (float(one @ one) + 1))
        assert float(found[i]) == pytest.approx(0.5 * float(torch.logdet(torch.eye(3) + ratio)), abs=1e-10)


def test_bayesian_linear_regression_in_closed_form():
    """Σ_z = β x̃ᵀ(X̃ᵀX̃ + β/λ²)⁻¹x̃ I: the variance of the regression line; by the whole way from data to nats."""
    task, x = numbers()
    learner, beta, scale = Learner(lambda: nn.Linear(4, 2), Recipe()), 2.0, 0.7
    weights = learner.network((4,), 2, 0).state_dict()
    held = {f"0.{k}": t for k, t in weights.items()}
    one = Learner(lambda: nn.Sequential(nn.Linear(4, 2)), Recipe())
    found = layer_channels(task, one, held, looking(betas=(beta,), scale=scale, form="full"), "cpu")
    inner = torch.linalg.inv(x.T @ x + beta / scale**2 * torch.eye(5, dtype=torch.float64))
    w, root = weights["weight"].double(), covariance_root(task.array)
    rows = torch.randperm(len(task), generator=torch.Generator().manual_seed(0))[:12]
    for i, row in enumerate(x[rows]):
        signal = w @ root @ root.T @ w.T / (beta * float(row @ inner @ row))
        truth = 0.5 * float(torch.logdet(torch.eye(2) + signal))
        assert float(channel_information(found.ratios["0"][0])[i]) == pytest.approx(truth, rel=1e-6)
    assert found.drawn["0"][0] == pytest.approx(1, abs=0.5)  # of 16 draws in some ten directions: three errors


@pytest.mark.parametrize("form", ["ekfac", "diagonal", "filter", "full"])
@pytest.mark.parametrize("layer", ["conv", "act", "out"])
def test_noise_is_the_covariance_seen_through_the_jacobian(form, layer):
    """Against J Σ_w Jᵀ with J written out, of a convolution, of what lies behind it, and of the logits."""
    torch.manual_seed(0)
    network = nn.Sequential()
    for name, module in (
        ("conv", nn.Conv2d(1, 2, 3)), ("norm", nn.GroupNorm(1, 2)), ("act", nn.Tanh()), ("flat", nn.Flatten()),
        ("out", nn.Linear(8, 3)),
    ):  # fmt: skip
        network.add_module(name, module)
    network = network.double()
    task = Task.from_arrays(draws(9, 1, 4, 4), torch.tensor([0, 1, 2] * 3), as_is=True)
    fisher = AveragedFisher(network, task, form)
    w = torch.cat([p.detach().flatten() for p in network.parameters()])
    q = closed_form(w, fisher.at, Prior(torch.zeros_like(w), 0.5), 1.0).q
    noise, slope = noise_at(network, layer, task.array[:4], fisher, q)
    part = UpTo(network, Call(layer, 1))
    j = jacobian(part, task.array[:4], [f"whole.{name}" for name in fisher.names])
    eye = torch.eye(len(w), dtype=torch.float64)
    sigma = torch.stack([q.basis.back(q.variances * q.basis.to(row)) for row in eye])
    assert torch.allclose(noise, j @ sigma @ j.mT, rtol=1e-9, atol=1e-12)
    plain = torch.func.vmap(torch.func.jacrev(lambda x: part(x[None])[0]))(task.array[:4]).flatten(2)
    assert torch.allclose(slope, plain, atol=1e-12)


def test_it_is_what_samples_of_the_channel_tell():
    """The mutual information of a linear-Gaussian channel, sampled: E log p(z|x)/p(z)."""
    slope, noise, cov = draws(3, 5), covariance(3, 1), covariance(5, 2)
    root = torch.linalg.cholesky(cov)
    exact = float(channel_information(signal_to_noise(noise[None], (slope @ root)[None])))
    x = draws(20000, 5, seed=3) @ root.T
    z = x @ slope.T + draws(20000, 3, seed=4) @ torch.linalg.cholesky(noise).T

    def log_density(at: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), sigma).log_prob(at)

    nats = log_density(z - x @ slope.T, noise) - log_density(z, noise + slope @ cov @ slope.T)
    error = float(nats.std()) / math.sqrt(len(nats))
    assert abs(float(nats.mean()) - exact) < 3.5 * error
    assert error < 0.02 * exact


def test_invertible_maps_of_the_activations_change_nothing():
    noise, signal = covariance(4)[None], draws(1, 4, 6)
    before = signal_to_noise(noise, signal)
    for seed in range(5):
        a = draws(4, 4, seed=seed)
        assert torch.allclose(signal_to_noise(a @ noise @ a.T, a @ signal), before, rtol=1e-8)
    # A unit twice, with the same noise, tells nothing new: its covariance is singular.
    copied = torch.cat([torch.eye(4), torch.eye(4)[:1]]).double()
    again = signal_to_noise(copied @ noise @ copied.T, copied @ signal)
    assert torch.allclose(again[:, :4], before, rtol=1e-6)
    assert float(again[:, 4:].abs().amax()) < 1e-6


def test_without_noise_it_is_infinite():
    """F → ∞: ever higher by k/2 log of the precision, and infinite in the limit, however small the signal."""
    noise, signal = covariance(3)[None], draws(1, 3, 5)
    at = [float(channel_information(signal_to_noise(noise / t, signal))) for t in (1e10, 1e20, 1e30)]
    assert at[2] - at[1] == pytest.approx(1.5 * math.log(1e10), rel=1e-9)
    assert at[1] - at[0] == pytest.approx(1.5 * math.log(1e10), rel=1e-6)
    narrow = torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))[None]
    for still in (torch.zeros_like(noise), narrow, covariance(3)[:, :2] @ covariance(3)[:, :2].T):
        found = effective_information({0: signal_to_noise(still.view(1, 3, 3), 1e-3 * signal)})
        assert found.status == {Status.INFINITE}
        assert math.isnan(found.value)
    # Units that neither noise nor signal reaches are not there.
    dead = signal.clone()
    dead[:, 2] = 0
    assert torch.allclose(signal_to_noise(narrow, dead)[:, :2], signal_to_noise(narrow[:, :2, :2], signal[:, :2]))


def test_the_determinant_form_is_its_limit_and_fails_for_narrow_layers():
    """Never above it; equal where the signal is strong; −∞ as soon as a layer is narrower than the input."""
    noise, signal = covariance(6)[None], draws(1, 6, 3)
    for scale, apart in ((1e-2, 1.0), (1.0, 1e-2), (1e4, 1e-8)):
        ratios = signal_to_noise(noise, scale * 10 * signal)
        exact, first = float(channel_information(ratios)), float(determinant_form(ratios, 3))
        assert first < exact
        assert (exact - first < apart) == (scale > 1e-2)
    ratios = signal_to_noise(noise[:, :2, :2], signal[:, :2])
    assert float(determinant_form(ratios, 3)) == -math.inf
    assert 0 < float(channel_information(ratios)) < math.inf


@pytest.mark.parametrize("activation", [nn.Identity, nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("form", ["ekfac", "diagonal"])
def test_later_layers_tell_less(activation, form):
    """Noise that is independent from layer to layer: every layer is a channel behind the one before."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 6), activation(), nn.Linear(6, 3))

    weights = Learner(make).network((4,), 3, 0).state_dict()
    found = layer_channels(IRIS, Learner(make), weights, looking(form=form, layers=("[01234]",)), "cpu").ratios
    nats = [channel_information(found[str(i)][0]) for i in range(5)]
    for before, after in itertools.pairwise(nats):
        assert bool((after <= before + 1e-9).all())
    assert bool((nats[4] < nats[0]).all())


def test_a_dry_run_knows_the_time_of_channels():
    """By one trial for all networks and times, whose inputs and examples are fewer."""
    question = EffectiveInformation("iris", MLP((4,)), epochs=5, at=(0,), replicates=2)
    looks = [one for request in requests(question) for one in getattr(request, "looks", ())]
    assert [one.kind for one in looks] == ["channels"] * 4
    (seconds,) = {one.seconds for one in looks}
    assert seconds is not None
    assert seconds() > 0


def test_dearer_weights_make_less_of_every_layer():
    """At the weights as they are Σ_w grows with β, and so no channel of any input gains: the emergence bound."""
    weights = Learner(MLP((5,))).network((4,), 3, 0).state_dict()
    found = layer_channels(IRIS, Learner(MLP((5,))), weights, looking(betas=(0.1, 1.0, 10.0, 1e3)), "cpu")
    assert list(found.kl) == sorted(found.kl, reverse=True)
    for held in found.ratios.values():
        for cheap, dear in itertools.pairwise(held):
            assert bool((dear < cheap + 1e-12).all())
    back = Channels.from_bytes(found.to_bytes())
    assert back.kl == found.kl
    assert back.drawn == found.drawn
    assert all(torch.equal(a, b) for k in found.ratios for a, b in zip(back.ratios[k], found.ratios[k], strict=True))


def test_inputs_vary_as_the_data_do():
    """Variances as they are, whatever the units; correlations shrunk, less with more examples; constants stay."""
    x = draws(400, 4) @ draws(4, 4, seed=1)
    root = covariance_root(x)
    truth = torch.cov(x.T, correction=0)
    assert torch.allclose((root @ root.T).diagonal(), truth.diagonal(), rtol=1e-10)
    assert float((root @ root.T - truth).abs().amax()) < 0.02 * float(truth.amax())
    units_of = torch.tensor([1e-3, 1.0, 1e4, 1.0], dtype=torch.float64)
    other = covariance_root(x * units_of)
    assert torch.allclose(other @ other.T, units_of[:, None] * (root @ root.T) * units_of, rtol=1e-8)
    still = covariance_root(torch.cat([x, torch.ones(400, 1)], 1))
    assert still.shape == (5, 4)
    assert not bool(still[4].any())
    twice = covariance_root(torch.cat([x, x[:, :1]], 1))  # of no full rank, or next to it
    assert torch.allclose((twice @ twice.T).diagonal()[0], truth[0, 0])
    few = covariance_root(draws(3, 50))
    assert bool(torch.isfinite(few).all())
    assert int(torch.linalg.matrix_rank(few)) > 3


def test_a_few_weights_cannot_blur_a_map():
    """Ten weights make noise of ten directions: all places of a map are infinite, their mean is not."""
    task = Task.from_dataset("digits")[:40]

    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10))

    weights = Learner(make).network((1, 8, 8), 10, 0).state_dict()
    every = layer_channels(task, Learner(make), weights, looking(places="all", layers=("1",), inputs=3), "cpu")
    mean = layer_channels(task, Learner(make), weights, looking(layers=("1",), inputs=3), "cpu")
    assert effective_information({0: every.ratios["1"][0]}).status == {Status.INFINITE}
    assert mean.ratios["1"][0].shape == (3, 2)
    assert effective_information({0: mean.ratios["1"][0]}).value > 0


def test_a_training_is_followed():
    question = EffectiveInformation(IRIS, MLP((4,)), epochs=4, at=(0, 2), replicates=2, rounds=2, beta=(1.0, 5.0))
    assert units(question) == {"trainings": 2, "channels": 6}
    answer = ask(question)
    (one,) = answer.found
    assert one.epochs == (0, 2, 4)
    rows = [row for row in answer.record() if row.measurement.quantity == "I_eff"]
    assert {(r.coordinates["epoch"], r.coordinates["layer"], r.coordinates["beta"]) for r in rows} == {
        (epoch, layer, beta) for epoch in (0, 2, 4) for layer in ("act1", "fc2") for beta in (1.0, 5.0)
    }
    assert all(set(r.measurement.replicates) == {0, 1} for r in rows)
    # One prior for all epochs of a network, the one that was chosen at the end.
    scales = {seed: {c.scale for (_, s), c in one.seen.items() if s == seed} for seed in (0, 1)}
    assert all(len(held) == 1 for held in scales.values())
    assert len(answer.figures()) == 6
    assert "act1" in answer.sentence()
    share = one.trace(4).value / one.trace_of_outputs(4).value
    assert 0 < share < 1


def test_weights_that_are_given_are_only_looked_at():
    weights = Learner(MLP((4,))).network((4,), 3, 0).state_dict()
    assert units(EffectiveInformation(IRIS, MLP((4,)), weights=weights)) == {"channels": 1}
    answer = effective_layers(IRIS, MLP((4,)), weights=weights, rounds=2)
    first = answer.found[0].information(None, "act1")
    assert first.receipt.over == "inputs"
    assert first.stderr > 0
    assert "epoch" not in next(iter(answer.record())).coordinates


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"beta": ()}, "no β"),
        ({"beta": (0.0,)}, "above 0"),
        ({"spread": math.inf}, "finite"),
        ({"scale": 0.0}, "above 0"),
        ({"posterior": "best"}, "rounds, closed"),
        ({"form": "banded"}, "ekfac"),
        ({"covariance": "none"}, "independent"),
        ({"places": "first"}, "mean, all"),
        ({"weights": {}, "epochs": 3}, "leave them out"),
        ({"at": (-1,)}, "count from 0"),
    ],
)
def test_bad_options_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        EffectiveInformation("iris", **options)


def test_bad_input_gets_a_word_before_anything_is_trained():
    tokens = Task.from_arrays(torch.zeros(6, 3, dtype=torch.long), torch.tensor([0, 1, 2] * 2), as_is=True)
    large = Task.from_arrays(torch.zeros(4, 3, 40, 40), torch.tensor([0, 1, 0, 1]))
    for question, word in (
        (EffectiveInformation(tokens, MLP((4,))), "embed them"),
        (EffectiveInformation(large, MLP((4,))), "independent"),
        (EffectiveInformation(IRIS, MLP((4,)), layers=("act9",)), "no layer"),
        (EffectiveInformation(IRIS, MLP((4,)), at=(9,), epochs=3), "raise epochs"),
        (EffectiveInformation(IRIS, Learner(MLP((4,)), Recipe(loss=nn.functional.multi_margin_loss))), "of its own"),
    ):
        with pytest.raises(ValueError, match=word):
            units(question)
    wide = Learner(MLP((3000,)))
    with pytest.raises(ValueError, match="3000 activations"):
        layer_channels(IRIS, wide, wide.network((4,), 3, 0).state_dict(), looking(form="diagonal"), "cpu")
