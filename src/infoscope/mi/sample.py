"""What an estimator is given: two sides of a sample, each either points or labels, read and checked once."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from infoscope.mi.numerics.codes import row_codes


@dataclass(frozen=True, eq=False)
class Side:
    """One variable's sample: points (n, d), floating; or labels (n,), coded 0 … classes − 1, if classes > 0."""

    values: Float[np.ndarray, "n d"] | Int[np.ndarray, " n"]
    classes: int = 0

    @property
    def labels(self) -> bool:
        """Whether this side is discrete."""
        return self.classes > 0

    @property
    def kind(self) -> str:
        """`labels` or `points`."""
        return "labels" if self.labels else "points"

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Int[np.ndarray, " m"]) -> Side:
        """These rows, in this order; labels are coded anew."""
        return coded(self.values[rows]) if self.labels else Side(self.values[rows])

    def entropy(self) -> float:
        """H of the empirical label frequencies, nats; infinite for points."""
        if not self.labels:
            return math.inf
        p = np.bincount(self.values, minlength=self.classes) / len(self)
        return float(-(p[p > 0] * np.log(p[p > 0])).sum())

    def digest(self) -> str:
        """Hash of shape, type and content."""
        values = np.ascontiguousarray(self.values)
        start = repr((values.shape, values.dtype.str)).encode()
        h = hashlib.blake2b(start, digest_size=16)
        h.update(values.data)
        return h.hexdigest()


def read(values: Any, name: str) -> Side:
    """An array or tensor as a side: floating values are points, integers and booleans labels (whole rows of them).

    >>> read([[0.5], [1.5]], "x").kind, read([3, 3, 7], "y").values.tolist()
    ('points', [0, 0, 1])
    """
    array = as_array(values, name)
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"`{name}` holds no examples; give an array of shape (n,) or (n, d)")
    if array.dtype.kind in "iub":
        return coded(array)
    if array.dtype.kind != "f":
        raise ValueError(f"`{name}` holds {array.dtype}, which is neither numbers nor labels; code it as 0, 1, 2 …")
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    points = array.reshape(len(array), -1)
    _check_finite(points, name)
    return Side(points)


def read_labels(values: Any, name: str) -> Side:
    """Integer labels (n,) as a side; a ValueError for anything else.

    >>> read_labels([0.5, 1.0], "y")
    Traceback (most recent call last):
    ValueError: `y` holds float64 of shape (2,), not integer labels of shape (n,); code the classes as 0, 1, 2 …
    """
    array = as_array(values, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iub" or array.ndim != 1 or len(array) == 0:
        raise ValueError(
            f"`{name}` holds {array.dtype} of shape {array.shape}, not integer labels of shape (n,); "
            "code the classes as 0, 1, 2 …"
        )
    return coded(array)


def as_points(values: Any, name: str) -> Side:
    """Numbers of any kind as points, integers too."""
    array = as_array(values, name)
    return read(array.astype(np.float64) if array.dtype.kind in "iub" else array, name)


def is_constant(side: Side) -> bool:
    """Whether every example is the same."""
    return side.classes == 1 if side.labels else bool((side.values == side.values[:1]).all())


def paired(x: Side, y: Side, names: tuple[str, str]) -> None:
    """ValueError unless both sides have the same number of examples."""
    if len(x) != len(y):
        raise ValueError(f"`{names[0]}` has {len(x)} examples and `{names[1]}` {len(y)}; give them row by row in pairs")


def coded(values: np.ndarray) -> Side:
    """Discrete values, or rows of them, as labels 0 … C − 1."""
    flat = values.reshape(len(values), -1)
    keys = flat[:, 0] if flat.shape[1] == 1 else row_codes(flat.astype(np.int64))
    found, codes = np.unique(keys, return_inverse=True)
    return Side(codes.astype(np.int64), len(found))


def as_array(values: Any, name: str) -> np.ndarray:
    """A numpy view of an array, a list or a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"`{name}` is not an array: its rows differ in length; give shape (n, d)") from error


def _check_finite(points: Float[np.ndarray, "n d"], name: str) -> None:
    # The sum is finite unless some value is not, or it overflows: rows are searched in these cases only.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(points.sum())):
            return
    bad = np.flatnonzero(~np.isfinite(points).all(1))
    if len(bad):
        raise ValueError(
            f"`{name}` has {len(bad)} of {len(points)} rows with NaN or infinity, the first is row {bad[0]}; "
            "drop or fix them"
        )
