from __future__ import annotations

import math

import pytest

from infoscope import Learner, Measurement, Recipe, Task
from infoscope.models import MLP
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.run.question import walk
from infoscope.task_space.joint_information import DISTANCE, JointInformation, corrected

DIGITS = Task.from_dataset("digits")
NAMES = ("digits:classes=0,1,2", "digits:classes=3,4,5")
QUICK = JointInformation(Learner(MLP((16,)), Recipe(epochs=15)), Replay(replays=1, start=16), 30, 60, None, 2)


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str, str], Measurement]:
    given = [Task.from_dataset(name) for name in NAMES]
    rows = walk(QUICK.stages(given, "cpu"))
    return {
        (str(row.coordinates["from"]), str(row.coordinates["to"]), row.measurement.quantity): row.measurement
        for row in rows
    }


def test_there_and_back_differ_by_what_there_is_to_learn_of_each(found):
    """d(1→2) − d(2→1) = I_2 − I_1, replicate by replicate, with the networks that the similarities are of."""
    a, b = NAMES
    there, back = found[a, b, DISTANCE], found[b, a, DISTANCE]
    one, two = found[a, a, "L(M,D)"], found[b, b, "L(M,D)"]
    for seed in (0, 1):
        expected = two.replicates[seed] - one.replicates[seed]
        assert there.replicates[seed] - back.replicates[seed] == pytest.approx(expected, abs=1e-9)
    assert found[a, b, "I_12"].value == found[b, a, "I_12"].value
    assert there.value == pytest.approx(found[a, b, "I_12"].value - one.value)


def test_by_s_uni_it_is_what_a_network_of_the_first_does_not_know_of_the_second(found):
    a, b = NAMES
    said, s_uni, own = found[a, b, "I_2 (1 - S_uni)"], found[a, b, "S_uni"], found[b, b, "L(M,D)"]
    known = own.value - said.value
    assert math.isnan(s_uni.value) or s_uni.value == pytest.approx(known / own.value)
    assert not any(status.name == "INCOMPARABLE" for status in said.status)


def test_the_correction_takes_off_what_another_sample_of_each_adds(found):
    a, b = NAMES
    own = [found[name, name, DISTANCE].value for name in NAMES]
    again = found[a, b, "I_12 - I_1 - d_self"]
    assert again.value == pytest.approx(found[a, b, DISTANCE].value - sum(own) / 2)
    assert corrected(found[a, b, DISTANCE], *(found[n, n, DISTANCE] for n in NAMES)).value == again.value


def test_what_it_cannot_be_asked_of_is_told():
    with pytest.raises(ValueError, match="12 or more"):
        walk(QUICK.stages([DIGITS[:10], DIGITS], "cpu"))
    with pytest.raises(ValueError, match="with its own code"):
        JointInformation(coder=Mixed())


@pytest.mark.long
def test_halves_of_the_digits_are_farther_apart_than_two_samples_of_one():
    names = ("digits:classes=0,1,2,3,4", "digits:classes=5,6,7,8,9")
    asked = JointInformation(Learner(MLP((64,)), Recipe(epochs=300)), Replay(replays=4), 150, 250, None, 3)
    rows = walk(asked.stages([Task.from_dataset(name) for name in names], "cpu"))
    for row in rows:
        print(*row.coordinates.values(), row.measurement)
    apart = [row.measurement for row in rows if row.measurement.quantity == "I_12 - I_1 - d_self"]
    assert all(m.value > 2 * m.stderr for m in apart)
