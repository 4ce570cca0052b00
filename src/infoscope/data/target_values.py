"""What is to be said of each example, as its target takes it; and which target it is where none is declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.targets import FINEST, Boxes, Classes, Labels, Real, Target, Tokens

MANY = 20
"""More different whole numbers than this, each seen fewer than `SEEN` times on average, may be amounts, not classes."""

SEEN = 10

GAPS = 3
"""Whole numbers from 0 to beyond `MANY`, fewer than one in so many of which occurs, are names, not places."""


def target_of(y: Any, name: str = "y", kind: type[Target] | None = None) -> tuple[Target, Any, tuple[str, ...]]:
    """The target that `y` speaks for, `y` as this target takes it, and a note on what was guessed.

    | `y` | is taken for |
    |---|---|
    | words | `Classes`, the alphabet sorted |
    | more than 20 different words, most of which occur once; one number above 20 throughout | nothing: declare it |
    | whole numbers from 0 on, booleans | `Classes` 0 … max(y) |
    | other whole numbers: 1 … C, −1 and +1, 3 … 8; 0, 7, 1000 | `Classes` called by these numbers, with a note |
    | more than 20 different whole numbers, each seen fewer than 10 times on average | nothing: declare it |
    | numbers with fractions | `Real`, from the smallest to the largest by the smallest gap between two, with a note |
    | (n, m ≥ 2) of 0 and 1, −1 where masked | `Labels` "0" … "m − 1" |
    | anything else | nothing: declare it |

    With `kind` only the parameters of this kind of target are found.

    >>> target_of([0.5, 2.0, 1.5])[0].resolution, target_of([1, 3, 2])[0].alphabet
    (0.5, ('1', '2', '3'))
    """
    array = _plain(y, name)
    if kind in (Tokens, Boxes):
        raise ValueError(f"{name}: {kind.__name__} can't be guessed from y; give target={kind.__name__}(…)")
    words, whole = array.dtype.kind in "OUST", _is_whole(array)
    if kind is Labels or (kind is None and array.ndim == 2 and whole and np.isin(array, (-1, 0, 1)).all()):
        return _labels(array, name)
    if kind is Real or (kind is None and not words and not whole and array.ndim <= 2):
        return _real(array, name)
    if array.ndim != 1 or not (words or whole):
        raise ValueError(f"{name}: y has shape {array.shape} and holds {array.dtype}; say what it is: target=…")
    if words:
        named = np.unique(array.astype(str))
        if kind is None and len(named) > MANY and len(array) < 2 * len(named):
            raise ValueError(
                f"{name}: y holds {len(named)} different words in {len(array)} examples, as ids do; name another "
                "column (label=…), or say that these are classes (target=Classes, --target classes)"
            )
        return Classes(tuple(map(str, named))), array.astype(str), ()
    return _classes(array.astype(np.int64), name, declared=kind is Classes)


def as_values(y: Any, target: Target, name: str = "y") -> Tensor:
    """`y` as this target takes it, checked: a tensor whose first axis counts the examples."""
    if isinstance(target, Boxes) and not isinstance(y, Tensor | np.ndarray):
        values = _boxes(y, target, name)
    else:
        values = _tensor(_plain(y, name), target, name)
    target.check(values, name)
    return values


def recounted(y: Any, named: Target | None, target: Target, name: str = "y") -> Any:
    """`y`, which counts into the alphabet of `named`, counting into that of `target`, where classes go by name."""
    if (
        not (isinstance(named, Classes | Boxes) and isinstance(target, type(named)))
        or named.alphabet == target.alphabet
    ):
        return y
    places = _places(np.array(named.alphabet), target.alphabet, name)
    if isinstance(named, Classes):
        return places[torch.as_tensor(np.asarray(y))]
    return [[(int(places[int(kind)]), *box) for kind, *box in rows] for rows in y]


def _tensor(array: np.ndarray, target: Target, name: str) -> Tensor:
    match target:
        case Classes() if array.dtype.kind in "OUST":
            return _places(array, target.alphabet, name)
        case Real():
            return torch.from_numpy(_numbers(array, name).reshape(len(array), -1))
        case Boxes():
            return torch.from_numpy(_numbers(array, name)).float()
    if not _is_whole(array):
        what = "NaN or fractions" if array.dtype.kind == "f" else str(array.dtype)
        raise ValueError(f"{name}: y holds {what}; for {target} give integers")
    return torch.as_tensor(array.astype(np.int64))


def _plain(y: Any, name: str) -> np.ndarray:
    raw = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim == 0:
        raise ValueError(f"{name}: y is a single {raw.dtype}; give one for each example")
    if raw.dtype.kind == "O" and not all(isinstance(word, str) for word in raw.flat):
        raise ValueError(f"{name}: y holds Python objects that are not all words; give numbers, or words throughout")
    return raw


def _is_whole(array: np.ndarray) -> bool:
    if array.dtype.kind != "f":
        return array.dtype.kind in "bui"
    return bool(np.isfinite(array).all() and (array == array.round()).all())


def _numbers(array: np.ndarray, name: str) -> Float[np.ndarray, "*shape"]:
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise ValueError(
            f"{name}: y holds {'NaN or infinity' if array.dtype.kind == 'f' else array.dtype}, not numbers"
        )
    return array.astype(np.float64)


def _places(words: np.ndarray, alphabet: Sequence[str], name: str) -> Tensor:
    place = {word: i for i, word in enumerate(alphabet)}
    unknown = [word for word in map(str, words.flat) if word not in place]
    if unknown:
        raise ValueError(
            f"{name}: {len(unknown)} of {words.size} classes are not in the alphabet of {len(place)}, the first is "
            f"{unknown[0]!r}; declare a larger alphabet or fix the labels"
        )
    return torch.tensor([place[str(word)] for word in words.flat]).reshape(words.shape)


def _classes(y: np.ndarray, name: str, declared: bool) -> tuple[Target, np.ndarray, tuple[str, ...]]:
    values = np.unique(y)
    if not declared and len(values) > MANY and len(y) < SEEN * len(values):
        raise ValueError(
            f"{name}: y holds {len(values)} different whole numbers in {len(y)} examples; say whether these are "
            "amounts (target=Real, --target real) or classes (target=Classes, --target classes)"
        )
    if not declared and len(values) == 1 and values[0] > MANY:
        raise ValueError(
            f"{name}: y is {values[0]} throughout, which would take an alphabet of {values[0] + 1}; say how many "
            "classes there are (classes=…, alphabet=…)"
        )
    sparse = not declared and len(values) > 1 and values[-1] + 1 > max(MANY, GAPS * len(values))
    if not len(values) or (values[0] == 0 and not sparse) or (len(values) == 1 and values[0] > 0):
        return Classes(tuple(map(str, range(int(y.max()) + 1))) if len(y) else ()), y, ()
    named = [str(value) for value in values.tolist()]
    if values[0] < 0 and not declared and named != ["-1", "1"]:
        raise ValueError(
            f"{name}: {int((y < 0).sum())} of {len(y)} labels lie outside the alphabet 0, 1, …, the first is "
            f"{int(y[y < 0][0])}; fix them, or give classes by name"
        )
    shown = ", ".join(named if len(named) <= 4 else [*named[:2], "…", named[-1]])
    return Classes(tuple(named)), y.astype(str), (f"y holds {shown}: taken for {len(named)} classes of these names",)


def _labels(y: np.ndarray, name: str) -> tuple[Target, np.ndarray, tuple[str, ...]]:
    if y.ndim != 2:
        raise ValueError(f"{name}: y has shape {y.shape}; several labels at once are (n, labels) of 0 and 1")
    one_hot = len(y) > 1 and (y >= 0).all() and (y.sum(1) == 1).all()
    note = "every row of y has a single 1: if these are classes, give y.argmax(1)"
    return Labels(tuple(map(str, range(y.shape[1])))), y, (note,) if one_hot else ()


def _real(y: np.ndarray, name: str) -> tuple[Target, np.ndarray, tuple[str, ...]]:
    numbers = _numbers(y, name)
    values = np.unique(numbers)
    if len(values) < 2:
        raise ValueError(f"{name}: y holds one number only, so no range; declare Real(resolution, low, high)")
    low, high, gap = float(values[0]), float(values[-1]), float(np.diff(values).min())
    if not (high - low) / gap < FINEST:
        raise ValueError(f"{name}: two of y's numbers are only {gap:g} apart; declare Real(resolution, low, high)")
    dim = 1 if y.ndim == 1 else y.shape[1]
    note = f"y is taken for numbers from {low:g} to {high:g} by {gap:g}, found in y itself; declare Real(…) to fix them"
    return Real(gap, low, high, dim), numbers, (note,)


def _boxes(images: Sequence[Any], target: Boxes, name: str) -> Float[Tensor, "n k 5"]:
    """Lists of boxes, an image each, filled up with rows of class −1."""
    y = torch.zeros(len(images), max((len(rows) for rows in images), default=0) or 1, 5)
    y[..., 0] = -1
    for i, rows in enumerate(images):
        if len(rows):
            y[i, : len(rows)] = _objects(rows, len(target.alphabet), f"{name}: image {i}")
    return y


def _objects(rows: Any, classes: int, where: str) -> Float[Tensor, "k 5"]:
    found = np.asarray(rows, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 5:
        raise ValueError(f"{where}: boxes have shape {found.shape}; a box is class, centre x, centre y, width, height")
    kind, centre, size = found[:, 0], found[:, 1:3], found[:, 3:]
    if not ((kind >= 0) & (kind < classes) & (kind == kind.round())).all():
        raise ValueError(f"{where}: classes are {kind.tolist()}; they count into the alphabet of {classes}")
    slack = 1e-6  # sums of rounded numbers
    if not ((size > 0) & (centre - size / 2 >= -slack) & (centre + size / 2 <= 1 + slack)).all():
        raise ValueError(f"{where}: a box lies outside or has no area; give it relative to the image, within 0 … 1")
    return torch.from_numpy(found).float()
