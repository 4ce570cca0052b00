"""What is drawn of distances and of pictures of networks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import Measurement
from infoscope.weight_distance.mds import Picture
from infoscope.weight_distance.result import DistanceResult


def curve(found: Mapping[str, DistanceResult]) -> Figure:
    """The distance of each epoch's weights to the final ones."""
    lines = []
    for name, one in found.items():
        means = torch.tensor([m.value for m in one.curve.values()])
        spread = torch.tensor([_spread(m) for m in one.curve.values()])
        band = ((means - spread).tolist(), (means + spread).tolist()) if len(one.whole.names) > 1 else (None, None)
        lines.append(Line(name, list(one.curve), means.tolist(), *band))
    intercept = "The intercept is the distance from start to end; the band is one standard deviation over networks."
    return Figure("On the way to the final weights", "epoch", "d(w_t, w)", lines, caption=intercept)


def layers(found: Mapping[str, DistanceResult]) -> Figure:
    """The mean distance of each layer."""
    bars = [
        Bars(name, list(one.whole.layers), [float(v.mean()) for v in one.whole.layers.values()])
        for name, one in found.items()
    ]
    return Figure("Layer by layer", "layer", "d(w0, w)", bars, caption="Mean over networks.")


def picture(where: str, shown: Picture, starts: Tensor | None) -> Figure:
    """The first two axes; `starts` are the start of each of the last networks, drawn in one colour each."""
    axes = shown.points.shape[1]
    held = f"Its {axes} axes hold {shown.explained:.1%} of the variance, the first two are drawn."
    caption = f"{held} {shown.warning}".strip()
    if starts is None:
        clouds = [_cloud("networks", shown.points)]
    else:
        first = len(shown.points) - len(starts)
        ends = shown.points[first:]
        clouds = [_cloud(f"ends from start {i + 1}", ends[starts == i]) for i in range(int(starts.max()) + 1)]
        clouds = [_cloud("starts", shown.points[:first]), *clouds] if first else clouds
    return Figure(f"Networks at the {where}", "axis 1", "axis 2", clouds, caption=caption)


def _spread(m: Measurement) -> float:
    reached = torch.tensor(list(m.replicates.values()))
    return float(reached.std()) if len(reached) > 1 else 0.0


def _cloud(name: str, points: Tensor) -> Line:
    second = points[:, 1] if points.shape[1] > 1 else torch.zeros(len(points))
    return Line(name, points[:, 0].tolist(), second.tolist(), points=True)
