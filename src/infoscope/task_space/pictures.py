"""Pictures of a space of tasks: a tree, a map by classical scaling, one by t-SNE, and distances in its order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from infoscope.figure import Figure, Grid, Line
from infoscope.weight_distance.mds import mds_of_distances

NAMED_UP_TO = 40
"""Tasks whose names stand along the tree."""

FEWEST = 5
"""Tasks that a map by t-SNE is drawn of."""


def tree_of(distances: Float[Tensor, "n n"]) -> tuple[np.ndarray, list[int]]:
    """Average linkage of symmetric distances (scipy's rows), and the tasks in the order of the tree's leaves."""
    flat = squareform(np.ascontiguousarray(distances.double().numpy()), checks=False)
    rows = linkage(flat, "average", optimal_ordering=len(distances) <= 200)
    return rows, dendrogram(rows, no_plot=True)["leaves"]


def tree_figure(names: Sequence[str], distances: Float[Tensor, "n n"]) -> Figure:
    """The tree: what merges, at which mean distance; a point for each task."""
    rows, leaves = tree_of(distances)
    shape = dendrogram(rows, no_plot=True)
    x, y = list[float](), list[float]()
    for place, height in zip(shape["icoord"], shape["dcoord"], strict=True):
        x += [(at - 5) / 10 for at in (*place, place[-1])]
        y += [*height, math.nan]
    called = [names[leaf] for leaf in leaves]
    few = called if len(called) <= NAMED_UP_TO else []
    lines = [Line("merging at this mean distance", x, y)]
    if not few:
        lines.append(Line("tasks", range(len(called)), [0.0] * len(called), points=True, names=called))
    return Figure("Which tasks are near", "", "distance", lines, caption="Average linkage of d_sym.", x_names=few)


def map_figures(names: Sequence[str], distances: Float[Tensor, "n n"], seed: int) -> list[Figure]:
    """Classical scaling, which keeps far tasks far, and t-SNE, which keeps near ones near."""
    found = []
    if len(names) >= 3:
        shown = mds_of_distances(distances)
        caption = f"The picture holds {shown.explained:.0%} of what the distances say. {shown.warning}".strip()
        found.append(_points("Map of the tasks by classical scaling", names, shown.points, caption))
    if len(names) >= FEWEST:
        from sklearn.manifold import TSNE  # a second for who needs none

        near = min(30.0, (len(names) - 1) / 3)
        by = TSNE(metric="precomputed", init="random", perplexity=near, random_state=seed)
        points = torch.from_numpy(by.fit_transform(distances.numpy()))
        found.append(_points("Map of the tasks by t-SNE", names, points, f"Perplexity {near:.3g}; axes mean nothing."))
    return found


def distance_figure(title: str, names: Sequence[str], distances: Float[Tensor, "n n"], order: Sequence[int]) -> Figure:
    """A heat map, tasks in the order of the tree."""
    called = [names[i] for i in order]
    picked = distances[list(order)][:, list(order)]
    return Figure(title, "to", "from", grid=Grid("distance", called, called, picked.tolist()))


def _points(title: str, names: Sequence[str], points: Float[Tensor, "n 2"], caption: str) -> Figure:
    x, y = points[:, 0].tolist(), points[:, 1].tolist()
    return Figure(title, "", "", [Line("tasks", x, y, points=True, names=names)], caption=caption)
