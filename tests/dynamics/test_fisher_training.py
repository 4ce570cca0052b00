import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from infoscope import (
    Boxes,
    FisherTrace,
    FisherTraining,
    Learner,
    Member,
    Recipe,
    RunContext,
    Store,
    Task,
    ask,
    fisher,
    fit,
)
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW, FisherCurve, Watching, When
from infoscope.dynamics.fisher_training.watched_trainings import WatchedStack, WatchTrainings
from infoscope.measurement import Receipt
from infoscope.models import MLP
from infoscope.observation.estimators import Exact, Sketch
from infoscope.observation.example_traces import example_traces
from infoscope.observation.forms import Outer, norms
from infoscope.observation.likelihoods import BERNOULLI, GAUSSIAN, POISSON, Categorical
from infoscope.observation.rows import Differentiated

DIGITS = Task.from_dataset("digits")[:192]


class Normed(nn.Module):
    """Convolutions, batch normalisation and dropout: everything that a second forward pass could disturb."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.mixed, self.head = nn.Conv2d(4, 4, 3, groups=2, stride=2), nn.Linear(36, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        return self.head(self.drop(F.relu(self.mixed(x)).flatten(1)))


class Places(nn.Module):
    """A matrix that is used at every row of an image, and twice."""

    def __init__(self):
        super().__init__()
        self.shared, self.wide, self.head = nn.Linear(8, 8), nn.Linear(8, 40), nn.Linear(40, 10)

    def forward(self, x):
        x = torch.tanh(self.shared(torch.tanh(self.shared(x.squeeze(1)))))
        return self.head(torch.tanh(self.wide(x)).mean(1))


def test_watching_changes_no_bit_of_the_training():
    learner = Learner(Normed, Recipe(epochs=3))
    watch = FisherTrace(DIGITS, every=2)
    before = torch.get_rng_state()
    plain, seen = fit(learner, DIGITS, seed=5), fit(learner, DIGITS, seed=5, observers=[watch])
    assert all(torch.equal(plain.weights[k], seen.weights[k]) for k in plain.weights)
    assert plain.losses == seen.losses
    assert torch.equal(before, torch.get_rng_state())
    assert [when.step for when in watch.curve().times] == [2, 4, 6, 8]


def test_a_loop_of_ones_own_keeps_its_mode_its_buffers_and_its_gradients():
    network = Normed().train()
    network(DIGITS.array).sum().backward()
    state, slopes = (
        {k: v.clone() for k, v in network.state_dict().items()},
        [p.grad.clone() for p in network.parameters()],
    )
    watch = FisherTrace(DIGITS, every=1)
    watch.step(network, 0)
    watch.step(network, 1, 0.25, epoch=1)
    assert all(torch.equal(state[k], v) for k, v in network.state_dict().items())
    assert all(torch.equal(a, p.grad) for a, p in zip(slopes, network.parameters(), strict=True))
    assert all(module.training for module in network.modules())
    rows = list(watch.record())
    assert {(row.coordinates["step"], row.coordinates["epoch"]) for row in rows} == {(0, 0), (1, 1)}
    assert [row.measurement.value for row in rows if row.measurement.quantity == "training loss"] == [0.25]


@pytest.mark.parametrize("make", [Normed, Places, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))])
def test_traces_of_examples_are_those_of_the_whole(make):
    torch.manual_seed(0)
    network, task = make().eval(), DIGITS[:24]
    of = Differentiated(network, task.x)
    found = example_traces(of, task.x, Categorical(), task.y, Exact(), torch.Generator())
    whole = fisher(network, task)
    for name, each in found.traces.items():
        assert float(each.mean()) == pytest.approx(whole.diagonal.trace([name]).value, rel=1e-5)
    total = torch.stack(list(found.traces.values())).sum(0)
    assert total.std() / math.sqrt(24) == pytest.approx(whole.trace().stderr, rel=0.5)
    signs = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [torch.stack(list(example_traces(of, task.x, Categorical(), task.y, Sketch(), signs).traces.values())).sum(0)
         for _ in range(100)]
    )  # fmt: skip
    error = draws.mean(1).std() / math.sqrt(100)
    assert abs(draws.mean() - total.mean()) < 4 * error


@pytest.mark.parametrize(
    ("groups", "height", "width", "places"), [(1, 30, 40, 3), (2, 30, 40, 3), (1, 3, 4, 50), (1, 5, 6, 1)]
)
def test_norms_are_those_of_the_rows_written_out(groups, height, width, places):
    draws = torch.Generator().manual_seed(0)
    left = torch.randn(6, 2, groups, height, places, generator=draws).double()
    right = torch.randn(6, 1, groups, width, places, generator=draws).double()
    form = Outer(left, right, (groups * height, width))
    written = form.dense().flatten(2).square().sum(2)
    torch.testing.assert_close(norms([form]), written)
    torch.testing.assert_close(norms([form, form]), 4 * written)


@pytest.mark.parametrize("likelihood", [Categorical(), BERNOULLI, GAUSSIAN, POISSON])
def test_variances_are_the_diagonal_of_the_root_squared(likelihood):
    z = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.zeros(5, 3).long() if isinstance(likelihood, Categorical) else torch.zeros(5, 3, 4).double()
    y[0, 1] = -100 if isinstance(likelihood, Categorical) else torch.nan
    squares = sum(column.square() for column in likelihood.columns(z, y))
    torch.testing.assert_close(likelihood.variance(z, y), squares)
    assert (likelihood.variance(z, y)[0, 1] == 0).all()


@pytest.mark.parametrize("sure", [0.1, 1.0, 10.0, 100.0])
def test_the_calibrated_trace_of_a_softmax_regression_is_the_same_at_any_confidence(sure):
    """Inputs of norm 1: tr F = Σ p (1 − p) (|x|² + 1) vanishes, and over mean p (1 − p) it is 2 C exactly."""
    x = F.normalize(DIGITS.array.flatten(1), dim=1)
    task = Task.from_arrays(x, DIGITS.y.numpy(), alphabet=range(10))
    network = nn.Linear(64, 10)
    with torch.no_grad():
        network.weight.copy_(sure * torch.randn(10, 64, generator=torch.Generator().manual_seed(0)))
    of = Differentiated(network, task.x)
    found = example_traces(of, task.x, Categorical(), task.y, Exact(), torch.Generator())
    traces = torch.stack(list(found.traces.values())).sum(0)[None, None]
    curve = FisherCurve((When(0, 0),), ("fc",), traces, found.variances[None], (math.nan,), Receipt(""))
    assert curve.at(0)[1].value == pytest.approx(20.0, rel=1e-4)
    assert curve.at(0)[1].stderr < 1e-3


def test_numbers_have_no_confidence_to_take_off():
    task = Task.of("iris")
    task = Task.from_arrays(task.array[:, :3], task.array[:, 3:].double(), name="width")
    network = nn.Linear(3, 1)
    watch = FisherTrace(task, examples=150, draws=4)
    watch.step(network, 0)
    raw, calibrated = watch.curve().at(0)
    assert raw.value == pytest.approx(float(task.array.square().sum(1).mean()) + 1, rel=1e-5)
    assert calibrated.value == raw.value


def test_a_stack_is_watched_as_its_networks_by_themselves():
    learner = Learner(MLP((8,), "tanh"), Recipe(epochs=4, patience=None))
    members = tuple(Member(learner, DIGITS, seed) for seed in (3, 4))
    one, other = WatchTrainings(members, Watching(4)).take(RunContext())
    for seed, found in ((3, one), (4, other)):
        watch = FisherTrace(DIGITS, every=4, seed=seed)
        watch.step(learner.network(DIGITS.shape, 10, seed), 0)
        alone = fit(learner, DIGITS, seed=seed, observers=[watch])
        assert found.curve.times == watch.curve().times
        torch.testing.assert_close(found.curve.traces, watch.curve().traces, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(dict(found.weights), dict(alone.weights), rtol=1e-3, atol=1e-5)
    back = WatchedStack.from_bytes(WatchedStack((one, other)).to_bytes())
    assert torch.equal(back.trainings[1].curve.traces, other.curve.traces)
    assert back.trainings[0].curve.receipt == one.curve.receipt
    joined = one.curve.then(one.curve)
    assert [when.step for when in joined.times] == [0, 4, 8, 12, 16, 20, 24]


def test_rise_and_fall_are_read_where_the_others_are_highest():
    """Raw falls as the network becomes sure; each seed is read at the others' highest step."""
    answer = ask(FisherTraining(DIGITS, MLP((16,)), epochs=40, every=10, replicates=2))
    logs = answer._logs(RAW)
    for i in (0, 1):
        peak = int(logs[1 - i].argmax())
        assert answer.fall().replicates[i] == pytest.approx(logs[i, peak] - logs[i, -1])
        assert answer.rise().replicates[i] == pytest.approx(logs[i, peak] - logs[i, 0])
    assert answer.rise(CALIBRATED).value > 0
    assert len(answer.figures()) == 4
    assert [row.coordinates["of"] for row in list(answer.record())[:4]] == [RAW, RAW, CALIBRATED, CALIBRATED]


def test_how_often_was_chosen_once_for_a_run():
    learner = Learner(MLP((4,)), Recipe(epochs=60, patience=None))
    members = (Member(learner, DIGITS, 0),)
    request, context = WatchTrainings(members, spare=True), RunContext(Store(None))
    (first,) = request.take(context)
    (again,) = request.take(context)
    assert first.curve.times == again.curve.times
    assert 11 <= len(first.curve) <= 1 + 180 // 10  # at every 20th step, unless that is too dear


def test_what_is_asked_wrongly_is_said_before_anything_trains():
    watch = FisherTrace(DIGITS)
    with pytest.raises(ValueError, match="nothing was measured yet"):
        watch.curve()
    watch.step(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 3)
    with pytest.raises(ValueError, match="step 3 comes after step 3: steps go up"):
        watch.step(nn.Linear(1, 1), 3)
    with pytest.raises(ValueError, match="every is 0; it is 1 or more"):
        FisherTrace(DIGITS, every=0)
    with pytest.raises(ValueError, match="over before the first of every 100"):
        ask(FisherTraining(DIGITS, epochs=2, every=100))
    with pytest.raises(ValueError, match="in which squares of gradients vanish"):
        FisherTrace(DIGITS).step(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).half(), 0)
    boxes = dataclasses.replace(DIGITS, target=Boxes(("a",)), y=torch.zeros(192, 1, 5))
    with pytest.raises(ValueError, match="is no likelihood"):
        FisherTrace(boxes)
