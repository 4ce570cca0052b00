"""One state of a network on the information plane: I(X;T) and I(T;Y) of its layers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from infoscope.data.task import Task
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Status
from infoscope.mi.estimate import layer_information, mutual_information
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.method import Method
from infoscope.observation.activations import Activations, Architecture, in_groups
from infoscope.observation.noise import noise_of
from infoscope.observation.sketch import Sketch
from infoscope.record import Record
from infoscope.run.look import Look
from infoscope.training.learner import Weights

Arrays = tuple[Any, Any]


@dataclass(frozen=True)
class Place:
    """I(X;T) and I(T;Y) of one layer for the examples of one side."""

    side: str
    layer: str
    x_t: Measurement
    t_y: Measurement


@dataclass(frozen=True)
class PlanePoint:
    """The places of all layers at one epoch, layers in the order in which they answer."""

    places: tuple[Place, ...]

    def append_to(self, record: Record, epoch: int) -> None:
        """Add two rows a place to a record, at coordinates epoch, side and layer."""
        for place in self.places:
            for measurement in (place.x_t, place.t_y):
                record.append(measurement, epoch=epoch, side=place.side, layer=place.layer)

    def to_bytes(self) -> bytes:
        """As JSON."""
        rows = [(p.side, p.layer, p.x_t.to_json(), p.t_y.to_json()) for p in self.places]
        return json.dumps(rows).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PlanePoint:
        """The value that `to_bytes` wrote."""
        rows = json.loads(data)
        return cls(tuple(Place(s, t, Measurement.from_json(a), Measurement.from_json(b)) for s, t, a, b in rows))


@dataclass(frozen=True)
class PlaneView:
    """What the plane is measured on and how: the task of each side, the layers, the estimator.

    `room` bounds the bytes of activations that are held at a time, `null` is the number of shuffled baselines. Where
    the method may see a layer through a projection (`Probe`, `Compressed`), a layer that is too large for `sketch` is
    projected batch by batch and never held; a lower bound stays one, and the receipt says so. `passes` is how often a
    network with noise inside (`with_noise`) is run for `Noisy`.
    """

    sides: tuple[tuple[str, Task], ...]
    method: Method = Uniform(30, "layer")
    layers: tuple[str, ...] | None = None
    null: int = 0
    seed: int = 0
    sketch: Sketch | None = Sketch()
    passes: int = 8
    batch: int = field(default=1024, compare=False)
    room: int = field(default=2**29, compare=False)

    def __post_init__(self) -> None:
        if self.passes < 2:
            raise ValueError(f"passes is {self.passes}; a noisy network is run twice or more, to tell the error of few")

    @classmethod
    def of(
        cls, task: Task | Arrays, test: Task | Arrays | None, layers: Sequence[str] | str | None, method: Method,
        **options: Any,
    ) -> PlaneView:  # fmt: skip
        """The view of a task, or of arrays (x, y), and of a test task if there is one."""
        sides = [("train", task)] + ([("test", test)] if test is not None else [])
        read = tuple((side, one if isinstance(one, Task) else Task.from_arrays(*one)) for side, one in sides)
        globs = (layers,) if isinstance(layers, str) else tuple(layers) if layers is not None else None
        return cls(read, method, globs, **options)

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """H(X) and H(Y) of each side, nats: the units in which a schedule compares epochs."""
        return {side: (pattern_entropy(task), task.label_entropy or 1.0) for side, task in self.sides}

    def look(self, architecture: Architecture, epoch: int, weights: Weights) -> Look[PlanePoint]:
        """The look that places a network with these weights on the plane."""
        return Look(plane_point, (self, architecture, dict(weights)), PlanePoint, label=f"epoch-{epoch}")


def plane_point(view: PlaneView, architecture: Architecture, weights: Weights) -> PlanePoint:
    """Where the network with these weights stands."""
    return point_of(view, architecture.with_weights(weights))


def point_of(view: PlaneView, network: nn.Module) -> PlanePoint:
    """Where this network stands."""
    places: list[Place] = []
    for side, task in view.sides:
        found: list[Place] = []
        for group in _groups(view, network, task):
            if isinstance(group, list):
                found += noisy_places(group, task, view.method, side=side, seed=view.seed)
            else:
                found += places_of(
                    group, task.labels, view.method, side=side, x=task.array.flatten(1), null=view.null, seed=view.seed
                )
        places += along_layers(found, is_chain(network))
    return PlanePoint(tuple(places))


def _groups(view: PlaneView, network: nn.Module, task: Task) -> Iterator[Activations | list[Activations]]:
    """The layers' activations as they fit into the room: of one pass, or of several where noise is measured exactly."""
    given = network, task.array, view.layers, view.batch
    if isinstance(view.method, Noisy) and (variance := noise_of(network)) is not None:
        if variance != view.method.variance:
            raise ValueError(
                f"the network's noise has variance {variance:g} and Noisy's is {view.method.variance:g}; "
                "data processing holds where they are equal"
            )
        passes = range(view.passes)
        yield from map(list, zip(*(in_groups(*given, view.room // view.passes, seed=seed, own_noise=False)
                                   for seed in passes), strict=True))  # fmt: skip
    else:
        sketch = view.sketch if getattr(view.method, "projects", False) else None
        yield from in_groups(*given, view.room, sketch=sketch)


def places_of(
    activations: Activations, y: Any, method: Method, *, side: str, x: Any = None, null: int = 0, seed: int = 0
) -> list[Place]:
    """I(X;T) and I(T;Y) of each layer."""
    found = []
    for layer, t in activations.layers.items():
        both = layer_information(t, y, method, x=x, null=null, seed=seed, name=layer)
        x_t, t_y = both.x_t, both.t_y
        if layer in activations.sketched:
            note = (
                f"the layer's {activations.sketched[layer]:,} activations were seen through a random projection to "
                f"{t.shape[1]:,} (CountSketch); what is shown of it is no more than the layer holds"
            )
            x_t, t_y = (noted(m, note) for m in (x_t, t_y))
        found.append(Place(side, layer, x_t, t_y))
    return found


def noisy_places(passes: Sequence[Activations], task: Task, method: Method, *, side: str, seed: int = 0) -> list[Place]:
    """I(X;T̂) and I(T̂;Y) of layers of a network with noise inside, from several passes of the same examples, nats.

    T̂_k = S_k + Z_k, and given x the layer before its own noise, S_k, is random too: its law is that of the R passes.
    As I is convex in p(t̂|x), the mean over their draws is an upper bound, which falls to the truth as passes are added:
    slowly where layers make the noise much wider than it is at the last. How much more half of the passes give is
    counted as an error and told. A layer that no noise reaches is the same in every pass, and exact.
    """
    patterns = np.unique(task.content_hashes, return_inverse=True)[1].astype(np.int64)
    found = []
    for layer, t in passes[0].layers.items():
        if all(torch.equal(t, other[layer]) for other in passes):
            both = layer_information(t, task.y, method, seed=seed, name=layer)
            found.append(Place(side, layer, both.x_t, both.t_y))
            continue
        drawn = [one[layer] for one in passes]
        x_t, t_y = (_over_passes(drawn, other, method, seed) for other in (patterns, task.y.numpy()))
        found.append(Place(side, layer, x_t.named("I(X;T)"), t_y.named("I(T;Y)")))
    return found


def _over_passes(
    drawn: Sequence[Float[torch.Tensor, "n d"]], other: Int[np.ndarray, " n"], method: Method, seed: int
) -> Measurement:
    def pooled(some: Sequence[torch.Tensor]) -> Measurement:
        return mutual_information(torch.cat(list(some)), np.tile(other, len(some)), method, seed=seed, strict=False)

    whole, half = pooled(drawn), len(drawn) // 2
    excess = (pooled(drawn[:half]).value + pooled(drawn[half : 2 * half]).value) / 2 - whole.value
    note = f"{len(drawn)} noisy passes; half as many give {excess / NATS_PER_BIT:+.6f} bit"
    # The draws of the last noise may be many, those of the noise before it are as many as the passes give.
    draws = len(drawn) * len(other)
    few = math.sqrt(max(1.0, method.samples / draws)) if isinstance(method, Noisy) else 1.0
    stderr = math.hypot(whole.stderr * few, excess)
    return dataclasses.replace(noted(whole, note), stderr=stderr, bound=Bound.UPPER)


def noted(m: Measurement, note: str) -> Measurement:
    """The measurement with one more note in its receipt."""
    return dataclasses.replace(m, receipt=dataclasses.replace(m.receipt, notes=(*m.receipt.notes, note)))


def along_layers(places: Sequence[Place], chain: bool) -> list[Place]:
    """The same places; where one shows more than an earlier layer, a note says so, and a status if layers form a chain.

    In a chain X → T_1 → … → T_k no layer can hold more about X, or about Y, than one before it (data-processing
    inequality). An estimate that rises by more than two standard errors is then not one of the true information (of
    the binned layer, say). Where connections skip layers, a rise may be true.
    """
    checked: list[Place] = []
    for i, place in enumerate(places):
        x_t = _against_lowest(place.x_t, [(p.layer, p.x_t) for p in places[:i]], chain)
        t_y = _against_lowest(place.t_y, [(p.layer, p.t_y) for p in places[:i]], chain)
        checked.append(Place(place.side, place.layer, x_t, t_y))
    return checked


def is_chain(network: nn.Module) -> bool:
    """Whether each layer of a network is surely a function of the one before: it is made of `nn.Sequential` alone.

    >>> is_chain(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), is_chain(nn.TransformerEncoderLayer(4, 2))
    (True, False)
    """
    return all(isinstance(m, nn.Sequential) for m in network.modules() if next(m.children(), None) is not None)


def _against_lowest(here: Measurement, before: Sequence[tuple[str, Measurement]], chain: bool) -> Measurement:
    known = [(layer, m) for layer, m in before if not math.isnan(m.value)]
    if not known:
        return here
    layer, lowest = min(known, key=lambda pair: pair[1].value)
    rise = here.value - lowest.value
    errors = [m.stderr for m in (here, lowest) if not math.isnan(m.stderr)]
    if not rise > max(2 * math.hypot(*errors), 1e-9):
        return here
    note = f"{here.quantity} is {rise / NATS_PER_BIT:.4f} bit above that of {layer}, an earlier layer"
    status = here.status | ({Status.DATA_PROCESSING_VIOLATED} if chain else set())
    return dataclasses.replace(noted(here, note), status=status)


def pattern_entropy(task: Task) -> float:
    """H(X) of the empirical frequencies of a task's inputs, nats: log n if all differ.

    >>> import torch
    >>> round(pattern_entropy(Task.from_arrays(torch.tensor([[0.0], [1.0], [1.0], [0.0]]), [0, 1, 1, 0])), 6)
    0.693147
    """
    _, count = np.unique(task.content_hashes, return_counts=True)
    p = count / max(len(task), 1)
    return float(-(p * np.log(p)).sum()) or 1.0
