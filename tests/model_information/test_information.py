from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import infoscope
from infoscope.data.combine import union
from infoscope.data.corruption import Massart, ShuffledLabels
from infoscope.data.partition import partition
from infoscope.data.task import Task
from infoscope.measurement import Bound, Status, UnreliableMeasurement
from infoscope.model_information.information import Information
from infoscope.model_information.task_information import both_codes
from infoscope.models import MLP
from infoscope.prequential.replay import Replay
from infoscope.run.question import ask, walk
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Adam, Recipe

QUICK = Replay(replays=4, start=64)
LEARNER = Learner(MLP((64,)))


@pytest.fixture(scope="module")
def digits() -> Task:
    return Task.from_dataset("digits")


def about(task: Task, learner: Learner, **options):
    """What one network's information comes to."""
    (found,) = ask(Information(task, learner, QUICK, **options)).found
    return found


def test_information_grows_with_the_training_size(digits):
    """Spearman ≥ 0.9 over 25 … 900 training examples."""
    sizes = [25, 50, 100, 200, 400, 900]
    parts = [partition(digits, k=300, train=n) for n in sizes]
    trained = [fit(LEARNER, p.train, p.validation, seed=0) for p in parts]
    pairs = [(LEARNER.starting_from(t.initial), LEARNER.starting_from(t.weights)) for t in trained]
    known = [
        walk(both_codes(p.coded, [pair], QUICK, [0], "cpu")).measurements()[0]
        for p, pair in zip(parts, pairs, strict=True)
    ]
    assert spearmanr(sizes, [m.value for m in known]).statistic >= 0.9
    assert known[-1].bits > 80


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_memorised_random_labels_knows_nothing(digits, seed):
    """|eq. (2)| ≤ 20 bits, although the training loss is near zero."""
    noise = digits.corrupted(ShuffledLabels(), seed=seed)
    learner = Learner(MLP((64,)), Recipe(epochs=60, patience=None))
    known = about(noise, learner, k=300, train=300, replicates=1, seed=seed)
    assert abs(known.measurements()[0].bits) <= 20


def test_both_terms_are_reported_and_their_difference_is_paired(digits):
    known = about(digits, LEARNER, k=100, train=200, replicates=2)
    difference, first, last, accuracy, confidence = known.measurements()
    assert difference.value == pytest.approx(first.value - last.value)
    assert difference.bound is Bound.NONE
    assert (first.quantity, last.quantity) == ("L_init(y|x)", "L_trained(y|x)")
    for seed in (0, 1):
        assert difference.replicates[seed] == pytest.approx(first.replicates[seed] - last.replicates[seed])
    assert 0.6 < accuracy.value <= 1
    assert 0 < confidence.value <= 1
    assert difference.receipt.over.startswith("orders and seeds")


def test_a_split_that_nobody_can_check_is_said_to_be(digits):
    trained = fit(LEARNER, digits[:300], digits[300:350])
    coded = digits[400:500]
    loose = about(coded, LEARNER, weights=trained.weights, replicates=1)
    assert loose.measurements()[0].status == {Status.UNVERIFIED_SPLIT}
    with pytest.raises(UnreliableMeasurement):
        infoscope.information(coded, LEARNER, QUICK, weights=trained.weights, replicates=1)
    sure = infoscope.information(
        coded, LEARNER, QUICK, weights=trained.weights, trained_on=digits[:350], initial=trained.initial, replicates=1
    )
    assert sure.bits > 10


def test_images_that_were_trained_on_do_not_count_when_they_are_stored_again(digits):
    """Rounded to bytes they are other numbers, and hold what the network has learned by heart."""
    trained, old, new = fit(LEARNER, digits[:300], digits[300:350]), digits[:100], digits[400:500]
    again = Task.from_arrays((old.array * 255).round() / 255 + 1e-7, old.labels, alphabet=digits.alphabet)
    options = {"weights": trained.weights, "trained_on": digits[:350], "initial": trained.initial, "replicates": 1}
    with pytest.raises(ValueError, match="every example of 'arrays' is one that was trained on"):
        infoscope.information(again, LEARNER, QUICK, **options)
    mixed = infoscope.information(union(again, new), LEARNER, QUICK, **options)
    assert mixed.receipt.n == 100
    assert "100 examples nearly equal to trained ones were not coded" in mixed.receipt.notes
    unchecked = infoscope.information(again, LEARNER, QUICK, **options | {"trained_on": None}, strict=False)
    assert mixed.bits < 0.8 * unchecked.bits


def test_what_was_changed_in_another_way_leaves_a_doubt(digits):
    trained, old = fit(LEARNER, digits[:300], digits[300:350]), digits[:100]
    noise = 0.15 * torch.randn(old.array.shape, generator=torch.Generator().manual_seed(0))
    changed = Task.from_arrays(old.array + noise, old.labels, alphabet=digits.alphabet)
    known = about(changed, LEARNER, weights=trained.weights, trained_on=digits[:350], replicates=1)
    assert Status.UNVERIFIED_SPLIT in known.measurements()[0].status


def test_a_training_that_ran_out_of_epochs_says_so(digits):
    learner = Learner(MLP((64,)), Recipe(epochs=2))
    known = about(digits, learner, k=50, train=100, replicates=1)
    assert Status.NOT_CONVERGED in known.measurements()[0].status


def test_a_training_that_went_on_while_the_held_out_loss_rose_says_so(digits):
    noisy, long = digits.corrupted(Massart(0.5)), Recipe(Adam(0.01), batch=20, epochs=40, patience=None)
    known = about(noisy, Learner(MLP((64,)), long), k=50, train=60, replicates=1)
    assert Status.OVERFIT in known.measurements()[0].status
    stopped = about(noisy, Learner(MLP((64,)), replace(long, patience=3)), k=50, train=60, replicates=1)
    assert Status.OVERFIT not in stopped.measurements()[0].status


def test_a_seed_that_diverges_is_named_and_not_averaged_in(digits):
    """Seed 0 starts from weights that no rate can tame; the others are measured under their own seeds."""
    learner = Learner(explosive, Recipe(SGD(0.01), epochs=3, patience=None))
    known = about(digits, learner, k=50, train=100, replicates=3)
    difference = known.measurements()[0]
    assert list(difference.replicates) == [1, 2]
    assert any("seed 0" in note and "diverged" in note for note in difference.receipt.notes)


def explosive(shape, classes):
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    if torch.initial_seed() == 0:
        nn.init.constant_(network[1].weight, 1e38)
    return network


def test_a_model_free_code_measures_no_network(digits):
    with pytest.raises(ValueError, match="knows no network"):
        infoscope.information(digits, LEARNER, infoscope.Kernel())


def test_a_notebook_s_lambda_runs_here_and_is_said_not_to_be_kept(digits):
    learner = Learner(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.warns(UserWarning, match="not kept"):
        found = infoscope.codelength(digits[:60], QUICK, model=learner, replicates=2)
    assert 0 < found.bits < 60 * np.log2(10) + 4


def test_codelength_takes_curves_or_a_task(digits):
    curves = infoscope.loss_curves(digits[:100], replicates=2)
    assert infoscope.codelength(curves).value == infoscope.codelength(digits[:100], replicates=2).value


def test_difficulty_is_a_table(digits):
    record = infoscope.difficulty(digits[:300], model=LEARNER, coder=QUICK, replicates=1, k=60, examples=100)
    quantities = [row.measurement.quantity for row in record]
    assert quantities[:4] == ["L(y|x)", "n log C", "n H(Y)", "L(M,D)"]
    assert {row.coordinates["task"] for row in record} == {digits[:300].name}


def test_k_zero_is_zero_bits(digits):
    known = about(digits, LEARNER, k=0, train=50, replicates=1)
    difference, *_, accuracy, _ = known.measurements()
    assert (difference.value, difference.receipt.n) == (0.0, 0)
    assert np.isnan(accuracy.value)


def test_a_training_that_has_not_settled_names_the_option_that_mends_it():
    iris = Task.from_dataset("iris")
    hurried, options = Learner(MLP((64,)), Recipe(epochs=2)), {"replicates": 1, "k": 20}
    with pytest.raises(UnreliableMeasurement, match=r"by Recipe\(epochs=3000\) or --epochs 3000") as caught:
        infoscope.information(iris, hurried, QUICK, **options)
    kept = infoscope.information(iris, hurried, QUICK, strict=False, **options)
    assert caught.value.measurement.value == kept.value
    mended = infoscope.information(iris, hurried, QUICK, epochs=400, **options)
    assert not mended.status
    assert mended.value == infoscope.information(iris, Learner(MLP((64,)), Recipe(epochs=400)), QUICK, **options).value


def test_epochs_are_of_a_training():
    with pytest.raises(ValueError, match="with weights there is none"):
        Information("iris", weights={"w": torch.zeros(1)}, epochs=3)
