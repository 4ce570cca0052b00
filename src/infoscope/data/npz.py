"""Files of arrays: `.npz` and `.safetensors` with `x`, `y` and perhaps `classes`, `.npy` with `x` beside one with `y`.

Large arrays stay on disk and are read a batch at a time (`infoscope.data.array_file`).
"""

from __future__ import annotations

from pathlib import Path

from infoscope.data.array_file import ArrayFile, StoredArray, check_room, open_npy, open_npz, open_safetensors
from infoscope.data.raw import Raw, Reading
from infoscope.data.targets import Classes
from infoscope.unreadable import listed

MOST_NAMES = 1 << 20
"""Names of classes in a file, at most."""


def read_npz(path: Path, reading: Reading) -> Raw:
    """Arrays `x`, `y`, and `classes` (names) if some classes may be missing, as `numpy.savez` writes them."""
    return _raw(open_npz(path), reading)


def read_npy(path: Path, reading: Reading) -> Raw:
    """Inputs, with what is to be predicted in the file of the same name that ends in `.y.npy`."""
    beside = path.with_name(f"{path.stem}.y.npy")
    if not reading.labels:
        return _raw(open_npy(path), reading)
    if not beside.is_file():
        raise ValueError(f"{path}: has inputs only; put what is to be predicted into {beside.name} beside it")
    return _raw(open_npy(path), reading, open_npy(beside).arrays["x"])


def read_safetensors(path: Path, reading: Reading) -> Raw:
    """Tensors `x` and `y`, mapped from the file; names `x/…` make a mapping of inputs."""
    return _raw(open_safetensors(path), reading)


def _raw(file: ArrayFile, reading: Reading, beside: StoredArray | None = None) -> Raw:
    """What is asked for: a decoder's inputs come without their labels."""
    held = file.arrays
    inputs = {name: held[name] for name in held if name == "x"} or {n: held[n] for n in held if n.startswith("x/")}
    if not inputs:
        raise ValueError(f"{file.path}: has no array 'x'; it has: {listed(held)}")
    y, names = (beside or held.get("y"), held.get("classes")) if reading.labels else (None, None)
    if names is not None and (len(names.shape) != 1 or names.shape[0] > MOST_NAMES):
        raise ValueError(f"{file.path}: 'classes' has shape {names.shape}; it names each class once: (classes,)")
    check_room(file.path, [one for one in (*inputs.values(), y, names) if one is not None])
    x = {name.removeprefix("x/"): array.read() for name, array in inputs.items()}
    target = Classes(tuple(map(str, names.read()))) if names is not None else None
    return Raw(x["x"] if "x" in inputs else x, None if y is None else y.read(), target)
