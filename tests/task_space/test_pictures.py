from __future__ import annotations

import math

import pytest
import torch

from infoscope.figure import Line
from infoscope.task_space.pictures import NAMED_UP_TO, map_figures, tree_figure


def apart(n: int) -> torch.Tensor:
    """Tasks along a line: two and two are near."""
    place = torch.tensor([float(i // 2) * 10 + i % 2 for i in range(n)])
    return (place[:, None] - place).abs()


def test_a_tree_is_one_line_whose_leaves_are_named():
    figure = tree_figure(list("abcd"), apart(4))
    (tree,) = figure.lines
    assert isinstance(tree, Line)
    assert sorted(figure.x_names) == list("abcd")
    assert {figure.x_names.index(one) // 2 for one in "ab"} in ({0}, {1})
    heights = sorted({y for y in tree.y if not math.isnan(y) and y})
    assert heights == [1.0, 10.0]
    assert min(tree.x) == 0
    assert max(tree.x) == 3


def test_of_many_tasks_the_pointer_tells_the_names():
    n = NAMED_UP_TO + 2
    names = [f"task {i}" for i in range(n)]
    tree = tree_figure(names, apart(n))
    assert not tree.x_names
    assert sorted(tree.lines[1].names or ()) == sorted(names)  # pyright: ignore
    (points,) = map_figures(names[:4], apart(4), 0)[0].lines
    assert points.names == tuple(names[:4])  # pyright: ignore


def test_names_are_of_points():
    with pytest.raises(ValueError, match="give them to points"):
        Line("a", [0.0, 1.0], [0.0, 1.0], names=["b", "c"])
