import dataclasses
import math

import pytest
import torch

from infoscope import SGD, EnsembleSpec, Learner, Member, Recipe, Task, ensemble, fit
from infoscope.data.deficit import PermutedClasses, VerticalFlip
from infoscope.dynamics.fisher_training.curve import Watching
from infoscope.dynamics.fisher_training.observer import FisherTrace
from infoscope.dynamics.fisher_training.watched_trainings import watch_stack
from infoscope.ensembles import fit_stack as stacked
from infoscope.ensembles.shared_rows import first_rows, next_rows, row_epochs
from infoscope.ensembles.ways import Way
from infoscope.models import MLP
from infoscope.training.fit import Window
from infoscope.training.recipe import Cosine, Restarted

DIGITS = Task.from_dataset("digits")[:96]
FLIPPED, RENAMED = DIGITS.corrupted(VerticalFlip()), DIGITS.corrupted(PermutedClasses())
LEARNER = Learner(MLP((8,), "tanh"), Recipe(SGD(0.1), batch=32, epochs=6, patience=None))


def several(*windows: Window | None, learner: Learner = LEARNER) -> tuple[Member, ...]:
    return tuple(Member(learner, DIGITS, 3, name=f"{i}", window=window) for i, window in enumerate(windows))


def lasting(epochs: int, decay=None) -> Learner:
    recipe = dataclasses.replace(LEARNER.recipe, epochs=epochs, decay=decay or LEARNER.recipe.decay)
    return dataclasses.replace(LEARNER, recipe=recipe)


@pytest.mark.parametrize("window", [Window(FLIPPED, 2, 2), Window(FLIPPED, 0, 0), Window(DIGITS[:], 1, 4)])
def test_a_window_that_shows_nothing_else_changes_no_bit(window):
    plain, other = fit(LEARNER, DIGITS, seed=3), fit(LEARNER, DIGITS, seed=3, window=window)
    assert all(torch.equal(plain.weights[k], other.weights[k]) for k in plain.weights)
    assert plain.losses == other.losses
    one, same = stacked.fit_stack(several(None, window), Way("grouped", 2)).weights["fc1.weight"]
    assert torch.equal(one, same)


def test_a_window_is_the_other_task_while_it_lasts():
    """To the end, it is a training on the other task; from a middle on, the losses are those of each."""
    other, whole = fit(LEARNER, FLIPPED, seed=3), fit(LEARNER, DIGITS, seed=3, window=Window(FLIPPED, 0, 6))
    assert other.losses == whole.losses
    plain, late = fit(LEARNER, DIGITS, seed=3), fit(LEARNER, DIGITS, seed=3, window=Window(RENAMED, 4, 6))
    assert plain.losses[:4] == late.losses[:4]
    assert late.losses[4] > math.log(10) > plain.losses[4]  # what it knows stands against the new names


@pytest.mark.parametrize("way", ["vmap", "grouped"])
def test_what_is_shared_ends_where_each_would_end_by_itself(way):
    windows = (None, Window(FLIPPED, 0, 2), Window(FLIPPED, 0, 4), Window(RENAMED, 3, 5))
    members = (*several(*windows), Member(lasting(8), DIGITS, 3, name="longer", window=Window(FLIPPED, 0, 2)))
    population = ensemble(members, EnsembleSpec(way=way))
    assert population.names == tuple(member.name for member in members)
    for i, member in enumerate(members):
        alone = fit(member.learner, DIGITS, seed=3, window=member.window)
        torch.testing.assert_close(population.member(i), dict(alone.weights), rtol=1e-3, atol=1e-5)
        assert population.trained(i).losses == pytest.approx(alone.losses, rel=1e-4)


def test_rows_part_where_examples_or_rates_do():
    members = several(None, Window(FLIPPED, 0, 2), Window(FLIPPED, 0, 4), Window(RENAMED, 3, 5))
    assert first_rows(members) == [[0, 3], [1, 2]]
    assert next_rows(members, [[0, 3], [1, 2]], 2) == [[0, 3], [1], [2]]
    assert row_epochs(members) == 2 + 2 + 3 + 3 * 4
    assert row_epochs(several(None, None)) == 12  # nothing is shared where nobody has a window
    again = (
        *several(None, Window(FLIPPED, 0, 3)),
        *several(Window(FLIPPED, 0, 3), learner=lasting(6, Restarted(Cosine(), 0.5))),
    )
    assert first_rows(again) == [[0], [1], [2]]
    straight = lasting(6, Restarted(LEARNER.recipe.decay, 0.5))
    assert row_epochs((*several(Window(FLIPPED, 0, 3)), *several(Window(FLIPPED, 0, 3), learner=straight))) == 6


def test_who_watches_sees_every_network_from_its_start_to_its_end():
    longer = Member(lasting(8), DIGITS, 3, name="longer", window=Window(FLIPPED, 0, 2))
    members = (*several(None, Window(FLIPPED, 0, 2), Window(FLIPPED, 3, 5)), longer)
    found = watch_stack(members, Watching(3, 8), Way("grouped", 4), "cpu").trainings
    for member, one in zip(members, found, strict=True):
        watch = FisherTrace(DIGITS, every=3, examples=8, seed=3)
        watch.step(member.learner.network(DIGITS.shape, 10, 3), 0)
        fit(member.learner, DIGITS, seed=3, window=member.window, observers=[watch])
        assert one.curve.times == watch.curve().times
        torch.testing.assert_close(one.curve.traces, watch.curve().traces, rtol=1e-3, atol=1e-5)
        assert one.curve.losses[1:] == pytest.approx(watch.curve().losses[1:], rel=1e-4)


def test_an_interrupted_stack_goes_on_with_its_shared_rows(monkeypatch):
    members = several(None, Window(FLIPPED, 0, 4), Window(RENAMED, 3, 5))
    whole = stacked.fit_stack(members, Way("grouped", 3))
    kept: list[bytes] = []

    class Saved:
        def load(self) -> bytes | None:
            return kept[2] if len(kept) > 2 else None

        def due(self) -> bool:
            return True

        def save(self, data: bytes) -> None:
            kept.append(data)

    monkeypatch.setattr(stacked, "Scratch", Saved)
    stacked.fit_stack(members, Way("grouped", 3))
    again = stacked.fit_stack(members, Way("grouped", 3))
    assert all(torch.equal(whole.weights[k], again.weights[k]) for k in whole.weights)


def test_a_window_of_other_examples_is_refused():
    for way in ("loop", "grouped"):
        with pytest.raises(ValueError, match="can't stand in for 'digits'"):
            stacked.fit_stack(several(Window(FLIPPED[:5], 0, 2)), Way(way, 1))
