import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from infoscope import SGD, Adam, Learner, Recipe, Store, Task, fit
from infoscope.data.corruption import Massart
from infoscope.ensembles.ensemble import ensemble, measure_ensemble
from infoscope.ensembles.observers import PerMember
from infoscope.ensembles.planning import EnsembleSpec, planned
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.ways import WAYS, Way
from infoscope.models import MLP, CifarResNet, LeNet5, SmallCNN
from infoscope.run.context import RunContext
from infoscope.training.fit import Moment
from infoscope.training.recipe import Cosine

STACKED = ("vmap", "grouped")


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")


@dataclasses.dataclass(frozen=True)
class InDouble:
    """The same network in float64."""

    factory: MLP | SmallCNN

    def __call__(self, shape, classes):
        return Double(self.factory(shape, classes))


class Double(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner.double()

    def forward(self, x):
        return self.inner(x.double())


class Branching(nn.Module):
    """What it computes depends on the values it meets, so that it can be neither traced nor vmapped."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        h = self.linear(x.flatten(1))
        return h * 2 if float(h.detach().sum()) > 0 else h


class WithDropout(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))


class Residual(nn.Module):
    """What people write: functions, methods, a sum, a concatenation, a tied layer, `view` with `size`."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm, self.linear = nn.BatchNorm2d(4), nn.Linear(2 * 4 * 16, 12)
        self.flat, self.last = nn.BatchNorm1d(12), nn.Linear(12, 10)
        self.tied = self.again

    def forward(self, x):
        h = nn.functional.relu(self.norm(self.first(x)))
        h = h + torch.tanh(self.tied(self.again(h)))
        h = torch.cat([h, h.relu() * 0.5], dim=1)
        h = nn.functional.max_pool2d(h, 2)
        return self.last(self.flat(self.linear(h.view(h.size(0), -1))))


class Doubling(nn.Module):
    """Traceable, but with an operation that has no grouped form."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.flatten(1)).cumsum(1)


def far(population: Population, i: int, weights) -> float:
    return max(float((population.weights[k][i].double() - w.double()).abs().max()) for k, w in weights.items())


@pytest.mark.parametrize("way", STACKED)
def test_held_out_losses_are_those_of_the_single_loop_whether_it_may_stop_or_not(digits, way):
    for patience in (None, 2):
        learner = Learner(MLP((16,)), Recipe(SGD(0.1), batch=32, epochs=6, patience=patience))
        members = [Member(learner, digits[:64], seed, digits[64:100]) for seed in (0, 1)]
        together = ensemble(members, EnsembleSpec(way=way))
        for i, seed in enumerate((0, 1)):
            found, alone = together.trained(i), fit(learner, digits[:64], digits[64:100], seed=seed)
            assert found.validation_losses == pytest.approx(alone.validation_losses, abs=1e-4)
            assert len(found.validation_losses) == found.epochs == alone.epochs
            assert found.converged == alone.converged
            assert far(together, i, alone.weights) < 1e-4


@pytest.mark.parametrize("way", STACKED)
@pytest.mark.parametrize(
    ("factory", "optimizer"),
    [
        (MLP((32,), "tanh"), Adam()),
        (MLP((32, 16)), Adam(weight_decay=0.1)),
        (SmallCNN((4, 8, 8), 16), SGD(0.1, 0.9, nesterov=True, weight_decay=1e-3)),
        (LeNet5(), SGD(0.1)),
        (CifarResNet(8), SGD(0.1)),
        (Residual, SGD(0.1)),
    ],
)
def test_one_step_is_that_of_the_single_loop(digits, way, factory, optimizer):
    learner = Learner(factory, Recipe(optimizer=optimizer, batch=64, epochs=1, patience=None))
    members = [Member(learner, digits[i : i + 64], seed=i) for i in range(3)]
    together = ensemble(members, EnsembleSpec(way=way))
    assert [one.name for one in together.ways] == [way]
    for i, member in enumerate(members):
        alone = fit(learner, member.task, seed=i)
        assert far(together, i, alone.weights) < 1e-6
        assert together.losses[i].tolist() == pytest.approx(alone.losses, abs=1e-5)


@pytest.mark.parametrize("way", STACKED)
@pytest.mark.parametrize("factory", [MLP((16,), "tanh"), SmallCNN((3, 4, 4), 8)])
@pytest.mark.parametrize("optimizer", [SGD(0.05), Adam()])
def test_a_hundred_float64_steps_agree_to_1e_12(digits, way, factory, optimizer):
    learner = Learner(InDouble(factory), Recipe(optimizer=optimizer, batch=20, epochs=10, patience=None))
    members = [Member(learner, digits[:200], seed) for seed in range(3)]
    together = ensemble(members, EnsembleSpec(way=way))
    for i in range(3):
        assert far(together, i, fit(learner, digits[:200], seed=i).weights) < 1e-12


@pytest.mark.parametrize("way", STACKED)
def test_members_may_differ_in_labels_and_recipe(digits, way):
    slow, fast = Recipe(SGD(0.02), epochs=3, patience=None), Recipe(SGD(0.2), Cosine(), epochs=5, patience=None)
    noisy = digits[:200].corrupted(Massart(0.5))
    members = [
        Member(Learner(MLP((16,)), recipe), task, seed, name=f"{k}")
        for k, (recipe, task, seed) in enumerate([(slow, digits[:200], 0), (fast, noisy, 0), (slow, noisy, 1)])
    ]
    together = ensemble(members, EnsembleSpec(way=way))
    assert together.names == ("0", "1", "2")
    for i, m in enumerate(members):
        assert far(together, i, fit(m.learner, m.task, seed=m.seed).weights) < 1e-5
    assert (~together.losses.isnan()).sum(1).tolist() == [3, 5, 3]


@pytest.mark.parametrize("way", STACKED)
def test_early_stopping_is_each_members_own(digits, way):
    learner = Learner(MLP((64,)), Recipe(Adam(0.02), batch=32, epochs=40, patience=2))
    members = [Member(learner, digits[:200], seed, digits[200:300]) for seed in range(4)]
    together = ensemble(members, EnsembleSpec(way=way))
    epochs = [int((~row.isnan()).sum()) for row in together.losses]
    alone = [fit(learner, digits[:200], digits[200:300], seed=seed) for seed in range(4)]
    assert len(set(epochs)) > 1
    assert epochs == [one.epochs for one in alone]
    assert list(together.converged) == [one.converged for one in alone]
    for i, one in enumerate(alone):
        assert far(together, i, one.weights) < 1e-3


@pytest.mark.parametrize("way", ["loop", *STACKED])
def test_a_member_that_diverges_is_named_and_left_out(digits, way):
    calm, wild = (Recipe(SGD(rate, momentum=0.99), epochs=3, patience=None) for rate in (0.01, 1e12))
    members = [
        Member(Learner(MLP((16,)), recipe), digits[:200], seed, name=name)
        for seed, (name, recipe) in enumerate([("a", calm), ("b", wild), ("c", calm)])
    ]
    together = ensemble(members, EnsembleSpec(way=way))
    assert together.names == ("a", "c")
    assert together.failed["b"].startswith("training diverged in epoch")
    for i, m in enumerate([members[0], members[2]]):
        assert far(together, i, fit(m.learner, m.task, seed=m.seed).weights) < 1e-5


def test_if_all_diverge_the_error_says_so(digits):
    wild = Learner(MLP((16,)), Recipe(SGD(1e30), epochs=3, patience=None))
    with pytest.raises(ValueError, match=r"all 2 networks failed: .*diverged"):
        ensemble([Member(wild, digits[:200], seed) for seed in range(2)], EnsembleSpec(way="grouped"))


@pytest.mark.parametrize("way", WAYS[:1] + STACKED)
def test_snapshots_and_the_matched_loss(digits, way):
    learner = Learner(MLP((16,)), Recipe(Adam(0.01), epochs=6, patience=None))
    together = ensemble([Member(learner, digits[:200], s) for s in range(2)], EnsembleSpec((0, 2, 6), 2.0, way))
    for name in together.weights:
        assert torch.equal(together.snapshots[0][name], together.initial[name])
        assert torch.equal(together.snapshots[6][name], together.weights[name])
    shorter = Learner(MLP((16,)), Recipe(Adam(0.01), epochs=2, patience=None))
    for i in range(2):
        after = fit(shorter, digits[:200], seed=i).weights
        assert max(float((together.snapshots[2][k][i] - w).abs().max()) for k, w in after.items()) < 1e-5
        when = int(together.matched_epochs[i])
        assert together.losses[i, when - 1] <= 2.0 < together.losses[i, when - 2]
    never = ensemble([Member(learner, digits[:200], 0)], EnsembleSpec(until=0.0, way=way))
    assert never.matched_epochs.tolist() == [-1]


def test_the_trial_says_what_it_chose_and_what_is_closed(digits, caplog):
    caplog.set_level(logging.INFO)
    learner = Learner(MLP((16,), "tanh"), Recipe(batch=16, epochs=50, patience=None))
    members = [Member(learner, digits[:320], seed) for seed in range(60)]
    (how,) = (group.plan for group in planned(members))
    assert how.way.name in ("grouped", "vmap")
    assert how.tried[Way("loop")] > 2 * how.seconds / (50 * 20)
    assert how.way.name in caplog.text


def test_a_plan_that_is_wanted_soon_tries_no_stack_of_a_few_says_so_and_is_not_kept(digits, tmp_path):
    learner = Learner(MLP((16,), "tanh"), Recipe(batch=16, epochs=400, patience=None))
    members, context = [Member(learner, digits[:320], seed) for seed in range(40)], RunContext(Store(tmp_path))
    (few,) = (group.plan for group in planned(members[:3], context=context, soon=True))
    assert (few.way, list(few.tried), few.untried) == (Way("loop"), [Way("loop")], 3)
    assert str(few).endswith("or 3 stacked where a trial finds that faster")
    (many,) = (group.plan for group in planned(members, context=context, soon=True))
    assert many.untried == 0
    assert len(many.tried) > 1
    assert not list(tmp_path.rglob("plan-*"))
    planned(members[:3], context=context)
    assert len(list(tmp_path.rglob("plan-*"))) == 1


@pytest.mark.parametrize("network", [Branching, Doubling])
def test_what_cannot_be_stacked_goes_another_way_and_says_why(digits, network):
    learner = Learner(network, Recipe(epochs=200_000, patience=None))
    members = [Member(learner, digits[:64], seed) for seed in range(4)]
    (how,) = (group.plan for group in planned(members))
    assert "grouped" in how.closed
    if network is Branching:
        assert how.way == Way("loop")
        assert "vmap" in how.closed
        with pytest.raises(ValueError, match="not open to Branching"):
            planned(members, EnsembleSpec(way="vmap"))


def test_an_optimizer_that_looks_at_whole_tensors_is_left_to_the_loop(digits):
    def by_shape(parameters):
        kept = list(parameters)
        return torch.optim.SGD([{"params": [p], "weight_decay": float(p.ndim > 1)} for p in kept], lr=0.1)

    learner = Learner(MLP((8,)), Recipe(optimizer=by_shape, epochs=10_000))
    (how,) = (group.plan for group in planned([Member(learner, digits[:64], seed) for seed in range(3)]))
    assert how.way == Way("loop")
    assert "every weight by itself" in how.closed["vmap"]


@pytest.mark.parametrize("way", STACKED)
def test_dropout_draws_differently_for_every_member(digits, way):
    learner = Learner(WithDropout, Recipe(SGD(0.1), epochs=2, patience=None))
    start = learner.network((1, 8, 8), 10, 0).state_dict()
    same = learner.starting_from(start)
    together = ensemble([Member(same, digits[:64], seed=0, name=name) for name in "ab"], EnsembleSpec(way=way))
    a, b = (together.weights["1.weight"][i] for i in range(2))
    assert not torch.equal(a, b)
    assert torch.isfinite(together.losses).all()


def test_more_networks_than_memory_are_trained_in_parts(digits):
    learner = Learner(MLP((64,)), Recipe(epochs=2, patience=None))
    members = [Member(learner, digits[:100], seed) for seed in range(7)]
    (whole,) = planned(members, EnsembleSpec(way="grouped"))
    little = EnsembleSpec(way="grouped", memory=3 * whole.plan.bytes_each)
    (small,) = planned(members, little)
    assert small.plan.way.stacked <= 3
    together = ensemble(members, little)
    assert together.names == tuple(m.called for m in members)


def test_processes_and_the_store_change_nothing(digits, tmp_path):
    learner = Learner(MLP((16,)), Recipe(epochs=2, patience=None))
    members = [Member(learner, digits[:100], seed) for seed in range(6)]
    spec, seen = EnsembleSpec(way="grouped", memory=1), []
    here = ensemble(members, spec)
    spread = ensemble(members, spec, context=RunContext(Store(tmp_path), jobs=2, on_done=seen.append))
    again = ensemble(members, spec, context=RunContext(Store(tmp_path)))
    assert len(seen) == 6
    for name in here.weights:
        assert torch.equal(here.weights[name], spread.weights[name])
        assert torch.equal(here.weights[name], again.weights[name])


def test_a_population_survives_its_bytes(digits):
    learner = Learner(CifarResNet(8), Recipe(SGD(0.1), batch=32, epochs=1))
    one = ensemble([Member(learner, digits[:64], s) for s in range(2)], EnsembleSpec((0, 1), 9.0, "grouped"))
    back = Population.from_bytes(one.to_bytes())
    assert (back.names, back.seeds, back.ways, back.failed) == (one.names, one.seeds, one.ways, one.failed)
    for kind in ("initial", "weights", "matched"):
        assert all(torch.equal(getattr(back, kind)[k], v) for k, v in getattr(one, kind).items())
    assert back.snapshots.keys() == {0, 1}
    assert all(torch.equal(back.snapshots[1][k], v) for k, v in one.snapshots[1].items())
    assert torch.equal(back.losses, one.losses)


def test_a_measured_ensemble_keeps_only_what_is_measured(digits, tmp_path):
    learner = Learner(MLP((16,)), Recipe(epochs=1, patience=None))
    members = [Member(learner, digits[:100], seed) for seed in range(4)]
    spec = EnsembleSpec(way="grouped", memory=1)
    parts = measure_ensemble(members, first_losses, Losses, spec, context=RunContext(Store(tmp_path)))
    assert torch.equal(torch.cat([p.losses for p in parts]), ensemble(members, spec).losses[:, 0])


@dataclasses.dataclass(frozen=True, eq=False)
class Losses:
    losses: torch.Tensor

    def to_bytes(self) -> bytes:
        return self.losses.numpy().tobytes()

    @classmethod
    def from_bytes(cls, data):
        return cls(torch.frombuffer(bytearray(data), dtype=torch.float32))


def first_losses(population: Population) -> Losses:
    return Losses(population.losses[:, 0].contiguous())


class Watch:
    def __init__(self, seen):
        self.seen = seen

    def observe(self, moment: Moment):
        if moment.end_of_epoch:
            total = sum(float(p.detach().double().sum()) for p in moment.network.parameters())
            self.seen.append((moment.step, moment.epoch, total, moment.mean))


@pytest.mark.parametrize("way", ["loop", *STACKED])
def test_observers_of_single_networks_see_what_they_see_in_fit(digits, way):
    learner = Learner(MLP((16,)), Recipe(epochs=3, patience=None))
    seen = {}
    ensemble(
        [Member(learner, digits[:100], s, name=f"{s}") for s in range(2)],
        EnsembleSpec(way=way), observers=[PerMember(lambda name: Watch(seen.setdefault(name, [])))],
    )  # fmt: skip
    for s in range(2):
        alone: list = []
        fit(learner, digits[:100], seed=s, observers=[Watch(alone)])
        assert [one[:2] for one in seen[f"{s}"]] == [one[:2] for one in alone]
        for ours, theirs in zip(seen[f"{s}"], alone, strict=True):
            assert ours[2:] == pytest.approx(theirs[2:], abs=1e-3)


def test_two_members_of_one_name_are_refused(digits):
    learner = Learner(MLP((16,)))
    with pytest.raises(ValueError, match="two members are called 'digits, seed 0'"):
        ensemble([Member(learner, digits, 0), Member(learner, digits, 0)])


_SCRIPT = """
import sys, torch
from infoscope import EnsembleSpec, Learner, Recipe, RunContext, Store, Task
from infoscope.ensembles import fit_stack
from infoscope.ensembles.ensemble import ensemble
from infoscope.ensembles.population import Member
from infoscope.models import MLP
task = Task.from_dataset("digits")[:500]
fit_stack.Scratch.__init__.__defaults__ = (0.0,)
members = [Member(Learner(MLP((16,)), Recipe(epochs=int(sys.argv[3]), patience=None)), task, s)
           for s in range(5)]
one = ensemble(members, EnsembleSpec(way="grouped"), context=RunContext(Store(sys.argv[1])))
torch.save(dict(one.weights), sys.argv[2])
"""


def test_killed_it_goes_on_from_its_last_epochs(tmp_path):
    """kill -9 in mid-stack; the second run starts behind epoch 0 and ends in the same weights, bit for bit."""
    store, epochs = tmp_path / "run", 100
    command = [sys.executable, "-c", _SCRIPT, str(store), str(tmp_path / "a.pt"), str(epochs)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    pages = store / "scratch"
    deadline = time.monotonic() + 60
    while not (pages.exists() and any(p.suffix != ".tmp" for p in pages.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.pt").exists()
    (page,) = [p for p in pages.iterdir() if p.suffix != ".tmp"]
    assert torch.load(page, weights_only=True)["at"][0] > 0
    subprocess.run(command, check=True)
    assert list(pages.iterdir()) == []
    fresh = [*command[:3], str(tmp_path / "other"), str(tmp_path / "b.pt"), str(epochs)]
    subprocess.run(fresh, check=True)
    a, b = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pt", "b.pt"))
    assert all(torch.equal(a[k], b[k]) for k in a)
