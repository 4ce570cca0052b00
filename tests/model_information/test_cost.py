from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from infoscope import Massart, Real, Task
from infoscope.cli.options import Run
from infoscope.cli.session import tell_cost
from infoscope.model_information import codes
from infoscope.model_information import cost as cost_of
from infoscope.model_information.budget import flops_of, own_seconds
from infoscope.model_information.choosing.question import Choosing
from infoscope.model_information.codelength import Codelength
from infoscope.model_information.cost import PassTime
from infoscope.model_information.difficulty import Difficulty
from infoscope.model_information.forgetting.question import Forgetting
from infoscope.model_information.mislabelled.question import Mislabelled
from infoscope.model_information.probing.question import Probing
from infoscope.model_information.similarity.question import Similarity
from infoscope.model_information.transfer.question import Transfer
from infoscope.models import MLP
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.run.free_memory import mebibytes
from infoscope.run.look import Looks
from infoscope.run.question import cost, requests
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

TINY = MLP((4,))
IRIS = Task.from_dataset("iris")
HALVES = tuple(Task.from_dataset(f"iris:rows={rows}") for rows in ("0..75", "75.."))
ASKED = {
    "choose": Choosing(IRIS, (TINY, MLP((5,))), frozen=True),
    "difficulty": Difficulty((IRIS,), TINY, k=20),
    "forgetting": Forgetting((IRIS, IRIS), model=TINY, epochs=1, k=20),
    "mislabelled": Mislabelled(IRIS),
    "probe": Probing(IRIS, model=TINY),
    "similarity": Similarity(HALVES, TINY, k=10),
    "transfer": Transfer(HALVES[0], source=HALVES[1], model=TINY, k=20),
}


@pytest.mark.parametrize("question", ASKED.values(), ids=ASKED)
def test_a_dry_run_counts_the_seconds_of_every_look(question):
    looks = [one for request in requests(question) if isinstance(request, Looks) for one in request.looks]
    assert looks
    assert not {one.kind for one in looks if one.seconds is None}


def test_a_pass_takes_longer_by_the_examples_that_are_more():
    looked: list[int] = []

    def spin(n: int) -> None:
        looked.append(n)
        sum(i * i for i in range(3000 * n))

    seconds = PassTime(spin, 3200, (), lambda count: (count,))()
    one = PassTime(spin, 32, (), lambda count: (count,))()
    assert max(looked) == 32
    assert 50 < seconds / one < 200


def test_tasks_that_differ_by_their_labels_are_tried_once(monkeypatch):
    tried: list[int] = []
    monkeypatch.setattr(codes, "seconds_to_send", lambda task, coder, learner, n: tried.append(n) or 1.0)
    monkeypatch.setattr(PassTime, "__call__", lambda self: 0.0)
    x = np.random.default_rng(0).normal(size=(60, 3))
    clean = Task.from_arrays(x, x[:, 0], target=Real(resolution=0.01, low=-9.0, high=9.0), name="numbers")
    looks = partial(codes.code_looks, coder=Difficulty.coder, learners=[None], seeds=[0])
    labels = Task.from_arrays(x, x[:, 1], target=clean.target, name="others")
    both = [one.seconds for task in (clean, labels) for one in looks(task)]
    assert both[0] == both[1]
    cost(Difficulty((IRIS, IRIS.corrupted(Massart(0.2))), TINY, k=20))
    assert len(tried) == 2


def test_what_only_the_first_trial_loads_is_not_counted(monkeypatch):
    """The first code of 8 labels loads for 5 s, every label takes 10 ms: 1,000 of them take 10 s, not 625."""
    loaded: list[int] = []

    def sending(task, coder, learner, n: int) -> float:
        loaded.append(n)
        return 0.01 * n + (5.0 if loaded.count(8) == 1 and n == 8 else 0.0)

    monkeypatch.setattr(cost_of, "_sending", sending)
    many = Task.from_arrays(np.zeros((1000, 3)), np.arange(1000) % 2)
    assert cost_of.seconds_to_send(many, ClosedForm(), None, 1000) == pytest.approx(10.0)


def test_a_code_of_tables_is_not_told_to_grow_faster_than_evenly(monkeypatch):
    """From 32 labels to 128 it grows tenfold, where trees begin: evenly from there on, not with a power above 1."""
    monkeypatch.setattr(cost_of, "_sending", lambda task, coder, learner, n: {2: 0.1, 8: 0.1, 32: 0.12}.get(n, 2.0))
    monkeypatch.setattr(cost_of, "_seconds_of_factors", lambda coder, kernels, n: 0.0)
    many = Task.from_arrays(np.zeros((640, 3)), np.arange(640) % 2)
    assert cost_of.seconds_to_send(many, Mixed(), None, 640) == pytest.approx(2.0 + 1.88 / 96 * 512)


def test_a_trial_that_takes_as_long_as_expected_is_made_once(monkeypatch):
    """100 ms a label from the first on: 2 labels to load what there is, 8 of which take more than a trial may."""
    tried: list[int] = []
    monkeypatch.setattr(cost_of, "_sending", lambda task, coder, learner, n: tried.append(n) or 0.1 * n)
    many = Task.from_arrays(np.zeros((1000, 3)), np.arange(1000) % 2)
    assert cost_of.seconds_to_send(many, ClosedForm(), None, 1000) == pytest.approx(100.0)
    assert tried == [2, 8]


def test_a_dictionary_is_learned_from_so_many_images_and_no_more(monkeypatch):
    """16 of them take a second, and 20 are the most."""
    monkeypatch.setattr(cost_of, "learn_patches", lambda x, patches: 20)
    monkeypatch.setattr(cost_of, "_timed", lambda work: work() or 1.0)
    many = Task.from_arrays(np.zeros((1000, 1, 8, 8)), np.arange(1000) % 2)
    for coder in (Mixed(), Kernel()):
        for n, seconds in ((4, 1.0), (10, 1.0), (18, 18 / 16), (1000, 20 / 16)):
            assert cost_of._seconds_of_patches(many, coder, n) == seconds
    assert cost_of._seconds_of_patches(many, ClosedForm(), 1000) == 0


def test_landmarks_take_operations_that_grow_evenly_from_where_kernels_end(monkeypatch):
    """n³/3 up to 16,000 examples, then 4 n m² with m = 5,000: little more there, and proportional to n beyond."""
    monkeypatch.setattr(cost_of, "_timed", lambda work: 1.0)
    least, most, more = (cost_of._seconds_of_factors(Kernel(), 2, n) for n in (16_000, 16_001, 32_002))
    assert least < most < 1.3 * least
    assert more == pytest.approx(2 * most)


def test_what_is_tried_of_a_code_of_images_learns_from_one_image():
    images = Task.from_arrays(np.random.default_rng(0).random((60, 1, 8, 8)), np.arange(60) % 2)
    for coder in (Mixed(), Kernel()):
        tried = cost_of._without_patches(coder)
        assert tried.patches.images(images.x) == 1
        assert encode(images[:9], tried, None, 0).uniform == encode(images[:9], coder, None, 0).uniform
    assert cost_of._without_patches(Replay()) == Replay()


def test_a_network_s_code_is_reckoned_from_what_two_labels_take(monkeypatch):
    tried: list[int] = []
    monkeypatch.setattr(cost_of, "_sending", lambda task, coder, learner, n: tried.append(n) or 0.2)
    learner, flops = Learner(TINY), flops_of(Learner(TINY), IRIS)
    told = cost_of.seconds_to_send(IRIS, Replay(), learner, 100)
    assert tried == [1, 2]
    own = [own_seconds(Replay(), flops, IRIS.x, n) for n in (2, 100)]
    assert told == pytest.approx(0.2 * own[1] / own[0])


def test_an_array_of_features_is_tried_on_its_first_rows():
    table = np.random.default_rng(0).normal(size=(150, 3))
    assert cost_of.seconds_to_send(IRIS, Mixed(features=table), None, 12) > 0


def test_what_the_first_training_loads_is_not_counted_for_every_epoch(monkeypatch):
    calls: list[int] = []
    seconds = iter([0.0, 0.01])  # before and after what is timed
    monkeypatch.setattr(cost_of, "fit", lambda learner, task: calls.append(len(task)))
    monkeypatch.setattr(cost_of.time, "process_time", lambda: next(seconds))
    learner = Learner(TINY, Recipe(epochs=20, batch=16))
    assert cost_of.seconds_to_learn(learner, IRIS, 128) == pytest.approx(0.01 * 20 * 128 / 64)
    assert calls == [8, 64]


def test_a_dry_run_says_what_memory_the_codes_fill(capsys):
    few, many = (Codelength((IRIS,), Kernel(), replicates=2, examples=n) for n in (10, 150))
    asked = Kernel().bytes_filled(IRIS.x, IRIS.target)
    assert cost(few).memory < cost(many).memory == asked
    tell_cost(many, Run(jobs=2, dry_run=True))
    told = capsys.readouterr().out
    assert f"It fills at most {mebibytes(2 * asked)} beside the data, {mebibytes(asked)} a job; " in told
    tell_cost(many, Run(jobs=1, dry_run=True, json=True))
    assert json.loads(capsys.readouterr().out)["dry_run"]["memory_bytes"] == asked
