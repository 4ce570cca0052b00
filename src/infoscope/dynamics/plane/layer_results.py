"""I(X;T) and I(T;Y) of layers whose activations are there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from infoscope.dynamics.plane.data_processing import data_processing
from infoscope.dynamics.plane.specification import LayerSpecification
from infoscope.measurement import Measurement, Status
from infoscope.mi.estimate import layer_information
from infoscope.observation.activations import Activations
from infoscope.observation.layers import unwrapped
from infoscope.record import Record


@dataclass(frozen=True)
class LayerResult:
    """I(X;T) and I(T;Y) of one layer for the examples of one side."""

    side: str
    layer: str
    x_t: Measurement
    t_y: Measurement

    def append_to(self, record: Record, **coordinates: Any) -> None:
        """Add two rows to a record, at these coordinates, side and layer."""
        for m in (self.x_t, self.t_y):
            record.append(m, **coordinates, side=self.side, layer=self.layer)


def layer_results(
    activations: Activations,
    y: Any,
    how: LayerSpecification,
    *,
    side: str,
    x: Any = None,
    network: nn.Module | None = None,
) -> list[LayerResult]:
    """I(X;T) and I(T;Y) of each layer; `x` are the inputs, which methods that neither bin nor add noise need.

    `network` is the one that they are layers of, if it is there: what gives a layer may say how it is measured.
    """
    modules = {} if network is None else dict(unwrapped(network).named_modules())
    found = []
    for layer, t in activations.layers.items():
        method = how.method_for(modules.get(activations.modules.get(layer, layer)))
        both = layer_information(t, y, method, x=x, null=how.null, seed=how.seed, name=layer)
        found.append(LayerResult(side, layer, *(_told(m, layer, activations) for m in (both.x_t, both.t_y))))
    return found


def along_layers(results: Sequence[LayerResult], chain: bool) -> list[LayerResult]:
    """The results of one side, first layer first, each held against those before it; see `data_processing`."""
    x_t = data_processing({one.layer: one.x_t for one in results}, chain)
    t_y = data_processing({one.layer: one.t_y for one in results}, chain)
    return [dataclasses.replace(one, x_t=x_t[one.layer], t_y=t_y[one.layer]) for one in results]


def noted(m: Measurement, note: str) -> Measurement:
    """The measurement with one more note in its receipt."""
    return dataclasses.replace(m, receipt=dataclasses.replace(m.receipt, notes=(*m.receipt.notes, note)))


def _told(m: Measurement, layer: str, activations: Activations) -> Measurement:
    """The measurement, with what its layer's activations were."""
    if layer in activations.unsteady:
        m = dataclasses.replace(m, status=m.status | {Status.NOT_DETERMINISTIC})
    if layer not in activations.sketched:
        return m
    columns = activations[layer].shape[1]
    return noted(
        m,
        f"the layer's {activations.sketched[layer]:,} activations were seen through a random projection to "
        f"{columns:,} (CountSketch); what is shown of it is no more than the layer holds",
    )
