"""The plane of one network as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from infoscope.data.task import Task
from infoscope.dynamics.plane_point import Arrays, PlaneView, point_of
from infoscope.mi.estimators.binning import Uniform
from infoscope.mi.method import Method
from infoscope.record import Record


def plane_of_network(
    network: nn.Module,
    task: Task | Arrays,
    *,
    test: Task | Arrays | None = None,
    layers: Sequence[str] | str | None = None,
    method: Method = Uniform(30, "layer"),
    record: Record | None = None,
    **options: Any,
) -> Record:
    """I(X;T) and I(T;Y) of a network's layers, at coordinates side and layer, nats; nothing is trained.

    `task` are the examples to measure on, or arrays (x, y), and `test` others. Activations are computed batch by
    batch, so that with `Probe` or `Compressed` a layer of millions of activations needs no more memory than a small
    one. `options` are those of `PlaneView`: null, seed, batch, room, sketch. Rows are appended to `record` if given.

    >>> from infoscope.data.tishby import tishby
    >>> [str(row.coordinates["layer"]) for row in plane_of_network(nn.Sequential(nn.Linear(12, 2)), tishby())]
    ['0', '0']
    """
    found = record if record is not None else Record()
    for place in point_of(PlaneView.of(task, test, layers, method, **options), network).places:
        for measurement in (place.x_t, place.t_y):
            found.append(measurement, side=place.side, layer=place.layer)
    return found
