"""Stacks of every target and every kind of inputs: what `fit` trains, an ensemble trains to the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infoscope import SGD, Adam, EnsembleSpec, Learner, Recipe, Task, ensemble, fit
from infoscope.data.targets import Labels, Real, Tokens
from infoscope.ensembles.planning import planned
from infoscope.ensembles.population import Member, Population
from infoscope.models import MLP
from infoscope.weight_distance.weight_distance import WeightDistance, distance, measure_distances

DRAWS = torch.Generator().manual_seed(0)
TABLE = torch.randn(120, 6, generator=DRAWS)


def regression() -> Task:
    y = (TABLE[:, :2] * 3 + TABLE[:, 2:4]).clamp(-9, 9)
    return Task.from_arrays(TABLE, y, target=Real(0.1, -10.0, 10.0, dim=2))


def multi_label() -> Task:
    y = (TABLE[:, :3] + TABLE[:, 3:] > 0).long()
    y[::7, 1] = -1
    return Task.from_arrays(TABLE, y, target=Labels(("a", "b", "c")))


def text() -> Task:
    tokens = torch.randint(11, (120, 9), generator=DRAWS)
    y = tokens[:, 1:].clone()
    y[::5, -2:] = -100
    return Task.from_arrays(tokens[:, :-1], y, target=Tokens(11))


class Recurrent(nn.Module):
    """Next tokens from a running mean of embeddings; it answers as Hugging Face models do."""

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(11, 8), nn.Linear(8, 11)

    def forward(self, x: Tensor):
        places = torch.arange(1, x.shape[1] + 1)[:, None]
        return {"logits": self.out(self.embed(x).cumsum(1) / places)}


class ByName(nn.Module):
    """Two inputs by keyword."""

    def __init__(self):
        super().__init__()
        self.embed, self.hidden, self.out = nn.Embedding(5, 4), nn.Linear(9, 12), nn.Linear(12, 3)

    def forward(self, features: Tensor, kind: Tensor):
        return self.out(torch.tanh(self.hidden(torch.cat([features, self.embed(kind)], 1))))


def named() -> Task:
    x = {"features": TABLE[:, :5], "kind": torch.randint(5, (120,), generator=DRAWS)}
    return Task.from_arrays(x, (TABLE.sum(1) > 0).long() + x["kind"] // 4, alphabet=["low", "high", "most"])


def far(population: Population, i: int, weights) -> float:
    return max(float((population.weights[k][i] - w).abs().max()) for k, w in weights.items())


@pytest.mark.parametrize(
    ("make", "factory", "ways"),
    [
        (regression, MLP((16,), "tanh"), ("vmap", "grouped")),
        (multi_label, MLP((16, 8)), ("vmap", "grouped")),
        (text, Recurrent, ("vmap",)),
        (named, ByName, ("vmap",)),
    ],
)
def test_a_stack_ends_in_the_weights_of_the_loop(make, factory, ways):
    task = make()
    learner = Learner(factory, Recipe(Adam(0.01), batch=16, epochs=3, patience=2))
    members = [Member(learner, task[:80], seed, task[80:]) for seed in range(3)]
    alone = [fit(learner, m.task, m.validation, seed=m.seed) for m in members]
    for way in ("loop", *ways):
        together = ensemble(members, EnsembleSpec(way=way))
        assert [one.name for one in together.ways] == [way]
        for i, one in enumerate(alone):
            assert far(together, i, one.weights) <= (0 if way == "loop" else 1e-5)
            assert together.losses[i].tolist() == pytest.approx(one.losses, abs=1e-5)
            assert together.validation_losses[i].tolist() == pytest.approx(one.validation_losses, abs=1e-5)


def test_what_has_no_grouped_form_says_why_and_goes_another_way():
    long = Recipe(epochs=100_000, patience=None)
    (plan,) = (g.plan for g in planned([Member(Learner(ByName, long), named(), s) for s in range(4)]))
    assert plan.way.name in ("vmap", "loop")
    assert plan.closed["grouped"]
    with pytest.raises(ValueError, match="'grouped' is not open to Recurrent"):
        ensemble([Member(Learner(Recurrent), text())], EnsembleSpec(way="grouped"))


@pytest.mark.parametrize("way", ["loop", "vmap", "grouped"])
def test_inputs_on_disk_are_trained_on_as_those_in_memory(tmp_path, way):
    x, y = TABLE.numpy(), (TABLE.sum(1) > 0).long().numpy()
    np.save(tmp_path / "x.npy", x)
    learner = Learner(MLP((8,)), Recipe(SGD(0.1), batch=32, epochs=2, patience=None))
    on_disk, in_memory = (
        Task.from_arrays(values, y, name="task") for values in (np.load(tmp_path / "x.npy", mmap_mode="r"), x)
    )
    a, b = (ensemble([Member(learner, t, s) for s in range(3)], EnsembleSpec(way=way)) for t in (on_disk, in_memory))
    assert all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)


def test_distances_are_measured_where_there_are_no_classes():
    (one,) = distance(regression(), model=MLP((8,)), epochs=2, replicates=3).found
    assert (one.level, one.result.functions, one.result.matched) == (None, (), None)
    assert one.result.whole.mean().value > 0
    learner = Learner(ByName, Recipe(epochs=2, patience=None))
    named_inputs = measure_distances([Member(learner, named(), s) for s in range(3)])
    assert [found.quantity for found in named_inputs.functions] == ["|p−q|", "JS(p,q)"]


def test_units_are_traced_from_one_array_or_not_at_all():
    with pytest.raises(ValueError, match=r"inputs by name \(features, kind\).*leave out aligned"):
        next(WeightDistance(named(), model=ByName, aligned=True).stages())
    (one,) = distance(text(), model=Recurrent, aligned=True, epochs=1, replicates=2).found
    assert one.result.aligned is not None
    assert torch.equal(one.result.aligned.values, one.result.whole.values)  # no unit of it can be moved
