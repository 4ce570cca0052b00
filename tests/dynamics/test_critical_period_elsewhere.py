from __future__ import annotations

import pytest

from infoscope import Blur, CriticalPeriod, Learner, NoiseImages, PermutedClasses, Recipe, Task, VerticalFlip, ask
from infoscope.models import SmallCNN
from infoscope.prequential.replay import Replay


@pytest.mark.long
def test_on_clothes_a_long_deficit_costs_more_than_one_that_clean_steps_follow(shared_data):
    clothes = Task.from_dataset(str(shared_data("fashion_mnist")))
    asked = CriticalPeriod(
        clothes, Learner(SmallCNN((8, 16, 32), 32), Recipe(batch=32)), replicates=2, epochs=8, length=(2, 6),
        deficit=(Blur(), VerticalFlip(), PermutedClasses(), NoiseImages()), control=("none", "steps"),
        train=500, k=400, coded=60, coder=Replay(replays=4),
    )  # fmt: skip
    answer = ask(asked)
    assert answer.deficits == ("blur", "flip", "permute", "noise")
    nets = answer.networks
    gaps = {
        (deficit, control): nets.accuracy_gap(answer.longest(deficit, control))  # pyright: ignore
        for deficit in answer.deficits
        for control in answer.controls(deficit)
    }
    assert gaps["permute", "none"].value > gaps["permute", "steps"].value
    assert gaps["permute", "none"].value > 0
