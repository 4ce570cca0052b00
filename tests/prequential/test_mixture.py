"""The mixture pays at most log E more than its best expert, whatever the labels."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.datasets import load_digits

from infoscope.prequential.mixture import Logistic, Posterior, Tally, mixture


def listed(rows):
    """Experts whose predictions, (n, experts, classes), were made beforehand."""
    for row in rows:
        _ = yield row


def cost(code, labels):
    """Nats that a code pays for labels; it must end with them."""
    total, p = 0.0, next(code)
    for i, label in enumerate(labels):
        assert p.dtype == np.float64
        assert p.min() > 0
        assert abs(p.sum() - 1) < 1e-12
        total -= math.log(p[label])
        if i + 1 < len(labels):
            p = code.send(int(label))
    with pytest.raises(StopIteration):
        code.send(int(labels[-1]))
    return total


def tally_cost(labels, classes):
    tally, total = Tally(classes), np.zeros(2)
    for label in labels:
        total -= tally.rows()[:, label]
        tally.learn(label)
    return total / math.log(2)


def test_krichevsky_trofimov_on_700_ones_and_300_zeros():
    labels = np.random.default_rng(0).permutation([1] * 700 + [0] * 300)
    assert tally_cost(labels, 2)[1] == pytest.approx(886.5999, abs=5e-5)


def test_uniform_and_krichevsky_trofimov_on_digits():
    uniform, kt = tally_cost(load_digits().target, 10)
    assert uniform == pytest.approx(5969.5048, abs=5e-5)
    assert kt == pytest.approx(6009.6337, abs=5e-5)


def hostile_rows(kind, rng, n=300, experts=5, classes=4):
    labels = rng.integers(classes, size=n)
    if kind == "random":
        return log_softmax(3 * rng.standard_normal((n, experts, classes)), axis=2), labels
    logits = np.zeros((n, experts, classes))
    if kind == "one is right":
        logits[np.arange(n), 2, labels] = 6
    elif kind == "all are sure and wrong":
        logits[np.arange(n), :, (labels + 1) % classes] = 200
    elif kind == "right, then wrong":
        turned = np.where(np.arange(n) < n // 2, labels, (labels + 1) % classes)
        logits[np.arange(n), 0, turned] = 50
    return log_softmax(logits, axis=2), labels


@pytest.mark.parametrize("kind", ["random", "one is right", "all are sure and wrong", "right, then wrong"])
@pytest.mark.parametrize("seed", range(3))
def test_costs_at_most_log_experts_more_than_the_best(kind, seed):
    rows, labels = hostile_rows(kind, np.random.default_rng(seed))
    experts = rows.shape[1] + 4
    best = -rows[np.arange(len(labels)), :, labels].sum(0).max()
    uniform, kt = tally_cost(labels, rows.shape[2]) * math.log(2)
    assert cost(mixture(listed(rows)), labels) <= min(best, uniform, kt) + math.log(experts) + 1e-6


def test_an_expert_that_rules_labels_out_does_no_harm():
    labels = np.tile([0, 1, 2], 100)
    rows = np.full((300, 2, 3), -np.inf)
    rows[:, :, 0] = 0.0
    assert cost(mixture(listed(rows)), labels) <= 300 * math.log(3) + math.log(6) + 1e-6


def test_posterior_without_switching_is_the_bayes_mixture():
    rng = np.random.default_rng(0)
    rows, labels = hostile_rows("random", rng)
    posterior, paid = Posterior(5), 0.0
    for row, label in zip(rows, labels, strict=True):
        paid -= posterior.predict(row)[label]
        posterior.learn(label)
    each = rows[np.arange(len(labels)), :, labels].sum(0)
    assert paid == pytest.approx(-np.logaddexp.reduce(each - math.log(5)), abs=1e-9)


def test_switching_follows_the_better_expert_where_bayes_cannot():
    n, labels = 400, np.zeros(400, int)
    rows = np.log(np.full((n, 2, 2), 0.5))
    good, bad = np.log([0.99, 0.01]), np.log([0.01, 0.99])
    rows[: n // 2, 0], rows[: n // 2, 1] = good, bad
    rows[n // 2 :, 0], rows[n // 2 :, 1] = bad, good

    def paid(posterior):
        total = 0.0
        for row, label in zip(rows, labels, strict=True):
            total -= posterior.predict(row)[label]
            posterior.learn(label)
        return total

    assert paid(Posterior(2)) > 900
    assert paid(Posterior(2, share=0.3)) < 400 * -math.log(0.99) + 2 * math.log(2 * 400 / 0.3)


def test_logistic_mixing_sharpens_an_expert_that_is_too_timid():
    rng = np.random.default_rng(0)
    rows, labels = hostile_rows("one is right", rng, n=2000)
    timid = log_softmax(0.2 * rows[:, 2:3], axis=2)
    logistic, paid = Logistic(1, freedom=0.1), 0.0
    for row, label in zip(timid, labels, strict=True):
        paid -= logistic.predict(row)[label]
        logistic.learn(label)
    assert paid < 0.5 * -timid[np.arange(2000), 0, labels].sum()


def test_the_same_labels_cost_the_same_bits():
    rows, labels = hostile_rows("random", np.random.default_rng(1))
    assert cost(mixture(listed(rows)), labels) == cost(mixture(listed(rows)), labels)
