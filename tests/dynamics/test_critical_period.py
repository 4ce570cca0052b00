from dataclasses import dataclass

import numpy as np
import pytest
import torch

from infoscope import (
    SGD,
    Adam,
    Blur,
    CriticalPeriod,
    Learner,
    NoiseImages,
    PermutedClasses,
    Recipe,
    Replay,
    Task,
    VerticalFlip,
    ask,
)
from infoscope.data.deficit import DEFICITS
from infoscope.dynamics.critical_period.cells import CONTROLS, Cell, grid, no_deficit
from infoscope.dynamics.critical_period.networks import DeficitNetworks
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW, FisherCurve, When
from infoscope.measurement import Receipt
from infoscope.models import MLP
from infoscope.run.question import units
from infoscope.training.predict import Predictions
from infoscope.training.recipe import Cosine, Steps

DIGITS = Task.from_dataset("digits")
FEW = DIGITS[:300]
NET = MLP((16,), "tanh")
SHORT = {"epochs": 4, "coded": 0, "replicates": 2}


@dataclass(frozen=True)
class Same:
    """A permutation that permutes nothing."""

    def __call__(self, task: Task, seed: int = 0) -> Task:
        """The same examples."""
        return task[:]


def test_a_deficit_that_changes_nothing_is_no_deficit_to_the_last_bit():
    found = ask(CriticalPeriod(FEW, NET, deficit=(Same(),), onset=(0, 1), length=(0, 2), control=("none",), **SHORT))
    nets = found.networks
    assert [cell.length for cell in found.cells] == [0, 2, 2]
    for cell, seed in nets.curves:
        assert torch.equal(nets.predictions[cell, seed].p, nets.predictions[no_deficit(), seed].p)
        assert torch.equal(nets.curves[cell, seed].traces, nets.curves[no_deficit(), seed].traces)
        assert cell.length == 0 or (nets.accuracy_gap(cell).value, nets.accuracy_gap(cell).stderr) == (0, 0)


@pytest.mark.parametrize("onset", [0, 1])
def test_a_deficit_of_no_length_is_no_cell(onset):
    (only,) = ask(CriticalPeriod(FEW, NET, deficit=(VerticalFlip(),), onset=(onset,), length=(0,), **SHORT)).cells
    assert only == no_deficit()


def test_controls_have_the_clean_steps_and_the_rates_that_they_are_called_by():
    learner = Learner(NET, Recipe(decay=Cosine(), epochs=10, patience=None))
    other = FEW.corrupted(VerticalFlip())
    for control in CONTROLS:
        member = Cell("flip", 2, 4, control).member(learner, FEW, other, 0)
        recipe = member.learner.recipe
        clean = sum(member.learns_from(epoch) is FEW for epoch in range(recipe.epochs))
        assert clean == (10 if control in ("steps", "both") else 6)
        assert sum(member.learns_from(epoch) is other for epoch in range(recipe.epochs)) == 4
        at_end = recipe.decay(6 / recipe.epochs)  # of the first clean step after the deficit
        assert at_end == (1.0 if control in ("rate", "both") else pytest.approx(Cosine()(6 / recipe.epochs)))
        assert recipe.decay(5.9 / recipe.epochs) == Cosine()(5.9 / recipe.epochs)


def test_a_learner_whose_rate_ends_at_the_half_is_harmed_for_good_before_it_and_not_after():
    """The critical period is there by construction; a rate that begins anew, and learns again, ends it."""
    recipe = Recipe(SGD(0.05), decay=Steps((0.5,), 0.0), epochs=16, patience=None)
    found = ask(
        CriticalPeriod(DIGITS[:900], Learner(NET, recipe), deficit=(PermutedClasses(),), onset=(0, 3, 8, 12),
                       length=(3, 8), control=("none", "rate"), coded=0, replicates=2)
    )  # fmt: skip
    gap = {(c.onset, c.length, c.control): found.networks.accuracy_gap(c) for c in found.cells if c.length}
    assert found.networks.accuracy(no_deficit()).value > 0.85
    assert gap[0, 8, "none"].value > 0.8  # it knows the other names, and learns no more
    assert gap[3, 8, "none"].value > 0.8
    for onset in (8, 12):
        assert (gap[onset, 3, "none"].value, gap[onset, 3, "none"].stderr) == (0, 0)
    assert gap[0, 3, "none"].value < gap[3, 8, "none"].value / 4  # there was time left
    assert gap[0, 8, "rate"].value < 0.15


def test_gaps_are_paired_and_the_peak_is_each_networks_own():
    cell = Cell("flip", 0, 1, "none")
    task = FEW[:4]

    def curve(traces):
        times = tuple(When(i, i) for i in range(len(traces)))
        each = torch.tensor(traces, dtype=torch.float64)[:, None, None].expand(-1, 1, 2)
        return FisherCurve(times, ("fc",), each, torch.full((len(traces), 2), 0.5), (np.nan, 1.0, 0.5), Receipt(""))

    def says(right):
        p = torch.full((4, 10), 0.05)
        names = [y if i < right else (y + 1) % 10 for i, y in enumerate(task.y.tolist())]
        p[torch.arange(4), names] = 0.55
        return Predictions(p)

    curves = {(no_deficit(), 0): curve([1, 3, 2]), (no_deficit(), 1): curve([1, 2, 4]),
              (cell, 0): curve([2, 1, 1]), (cell, 1): curve([2, 1, 1])}  # fmt: skip
    right = {(no_deficit(), 0): 4, (no_deficit(), 1): 3, (cell, 0): 2, (cell, 1): 1}
    nets = DeficitNetworks(task, curves, {key: says(n) for key, n in right.items()})
    assert nets.accuracy(no_deficit()).replicates == {0: 1.0, 1: 0.75}
    assert (nets.accuracy_gap(cell).value, nets.accuracy_gap(cell).stderr) == (0.5, 0.0)
    assert nets.peak(no_deficit()).replicates == {0: 1.0, 1: 2.0}
    assert nets.peak(cell, CALIBRATED).value == 0.0
    assert [m.value for m in nets.traces(no_deficit(), RAW)] == [1.0, 2.5, 3.0]
    assert nets.trace(no_deficit(), 1, CALIBRATED).value == 5.0


def test_what_networks_know_stands_beside_and_its_gap_is_the_difference_of_their_codes():
    how = {"deficit": (PermutedClasses(),), "length": (3,), "control": ("none",), "epochs": 4, "replicates": 2}
    coder = Replay(replays=1, start=50)
    found = ask(CriticalPeriod(FEW, NET, coder=coder, coded=40, optimizer=Adam(0.01), **how))
    nets, (clean, cell) = found.networks, found.cells
    for seed in (0, 1):
        costs = nets.codes[cell, seed].total - nets.codes[clean, seed].total
        assert nets.information_gap(cell).replicates[seed] == pytest.approx(costs)
    assert (nets.information_gap(cell).receipt.n, nets.accuracy_gap(cell).receipt.n) == (40, len(nets.tested))
    assert {"L(M,D)", "information gap", "accuracy", "accuracy gap", RAW, CALIBRATED, "peak of tr F"} == {
        row.measurement.quantity for row in found.record()
    }
    assert len(found.figures()) == 4


def test_a_grid_is_drawn_and_what_does_not_fit_is_told(tmp_path):
    asked = CriticalPeriod(FEW, NET, deficit=(Blur(2), NoiseImages()), onset=(0, 2), length=(1, 2), **SHORT)
    assert units(asked)["trainings"] == 2 * len(grid(["a", "b"], (0, 2), (1, 2), CONTROLS, 4)) == 2 * 29
    found = ask(asked)
    heat = [figure.grid for figure in found.figures() if figure.grid is not None]
    assert len(heat) == 8
    assert np.isnan(heat[0].values[1][1])  # 2 to 4 of 4 leaves no clean epoch
    assert "epochs 2 to 4" in found.choices()["Left out"]
    assert "blur(factor=2) in epochs 0 to 2 of 4" in found.sentence()
    found.write(tmp_path)
    assert len((tmp_path / "fisher.jsonl").read_text().splitlines()) > 100


def test_a_constant_rate_has_nothing_to_begin_anew():
    found = ask(CriticalPeriod(FEW, NET, deficit=(VerticalFlip(),), length=(1,), decay="constant", **SHORT))
    assert [cell.control for cell in found.cells[1:]] == ["none", "steps"]
    assert "constant" in found.choices()["Control"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"data": "iris"}, "VerticalFlip needs images; 'iris' has examples of shape"),
        ({"data": "iris", "deficit": (Blur(),)}, "Blur needs images"),
        ({"deficit": (Blur(3),)}, "cannot be made 3 times smaller"),
        ({"onset": (4,)}, "the onset 4 is beyond the training, which has 4 epochs"),
        ({"length": (4,), "control": ("none",)}, "a deficit of 4 epochs leaves no clean one of 4"),
        ({"data": DIGITS["classes=3"]}, "examples of one class only"),
        ({"data": Task.from_arrays(FEW.array, FEW.y.double() / 7)}, "not one label an example"),
    ],
)
def test_bad_input_is_told_before_anything_trains(changes, word):
    asked = CriticalPeriod(**{"data": FEW, "model": NET, "deficit": (VerticalFlip(),), **SHORT, **changes})
    with pytest.raises(ValueError, match=word):
        next(asked.stages())


def test_bad_options_are_refused():
    for changes, word in (
        ({"onset": (-1,)}, "onset is -1"),
        ({"length": ()}, "no length was given"),
        ({"control": ("all",)}, "no control 'all'; there are none, steps, rate, both"),
        ({"deficit": ()}, "no deficit was given"),
    ):
        with pytest.raises(ValueError, match=word):
            CriticalPeriod(FEW, NET, **changes)
    assert list(DEFICITS)[:3] == ["blur", "flip", "permute"]
