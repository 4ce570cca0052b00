"""What is measured of a network, as values: how a layer is, on which examples, and at which epochs of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from infoscope.dynamics.examples import Examples, ExamplesLike
from infoscope.dynamics.plane.layer_method import FittedBins
from infoscope.dynamics.schedule import Every, Schedule
from infoscope.mi.method import Method
from infoscope.observation.sketch import Sketch
from infoscope.run import Store


@dataclass(frozen=True)
class LayerSpecification:
    """How the layers of a network are measured.

    `method` is one for all layers, or chosen for each (`FittedBins`); the receipt says which. `layers` are globs over
    `named_modules`, see `layer_names`. `null` is the number of shuffled baselines of I(T;Y), `seed` that of every draw.
    Where the method may see a layer through a projection (`Probe`, `Compressed`), a layer that is too large for
    `sketch` is projected batch by batch and never held; a lower bound stays one, and the receipt says so.
    `passes` is how often a network with noise inside (`with_noise`) is run for `Noisy`. `batch` examples go
    through the network at a time, and `room` bounds the bytes of activations that are held.
    """

    method: Method | FittedBins = FittedBins()
    layers: Sequence[str] | None = None
    null: int = 0
    seed: int = 0
    sketch: Sketch | None = Sketch()
    passes: int = 8
    batch: int = field(default=1024, compare=False)
    room: int = field(default=2**29, compare=False)

    def __post_init__(self) -> None:
        if self.passes < 2:
            raise ValueError(f"passes is {self.passes}; a noisy network is run twice or more, to tell the error of few")
        if self.layers is not None:
            globs = (self.layers,) if isinstance(self.layers, str) else tuple(self.layers)
            object.__setattr__(self, "layers", globs)

    def method_for(self, module: nn.Module | None) -> Method:
        """The method for a layer, the output of this module, or of one that nobody knows."""
        return self.method.of(module) if isinstance(self.method, FittedBins) else self.method


@dataclass(frozen=True)
class PlaneSpecification:
    """What a point on the plane is measured on, and how: the training examples, others perhaps, and the layers."""

    train: Examples
    test: Examples | None = None
    how: LayerSpecification = LayerSpecification()

    @classmethod
    def of(cls, task: ExamplesLike, test: ExamplesLike | None = None, **options: Any) -> PlaneSpecification:
        """That of a task or arrays (x, y), and of a test task if there is one; `options` are `LayerSpecification`'s."""
        others = None if test is None else Examples.of(test)
        return cls(Examples.of(task), others, LayerSpecification(**options))

    @property
    def sides(self) -> dict[str, Examples]:
        """The examples by side, `train` and `test`."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """H(X) and H(Y) of each side, nats (1 for 0): the units in which a schedule compares epochs."""
        return {side: (one.pattern_entropy or 1.0, one.task.label_entropy or 1.0) for side, one in self.sides.items()}


@dataclass(frozen=True)
class PlaneStudy:
    """The plane along a training: what is measured, and at which epochs.

    `store` keeps every epoch that is measured; what a study gives does not depend on it.
    """

    specification: PlaneSpecification
    schedule: Schedule = Every()
    store: Store | None = field(default=None, compare=False)
