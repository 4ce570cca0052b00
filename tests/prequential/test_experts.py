"""Each family of experts against what it stands for: closed forms, scikit-learn's own answers, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_t, norm, rankdata
from sklearn.linear_model import LogisticRegression as Plain

from infoscope.data.targets import Classes, Labels, Real
from infoscope.prequential.committee import Committee, Stack, in_families, noisy
from infoscope.prequential.experts.boosting import Boosting
from infoscope.prequential.experts.class_gaussians import ClassGaussians, log_student
from infoscope.prequential.experts.columns import categories, components, ranked, standard
from infoscope.prequential.experts.family import refitted
from infoscope.prequential.experts.few_columns import FewColumns
from infoscope.prequential.experts.forest import Forest
from infoscope.prequential.experts.logistic import LogisticRegression, mode
from infoscope.prequential.experts.numbers import Regression, Residuals
from infoscope.prequential.experts.processes import Processes
from infoscope.prequential.experts.relevance import Relevance
from infoscope.prequential.experts.text import WordProcesses, WordRegression

FAMILIES = (Processes(), LogisticRegression(), ClassGaussians(), Forest(), Boosting(), Relevance())


@pytest.fixture
def draws():
    return np.random.default_rng(0)


def rows_of(experts, sent):
    rows = [next(experts)]
    rows += [experts.send(each) for each in sent[:-1]]
    return np.stack(rows)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_every_family_yields_probabilities_and_learns_a_rule(family, draws):
    """Before the first label nothing is known; at the end the best expert pays less than half of uniform."""
    x = draws.normal(size=(120, 3))
    y = (x[:, 0] > 0).astype(int)
    rows = rows_of(family.experts(x, Classes(("a", "b")), 0), y.tolist())
    assert np.allclose(np.exp(rows).sum(2), 1, atol=1e-6)
    last = -rows[60:][np.arange(60), :, y[60:]].mean(0) / np.log(2)
    assert last.min() < 0.5


SERVED = [
    *((family, kind) for family in FAMILIES for kind in (Classes, Labels)),
    *((family, Real) for family in (Processes(), Forest(), Boosting())),
    *((FewColumns(), kind) for kind in (Classes, Real)),
    *((family, kind) for family in (WordProcesses(), WordRegression()) for kind in (Classes, Labels)),
    (WordProcesses(), Real),
]
"""Every family with each target that it is given."""


@pytest.mark.parametrize(
    ("family", "kind"), SERVED, ids=[f"{type(family).__name__}-{kind.__name__}" for family, kind in SERVED]
)
def test_no_family_knows_what_is_not_sent_and_all_say_the_same_again(family, kind, draws):
    """With other targets from the 20th on, all predictions up to it are the same to the last bit, and others differ."""
    x = np.round(draws.normal(size=(50, 3)), 1)
    target, y = {
        Classes: (Classes(("a", "b", "c")), (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)),
        Labels: (Labels(("u", "v")), np.where(x[:, 2:] < 1, (x[:, :2] > 0).astype(int), [0, -1])),
        Real: (Real(0.1, -9.0, 9.0, centre=0.0, scale=1.0), x[:, :2].sum(1, keepdims=True)),
    }[kind]
    words = np.array(["good", "bad", "film", "plot", "very"])
    texts = [" ".join(words[np.add(row > 0, [0, 1, 3])]) for row in x]
    inputs = texts if isinstance(family, WordProcesses | WordRegression) else x
    other = np.where(y >= 0, y.max() - y, y)[20:]
    first = rows_of(family.experts(inputs, target, 5), list(y))
    again = rows_of(family.experts(inputs, target, 5), [*y[:20], *other])
    assert np.array_equal(first[:21], again[:21])
    assert not np.array_equal(first[21:], again[21:])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_columns_that_say_nothing_and_classes_that_never_come(family, draws):
    x = np.concatenate([np.ones((60, 1)), draws.integers(2, size=(60, 1)).astype(float)], 1)
    rows = rows_of(family.experts(x, Classes(tuple("abc")), 0), [1] * 30 + [0] * 30)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("family", [Forest(), Boosting(), Processes()], ids=lambda family: type(family).__name__)
def test_numbers_are_predicted_by_a_mean_and_a_deviation(family, draws):
    x = draws.normal(size=(150, 2))
    y = np.sign(x[:, :1])
    rows = rows_of(family.experts(x, Real(0.01, -4.0, 4.0, centre=0.0, scale=1.0), 0), list(y))
    assert rows.shape[2:] == (1, 2)
    assert (rows[..., 1] > 0).all()
    assert ((rows[100:, :, 0, 0] - y[100:]) ** 2).mean(0).min() < 0.35


def test_several_labels_are_told_each_by_itself_and_masked_ones_teach_nothing(draws):
    x = draws.normal(size=(60, 2))
    y = np.stack([x[:, 0] > 0, np.full(60, -1)], 1).astype(int)
    y[:, 1] = -1
    rows = rows_of(LogisticRegression().experts(x, Labels(("u", "v")), 0), list(y))
    assert np.allclose(rows[:, :, 1], 0)
    assert (np.sign(rows[40:, 0, 0]) == np.sign(x[40:, 0])).mean() > 0.8


def test_a_block_is_predicted_from_the_past_alone_and_warnings_stay_inside():
    seen = []

    def predict(past, y, new):
        seen.append((len(past), len(y), len(new)))
        return np.zeros((len(new), 1, 2))

    rows_of(refitted(predict, 1, np.zeros((20, 1)), Classes(("a", "b")), 0, first=4, growth=2.0), [0] * 20)
    assert seen == [(4, 4, 4), (8, 8, 8), (16, 16, 4)]


def test_the_mode_is_scikit_learn_s(draws):
    """A Gaussian prior of precision 1 on slopes and a flat one on the constant are an L2 penalty with C = 1."""
    x = draws.normal(size=(80, 3))
    y = draws.integers(3, size=80)
    weights, covariance = mode(np.c_[x, np.ones(80)], y, 3, np.array([1, 1, 1, 1e-6]), np.zeros((4, 3)), steps=50)
    plain = Plain(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
    ours = np.exp(np.c_[x, np.ones(80)] @ weights)
    assert np.allclose(ours / ours.sum(1, keepdims=True), plain.predict_proba(x), atol=1e-3)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_student_s_density_is_scipy_s(draws):
    a = draws.normal(size=(3, 3))
    shape = a @ a.T + np.eye(3)
    x = draws.normal(size=(5, 3))
    ours = log_student(x, np.linalg.cholesky(shape), 4.5)
    assert np.allclose(ours, multivariate_t(np.zeros(3), shape, 4.5).logpdf(x))


def test_gaussian_classes_cost_little_more_than_their_truth(draws):
    """Two Gaussians of unlike covariance: the quadratic discriminant pays the truth and some bits a parameter."""
    y = draws.integers(2, size=600)
    x = draws.normal(size=(600, 2)) * np.array([[1, 1], [3, 0.3]])[y]
    rows = rows_of(ClassGaussians().experts(x, Classes(("a", "b")), 0), y.tolist())
    cost = (-rows[np.arange(600), :, y].sum(0)).min() / np.log(2)
    logs = np.stack([norm.logpdf(x).sum(1), norm.logpdf(x / [3, 0.3]).sum(1) - np.log(0.9)], 1)
    truth = -(logs - np.logaddexp(*logs.T)[:, None])[np.arange(600), y].sum() / np.log(2)
    assert truth - 15 < cost < truth + 30


def test_categories_are_runs_of_columns_that_sum_to_one(draws):
    kinds = np.eye(4)[draws.integers(4, size=50)]
    flag = draws.integers(2, size=(50, 1)).astype(float)
    x = np.concatenate([draws.normal(size=(50, 1)), flag, kinds, np.eye(3)[draws.integers(3, size=50)]], 1)
    assert categories(x) == [slice(2, 6), slice(6, 9)]


def test_unlike_kinds_are_as_far_apart_as_numbers_on_average(draws):
    """E|a − b|² over independent rows is 2 for a number, a flag and a category alike."""
    x = np.concatenate(
        [draws.normal(size=(4000, 1)), np.eye(5)[draws.choice(5, size=4000, p=[0.8, 0.1, 0.05, 0.04, 0.01])]], 1
    )
    found = standard(x)
    apart = (found - found[draws.permutation(4000)]) ** 2
    assert apart[:, 0].mean() == pytest.approx(2, abs=0.15)
    assert apart[:, 1:].sum(1).mean() == pytest.approx(2, abs=0.15)


def test_ranks_know_no_scale_and_agree_with_scipy(draws):
    x = draws.integers(6, size=(40, 2)).astype(float)
    assert np.allclose(ranked(x), ranked(np.exp(3 * x)))
    plain = norm.ppf((rankdata(x[:, 0]) - 0.5) / 40)
    assert np.allclose(ranked(x)[:, 0], (plain - plain.mean()) / plain.std())


def test_components_keep_distances_of_what_has_few_directions(draws):
    x = draws.normal(size=(30, 4)) @ draws.normal(size=(4, 20))
    few = components(x, 4)
    assert few.shape == (30, 4)
    assert np.allclose(np.linalg.norm(few[0] - few[1]), np.linalg.norm(x[0] - x[1]))


def test_a_stack_is_surer_than_two_that_know_half_each(draws):
    """Independent evidence adds up in the logit domain, and weights of one each are found."""
    y = draws.integers(2, size=3000)
    logits = 1.5 * (2 * y - 1)[:, None] + draws.normal(size=(3000, 2)) * 1.5**0.5
    stack, cost, best = Stack(5, 0.3), 0.0, np.zeros(2)
    for label, pair in zip(y, 2 * logits, strict=True):
        rows = -np.logaddexp(0, np.stack([pair, -pair], 1))
        known = np.concatenate([rows[:1], rows, np.log(np.full((2, 2), 0.5))])
        cost -= stack.predict(known)[label]
        best -= rows[:, label]
        stack.learn(label)
    assert cost < 0.75 * best.min()


def test_a_committee_pays_for_its_choice_and_no_more(draws):
    """One family knows all, one lies: its row costs log of its two experts and some bits for hand-overs."""
    y = draws.integers(3, size=300)
    knows, lies = np.log(np.eye(3) * 0.97 + 0.01), np.log((1 - np.eye(3)) * 0.49 + 0.02 / 3)
    committee, cost = Committee([2, 1], 3), np.zeros(8)
    for label in y:
        said = committee.predict([np.stack([knows[label], lies[label]]), lies[label][None]])
        assert np.allclose(np.exp(said).sum(1), 1)
        cost -= said[:, label]
        committee.learn(label)
    alone = -300 * np.log(0.98)
    assert cost[0] < alone + np.log(2) + 3.5
    assert cost[1] > 300 * np.log(3)


def test_noisy_experts_find_the_share_of_wrong_labels(draws):
    """An expert that is sure, and wrong of a seventh of the labels, is read through the channel that fits it."""

    def said():
        while True:
            yield np.log([[0.5, 0.5], [1 - 1e-12, 1e-12], [0.4, 0.6]])

    labels = (draws.random(400) < 0.075).astype(int)
    rows = rows_of(noisy(said(), 1, 2), labels.tolist())
    assert rows.shape == (400, 3, 2)
    assert np.allclose(np.exp(rows).sum(2), 1)
    assert np.array_equal(rows[:, 0], np.log(np.full((400, 2), 0.5)))
    assert np.exp(rows[-1, 2, 1]) == pytest.approx(0.075, abs=0.005)


def test_a_regression_on_means_is_bayes_rule(draws):
    """With the noise known the online weights are those of ridge regression about equal shares."""
    means, y = draws.normal(size=(40, 2)), draws.normal(size=40)
    online = Regression(2, 0.5)
    for row, number in zip(means, y, strict=True):
        online.count, online.squares = 1.0, 1.0
        online.predict(row)
        online.learn(number)
    x, about = np.c_[means, np.ones(40)], np.array([0.5, 0.5, 0.0])
    plain = about + np.linalg.solve(x.T @ x + 2 * np.eye(3), x.T @ (y - x @ about))
    assert np.allclose(online.weights, plain)


def test_means_are_weighed_by_their_residuals():
    residuals = Residuals(2, 1)
    assert residuals.mean(np.array([[1.0], [3.0]])).tolist() == [2.0]
    for _ in range(20):
        residuals.mean(np.array([[0.0], [1.0]]))
        residuals.learn(np.array([0.0]))
    assert residuals.mean(np.array([[5.0], [9.0]]))[0] == pytest.approx(5, abs=1e-9)


def test_experts_of_several_families_are_one_committee_s():
    draws, sizes = np.random.default_rng(3), [2, 3, 1]
    logits, labels = draws.normal(size=(30, 6, 4)), draws.integers(4, size=30).tolist()
    rows = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)

    def experts():
        for each in rows:  # noqa: UP028 - what is sent is let fall
            yield each

    committee, told = Committee(sizes, 4), in_families(experts(), sizes, 4)
    for i, (each, label) in enumerate(zip(rows, labels, strict=True)):
        own = next(told) if not i else told.send(labels[i - 1])
        np.testing.assert_array_equal(own, committee.predict([each[:2], each[2:5], each[5:]]))
        committee.learn(label)
    with pytest.raises(StopIteration):
        told.send(labels[-1])
