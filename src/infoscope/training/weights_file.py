"""Files of weights: `.safetensors`, or what `torch.save` wrote with tensors only. No code in one is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from infoscope.run.free_memory import available, mebibytes
from infoscope.training.learner import Weights
from infoscope.unreadable import listed, unreadable

_NESTS = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("_orig_mod.", "_forward_module.", "module.")
_REMEDY = "save the tensors alone, model.state_dict(), again"


def tensors_from(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of their own types, on the CPU.

    A `state_dict` inside a larger dictionary is found; what data parallelism and compilation put before names is taken
    off. A ValueError says what is wrong with anything else.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    _check_room(path)
    with unreadable(path, "file of weights", _REMEDY):
        held: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    for nest in _NESTS:
        if isinstance(held, Mapping) and isinstance(held.get(nest), Mapping):
            held = held[nest]
    if not isinstance(held, Mapping):
        raise ValueError(f"{path}: holds a {type(held).__name__}, not tensors by name; {_REMEDY}")
    if odd := [name for name, value in held.items() if not (isinstance(name, str) and _is_plain(value))]:
        raise ValueError(f"{path}: holds no weights but other things under {listed(odd, 3)}; {_REMEDY}")
    weights = {_unwrapped(name): value for name, value in held.items()}
    if len(weights) < len(held):
        raise ValueError(f"{path}: names a tensor twice, with and without {' or '.join(_WRAPPERS)}; {_REMEDY}")
    return weights


def weights_from(path: Path) -> Weights:
    """The tensors of a file, numbers with fractions in single precision."""
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors_from(path).items()}


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError("it holds objects that take code to read, such as a whole network, or is damaged") from error


def _check_room(path: Path) -> None:
    """ValueError if what is in the file would take more than half of the memory that is left: zips can be small."""
    asked, left = path.stat().st_size, available() // 2
    with unreadable(path, "file of weights", _REMEDY):
        if zipfile.is_zipfile(path):  # itself raises at some damaged ends
            with zipfile.ZipFile(path) as archive:
                asked = sum(info.file_size for info in archive.infolist())
    if asked > left:
        raise ValueError(f"{path}: takes {mebibytes(asked)} in memory, and {mebibytes(left)} may be had")


def _is_plain(value: Any) -> bool:
    """Whether this is a tensor of numbers, each of which lies in memory."""
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
        return False
    return not value.is_quantized and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _unwrapped(name: str) -> str:
    """A parameter's name without what wrappers of its network put before it."""
    while (prefix := next((p for p in _WRAPPERS if name.startswith(p)), None)) is not None:
        name = name.removeprefix(prefix)
    return name
