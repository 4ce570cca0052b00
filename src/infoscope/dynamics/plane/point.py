"""One state of a network on the information plane: I(X;T) and I(T;Y) of its layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from infoscope.dynamics.examples import Examples
from infoscope.dynamics.plane.layer_results import LayerResult, along_layers, layer_results
from infoscope.dynamics.plane.noisy_passes import is_measured_in_passes, noisy_results
from infoscope.dynamics.plane.specification import LayerSpecification, PlaneSpecification
from infoscope.measurement import Measurement
from infoscope.observation.activations import in_groups
from infoscope.observation.architecture import Architecture
from infoscope.record import Record
from infoscope.training.learner import Weights


@dataclass(frozen=True)
class PlanePoint:
    """The results of all layers at one epoch, layers in the order in which they answer."""

    layers: tuple[LayerResult, ...]

    def append_to(self, record: Record, epoch: int) -> None:
        """Add two rows a layer to a record, at coordinates epoch, side and layer."""
        for one in self.layers:
            one.append_to(record, epoch=epoch)

    def to_bytes(self) -> bytes:
        """As JSON."""
        rows = [(one.side, one.layer, one.x_t.to_json(), one.t_y.to_json()) for one in self.layers]
        return json.dumps(rows).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PlanePoint:
        """The value that `to_bytes` wrote."""
        rows = json.loads(data)
        return cls(tuple(LayerResult(s, t, Measurement.from_json(a), Measurement.from_json(b)) for s, t, a, b in rows))


def plane_point(specification: PlaneSpecification, network: nn.Module) -> PlanePoint:
    """Where this network stands."""
    chain = is_chain(network)
    sides = specification.sides.items()
    found = (along_layers(list(_of_side(network, one, specification.how, side)), chain) for side, one in sides)
    return PlanePoint(tuple(layer for results in found for layer in results))


def point_of_weights(specification: PlaneSpecification, architecture: Architecture, weights: Weights) -> PlanePoint:
    """Where the network with these weights stands."""
    return plane_point(specification, architecture.with_weights(weights))


def is_chain(network: nn.Module) -> bool:
    """Whether each layer of a network is surely a function of the one before: it is made of `nn.Sequential` alone.

    >>> is_chain(nn.Sequential(nn.Linear(2, 2), nn.ReLU())), is_chain(nn.TransformerEncoderLayer(4, 2))
    (True, False)
    """
    return all(isinstance(m, nn.Sequential) for m in network.modules() if next(m.children(), None) is not None)


def _of_side(network: nn.Module, examples: Examples, how: LayerSpecification, side: str) -> Iterator[LayerResult]:
    """The layers' results, as many layers at a time as fit into the room."""
    if is_measured_in_passes(network, how.method):
        yield from noisy_results(network, examples, how, side)
        return
    sketch = how.sketch if getattr(how.method, "projects", False) else None
    for group in in_groups(network, examples.x, how.layers, how.batch, how.room, sketch=sketch):
        yield from layer_results(group, examples.y, how, side=side, x=examples.points, network=network)
