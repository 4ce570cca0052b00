"""Similarity: the paper's tables, teachers that are lookup tables, and networks on digits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from infoscope.data.partition import partition
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.ensembles.train import Train
from infoscope.measurement import NATS_PER_BIT, Measurement, Status
from infoscope.model_information.equal_partitions import equal_partitions
from infoscope.model_information.similarity.feature_distance import first_order, second_order, squared_mmd
from infoscope.model_information.similarity.pairs import similarities
from infoscope.model_information.similarity.question import Similarity, similarity
from infoscope.models import MLP
from infoscope.observation.cka import cka
from infoscope.prequential.codelength import model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.run.context import RunContext
from infoscope.run.question import ask, cost, requests
from infoscope.training.learner import Learner, copy_weights
from infoscope.training.recipe import Adam, Recipe

QUICK = Replay(replays=1, start=8)
FAST = Learner(MLP((8,)), Recipe(Adam(0.02), epochs=60, patience=None))

OFFICE_31 = {
    "amazon": {"amazon": 263.0, "dslr": 124.7, "webcam": 106.3},
    "dslr": {"amazon": 139.4, "dslr": 318.4, "webcam": 26.6},
    "webcam": {"amazon": 153.9, "dslr": 6.6, "webcam": 316.6},
}
"""Table 5 of "Model Information as an Analysis Tool": L(M_T,T) − L(M_S,T), on the diagonal L(M_T,T)."""

OFFICE_HOME = {
    "art": {"art": 2776.4, "clipart": 1076.2, "product": 764.8, "real_world": 451.9},
    "clipart": {"art": 2001.2, "clipart": 1630.3, "product": 756.8, "real_world": 617.5},
    "product": {"art": 2047.6, "clipart": 1144.8, "product": 1480.2, "real_world": 466.0},
    "real_world": {"art": 1609.2, "clipart": 879.2, "product": 411.9, "real_world": 1420.2},
}
"""Table 6."""


def of_table(table):
    """The similarities of a table as the paper prints it, by eq. (12)."""
    return similarities(
        {
            (a, b): Measurement("L(M,D)", NATS_PER_BIT * (table[b][b] - (lost if a != b else 0.0)))
            for a, row in table.items()
            for b, lost in row.items()
        }
    )


def test_the_papers_table_5_gives_the_papers_similarities():
    found = of_table(OFFICE_31)
    s = {("amazon", "dslr"): 0.4996, ("amazon", "webcam"): 0.5695, ("dslr", "amazon"): 0.2700,
         ("dslr", "webcam"): 0.8406, ("webcam", "amazon"): 0.2319, ("webcam", "dslr"): 0.9647}  # fmt: skip
    s_uni = {("amazon", "dslr"): 0.6084, ("amazon", "webcam"): 0.6642, ("dslr", "amazon"): 0.4700,
             ("dslr", "webcam"): 0.9160, ("webcam", "amazon"): 0.4148, ("webcam", "dslr"): 0.9793}  # fmt: skip
    for printed, ours in ((s, found.s), (s_uni, found.s_uni)):
        assert {pair: round(ours[pair].measurement.value, 4) for pair in printed} == printed
        assert all(ours[a, a].measurement.value == 1 for a in OFFICE_31)


def test_the_papers_table_6_keeps_what_follows_from_its_printed_lengths():
    """Every domain is told best by the real-world photographs, and S_uni of a source is as the table's column says."""
    found = of_table(OFFICE_HOME)
    for target in ("art", "clipart", "product"):
        from_each = {a: found.s_uni[a, target].measurement.value for a in OFFICE_HOME if a != target}
        assert max(from_each, key=from_each.__getitem__) == "real_world"
    assert found.s_uni["art", "clipart"].measurement.value == pytest.approx(1 - 1076.2 / 1630.3)
    assert found.s["art", "clipart"].measurement.value == pytest.approx(554.1 / (2776.4 + 1630.3 - 554.1))


def lookup_curves(cells, taught, seed, each=32, classes=10, alpha=0.01):
    """Labels of these cells sent by one who keeps a table, α before each count, and was taught some of the cells."""
    draws = np.random.default_rng(seed)
    labels = np.random.default_rng(7).integers(classes, size=64)
    counts = np.full((64, classes), alpha)
    for cell in taught:
        counts[cell, labels[cell]] += each
    order = draws.permutation(np.repeat(cells, each))
    rows = np.empty((len(order), classes))
    for i, cell in enumerate(order):
        rows[i] = counts[cell] / counts[cell].sum()
        counts[cell, labels[cell]] += 1
    return LossCurve.from_probabilities(rows, labels[order], seed=seed)


def lookup_similarities(cells):
    """Of tasks that are cells of one table, by eq. (2) on code lengths that are exact."""
    seeds = (0, 1)
    known = {
        (a, b): model_information(
            [lookup_curves(cells[b], (), s) for s in seeds], [lookup_curves(cells[b], cells[a], s) for s in seeds]
        )
        for a in cells
        for b in cells
    }
    return known, similarities(known)


def test_a_lookup_teacher_of_half_the_cells_is_half_as_alike():
    known, found = lookup_similarities({"A": np.arange(64), "B": np.arange(32)})
    assert known["A", "A"].bits == pytest.approx(239.5487, abs=1e-4)
    assert known["A", "B"].bits / 32 == pytest.approx(3.742948, abs=1e-6)
    assert found.s["A", "B"].measurement.value == pytest.approx(0.5)
    assert found.s["B", "A"].measurement.value == pytest.approx(0.5)
    assert found.s_uni["A", "B"].measurement.value == pytest.approx(1)
    assert found.s_uni["B", "A"].measurement.value == pytest.approx(0.5)
    assert found.s_uni["B", "A"].lower == pytest.approx(0.5)  # the orders do not matter, so the interval is a point


def test_lookup_teachers_of_other_cells_have_nothing_in_common():
    _, found = lookup_similarities({"A": np.arange(32), "B": np.arange(32, 64)})
    for ratios in (found.s, found.s_uni):
        assert ratios["A", "B"].measurement.value == pytest.approx(0, abs=1e-12)
        assert ratios["A", "A"].measurement.value == 1


def measured(*values):
    return Measurement.from_replicates("L(M,D)", dict(enumerate(values)))


def test_knowledge_in_conflict_is_flagged_and_what_was_not_learned_has_no_ratio():
    known = {("A", "A"): measured(90.0, 95.0, 91.0), ("A", "B"): measured(-30.0, -31.0, -32.0),
             ("B", "A"): measured(1.0, -2.0, 0.5), ("B", "B"): measured(2.0, -1.0, 3.0)}  # fmt: skip
    found = similarities(known)
    assert Status.CONFLICT in found.known["A", "B"].status
    assert Status.CONFLICT not in found.known["B", "A"].status
    assert Status.NO_RATIO in found.s_uni["A", "B"].measurement.status
    assert math.isnan(found.s_uni["B", "B"].measurement.value)
    assert found.s_uni["B", "A"].measurement.value == pytest.approx(-0.5 / 276)
    assert not any(Status.INCOMPARABLE in r.measurement.status for r in (*found.s.values(), *found.s_uni.values()))


def blobs(seed, n=150, classes=3):
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(classes, 5)) * 3
    y = draws.integers(classes, size=n)
    x = (centres[y] + draws.normal(size=(n, 5))).astype(np.float32)
    return Task.from_arrays(x, y, target=Classes(tuple("abc"[:classes])), name=f"blobs {seed}")


def of(record, quantity):
    return {
        (row.coordinates["source"], row.coordinates["target"]): row.measurement
        for row in record
        if row.measurement.quantity == quantity
    }


@pytest.fixture(scope="module")
def three():
    tasks = [blobs(1), dataclasses.replace(blobs(1), name="the same"), blobs(2)]
    return ask(Similarity(tasks, FAST, coder=QUICK, k=40, train=40, replicates=2))


def test_a_task_and_its_twin_are_one_and_have_no_distance(three):
    record = three.record()
    truth = {"S": 1.0, "S_uni": 1.0, "d1": 0.0, "d2": 0.0, "d1, own features": 0.0, "CKA": 1.0}
    for quantity, value in truth.items():
        assert of(record, quantity)["blobs 1", "the same"].value == pytest.approx(value), quantity
    assert of(record, "L(M,D)")["blobs 1", "blobs 2"].value == of(record, "L(M,D)")["the same", "blobs 2"].value
    assert of(record, "d1")["blobs 1", "blobs 2"].value > 0
    assert of(record, "MMD²")["blobs 1", "blobs 2"].value == of(record, "MMD²")["blobs 2", "blobs 1"].value


def test_the_policy_of_the_head_stands_in_every_receipt(three):
    lengths = of(three.record(), "L(M,D)")
    assert len(lengths) == 9
    assert all("head kept" in m.receipt.notes for m in lengths.values())
    assert "head kept" in of(three.record(), "S")["blobs 1", "blobs 2"].receipt.notes
    assert three.choices()["Head"] == "head kept"
    assert [figure.grid.rows for figure in three.figures()] == [("blobs 1", "the same", "blobs 2")] * 7


def test_what_is_coded_for_one_task_is_trained_on_for_none():
    """Of a set and its first half the same examples are in both."""
    whole = blobs(3)
    parts = equal_partitions([partition(whole, k=10), partition(whole[:75], k=10)])
    coded = np.concatenate([part.coded.ids for part in parts])
    for part in parts:
        assert not np.isin(part.train.ids, coded).any()
        assert not np.isin(part.validation.ids, coded).any()
    assert len({len(part.train) for part in parts}) == 1
    assert any("coded for another task" in note for part in parts for note in part.notes)
    with pytest.raises(ValueError, match=r"are also in|is coded for one of the tasks"):
        equal_partitions([partition(whole[:12], k=8), partition(whole[:12].shuffled(1), k=9)])


def test_bad_input_is_told_before_anything_is_trained():
    def first(question):
        return next(question.stages())

    three, two = blobs(1), blobs(1, classes=2)
    small = {"coder": QUICK, "k": 10, "train": 20, "replicates": 1, "model": MLP((4,))}
    with pytest.raises(ValueError, match="two data sets or more"):
        first(Similarity(three, **small))
    with pytest.raises(ValueError, match=r"different numbers of outputs \(blobs 1 #1 3, blobs 1 #2 2\).*take new"):
        first(Similarity([three, two], **small))
    with pytest.raises(ValueError, match="differ in their shapes"):
        first(Similarity([three, "digits"], head="new", **small))
    with pytest.raises(ValueError, match="there are kept, new"):
        Similarity([three, three], head="none")
    with pytest.raises(ValueError, match="array belong to one task"):
        Similarity([three, three], features=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="knows no network"):
        Similarity([three, three], coder=Mixed())
    with pytest.raises(ValueError, match="200 were asked for"):
        first(Similarity([three, three], **{**small, "train": 200}))
    wrong = copy_weights(MLP((7,))((5,), 3))
    with pytest.raises(ValueError, match="do not fit"):
        first(Similarity([three, blobs(2)], initial=wrong, **small))


def test_tasks_of_other_alphabets_are_alike_by_their_bodies():
    answer = ask(
        Similarity(
            [blobs(1), blobs(1, classes=2)],
            MLP((8,)),
            "closed-form",
            coder=QUICK,
            k=20,
            train=25,
            replicates=1,
            epochs=5,
        )
    )
    lengths = of(answer.record(), "L(M,D)")
    assert len(lengths) == 4
    assert all(math.isfinite(m.value) for m in lengths.values())
    assert any("closed form" in note for note in lengths["blobs 1 #1", "blobs 1 #2"].receipt.notes)


def test_all_trainings_of_a_seed_begin_with_one_body():
    question = Similarity(
        [blobs(1), blobs(2), blobs(1, classes=2)], MLP((8,)), "new", coder=QUICK, k=20, train=25, replicates=2
    )
    trains = [request for request in requests(question) if isinstance(request, Train)]
    starts = [[member.learner.weights for member in train.members] for train in trains]
    for of_seed in zip(*starts, strict=True):
        assert all(torch.equal(of_seed[0]["fc1.weight"], other["fc1.weight"]) for other in of_seed)
    assert not torch.equal(starts[0][0]["fc1.weight"], starts[0][1]["fc1.weight"])
    assert starts[2][0]["fc2.weight"].shape == (2, 8)


def first_two(x):
    return x[:, :2]


def test_given_weights_are_where_all_begin_and_frozen_features_replace_inputs():
    body = {"fc1.weight": torch.ones(8, 2), "fc1.bias": torch.zeros(8)}
    pretrained = body | {"fc2.weight": torch.ones(5, 8), "fc2.bias": torch.zeros(5)}
    question = Similarity([blobs(1), blobs(2)], MLP((8,)), "new", pretrained, first_two, QUICK, 20, 25, 1, epochs=2)
    stages, came = question.stages(), None
    while not isinstance(request := stages.send(came), Train):
        came = request.take(RunContext())
    (member,) = request.members
    given = {tuple(row) for row in blobs(1).array[:, :2].tolist()}
    assert {tuple(row) for row in member.task.array.tolist()} <= given
    assert all(torch.equal(member.learner.weights[name], t) for name, t in body.items())
    assert member.learner.weights["fc2.weight"].shape == (3, 8)  # ImageNet's classes are not these
    notes = of(ask(question).record(), "L(M,D)")["blobs 1", "blobs 2"].receipt.notes
    assert any("initial weights were given" in note for note in notes)
    assert any("frozen features" in note for note in notes)


def test_feature_distances_are_what_they_say():
    draws = np.random.default_rng(0)
    a, b = draws.normal(size=(300, 3)), draws.normal(size=(300, 3))
    turned = a @ Rotation.random(random_state=0).as_matrix() * 2 + 5
    assert cka(a, turned) == pytest.approx(1)
    assert abs(cka(a, b)) < 0.05  # the biased estimate is above 0 whatever they are
    wide = [cka(draws.normal(size=(20, 50)), draws.normal(size=(20, 50))) for _ in range(60)]
    assert np.mean(wide) == pytest.approx(0, abs=3 * np.std(wide) / 60**0.5)
    assert first_order(a, a + np.array([3, 4, 0])) == pytest.approx(5)
    assert second_order(a, a + 1) == pytest.approx(0, abs=1e-12)
    assert squared_mmd(a, a + 3) > 0.5 > squared_mmd(a, b)


@pytest.mark.long
def test_an_independent_labelling_shares_nothing_where_features_say_that_all_is_one():
    """Brightness deciles of the digits: the same inputs, so every distance of features is 0."""
    digits = Task.from_dataset("digits")
    brightness = digits.array.flatten(1).sum(1).double().numpy()
    deciles = np.searchsorted(np.quantile(brightness, np.arange(1, 10) / 10), brightness)
    labelled = Task.from_arrays(digits.array, deciles, target=Classes(tuple(map(str, range(10)))), name="brightness")
    record = similarity(digits, labelled, model=MLP((128,)), k=200, train=700, replicates=3)
    for pair in (("digits", "brightness"), ("brightness", "digits")):
        share = of(record, "S_uni")[pair]
        assert of(record, "d1")[pair].value == pytest.approx(0, abs=1e-9)
        assert abs(share.value) < max(0.15, 3 * share.stderr)


@pytest.mark.long
def test_a_subset_is_known_from_the_whole_and_tells_less_of_it():
    """Digits 0 to 4 of all digits, numbered alike."""
    digits = Task.from_dataset("digits")
    few = np.flatnonzero(digits.y.numpy() < 5)
    part = dataclasses.replace(digits[few], name="0 to 4")
    record = similarity(digits, part, model=MLP((128,)), k=200, train=500, replicates=3)
    whole_knows, part_knows = of(record, "S_uni")["digits", "0 to 4"], of(record, "S_uni")["0 to 4", "digits"]
    assert whole_knows.value == pytest.approx(1, abs=0.15)
    assert whole_knows.value - part_knows.value > 3 * math.hypot(whole_knows.stderr, part_knows.stderr)


def test_a_dry_run_tries_each_kind_of_code_once_whatever_stages_and_tasks_it_is_for(monkeypatch):
    from infoscope.model_information import codes

    tried = []
    monkeypatch.setattr(codes, "seconds_to_send", lambda task, coder, learner, n: tried.append(n) or 1.0)
    digits = Task.from_dataset("digits")
    three = [dataclasses.replace(digits[600 * i : 600 * (i + 1)], name=f"part {i}") for i in range(3)]
    found = cost(Similarity(three, MLP((8,)), coder=QUICK, k=50, train=100, replicates=2))
    assert tried == [50]
    assert found.units["codes"] == 2 * (3 + 9)
    assert found.seconds >= found.units["codes"]


def test_tables_of_other_columns_are_not_told_to_scale_their_images():
    some = [Task.from_arrays(np.eye(9)[:, :d], [0, 1, 2] * 3, name=f"table of {d}") for d in (4, 5)]
    with pytest.raises(ValueError, match="the same columns"):
        next(Similarity(some).stages())
