from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from infoscope.data.task import Task
from infoscope.data.tishby import tishby
from infoscope.dynamics.examples import Examples
from infoscope.dynamics.plane.information_plane import InformationPlane
from infoscope.dynamics.plane.point import PlanePoint, plane_point
from infoscope.dynamics.plane.specification import PlaneSpecification
from infoscope.dynamics.plane.study_run import PlaneStopped
from infoscope.dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Every
from infoscope.measurement import Status
from infoscope.mi.estimate import layer_information
from infoscope.mi.estimators.binning import Uniform
from infoscope.models import MLP
from infoscope.record import Record
from infoscope.run import Store
from infoscope.training.fit import fit
from infoscope.training.learner import Learner, copy_weights
from infoscope.training.recipe import Adam, Recipe

TASK = tishby()[::16]
EPOCHS = 12
LEARNER = Learner(MLP((4, 3), "tanh"), Recipe(Adam(0.01), batch=32, epochs=EPOCHS, patience=None))
BINS = Uniform(30)


def trained(plane, learner=LEARNER, seed=0):
    plane.step(learner.network(TASK.shape, TASK.classes, seed), 0)
    fit(learner, TASK, seed=seed, observers=[plane])
    return plane.record()


def table(record):
    return [(row.coordinates, row.measurement.quantity, row.measurement.value) for row in record]


def epochs(record):
    return list(dict.fromkeys(row.coordinates["epoch"] for row in record))


class Kept:
    """Every state of a training."""

    def __init__(self):
        self.weights = [copy_weights(LEARNER.network(TASK.shape, TASK.classes, 0))]

    def observe(self, moment):
        if moment.end_of_epoch:
            self.weights.append(copy_weights(moment.network))


def test_it_records_what_the_estimator_says_of_every_epoch_layer_and_side():
    kept = Kept()
    fit(LEARNER, TASK, observers=[kept])
    test = tishby()[5::16]
    record = trained(InformationPlane(TASK, test=test, layers="act*", method=BINS))
    expected = []
    for epoch, weights in enumerate(kept.weights):
        w = weights
        for side, task in (("train", TASK), ("test", test)):
            first = torch.tanh(task.x @ w["fc1.weight"].T + w["fc1.bias"])
            second = torch.tanh(first @ w["fc2.weight"].T + w["fc2.bias"])
            for layer, t in (("act1", first), ("act2", second)):
                both = layer_information(t, task.y, BINS)
                coordinates = {"epoch": epoch, "side": side, "layer": layer}
                expected += [(coordinates, "I(X;T)", both.x_t.value), (coordinates, "I(T;Y)", both.t_y.value)]
    assert table(record) == expected


@pytest.mark.parametrize("delta", [0.005, 0.02, 0.1])
def test_neighbours_on_the_plane_differ_by_at_most_delta(delta):
    record = trained(InformationPlane(TASK, layers="act*", method=BINS, schedule=DeltaSkipExact(delta)))
    h_x, h_y = math.log(len(TASK)), TASK.label_entropy
    points = {
        epoch: np.array([m.value / (h_x if m.quantity == "I(X;T)" else h_y) for m in record.where(epoch=epoch)])
        for epoch in epochs(record)
    }
    assert (epochs(record)[0], epochs(record)[-1]) == (0, EPOCHS)
    for a, b in itertools.pairwise(points):
        assert b == a + 1 or np.abs(points[a] - points[b]).max() <= delta


def test_measuring_leaves_the_training_as_it_is():
    plane = InformationPlane(TASK, schedule=DeltaSkipExact(0.05))
    plain, watched = fit(LEARNER, TASK), fit(LEARNER, TASK, observers=[plane])
    assert plain.losses == watched.losses
    assert all(torch.equal(plain.weights[k], watched.weights[k]) for k in plain.weights)


def test_three_lines_in_a_plain_loop():
    net = LEARNER.network(TASK.shape, TASK.classes, 0)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    plane = InformationPlane((TASK.x, TASK.y), layers=["fc*"], schedule=Every(2))
    for epoch in range(5):
        plane.step(net, epoch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(TASK.x), TASK.y).backward()
        optimizer.step()
        assert net.training
    record = plane.record()
    assert epochs(record) == [0, 2, 4]
    assert {row.coordinates["layer"] for row in record} == {"fc1", "fc2", "fc3"}


def test_the_last_epoch_is_measured_whatever_the_schedule():
    assert epochs(trained(InformationPlane(TASK, schedule=Every(5)))) == [0, 5, 10, 12]
    still = Learner(LEARNER.factory, Recipe(Adam(0.0), batch=32, epochs=EPOCHS, patience=None))
    assert epochs(trained(InformationPlane(TASK, schedule=DeltaSkipExact()), still)) == [0, 1, 3, 7, 12]
    assert epochs(trained(InformationPlane(TASK, schedule=DeltaSkipApproximate()), still)) == [0, 1, 3, 7, 12]


def test_the_record_may_be_read_while_training_goes_on():
    plane = InformationPlane(TASK, schedule=DeltaSkipExact(0.01))
    net = LEARNER.network(TASK.shape, TASK.classes, 0)
    for epoch in (3, 4, 7):
        plane.step(net, epoch)
    assert epochs(plane.record()) == [3, 4, 7]
    plane.step(net, 9)
    assert epochs(plane.record()) == [3, 4, 7, 9]
    with pytest.raises(ValueError, match="epoch 9 comes after epoch 9: epochs go up"):
        plane.step(net, 9)


def test_a_finished_run_measures_nothing_again(tmp_path, monkeypatch):
    made = []

    def counted(*args):
        made.append(args)
        return plane_point(args[0], args[1].with_weights(args[2])).to_bytes()

    def run():
        made.clear()
        return trained(InformationPlane(TASK, method=BINS, schedule=DeltaSkipExact(0.02), store=Store(tmp_path)))

    monkeypatch.setattr("infoscope.dynamics.plane.study_run._bytes", counted)
    first = run()
    assert len(made) == len(epochs(first))
    second = run()
    assert made == []
    assert table(first) == table(second)


@pytest.mark.parametrize("store", [False, True])
def test_workers_find_the_same(tmp_path, store):
    schedule = DeltaSkipExact(0.02)
    alone = trained(InformationPlane(TASK, method=BINS, schedule=schedule))
    kept = Store(tmp_path) if store else None
    side_by_side = trained(InformationPlane(TASK, method=BINS, schedule=schedule, jobs=2, store=kept, memory=10**9))
    assert table(side_by_side) == table(alone)


def test_memory_does_not_grow_with_the_number_of_epochs():
    net = nn.Sequential(nn.Linear(12, 200), nn.Tanh(), nn.Linear(200, 2))
    size = sum(p.numel() * 4 for p in net.parameters())

    def most(count):
        plane = InformationPlane(TASK, schedule=DeltaSkipExact(0.1), memory=10 * size)
        tracemalloc.start()  # tensors are not traced: what grows here would be the plane's own
        for epoch in range(count):
            plane.step(net, epoch)
            assert len(plane._kept) <= 10
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return len(epochs(plane.record())), peak

    (few, _), (many, peak) = most(100), most(400)
    assert many <= 400 / 10 + few
    assert peak < 5e6


def test_a_full_memory_ends_sections_early_and_keeps_the_promise():
    wide, narrow = (
        trained(InformationPlane(TASK, layers="act*", method=BINS, schedule=DeltaSkipExact(0.2), memory=memory))
        for memory in (2**30, 1)
    )
    assert epochs(narrow) == list(range(EPOCHS + 1))
    assert set(epochs(wide)) < set(epochs(narrow))


class Annealed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.temperature = nn.Linear(12, 2), 1.0

    def forward(self, x):
        return self.fc(x * self.temperature)


def test_what_depends_on_more_than_the_weights_is_refused_not_measured_wrongly():
    net, plane = Annealed(), InformationPlane(TASK)
    plane.step(net, 0)
    net.temperature = 0.5
    with pytest.raises(ValueError, match="'fc' of Annealed depends on more than its weights and buffers"):
        plane.step(net, 1)


def test_a_glob_that_matches_nothing_is_an_error_at_once():
    with pytest.raises(ValueError, match=r"matches 'conv\*'"):
        InformationPlane(TASK, layers=["conv*"]).step(LEARNER.network(TASK.shape, 2, 0), 0)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def test_an_estimate_that_rises_along_a_chain_is_flagged():
    task = Task.from_arrays(torch.linspace(0, 1, 64)[:, None], [0, 1] * 32)
    wanted = PlaneSpecification.of(task, method=Uniform(64, (0.0, 1.0)), layers="*.*")
    chain = nn.Sequential(nn.Sequential(Scaled(1e-3), Scaled(1e3), Scaled(1.0)))
    squeezed, stretched, same = plane_point(wanted, chain).layers
    assert (squeezed.x_t.value, stretched.x_t.bits, same.x_t.bits) == (0.0, 6.0, 6.0)
    assert squeezed.x_t.receipt.notes == ()
    assert stretched.x_t.receipt.notes == ("I(X;T) is 6.0000 bit above that of 0.0, an earlier layer",)
    flagged = [Status.DATA_PROCESSING_VIOLATED in place.x_t.status for place in (squeezed, stretched, same)]
    assert flagged == [False, True, True]


def test_without_a_chain_a_rise_is_noted_but_no_fault():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = Scaled(0.0), Scaled(1.0)

        def forward(self, x):
            return self.outer(x + self.inner(x))

    task = Task.from_arrays(torch.linspace(0, 1, 64)[:, None], [0, 1] * 32)
    wanted = PlaneSpecification.of(task, method=Uniform(64, (0.0, 1.0)), layers=("inner", "outer"))
    _, outer = plane_point(wanted, Skips()).layers
    assert outer.x_t.receipt.notes == ("I(X;T) is 6.0000 bit above that of inner, an earlier layer",)
    assert Status.DATA_PROCESSING_VIOLATED not in outer.x_t.status


def test_a_point_travels_as_bytes():
    point = plane_point(PlaneSpecification.of(TASK, method=BINS), LEARNER.network(TASK.shape, 2, 0))
    back = PlanePoint.from_bytes(point.to_bytes())
    assert [(p.side, p.layer, p.x_t.value, p.t_y.bits) for p in back.layers] == [
        (p.side, p.layer, p.x_t.value, p.t_y.bits) for p in point.layers
    ]


def test_the_scale_of_the_inputs_counts_patterns():
    assert Examples.of(tishby()).pattern_entropy == pytest.approx(12 * math.log(2), abs=1e-12)


def test_the_reference_activations_of_the_random_tanh_network(shared_data):
    from infoscope.dynamics.plane.saved_activations import plane_of_activations
    from infoscope.mi.estimators.binning import IDNNS

    record = plane_of_activations(shared_data("tishby") / "activations_random_tanh.npz", method=IDNNS())
    expected = {
        "T2": (11.973468985726793, 0.9877321375782664),
        "T4": (10.56326389233524, 0.6058992262273897),
        "T6": (6.683615430247537, 0.11152091594624824),
    }
    assert epochs(record) == [0]
    for layer, bits in expected.items():
        assert [m.bits for m in record.where(layer=layer)] == pytest.approx(bits, abs=1e-12)


class Breaks(nn.Module):
    """A layer that gives NaN once a buffer says so."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 2)
        self.register_buffer("broken", torch.zeros(()))

    def forward(self, x):
        return self.first(x / (1 - self.broken))


@pytest.mark.parametrize("schedule", [Every(), DeltaSkipExact(0.5)])
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_measured_before_an_epoch_that_cannot_be_is_kept(schedule, jobs):
    net, told = Breaks(), Record()
    plane = InformationPlane(TASK, layers="first", schedule=schedule, jobs=jobs, record=told)
    for epoch in (0, 1):
        plane.step(net, epoch)
    net.broken.fill_(1)
    message = r"epoch [23]: `first` has 256 of 256 rows with NaN or infinity"
    with pytest.raises(PlaneStopped, match=message) as stopped:
        plane.step(net, 2) or plane.step(net, 3)
    assert epochs(plane.record()) == epochs(stopped.value.record) == epochs(told) == [0, 1]
