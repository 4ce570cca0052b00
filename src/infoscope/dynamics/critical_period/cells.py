"""The cells of an experiment on critical periods: when a deficit begins, how long it lasts, and what follows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from infoscope.data.task import Task
from infoscope.ensembles.population import Member
from infoscope.training.fit import Window
from infoscope.training.learner import Learner
from infoscope.training.recipe import Constant, Restarted

Control = Literal["none", "steps", "rate", "both"]
"""What follows a deficit."""

CONTROLS: tuple[Control, ...] = ("none", "steps", "rate", "both")


@dataclass(frozen=True)
class Cell:
    """A deficit in the epochs from `onset` to before its end, and its `control`; one of no length is no deficit."""

    deficit: str
    onset: int
    length: int
    control: Control

    @property
    def end(self) -> int:
        """The first epoch after the deficit."""
        return self.onset + self.length

    @property
    def name(self) -> str:
        """What it is called."""
        if not self.length:
            return "no deficit"
        return f"{self.deficit} in epochs {self.onset} to {self.end}, control {self.control}"

    def epochs(self, usual: int) -> int:
        """Of the training: as usual, or as many more as make up for the deficit.

        >>> [Cell("blur", 0, 5, control).epochs(20) for control in CONTROLS]
        [20, 25, 20, 25]
        """
        return usual + self.length if self.control in ("steps", "both") else usual

    def fits(self, usual: int) -> bool:
        """Whether it begins within the usual training, and a clean epoch is left after it."""
        return not self.length or (self.onset < usual and self.end < self.epochs(usual))

    def member(self, learner: Learner, task: Task, other: Task, seed: int) -> Member:
        """The training of this cell: `other` are the task's examples under the deficit."""
        recipe = learner.recipe
        epochs = self.epochs(recipe.epochs)
        restarts = self.length and self.control in ("rate", "both") and not isinstance(recipe.decay, Constant)
        decay = Restarted(recipe.decay, self.end / epochs) if restarts else recipe.decay
        own = replace(learner, recipe=replace(recipe, epochs=epochs, decay=decay))
        window = Window(other, self.onset, self.end) if self.length else None
        return Member(own, task, seed, name=f"{self.name}, seed {seed}", window=window)


def no_deficit(control: Control = "none") -> Cell:
    """What the others are held against."""
    return Cell("", 0, 0, control)


def grid(
    deficits: Iterable[str], onsets: Sequence[int], lengths: Sequence[int], controls: Sequence[Control], usual: int
) -> tuple[Cell, ...]:
    """All cells that fit into a training of the usual epochs, after the one without a deficit.

    >>> len(grid(["blur"], [0, 8], [1, 5], ["none", "steps"], usual=10))  # 8 to 13 fits with more epochs only
    8
    """
    cells = [
        Cell(deficit, onset, length, control)
        for deficit in deficits
        for onset in onsets
        for length in lengths
        for control in controls
        if length
    ]
    return (no_deficit(), *(cell for cell in cells if cell.fits(usual)))
