"""The 12-bit task of "Opening the black box of deep neural networks via information" (Shwartz-Ziv & Tishby 2017)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from infoscope.data import mat_file
from infoscope.data.array_file import check_room, open_npz
from infoscope.data.origin import derive
from infoscope.data.task import Task

_PHI = (1 + 5**0.5) / 2
# The vertices of an icosahedron; this order is that of the bits in the authors' file `var_u.mat`.
_POINTS = np.array(
    [
        (0, 1, _PHI), (1, _PHI, 0), (0, 1, -_PHI), (-1, _PHI, 0), (_PHI, 0, -1), (0, -1, _PHI),
        (1, -_PHI, 0), (-1, -_PHI, 0), (-_PHI, 0, -1), (0, -1, -_PHI), (-_PHI, 0, 1), (_PHI, 0, 1),
    ]
) / np.sqrt(1 + _PHI**2)  # fmt: skip
# Any threshold between 7.5628 and 7.7013 gives these labels.
_THRESHOLD = 7.6
_PARTS = ("X_train", "y_train", "X_test", "y_test")


def tishby() -> Task:
    """All 4096 patterns of 12 bits, in binary order, with a label that no rotation of the sphere changes.

    The bits switch on and off 12 points spread evenly on a sphere, the vertices p_i of an icosahedron. The label is 1
    where their number and the length of their sum exceed a threshold, Σ_i x_i + |Σ_i x_i p_i| > θ: degrees 0 and 1 of
    the rotation-invariant signature Σ_l (Σ_ij x_i x_j P_l(p_i·p_j))^½ with Legendre polynomials P_l. The paper
    (section 3.1) says that the rule is a threshold on a spherical power spectrum, but neither which degrees nor θ;
    with these, patterns and labels are bit for bit those of the authors' file `var_u.mat`. H(Y) = 0.99916 bits:

    >>> task = tishby()
    >>> len(task), int(task.y.sum()), round(float(task.label_entropy / np.log(2)), 5)
    (4096, 2118, 0.99916)
    """
    return derive(twelve_bits)


def twelve_bits() -> Task:
    """The patterns and their labels, made from the rule."""
    bits = (np.arange(4096)[:, None] >> np.arange(11, -1, -1)) & 1
    return Task.from_arrays(bits.astype(np.float32), labels_of(bits), name="tishby")


def labels_of(bits: Int[np.ndarray, "n 12"] | Float[np.ndarray, "n 12"]) -> Int[np.ndarray, " n"]:
    """The label of each pattern of 12 bits."""
    signature = bits.sum(1) + np.linalg.norm(bits @ _POINTS, axis=1)
    return (signature > _THRESHOLD).astype(np.int64)


def from_file(path: str | Path) -> Task:
    """A task of bits from a `.mat` with `F` and `y`, or from an `.npz` with `X_train`, `y_train`, `X_test`, `y_test`.

    The first is the form of the authors' `var_u.mat`; the second, with splits "train" and "test", is that of the data
    of Saxe et al. 2018.
    """
    return derive(read, source=str(path))


def read(*, source: str) -> Task:
    """The examples of a file; see `from_file`."""
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; tishby() makes the task without one")
    if path.suffix == ".mat":
        held = mat_file.arrays(path, ("F", "y"))
        return Task.from_arrays(_floats(held["F"], path), held["y"].ravel(), name=path.stem)
    file = open_npz(path)
    file.check(_PARTS)
    check_room(path, (file.arrays[name] for name in _PARTS))
    x_train, y_train, x_test, y_test = (file[name] for name in _PARTS)
    if x_train.ndim != 2 or x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"{path}: X_train has shape {x_train.shape} and X_test {x_test.shape}; give rows of 12 bits")
    y = np.concatenate([y_train.ravel(), y_test.ravel()])
    splits = {"train": (0, len(x_train)), "test": (len(x_train), len(y))}
    return Task.from_arrays(_floats(np.concatenate([x_train, x_test]), path), y, name=path.stem, splits=splits)


def _floats(x: np.ndarray, path: Path) -> np.ndarray:
    """Bits as they are, also where they are kept as bytes, which elsewhere are divided by 255."""
    if x.dtype.kind not in "buif":
        raise ValueError(f"{path}: its patterns hold {x.dtype}; give bits, 0 and 1")
    return x.astype(np.float32)
