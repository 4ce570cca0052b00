"""The information plane of one network as a small picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

COLOURS = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2")
WIDE, HIGH, LEFT, TOP = 560, 360, 56, 16


def plane_svg(curves: Float[np.ndarray, "layers epochs 2"], epochs: Sequence[int]) -> str:
    """A path a layer through its places in bits, I(X;T) to the right, I(T;Y) up; a ring where it starts."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE + LEFT + 20} {HIGH + TOP + 48}" '
        'font-family="sans-serif" font-size="12" fill="#555">',
        f'<rect width="{WIDE + LEFT + 20}" height="{HIGH + TOP + 48}" fill="#fff"/>',
    ]
    for bits in range(0, 13, 2):
        x, y = _at(bits, 0)
        parts.append(f'<path d="M{x} {TOP}V{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{bits}</text>')
    for tenths in range(0, 11, 2):
        x, y = _at(0, tenths / 10)
        parts.append(f'<path d="M{x} {y}h{WIDE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{tenths / 10}</text>')
    for layer, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False), start=1):
        places = [_at(*place) for place in curve]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [
            f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"><title>act{layer}, epoch {epoch}</title></circle>'
            for (x, y), epoch in zip(places, epochs, strict=True)
        ]
        x, y = places[0]
        parts.append(f'<circle cx="{x}" cy="{y}" r="6" fill="none" stroke="{colour}"/>')
        side, anchor = (-10, "end") if x > WIDE else (10, "start")
        parts.append(f'<text x="{x + side}" y="{y + 4}" text-anchor="{anchor}" fill="{colour}">act{layer}</text>')
    middle = LEFT + WIDE / 2
    parts.append(f'<text x="{middle}" y="{TOP + HIGH + 40}" text-anchor="middle">I(X;T), bits</text>')
    parts.append(
        f'<text transform="translate(14 {TOP + HIGH / 2}) rotate(-90)" text-anchor="middle">I(T;Y), bits</text>'
    )
    return "\n".join([*parts, "</svg>\n"])


def _at(x_t: float, t_y: float) -> tuple[float, float]:
    return round(LEFT + WIDE * x_t / 12, 1), round(TOP + HIGH * (1 - t_y), 1)
