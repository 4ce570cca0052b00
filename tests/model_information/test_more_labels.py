from __future__ import annotations

import json
import math

import numpy as np
import pytest

from infoscope import Kernel, MoreLabels, Real, Status, Task, ask
from infoscope.cli import run
from infoscope.measurement import Bound
from infoscope.model_information.more_labels.learning_curve import FAMILIES, blocks, extrapolate

N = 1000


def drawn(truth, seed: int, orders: int = 1) -> np.ndarray:
    """Errors whose probability after n labels is truth(n)."""
    p = truth(np.arange(N) + 1.0)
    return (np.random.default_rng(seed).random((orders, N)) < p).astype(float)


LAWS = {
    "power with a floor": lambda n: 0.05 + 0.9 * n**-0.4,
    "power without a floor": lambda n: np.minimum(0.9, 2 * n**-0.5),
    "exponential": lambda n: 0.03 + 0.8 * np.exp(-n / 300),
    "late": lambda n: 0.02 + 0.7 / (1 + (n / 200) ** 1.2),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_interval_from_the_first_quarter_holds(law):
    """Of curves whose law is known: where the loss comes to at 4 n labels, and how many labels it takes."""
    truth, later = LAWS[law], 4.0 * N
    loss = float(truth(later))
    inside = 0
    for seed in range(10):
        found = extrapolate(drawn(truth, seed))
        low, high = found.quantiles(found.reaches(loss), (0.05, 0.95))
        inside += low <= later <= high
    assert inside >= 8


def test_a_curve_that_stays_where_it_is_is_told_from_one_that_falls():
    flat = (np.random.default_rng(0).random((1, 4 * N)) < 0.18).astype(float)
    found = extrapolate(flat)
    assert found.share(found.reaches(0.05) > 1000 * 4 * N) > 0.95
    falling = extrapolate(drawn(LAWS["power without a floor"], 0))
    assert falling.share(falling.reaches(0.03) > 1000 * N) < 0.5


def test_what_is_reached_is_what_the_curve_says():
    """n(ℓ) inverts ℓ(n), family by family."""
    for family in FAMILIES:
        for c, k in family.shapes(100.0)[::7]:
            shape = np.array([c]), np.array([k])
            for n in (150.0, 1000.0):
                share = family.falls(np.array([n]), *shape, 100.0)
                if share[0] > 1e-12:
                    assert family.inverse(share, *shape, 100.0)[0] == pytest.approx(n, rel=1e-6)
            assert family.falls(np.array([100.0]), *shape, 100.0)[0] == pytest.approx(1.0)


def test_noise_that_no_label_mends_is_not_reachable():
    """A fifth of the labels is drawn anew: above 0.82 there is nothing to reach; 0.7 is reached."""
    x = np.random.default_rng(0).normal(size=(N, 1))
    y = (x[:, 0] > 0).astype(int)
    rng = np.random.default_rng(1)
    y = np.where(rng.random(N) < 0.36, rng.integers(0, 2, N), y)
    task = Task.from_arrays(x, y)
    answer = ask(MoreLabels(task, accuracy=0.95, coder=Kernel(), replicates=1))
    assert answer.never > 0.5
    needed = next(row.measurement for row in answer.record() if row.measurement.quantity == "labels needed")
    assert math.isnan(needed.value)
    assert Status.NOT_REACHABLE in needed.status
    assert "not reachable" in answer.sentence()
    end = next(row.measurement for row in answer.record() if row.measurement.quantity == "accuracy in the end")
    assert abs(end.value - 0.82) < 4 * 0.02
    easy = ask(MoreLabels(task, accuracy=0.7, coder=Kernel(), replicates=1))
    assert easy.never < 0.05
    assert easy.needed[1] < N


def test_a_target_below_all_that_was_looked_at_is_told_as_a_bound():
    """Half of the labels are right from the first on, which is seen of the first block, and of nothing before it."""
    x = np.random.default_rng(0).normal(size=(N, 1))
    answer = ask(MoreLabels(Task.from_arrays(x, np.arange(N) % 2), accuracy=0.3, coder=Kernel(), replicates=1))
    first = answer.found.seen.known[0]
    found = {row.measurement.quantity: row.measurement for row in answer.record()}
    for quantity in ("labels needed", "labels needed, 90 % from", "labels needed, 90 % to"):
        assert (found[quantity].value, found[quantity].bound) == (first, Bound.UPPER)
    assert found["labels missing"].value == first - N
    assert f"was reached already with {first:,.0f} labels or fewer" in answer.sentence()


def test_more_orders_do_not_count_for_more_examples_than_there_are():
    losses = drawn(LAWS["late"], 0, orders=8)
    assert blocks(losses).counts.max() <= N
    one, all_ = (extrapolate(each) for each in (losses[:1], losses))
    widths = [np.diff(found.quantiles(found.at(4.0 * N), (0.05, 0.95)))[0] for found in (one, all_)]
    assert widths[1] < widths[0]


def test_bits_a_label_are_followed_too():
    """Costs with the mean 0.2 + 3 n^-0.5 nats."""
    rng = np.random.default_rng(0)
    truth = 0.2 + 3 * (np.arange(N) + 1.0) ** -0.5
    found = extrapolate(rng.exponential(truth)[None])
    low, high = found.quantiles(found.at(4.0 * N), (0.05, 0.95))
    assert low < 0.2 + 3 * (4 * N) ** -0.5 < high


def test_a_target_that_leaves_hardly_an_error_in_what_was_seen_is_flagged():
    easy, hard = (ask(MoreLabels("iris", accuracy=a, coder=Kernel(), replicates=1)).record() for a in (0.9, 0.99))
    assert Status.TOO_FEW_SAMPLES not in easy.where()[1].status
    assert Status.TOO_FEW_SAMPLES in hard.where()[1].status


def test_bad_targets_are_refused_before_anything_is_coded():
    with pytest.raises(ValueError, match="one target at a time"):
        MoreLabels("iris", accuracy=0.9, bits=0.1)
    with pytest.raises(ValueError, match=r"accuracy is 95; it is a share"):
        MoreLabels("iris", accuracy=95)
    with pytest.raises(ValueError, match="bits is 0"):
        MoreLabels("iris", bits=0)
    numbers = Task.from_arrays(np.zeros((50, 1)), np.arange(50.0), target=Real(1.0, 0.0, 49.0))
    with pytest.raises(ValueError, match="none is right or wrong; give bits a label"):
        ask(MoreLabels(numbers))


def test_the_command_line(tmp_path, capsys):
    words = ["more-labels", "iris", "--accuracy", "0.9", "--replicates", "2", "--coder", "kernel", "--json"]
    assert run([*words, "--out", str(tmp_path)]) == 0
    rows = {row["quantity"]: row for row in json.loads(capsys.readouterr().out)["measurements"]}
    assert rows["accuracy now"]["value"] > 0.85
    assert rows["labels needed"]["target"] == "accuracy 0.9"
    assert rows["labels missing"]["value"] == pytest.approx(rows["labels needed"]["value"] - 150)
    assert 0 <= rows["P(not reachable)"]["value"] <= 1
