"""Stacks never freeze what is random, nor take one network's own for all: each is compared before it trains."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from infoscope import SGD, EnsembleSpec, Learner, Recipe, RunContext, Store, Task, ensemble, fit
from infoscope.ensembles.agreement import check_agreement
from infoscope.ensembles.planning import planned
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.ways import NotStackable, Way

STACKED = ("vmap", "grouped")
LONG = Recipe(SGD(0.1), epochs=100_000, patience=None)
SHORT = Recipe(SGD(0.1), batch=50, epochs=2, patience=None)


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")[:100]


class LayerDrop(nn.Module):
    """A layer that is passed by in half of the steps."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.first, self.dropped, self.last = draw, nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 10)

    def forward(self, x):
        h = torch.relu(self.first(x.flatten(1)))
        if self.training and self.draw() < 0.5:
            h = torch.relu(self.dropped(h))
        return self.last(h)


class Drawing:
    """Made by a factory of no arguments, as users do."""

    def __init__(self, draw):
        self.draw = draw

    def __call__(self):
        return LayerDrop(self.draw)


class Own(LayerDrop):
    """The same by a generator of its own, seeded as the network is."""

    def __init__(self):
        own = random.Random(torch.initial_seed())
        super().__init__(own.random)


def by_torch():
    return torch.rand(())


class Running(nn.Module):
    """Dropout, and a running mean in a buffer that is set anew, which the output depends on."""

    def __init__(self):
        super().__init__()
        self.linear, self.drop = nn.Linear(64, 10), nn.Dropout(0.5)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        h = self.drop(x.flatten(1))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().square().mean()
        return self.linear(h) * (1 + self.mean)


class DropoutAndNorm(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10)
        )


class FunctionalDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x):
        return self.last(F.dropout(torch.relu(self.first(x.flatten(1))), 0.3, self.training))


class Noisy(nn.Module):
    """Noise that torch draws for every example."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        h = x.flatten(1)
        return self.linear(h + 0.1 * torch.randn_like(h) if self.training else h)


class Tempered(nn.Module):
    """A temperature that some seeds draw otherwise, and no state dict holds."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.temperature = 1.0 if torch.initial_seed() != 2 else 3.0

    def forward(self, x):
        return self.linear(x.flatten(1)) / self.temperature


class Named(nn.Sequential):
    """It knows its seed, and does nothing with it."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
        self.seed = torch.initial_seed()


class Leaving(nn.Module):
    """It leaves what it saw in an attribute and reads it in the next pass."""

    def __init__(self):
        super().__init__()
        self.linear, self.last = nn.Linear(64, 10), None

    def forward(self, x):
        h = self.linear(x.flatten(1))
        out = h if self.last is None else h + 0 * self.last.sum()
        self.last = h.detach()
        return out


def members(factory, task, count=3, recipe=SHORT):
    return [Member(Learner(factory, recipe), task, seed) for seed in range(count)]


def far(population: Population, i: int, weights) -> float:
    return max(float((population.weights[k][i].double() - w.double()).abs().max()) for k, w in weights.items())


@pytest.mark.parametrize("factory", [Drawing(by_torch), Drawing(random.random), Own], ids=["torch", "python", "own"])
def test_a_branch_that_is_drawn_is_never_stacked(digits, factory):
    (how,) = (group.plan for group in planned(members(factory, digits, recipe=LONG)))
    assert how.way == Way("loop")
    assert set(how.closed) >= {"vmap", "grouped"}
    for way in STACKED:
        with pytest.raises(ValueError, match="not open to"):
            ensemble(members(factory, digits), EnsembleSpec(way=way))


def test_draws_of_python_are_named(digits):
    (how,) = (group.plan for group in planned(members(Drawing(random.random), digits, recipe=LONG)))
    assert "random numbers of Python or numpy" in how.closed["vmap"]


def test_the_comparison_leaves_the_random_state_and_the_networks_alone(digits):
    networks = [DropoutAndNorm() for _ in range(3)]
    before = [{k: v.clone() for k, v in one.state_dict().items()} for one in networks]
    torch.manual_seed(5)
    python, own = random.getstate(), torch.get_rng_state()
    check_agreement(networks, [SHORT_CLASSES] * 3, "vmap", F.cross_entropy, digits.x[:8], digits.y[:8])
    assert random.getstate() == python
    assert torch.equal(torch.get_rng_state(), own)
    for state, one in zip(before, networks, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in one.state_dict().items())
        assert one[4].p == 0.3


SHORT_CLASSES = Recipe(SGD(0.1), epochs=1, loss=F.cross_entropy)


@pytest.mark.parametrize("way", STACKED)
def test_dropout_does_not_switch_the_check_of_buffers_off(digits, way):
    """A running mean that is set anew stays 0 in a stack: told before the dropout hid it."""
    with pytest.raises(ValueError, match="not open to Running"):
        ensemble(members(Running, digits), EnsembleSpec(way=way))
    networks = [Running() for _ in range(2)]
    with pytest.raises(NotStackable):
        check_agreement(networks, [SHORT_CLASSES] * 2, way, F.cross_entropy, digits.x[:8], digits.y[:8])


@pytest.mark.parametrize(("factory", "way"), [
    *((factory, way) for factory in (DropoutAndNorm, FunctionalDropout) for way in STACKED), (Noisy, "vmap"),
])  # fmt: skip
def test_what_draws_for_each_network_itself_is_stacked(digits, factory, way):
    together = ensemble(members(factory, digits), EnsembleSpec(way=way))
    assert [one.name for one in together.ways] == [way]
    assert together.remarks == ()


def test_a_member_in_between_that_holds_something_of_its_own_is_found(digits):
    """Seeds 0, 2 and 4 of five are tried beforehand; the one that differs is seed 2 here, and seed 1 below."""
    with pytest.raises(ValueError, match="not open to Tempered"):
        ensemble(members(Tempered, digits, 5), EnsembleSpec(way="vmap"))
    ones = [Member(Learner(Tempered, SHORT), digits, seed, name=f"{i}") for i, seed in enumerate((0, 2, 1, 3, 4))]
    for way in STACKED:
        with pytest.warns(UserWarning, match="one after another: networks have other losses together"):
            together = ensemble(ones, EnsembleSpec(way=way))
        assert together.ways == (Way("loop"),)
        assert "one after another" in together.remarks[0]
        assert Population.from_bytes(together.to_bytes()).remarks == together.remarks
        for i, one in enumerate(ones):
            assert far(together, i, fit(one.learner, digits, seed=one.seed).weights) == 0


def test_networks_that_differ_in_what_does_not_matter_are_stacked(digits):
    together = ensemble(members(Named, digits, 4), EnsembleSpec(way="vmap"))
    assert together.ways == (Way("vmap", 4),)


@pytest.mark.parametrize("way", [None, "loop"])
def test_what_a_forward_pass_leaves_behind_does_not_stop_the_run(digits, way):
    """Tracing the network itself left a proxy in it, with which the next pass failed."""
    together = ensemble(members(Leaving, digits, recipe=SHORT), EnsembleSpec(way=way))
    for i in range(3):
        assert far(together, i, fit(Learner(Leaving, SHORT), digits, seed=i).weights) < 1e-5
    (how,) = (group.plan for group in planned(members(Leaving, digits, recipe=LONG)))
    assert "grouped" in how.closed


@pytest.mark.parametrize("way", ["loop", *STACKED])
def test_the_distance_from_the_start_is_kept_of_every_epoch(digits, way):
    together = ensemble(members(DropoutAndNorm, digits, 2), EnsembleSpec((1, 2), way=way))
    trained = [name for name, _ in DropoutAndNorm().named_parameters()]
    for epoch in (1, 2):
        squares = sum(
            (together.snapshots[epoch][k].double() - together.initial[k].double()).square().flatten(1).sum(1)
            for k in trained
        )
        assert torch.allclose(together.moved[:, epoch - 1], torch.as_tensor(squares).sqrt(), rtol=1e-12)


@pytest.mark.parametrize(
    "damage", [b"{", b"[1]", b'{"way": ["sideways", 3]}', b'{"way": ["vmap", "x"], "tried": []}', b""]
)
def test_a_damaged_plan_is_made_again(digits, tmp_path, damage):
    ones, context = members(Named, digits), RunContext(Store(tmp_path))
    (before,) = planned(ones, EnsembleSpec(way="vmap"), context=context)
    (file,) = tmp_path.glob("plan-*.json")
    whole = file.read_bytes()
    for content in (damage, whole.replace(b'"bytes_each"', b'"bytes"'), whole.replace(b'"vmap"', b"3")):
        file.write_bytes(content)
        (after,) = planned(ones, EnsembleSpec(way="vmap"), context=context)
        assert after.plan.way == before.plan.way
        assert file.read_bytes() != content
