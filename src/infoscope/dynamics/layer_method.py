"""An estimator that can be used on layers and their labels."""

from __future__ import annotations

from infoscope.method_text import text_of
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS


def check_layer_method(method: Method) -> None:
    """ValueError unless the method takes points and labels.

    >>> check_layer_method(METHODS["ksg"])
    Traceback (most recent call last):
    ValueError: ksg is for two sides of continuous values, and labels are not; for layers take ross, ...
    """
    if "points-labels" in method.takes:
        return
    able = ", ".join(name for name, other in METHODS.items() if "points-labels" in other.takes)
    raise ValueError(
        f"{text_of(method, METHODS).partition('(')[0]} is for two sides of continuous values, and labels are not; for "
        f"layers take ross, the nearest-neighbour estimator for labels, or one of {able}"
    )
