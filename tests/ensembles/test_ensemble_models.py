"""What users bring to an ensemble: models, optimizers and tasks that tempt a stack to be wrong in silence."""

import dataclasses
import functools
import pickle

import pytest
import torch
from torch import nn

from infoscope import SGD, Adam, Learner, Recipe, Store, Task, ensemble, fit
from infoscope.ensembles import memory
from infoscope.ensembles.observers import PerMember
from infoscope.ensembles.planning import EnsembleSpec, planned
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.ways import Way
from infoscope.models import MLP
from infoscope.run.context import RunContext

STACKED = ("vmap", "grouped")


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")[:200]


class Hidden(nn.Module):
    """Random features that its state dict does not hold."""

    def __init__(self):
        super().__init__()
        self.features, self.linear = torch.randn(64, 30), nn.Linear(30, 10)

    def forward(self, x):
        return self.linear(torch.cos(x.flatten(1) @ self.features))


class Unsaved(Hidden):
    """The same as a buffer that is not saved."""

    def __init__(self):
        super().__init__()
        features = self.__dict__.pop("features")
        self.register_buffer("features", features, persistent=False)


class Counting(nn.Module):
    """A buffer that is set anew instead of written into."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.steps = self.steps + 1
        return self.linear(x.flatten(1)) / (1 + self.steps)


class Idle(nn.Sequential):
    """A layer that no output depends on."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
        self[0].idle = nn.Linear(3, 3)


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        self.again = self.first

    def forward(self, x):
        return self.last(torch.tanh(self.again(torch.tanh(self.first(x.flatten(1))))))


class Lazy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.LazyLinear(8), nn.Linear(8, 10))


class Writing(nn.Module):
    """It writes into its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(x.sub_(0.5).flatten(1))


class Clipped(torch.optim.SGD):
    """It looks at all weights that it is given."""

    def step(self, closure=None):
        for group in self.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 0.1)
        return super().step(closure)


def far(population: Population, i: int, weights) -> float:
    return max(float((population.weights[k][i].double() - w.double()).abs().max()) for k, w in weights.items())


def members(factory, task, recipe=Recipe(SGD(0.1), epochs=1, patience=None), count=2):
    learner = Learner(factory, recipe)
    return [Member(learner, task, seed) for seed in range(count)]


@pytest.mark.parametrize("model", [Hidden, Unsaved, Counting])
def test_what_a_state_dict_does_not_tell_closes_the_stack(digits, model):
    with pytest.raises(ValueError, match=r"each by itself|than in a network by itself"):
        ensemble(members(model, digits), EnsembleSpec(way="vmap"))
    long = Recipe(SGD(0.1), epochs=100_000, patience=None)
    (how,) = (group.plan for group in planned(members(model, digits[:64], long)))
    assert how.way == Way("loop")
    assert "itself" in how.closed["vmap"]


@pytest.mark.parametrize("way", STACKED)
def test_a_weight_that_no_output_depends_on_does_not_decay(digits, way):
    ones = members(Idle, digits, Recipe(Adam(weight_decay=0.5), epochs=1, patience=None))
    together = ensemble(ones, EnsembleSpec(way=way))
    for i, one in enumerate(ones):
        assert far(together, i, fit(one.learner, digits, seed=i).weights) < 1e-6


def test_an_optimizer_of_one_s_own_kind_is_left_to_the_loop(digits):
    recipe = Recipe(functools.partial(Clipped, lr=0.5), epochs=1, patience=None)
    with pytest.raises(ValueError, match="every weight by itself"):
        ensemble(members(MLP((8,)), digits, recipe), EnsembleSpec(way="grouped"))


def test_a_layer_of_two_names_can_be_watched_and_tried_in_stacks_of_any_size(digits):
    seen = []

    class Watch:
        def observe(self, moment):
            seen.append(float(moment.network.state_dict()["again.bias"].sum()))

    ones = members(Shared, digits, count=6)
    together = ensemble(ones, EnsembleSpec(way="vmap"), observers=[PerMember(lambda name: Watch(), epochs_only=True)])
    assert len(seen) == 6
    assert far(together, 5, fit(ones[5].learner, digits, seed=5).weights) < 1e-6


@pytest.mark.parametrize("way", STACKED)
def test_tasks_that_begin_in_one_place_are_told_apart(digits, way):
    learner = Learner(MLP((8,)), Recipe(epochs=1, patience=None))
    ones = [Member(learner, task, name=name) for name, task in [("a", digits[:100]), ("b", digits[:200:2])]]
    together = ensemble(ones, EnsembleSpec(way=way))
    for i, one in enumerate(ones):
        assert far(together, i, fit(learner, one.task).weights) < 1e-6


def test_equal_tasks_of_two_names_keep_their_names(digits, tmp_path):
    learner, store = Learner(MLP((8,)), Recipe(epochs=1, patience=None)), Store(tmp_path)
    for name in ("one", "other"):
        renamed = Task.from_arrays(digits.x, digits.y, name=name)
        assert ensemble([Member(learner, renamed)], context=RunContext(store)).names == (f"{name}, seed 0",)


def test_a_task_keeps_its_name_in_another_process(digits):
    renamed = dataclasses.replace(digits, name="mine")
    assert pickle.loads(pickle.dumps(renamed)).name == "mine"
    assert pickle.loads(pickle.dumps(digits)).name == digits.name


@pytest.mark.parametrize("way", ["loop", *STACKED])
def test_a_network_that_diverges_in_its_last_step_is_left_out(digits, way):
    calm, wild = (Recipe(SGD(rate, 0.0), batch=200, epochs=1, patience=None) for rate in (0.1, 1e300))
    ones = [Member(Learner(InDouble, recipe), digits, name=name) for name, recipe in [("a", calm), ("b", wild)]]
    together = ensemble(ones, EnsembleSpec(way=way))
    assert together.names == ("a",)
    assert "diverged in its last steps" in together.failed["b"]


class InDouble(nn.Module):
    """Inputs so large that one step leads out of float64."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10).double()

    def forward(self, x):
        return 1e10 * self.linear(x.flatten(1).double())


def test_an_observer_s_own_error_is_no_diverged_training(digits):
    class Fails:
        def observe(self, moment):
            raise ValueError("two measurements diverged")

    with pytest.raises(ValueError, match="two measurements diverged"):
        ensemble(members(MLP((8,)), digits), EnsembleSpec(way="loop"), observers=[PerMember(lambda name: Fails())])


def test_lazy_layers_are_trained_like_others(digits):
    assert len(ensemble(members(Lazy, digits), EnsembleSpec(way="vmap"))) == 2


def test_a_network_that_writes_into_its_input_leaves_the_task_alone(digits):
    before = digits.x.clone()
    fit(Learner(Writing, Recipe(epochs=1)), digits, digits[:50])
    ensemble(members(Writing, digits), EnsembleSpec(way="loop"))
    assert torch.equal(before, digits.x)


def test_who_counts_is_told_of_watched_networks_too(digits):
    told = []
    ensemble(
        members(MLP((8,)), digits, count=3),
        observers=[PerMember(lambda name: Nothing())],
        context=RunContext(on_done=told.append),
    )
    assert [work.label for work in told] == ["digits, seed 0", "digits, seed 1", "digits, seed 2"]


class Nothing:
    def observe(self, moment):
        pass


def test_memory_counts_examples_of_one_s_own_and_what_a_container_may_have(digits, monkeypatch, tmp_path):
    learner = Learner(MLP((8,)), Recipe(epochs=1, patience=None))
    shared = [Member(learner, digits, seed) for seed in range(4)]
    own = [Member(learner, digits.shuffled(seed), seed) for seed in range(4)]
    (less,), (more,) = (planned(ones, EnsembleSpec(way="vmap")) for ones in (shared, own))
    assert more.plan.bytes_each - less.plan.bytes_each == 3 * (digits.x.nbytes + digits.y.nbytes) // 4
    (tmp_path / "memory.max").write_text("30000000\n")
    (tmp_path / "memory.current").write_text("10000000\n")
    monkeypatch.setattr(memory, "_CONTAINER", tmp_path)
    assert memory.free() == 20_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free() > 20_000_000


def test_a_kept_plan_gives_way_to_less_memory(digits, tmp_path):
    ones, context = members(MLP((64,)), digits, count=6), RunContext(Store(tmp_path))
    (whole,) = planned(ones, EnsembleSpec(way="grouped"), context=context)
    little = EnsembleSpec(way="grouped", memory=2 * whole.plan.bytes_each)
    (small,) = planned(ones, little, context=context)
    assert (whole.plan.way.stacked > 2, small.plan.way.stacked <= 2) == (True, True)
    (again,) = planned(ones, EnsembleSpec(way="grouped"), context=context)
    assert again.plan == small.plan


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch": 0}])
def test_a_recipe_trains_something(wrong):
    with pytest.raises(ValueError, match="is 0; a recipe has 1 or more"):
        Recipe(**wrong)
