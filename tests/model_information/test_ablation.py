"""Ablation: lookup teachers whose components hold what is known in closed form, and what must hold for any network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import infoscope
from infoscope.data.task import Task
from infoscope.measurement import Status
from infoscope.model_information.ablation.components import Component
from infoscope.model_information.ablation.question import Ablation
from infoscope.model_information.ablation.result import Ablated
from infoscope.model_information.ablation.shapley import coalitions, gains, random_orders, shapley
from infoscope.model_information.held_out_loss import HeldOutLoss, held_out_loss
from infoscope.model_information.trained_pairs import TrainedPairs
from infoscope.models import MLP
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask, units
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

CELLS, CLASSES, ALPHA, EACH = 64, 10, 0.01, 32
QUICK = Replay(replays=2, start=64)


def table(known: bool) -> np.ndarray:
    """Nats of each label by a table of counts, a cell after another: trained on 32 of each cell, or on nothing."""
    seen = np.tile(np.arange(EACH), CELLS) + EACH * known
    return -np.log((seen + ALPHA) / (seen + CLASSES * ALPHA))


def ablated(parts: int, nats: Callable[[set[int]], np.ndarray]) -> Ablated:
    """A teacher of so many tables that pays `nats` for its labels when it has some of them, by every set of them."""
    every = range(parts)
    coded = Task.from_arrays(torch.zeros(CELLS * EACH, 1), [0] * CELLS * EACH, alphabet=list(map(str, range(CLASSES))))
    known = TrainedPairs(coded, (0,), ())

    def curve(have: set[int]) -> LossCurve:
        costs = nats(have)
        return LossCurve(costs, np.arange(len(costs)), len(costs) * math.log(CLASSES), len(costs), CLASSES)

    sets = [frozenset(some) for size in range(parts + 1) for some in combinations(every, size)]
    curves = {(0, gone): curve(set(every) - gone) for gone in sets} | {(0, None): curve(set())}
    losses = {(0, gone): HeldOutLoss(0.0, len(coded)) for gone in sets}
    components = tuple(Component(f"table {i}", (), 0) for i in every)
    return Ablated("cells", components, 0, "start", known, {}, curves, losses)


TEACHERS = {
    # Labels (u, v): each table tells its own half.
    "two tables": (lambda have: table(0 in have) + table(1 in have), 479.0974, 239.5487, 239.5487),
    # The same table twice: either will do.
    "duplicates": (lambda have: table(bool(have)), 239.5487, 0.0, 119.7743),
    # Labels t1 + t2 mod 10: neither tells anything without the other.
    "sum of two": (lambda have: table(len(have) == 2), 239.5487, 239.5487, 119.7743),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_lookup_teachers_hold_what_is_known_in_closed_form(name):
    nats, whole, each, value = TEACHERS[name]
    found = ablated(2, nats).by_component(with_shapley=True)
    assert found["all"]["L(M,D)"].bits == pytest.approx(whole, abs=1e-3)
    assert [found[f"table {i}"]["I(c)"].bits for i in range(2)] == pytest.approx([each] * 2, abs=1e-3)
    assert [found[f"table {i}"]["Shapley I(c)"].bits for i in range(2)] == pytest.approx([value] * 2, abs=1e-3)
    assert found["sum"]["Σ I(c)"].bits == pytest.approx(2 * each, abs=1e-3)


@pytest.mark.parametrize("parts", [1, 3, 6])
def test_shapley_values_add_up_however_they_are_found(parts):
    """Σ φ = v(all) − v(none), exactly and for every random order; with all orders both ways agree."""
    draws = np.random.default_rng(parts)
    worth = {some: draws.normal() for some in coalitions(parts)}
    whole = worth[frozenset(range(parts))] - worth[frozenset()]
    exact = shapley(worth.__getitem__, parts)
    assert sum(exact) == pytest.approx(whole)
    sampled = gains(worth.__getitem__, random_orders(parts, 400, seed=0))
    np.testing.assert_allclose(sampled.sum(1), whole)
    error = sampled.std(0, ddof=1) / 20 + 1e-12
    assert (np.abs(sampled.mean(0) - exact) < 4 * error).all()


def test_a_part_that_adds_nothing_is_worth_nothing_and_equal_ones_share():
    assert shapley(lambda some: float(1 in some), 3) == pytest.approx([0, 1, 0])
    assert shapley(lambda some: float(bool(some & {0, 1})), 3) == pytest.approx([0.5, 0.5, 0])


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")[:600]


@pytest.fixture(scope="module")
def found(digits):
    learner = Learner(MLP((32,)), Recipe(epochs=40, patience=None))
    return ask(Ablation(digits, learner, shapley=True, coder=QUICK, k=100, train=400, replicates=2)).found


def test_i_of_c_is_the_paired_difference_of_eq_16(found):
    rows = found.by_component(with_shapley=True)
    for seed in (0, 1):
        gone, kept = found.curves[seed, frozenset({0})].total, found.curves[seed, frozenset()].total
        assert rows["fc1"]["I(c)"].replicates[seed] == pytest.approx(gone - kept)
    assert "paired" in rows["fc1"]["I(c)"].receipt.over
    assert "reset to start" in rows["fc1"]["I(c)"].receipt.notes
    assert rows["fc1"]["I(c) a parameter"].value == pytest.approx(rows["fc1"]["I(c)"].value / (64 * 32 + 32))
    assert rows["all"]["parameters"].value == 64 * 32 + 32 + 330


def test_a_network_without_any_component_is_the_untrained_one(found):
    """Reset to its own start as a whole it pays what it paid before training, and Shapley values come to L(M, D)."""
    rows = found.by_component(with_shapley=True)
    for seed in (0, 1):
        np.testing.assert_array_equal(found.curves[seed, frozenset({0, 1})].nats, found.curves[seed, None].nats)
        values = [rows[name]["Shapley I(c)"].replicates[seed] for name in ("fc1", "fc2")]
        assert sum(values) == pytest.approx(rows["all"]["L(M,D)"].replicates[seed])


def test_what_is_relearned_costs_less_than_what_is_not(found):
    rows = found.by_component(with_shapley=False)
    for name in ("fc1", "fc2"):
        assert rows[name]["loss while relearning"].value < rows[name]["loss without relearning"].value
        assert rows[name]["loss without relearning"].value > rows["all"]["loss without relearning"].value
    assert rows["all"]["loss without relearning"].bits < 1


def test_a_frozen_loss_is_the_mean_cross_entropy(digits):
    net = Learner(MLP((32,)))
    with torch.no_grad():
        logits = net.network(digits.shape, 10, 5)(digits.x[:]).double()
    truth = float(torch.nn.functional.cross_entropy(logits, digits.labels))
    assert held_out_loss(digits, net, 5, batch=64).nats == pytest.approx(truth)


def test_random_orders_agree_with_all_of_them(digits):
    """Of two components two orders are all there are: their mean over many is near, and each adds up."""
    learner = Learner(MLP((16,)), Recipe(epochs=10, patience=None))
    options = {"coder": QUICK, "k": 40, "train": 200, "replicates": 1, "shapley": True}
    sampled = ask(Ablation(digits, learner, permutations=6, **options)).found.by_component(True)
    exact = ask(Ablation(digits, learner, **options)).found.by_component(True)
    values = [sampled[name]["Shapley I(c)"] for name in ("fc1", "fc2")]
    assert sum(v.value for v in values) == pytest.approx(exact["all"]["L(M,D)"].value)
    assert abs(values[0].value - exact["fc1"]["Shapley I(c)"].value) < 4 * values[0].stderr
    assert any("6 random orders" in note for note in values[0].receipt.notes)


def test_own_weights_are_ablated_without_training(digits):
    learner = Learner(MLP((32,)), Recipe(epochs=20, patience=None))
    trained = fit(learner, digits[:400], seed=0)
    asked = Ablation(
        digits[400:500], MLP((32,)), ("fc:each",), coder=QUICK, weights=trained.weights, initial=trained.initial,
        trained_on=digits[:400], replicates=1,
    )  # fmt: skip
    assert units(asked)["trainings"] == 0
    rows = ask(asked).found.by_component(False)
    assert rows["fc1"]["I(c)"].value > 0
    assert Status.UNVERIFIED_SPLIT not in rows["fc1"]["I(c)"].status


def test_resets_ask_different_questions(digits):
    """A new draw also takes what the rest had fitted itself to: a last layer costs more than its own start."""
    trained = fit(Learner(MLP((32,)), Recipe(epochs=40, patience=None)), digits[:400], seed=0)
    told = {}
    for reset in ("start", "new", "mean", "resampled"):
        asked = Ablation(
            digits[400:500], MLP((32,)), ("fc2",), reset, coder=Replay(replays=1, start=32),
            weights=trained.weights, initial=trained.initial, k=50, replicates=1,
        )  # fmt: skip
        told[reset] = ask(asked).found.by_component(False)["fc2"]["I(c)"].bits
    assert len(set(told.values())) == 4
    assert told["new"] > told["start"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"components": ("heads",)}, "no component of Sequential is meant by 'heads'"),
        ({"components": ("fc1", "fc*")}, "both hold fc1.weight"),
        ({"weights": {"w": torch.zeros(1)}}, "give initial, or reset to new"),
        ({"permutations": 3}, "ask for shapley too"),
        ({"initial": 3}, "give its weights too"),
        ({"data": ["iris", "digits"]}, "one data set, and 2 were given"),
    ],
)
def test_bad_options_get_a_word_before_anything_is_trained(digits, options, told):
    with pytest.raises(ValueError, match=told):
        next(Ablation(**{"data": digits, "model": MLP((8,)), **options}).stages())


def test_too_many_groups_for_shapley_are_refused(digits):
    with pytest.raises(ValueError, match="14 components, and Shapley values of at most 12"):
        next(Ablation(digits, MLP((4,) * 13), shapley=True).stages())


def test_public_names():
    assert infoscope.Ablation is Ablation
    assert "I(c)" in infoscope.explain("ablation")


def test_command_line(tmp_path, capsys, digits):
    """`infoscope ablation` from a file of weights to JSON, as a user runs it."""
    from infoscope.cli import run

    trained = fit(Learner(MLP((8,)), Recipe(epochs=5, patience=None)), Task.from_dataset("iris")[:100])
    save_file(trained.weights, tmp_path / "w.safetensors")
    run(["ablation", "iris", "--model", "mlp(widths=(8,))", "--components", "fc1", "fc2", "--reset", "resampled",
         "--weights", str(tmp_path / "w.safetensors"), "--k", "30", "--replicates", "2", "--jobs", "1", "--coder",
         "replay(replays=1,start=8)", "--shapley", "--json", "--out", str(tmp_path / "run")])  # fmt: skip
    rows = json.loads(capsys.readouterr().out)["measurements"]
    assert {r["component"] for r in rows if r["quantity"] == "Shapley I(c)"} == {"fc1", "fc2"}
    assert all("UNVERIFIED_SPLIT" in r["status"] for r in rows if r["quantity"] == "I(c)")


def test_where_nothing_was_learned_no_component_is_named():
    labels = np.random.default_rng(0).integers(2, size=90)
    noise = Task.from_arrays(np.random.default_rng(1).normal(size=(90, 4)), labels, alphabet=["a", "b"])
    told = ask(Ablation(noise, MLP((4,)), coder=QUICK, k=30, replicates=2, epochs=1)).sentence()
    assert "nothing to find in its components" in told


def layers(shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(*shape, 8), torch.nn.ReLU(), torch.nn.Linear(8, outputs))


def scripted(shape: tuple[int, ...], outputs: int) -> torch.nn.Module:
    return torch.jit.script(layers(shape, outputs))


@pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")
def test_a_scripted_network_is_trained_coded_and_reset():
    # Regressions on what goes into the last layer need to hear it, which nothing scripted lets anybody do.
    asked = {"coder": Replay(replays=2, start=64, last_layer=None), "k": 20, "train": 60, "replicates": 1, "epochs": 20}
    plain, same = (infoscope.ablation("iris", model=factory, **asked) for factory in (layers, scripted))
    assert [row.measurement.value for row in plain] == pytest.approx([r.measurement.value for r in same], rel=1e-4)


def test_components_that_come_to_the_whole_are_not_said_to_share(digits):
    """One component that is the whole network: what is missed without it is all there is."""
    told = ask(Ablation(digits, MLP((8,)), ("fc*",), coder=QUICK, k=40, replicates=2, epochs=20)).sentence()
    assert "most is missed without fc*" in told
    assert told.count(" ± ") == 3
    assert "shared or joint" not in told
