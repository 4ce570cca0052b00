from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope.dynamics.plane.compression import Fall, falls, told
from infoscope.dynamics.plane.paths import paths
from infoscope.measurement import NATS_PER_BIT, Measurement, Receipt, Status
from infoscope.record import Record


def record(curves: dict[str, list[dict[int, float]]], status: Status | None = None, method: str = "bins") -> Record:
    """A record of I(X;T) in bits: for every layer and seed, a value at each epoch."""
    made = Record()
    flags = frozenset() if status is None else frozenset({status})
    for layer, seeds in curves.items():
        for seed, curve in enumerate(seeds):
            for epoch, bits in curve.items():
                for quantity, value in (("I(X;T)", bits), ("I(T;Y)", 1.0)):
                    m = Measurement(quantity, value * NATS_PER_BIT, status=flags, receipt=Receipt(method))
                    made.append(m, seed=seed, epoch=epoch, side="train", layer=layer)
    return made


def test_a_fall_is_from_the_highest_epoch_of_the_mean_curve():
    # Seed 0 is highest at epoch 1, seed 1 at epoch 2; their mean at epoch 2.
    found = falls(paths(record({"t": [{0: 0, 1: 5, 2: 4, 3: 1}, {0: 0, 1: 2, 2: 6, 3: 2}]}), "train"))
    assert (found[0].epoch, found[0].each) == (2, pytest.approx((3, 4)))
    assert (found[0].mean, found[0].stderr) == pytest.approx((3.5, 0.5))


def test_a_seed_that_did_not_measure_an_epoch_counts_by_its_line():
    found = falls(paths(record({"t": [{0: 0, 4: 4, 8: 0}, {0: 0, 8: 9}]}), "train"))
    assert (found[0].epoch, found[0].each) == (8, (0, 0))  # 4 and 4.5 at epoch 4, 0 and 9 at epoch 8
    assert falls(paths(record({"t": [{0: 0, 4: 4, 8: 0}, {0: 0, 8: 2}]}), "train"))[0].each == pytest.approx((4, -1))


@pytest.mark.parametrize(
    ("each", "seen"),
    [((1.0,), True), ((0.04,), False), ((1.0, 1.0, 1.0), True), ((3.0, 0.0, 0.0), False), ((-1.0, -1.0), False)],
)
def test_what_counts_as_a_fall(each, seen):
    assert Fall("t", 5, each).is_seen is seen


def test_jitter_is_no_compression():
    draws = np.random.default_rng(0)
    seeds = [dict(enumerate((5 + 0.01 * draws.normal(size=200)).tolist())) for _ in range(5)]
    assert not falls(paths(record({"t": seeds}), "train"))[0].is_seen


def test_what_the_estimator_makes_is_not_called_compression():
    curve = {"out": [{0: 6.0, 9: 1.0}]}
    for status in (Status.OUT_OF_RANGE, Status.NOT_DETERMINISTIC, Status.INFINITE):
        assert "compresses" not in told(falls(paths(record(curve, status), "train")))
        assert "Of out nothing is said" in told(falls(paths(record(curve, status), "train")))
    assert "Of out nothing is said" in told(falls(paths(record({"out": [{0: math.nan, 9: 1.0}]}), "train")))
    follows = told(falls(paths(record(curve), "train", {"bins"})))
    assert follows.startswith("I(X;T) of out falls by 5.00 bits after epoch 0, but by bins that follow its range")
    assert told(falls(paths(record(curve), "train"))) == "out compresses: its I(X;T) falls by 5.00 bits after epoch 0."


def test_the_sentence_names_layers_bits_and_networks():
    falling, rising = {0: 1.0, 726: 5.0, 8000: 2.0}, {0: 1.0, 8000: 3.0}
    curves = {"act1": [rising, rising], "act4": [falling, rising], "act5": [falling, falling]}
    assert told(falls(paths(record(curves), "train"))) == (
        "act5 compresses: its I(X;T) falls by 3.00 ± 0.00 bits after epoch 726, in 2 of 2 networks; "
        "act1 and act4 do not."
    )
    assert told(falls(paths(record({"act1": [rising]}), "train"))).startswith(
        "Nothing compresses: I(X;T) of act1 falls"
    )
