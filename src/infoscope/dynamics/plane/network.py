"""The plane of one network as it is now."""

from __future__ import annotations

from typing import Any

from torch import nn

from infoscope.dynamics.examples import ExamplesLike
from infoscope.dynamics.plane.point import plane_point
from infoscope.dynamics.plane.specification import PlaneSpecification
from infoscope.record import Record


def plane_of_network(
    network: nn.Module,
    task: ExamplesLike,
    *,
    test: ExamplesLike | None = None,
    record: Record | None = None,
    **options: Any,
) -> Record:
    """I(X;T) and I(T;Y) of a network's layers, at coordinates side and layer, nats; nothing is trained.

    `task` are the examples to measure on, or arrays (x, y), and `test` others; the network is called with the inputs
    exactly as they are, `network(**x)` for a mapping. Activations are computed batch by batch, so that with `Probe` or
    `Compressed` a layer of millions of activations needs no more memory than a small one. `options` are those of
    `LayerSpecification`: method, layers, null, seed, sketch, passes, batch, room. Rows are appended to `record` if
    given.

    >>> from infoscope.data.tishby import tishby
    >>> [str(row.coordinates["layer"]) for row in plane_of_network(nn.Sequential(nn.Linear(12, 2)), tishby())]
    ['0', '0']
    """
    found = record if record is not None else Record()
    for one in plane_point(PlaneSpecification.of(task, test, **options), network).layers:
        one.append_to(found)
    return found
