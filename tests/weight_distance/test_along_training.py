from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from infoscope.ensembles.stacked_weights import Networks
from infoscope.weight_distance import at_matched_loss, distance_curve, matched_distances, weight_distances

NAN = math.nan


def walk() -> Networks:
    """Three networks of one weight that walk 1, 2 and 3 a step; the losses fall at their own speeds."""
    steps = {t: {"w": t * torch.tensor([[1.0], [2.0], [3.0]])} for t in range(5)}
    losses = torch.tensor([[0.9, 0.5, 0.4, 0.2], [0.5, 0.3, 0.2, NAN], [0.9, 0.8, 0.7, 0.7]])
    return Networks(steps[0], steps[4], ("slow", "fast", "never"), (5, 6, 7), steps, losses)


def test_the_curve_begins_with_the_whole_distance_and_ends_at_zero():
    curve = distance_curve(walk())
    assert [row.coordinates["epoch"] for row in curve] == [0, 1, 2, 3, 4]
    assert [row.measurement.value for row in curve] == [8.0, 6.0, 4.0, 2.0, 0.0]
    assert next(iter(curve)).measurement.value == weight_distances(walk()).mean().value
    assert next(iter(curve)).measurement.replicates == {5: 4.0, 6: 8.0, 7: 12.0}


def test_matched_loss_takes_each_network_where_it_first_got_there():
    found = at_matched_loss(walk(), 0.5)
    assert found.epochs == (2, 1)
    assert found.distances.names == ("slow", "fast")
    assert found.distances.values.tolist() == [2.0, 2.0]
    assert found.distances.mean().replicates == {5: 2.0, 6: 2.0}
    assert "the least was 0.7" in found.distances.left_out["never"]
    assert any(note.startswith("never left out") for note in found.distances.mean().receipt.notes)


def test_matching_uses_only_epochs_that_were_kept():
    full = walk()
    sparse = Networks(
        full.initial, full.weights, full.names, full.seeds, {t: full.snapshots[t] for t in (0, 3)}, full.losses
    )
    assert at_matched_loss(sparse, 0.5).epochs == (3, 3)


def test_equal_steps_and_equal_loss_may_disagree():
    """Twice the learning rate goes twice as far in equal steps, and as far at equal loss."""
    found = at_matched_loss(walk(), 0.5).distances.values
    assert weight_distances(walk()).values.tolist()[:2] == [4.0, 8.0]
    assert found[0] == found[1]


def test_nobody_there_or_nothing_kept():
    with pytest.raises(ValueError, match=r"no network came to a training loss of 0\.1.*the least was 0\.2"):
        at_matched_loss(walk(), 0.1)
    with pytest.raises(ValueError, match="needs snapshots"):
        at_matched_loss(Networks(walk().initial, walk().weights), 0.5)


@dataclass
class Kept:
    """A population that kept the weights at a loss by itself."""

    names: tuple[str, ...] = ("a", "b")
    seeds: tuple[int, ...] = (0, 1)
    initial: dict[str, Tensor] = field(default_factory=lambda: {"w": torch.zeros(2, 1)})
    weights: dict[str, Tensor] = field(default_factory=lambda: {"w": torch.full((2, 1), 9.0)})
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    losses: Tensor | None = None
    matched: dict[str, Tensor] = field(default_factory=lambda: {"w": torch.tensor([[4.0], [9.0]])})
    matched_epochs: Tensor = field(default_factory=lambda: torch.tensor([3, -1]))


def test_weights_that_training_kept_at_a_loss_are_taken():
    found = matched_distances(Kept())
    assert found.distances.values.tolist() == [4.0]
    assert found.epochs == (3,)
    assert list(found.distances.left_out) == ["b"]
    with pytest.raises(ValueError, match="kept no weights at a loss"):
        matched_distances(Kept(matched_epochs=torch.empty(0)))
