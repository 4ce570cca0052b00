from __future__ import annotations

import doctest
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infoscope.data.task import coding_order
from infoscope.data.tishby import tishby
from infoscope.measurement import Measurement
from infoscope.models import MLP
from infoscope.run.question import walk
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDIES))
    yield importlib.import_module
    for name in {path.stem for path in STUDIES.glob("*.py")} & set(sys.modules):
        del sys.modules[name]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_networks_trained_side_by_side_are_those_of_fit(study, activation):
    trajectories = study("trajectories")
    stack = trajectories.train(trajectories.Training(activation, epochs=3), (3, 5))
    learner = Learner(MLP((10, 7, 5, 4, 3), activation), Recipe(Adam(4e-4), batch=512, epochs=3, patience=None))
    for i, seed in enumerate((3, 5)):
        trained = fit(learner, tishby()[coding_order(4096, seed)[:3277]], seed=seed)
        for epoch, weights in ((0, trained.initial), (3, trained.weights)):
            flat = torch.cat([w.reshape(-1) for w in weights.values()])
            torch.testing.assert_close(stack.weights[i, epoch], flat, rtol=0, atol=1e-6)
        torch.testing.assert_close(stack.losses[i].tolist(), list(trained.losses), rtol=1e-5, atol=0)


def test_a_trajectory_answers_as_the_network_does(study):
    trajectories = study("trajectories")
    training = trajectories.Training("tanh", epochs=1)
    stack = trajectories.train(training, (0,))
    kept = trajectories.Trajectory(training, stack.weights[0], stack.losses[0])
    network = Learner(MLP((10, 7, 5, 4, 3), "tanh")).network((12,), 2, 0)
    with torch.no_grad():
        torch.testing.assert_close(kept.layers(0, tishby().x)[-1], network(tishby().x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["trajectories", "layer_compression", "delta_skip", "invertibility", "phase_transition", "trade_off"]
)
def test_examples(study, name):
    outcome = doctest.testmod(study(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_images_are_measured_within_the_first_epoch_and_after_every_one(study):
    images = study("images")
    one = images.train("digits", "tanh", 2, 2, 100, 0)
    an_epoch = math.ceil(1797 * 0.9 / 128)
    assert [round(at * an_epoch) for at in one["epochs"]] == [0, 1, 3, 10, an_epoch, 2 * an_epoch]
    assert {len(places) for places in one["places"].values()} == {6}
    assert one["told"]["H(X)"] == pytest.approx(math.log2(100))
    assert {row["at"] for row in images.rows([one]) if "whole epochs" in row["estimator"]} == {0, 1, 2}
    # The first layer of 64 units tells 100 digits apart, before training and after.
    assert [places[0][0] for places in one["places"]["idnns 30"]] == pytest.approx([math.log2(100)] * 6)


def test_the_correlation_of_falls_with_what_was_learned_is_told(study):
    told = study("layer_compression").across_seeds(
        "act5", np.array([1.0, 0.2, -0.3]), [{"test accuracy": a, "test loss": -a} for a in (0.9, 0.74, 0.64)]
    )
    assert told == (
        "act5: 2 of 3 seeds fall, 1 by more than 0.5 bit; correlation of the fall with test accuracy +1.00, "
        "test loss -1.00"
    )


@pytest.mark.parametrize(("activation", "top"), [("tanh", 0.75), ("relu", 3.0)])
def test_the_share_at_the_ends_counts_the_lowest_and_the_highest_level(study, activation, top):
    quantised, trajectories = study("quantised"), study("trajectories")
    training = trajectories.Training(activation, epochs=1, bits=2)
    stack = trajectories.train(training, (0,))
    kept = trajectories.Trajectory(training, stack.weights[0] * 8, stack.losses[0])
    (shares,) = quantised.ends(kept, (1,))["ends"]
    layers = kept.layers(1, tishby().x)[:-1]
    assert max(float(t.max()) for t in layers) == top
    for (low, high), t in zip(shares, layers, strict=True):
        assert low == float((t == (-top if activation == "tanh" else 0)).double().mean())
        assert high == float((t == top).double().mean())


def test_a_fall_is_from_a_peak_that_the_network_did_not_choose_itself(study):
    """Of noise alone there is none on average, though every curve falls from its own highest point."""
    fall_from_peak = study("effective_information").fall_from_peak
    draws, found, own = np.random.default_rng(0), [], []
    for _ in range(300):
        noise = draws.normal(size=(4, 6))
        curve = [Measurement.from_replicates("I_eff", dict(enumerate(at))) for at in noise.T]
        found.append(fall_from_peak(curve)[0].value)
        own.append(float((noise.max(1) - noise[:, -1]).mean()))
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))
    assert np.mean(own) > 1
    risen = [Measurement.from_replicates("I_eff", {s: float(e) for s in range(3)}) for e in (1, 5, 2)]
    assert fall_from_peak(risen) == (Measurement.from_replicates("I_eff", {0: 3.0, 1: 3.0, 2: 3.0}), {1})


def test_the_better_of_two_walks_is_never_above_either(study):
    both_ways, trade_off = study("both_ways"), study("trade_off")
    task, *_ = trade_off.tasks_of(20, 0)
    rows: list = []
    walked = walk(both_ways.both_ways(task, MLP((2,)), (0.1, 1.0), rows, {}, rounds=1, draws=2, epochs=1))
    for best, up, down in zip(walked.best, walked.up, walked.down, strict=True):
        assert best.complexity == min(up.complexity, down.complexity)
        assert best.beta == up.beta == down.beta
    assert {row.coordinates["walk"] for row in rows} == {"up", "down"}


def test_the_four_tasks_of_the_trade_off_share_their_digits(study):
    trade_off = study("trade_off")
    true, parity, half, random = trade_off.tasks_of(400, 0)
    assert all(torch.equal(task.x, true.x) for task in (parity, half, random))
    assert torch.equal(parity.y, true.y % 2)
    kept = [float((task.y == true.y).double().mean()) for task in (half, random)]
    assert kept == pytest.approx([0.55, 0.1], abs=0.08)


def test_a_claim_about_a_set_that_was_left_out_is_not_run(study):
    mislabelled = study("mislabelled")
    claims = walk(mislabelled.MislabelledStudy(("iris",), (0.0, 0.1)).stages()).claims
    assert claims[0].verdict is mislabelled.Verdict.NOT_RUN
    assert claims[2].verdict is not mislabelled.Verdict.NOT_RUN
