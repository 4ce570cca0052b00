"""What is drawn of distances and of pictures of networks."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
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
    """Networks as points, on three axes that turn where there are as many.

    `starts` are the start of each of the last networks: a colour for each, with lines from there to the ends.
    """
    axes = shown.points.shape[1]
    drawn = min(axes, 3)
    of = "all drawn" if drawn == axes else f"the first {drawn} drawn"
    caption = f"Its {axes} axes hold {shown.explained:.1%} of the variance, {of}. {shown.warning}".strip()
    if starts is None:
        clouds = [_cloud("networks", shown.points)]
    else:
        first = len(shown.points) - len(starts)
        ends = shown.points[first:]
        clouds = [
            _cloud(f"ends from start {i + 1}", ends[starts == i], shown.points[i] if first else None)
            for i in range(int(starts.max()) + 1)
        ]
    third = "axis 3" if drawn == 3 else ""
    return Figure(f"Networks at the {where}", "axis 1", "axis 2", clouds, caption=caption, z_label=third)


def _spread(m: Measurement) -> float:
    reached = torch.tensor(list(m.replicates.values()))
    return float(reached.std()) if len(reached) > 1 else 0.0


def _cloud(name: str, points: Tensor, origin: Tensor | None = None) -> Line:
    wide = torch.nn.functional.pad(points, (0, max(0, 2 - points.shape[1])))[:, :3]
    third = wide[:, 2].tolist() if wide.shape[1] > 2 else None
    came = None if origin is None else torch.nn.functional.pad(origin, (0, max(0, 2 - len(origin))))[:3].tolist()
    return Line(name, wide[:, 0].tolist(), wide[:, 1].tolist(), points=True, z=third, origin=came)


def by_loss(found: Mapping[str, DistanceResult]) -> Figure:
    """The distance from the start against the training loss, mean over networks after each epoch."""
    lines = []
    for name, one in found.items():
        here = ~one.losses.isnan().any(0)
        loss, moved = one.losses[:, here].mean(0) / NATS_PER_BIT, one.moved[:, here].mean(0)
        lines.append(Line(name, loss.tolist(), moved.tolist()))
    caption = "Mean over networks after each epoch, the first one on the right: curves are compared at equal loss."
    return Figure("Distance against loss", "training loss, bits", "d(w0, w_t)", lines, caption=caption)


def histogram(found: Mapping[str, DistanceResult]) -> Figure:
    """How many networks went how far, in the same bins for all tasks."""
    every = torch.cat([one.whole.values for one in found.values()])
    bins = max(1, math.ceil(1 + math.log2(len(every))))  # Sturges
    low, high = float(every.min()), float(every.max())
    width = (high - low) / bins
    names = [f"{low + i * width:.4g} to {low + (i + 1) * width:.4g}" for i in range(bins)] if width else [f"{low:.4g}"]
    bars = []
    for name, one in found.items():
        index = ((one.whole.values - low) / width).long().clamp(max=bins - 1) if width else one.whole.values.long() * 0
        bars.append(Bars(name, names, torch.bincount(index, minlength=len(names)).double().tolist()))
    return Figure("How far each network went", "d(w0, w)", "networks", bars, caption="Bins of equal width (Sturges).")
