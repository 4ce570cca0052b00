from __future__ import annotations

import json
import math

import numpy
import pytest

from infoscope.figure import Bars, Figure, Grid, Line
from infoscope.report.thinning import thinned


def test_a_line_is_a_value():
    assert Line("a", numpy.arange(3), numpy.ones(3)) == Line("a", [0, 1, 2], [1, 1, 1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Line("a", [1, 2], [1]), "2 x and 1 y"),
        (lambda: Line("a", [1], [1], lower=[0, 0], upper=[2]), "1 x and 2 lower"),
        (lambda: Line("a", [1], [1], lower=[0]), "one side of a band"),
        (lambda: Figure("f", "x", "y", [Line("a", [1], [1]), Bars("b", ["c"], [1])]), "lines and bars"),
        (lambda: Figure("f", "x", "y", [Bars("b", ["c"], [1])], log_x=True), "drop log_x"),
        (lambda: Figure("f", "x", "y", [Line("a", [1], [1])], frames=["1", "2"]), "2 frames; give lines with a point"),
        (lambda: Figure("f", "x", "y", [Bars("b", ["c"], [1])], frames=["1"]), "1 frames; give lines"),
        (lambda: Grid("S", ["a"], ["b", "c"], [[1, 2], [3, 4]]), "1 rows and 2 columns; give its values"),
        (lambda: Grid("S", ["a"], ["b"], [[1]], [[1, 2]]), "1 rows and 1 columns; give its errors"),
        (lambda: Figure("f", "x", "y", [Line("a", [1], [1])], grid=Grid("S", ["a"], ["b"], [[1]])), "stands alone"),
    ],
)
def test_what_does_not_belong_together_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_what_is_not_finite_is_a_gap():
    line = Line("a", [0, 1, 2], [math.nan, math.inf, 1.5])
    read = json.loads(json.dumps(Figure("f", "x", "y", [line]).as_dict(), allow_nan=False))
    assert read["lines"][0]["y"] == [None, None, 1.5]


def test_thinning_takes_a_line_and_its_band_together(figures):
    whole, drawn = figures[0].lines[0], thinned(figures[0]).lines[0]
    points = {x: rest for x, *rest in zip(whole.x, whole.y, whole.lower, whole.upper, strict=True)}
    assert len(drawn.x) <= 1000
    for x, y, lower, upper in zip(drawn.x, drawn.y, drawn.lower, drawn.upper, strict=True):
        assert points[x] == [y, lower, upper] or math.isnan(y)
    assert any(map(math.isnan, drawn.y))


def test_frames_are_thinned_together_with_their_points():
    line = Line("a", range(2001), range(2001))
    drawn = thinned(Figure("f", "x", "y", [line], frames=[f"epoch {i}" for i in range(2001)]))
    assert len(drawn.frames) == len(drawn.lines[0].x) == 400
    assert (drawn.frames[0], drawn.frames[-1]) == ("epoch 0", "epoch 2000")
    assert [f"epoch {x:.0f}" for x in drawn.lines[0].x] == list(drawn.frames)


def test_a_cloud_is_thinned_evenly_not_like_a_curve():
    cloud = Line("cloud", range(9000), [0.0] * 9000, points=True)
    (drawn,) = thinned(Figure("f", "x", "y", [cloud])).lines
    assert drawn.points
    assert len(drawn.x) == 3000


def test_a_third_coordinate_is_one_of_all_lines_or_of_none():
    deep, flat = (Line("a", [1], [2], points=True, z=z) for z in ([3], None))
    for lines, label in (([deep, flat], "z"), ([deep], ""), ([flat], "z")):
        with pytest.raises(ValueError, match="three axes for some"):
            Figure("f", "x", "y", lines, z_label=label)
    with pytest.raises(ValueError, match="only points have one"):
        Line("a", [1], [2], z=[3])
    with pytest.raises(ValueError, match="as many coordinates"):
        Line("a", [1], [2], points=True, z=[3], origin=(0, 0))
    many = Line("a", range(9000), range(9000), points=True, z=range(9000), origin=(0, 0, 0))
    assert len(thinned(Figure("f", "x", "y", [many], z_label="z")).lines[0].z) == 3000
