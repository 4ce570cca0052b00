"""Several tasks beside one another, and one under growing noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from infoscope import Difficulty, Massart, MissingPixels, Replay, Task, ask
from infoscope.data.deficit import corruptions
from infoscope.figure import Bars, Line
from infoscope.model_information.difficulty_figures import label_noise, massart_noise, noise_of
from infoscope.models import MLP


@pytest.fixture(scope="module")
def digits():
    return Task.from_dataset("digits")


def test_label_noise_is_the_entropy_of_the_channel():
    assert [label_noise(p, 10) / math.log(2) for p in (0.05, 0.1, 0.2)] == pytest.approx(
        [0.44489, 0.78599, 1.35591], abs=1e-5
    )
    assert label_noise(0.0, 10) == 0
    assert label_noise(0.9, 10) == pytest.approx(math.log(10))  # all labels drawn anew: nothing is known


def test_one_in_c_of_the_labels_drawn_anew_hits_the_true_class(digits):
    level, share = 0.2, 0.2 * 9 / 10
    noisy = digits.corrupted(Massart(level))
    wrong = float((noisy.y != digits.y).double().mean())
    assert abs(wrong - share) < 3 * math.sqrt(share * (1 - share) / len(digits))
    nats = massart_noise(noisy)
    assert nats == pytest.approx(label_noise(share, 10))
    # One who knows the true classes and the channel pays as much on average.
    paid = np.where(noisy.y == digits.y, -math.log(1 - share), -math.log(share / 9)).mean()
    assert abs(paid - nats) < 3 * math.log(9 * (1 - share) / share) * math.sqrt(share * (1 - share) / len(digits))


def test_a_part_of_a_noisy_task_is_known_to_be_noisy(digits):
    assert noise_of(digits) is None
    assert noise_of(digits.corrupted(MissingPixels(0.1)).shuffled(0)[:50]) == MissingPixels(0.1)
    assert massart_noise(digits.corrupted(MissingPixels(0.1))) is None


def test_levels_with_commas_are_levels():
    assert corruptions("massart=0,0.05,0.2") == [Massart(0.0), Massart(0.05), Massart(0.2)]
    with pytest.raises(ValueError, match="write the level as a fraction"):
        corruptions("massart=0,,1")


def test_tasks_stand_side_by_side_and_against_their_noise(digits):
    some = digits[:90]
    tasks = [some.corrupted(Massart(level)) for level in (0.0, 0.2)]
    coder = Replay(replays=1, start=8, last_layer=None)
    answer = ask(Difficulty(tasks, MLP((4,)), coder, k=20, train=40, examples=20, replicates=2, epochs=2))
    drawn = {figure.title: figure.lines for figure in answer.figures()}
    for quantity in ("L(M,D)", "accuracy", "confidence"):
        (line,), (bars,) = drawn[f"{quantity} as noise grows"], drawn[f"{quantity} of each task"]
        assert isinstance(line, Line)
        assert isinstance(bars, Bars)
        assert line.x == (0.0, 0.2)
        assert line.y == bars.y
    known = {row.coordinates["task"]: row.measurement for row in answer.record()
             if row.measurement.quantity == "n h(noise)"}  # fmt: skip
    assert [m.value for m in known.values()] == pytest.approx([0, 20 * label_noise(0.18, 10)])


def test_one_task_alone_has_nothing_beside_it(digits):
    coder = Replay(replays=1, start=8, last_layer=None)
    answer = ask(Difficulty(digits[:60], MLP((4,)), coder, k=10, train=30, examples=10, replicates=1, epochs=1))
    assert not [figure for figure in answer.figures() if "of each task" in figure.title or "noise" in figure.title]
