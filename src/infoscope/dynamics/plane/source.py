"""What a plane is of: a file of activations, a folder of checkpoints, or else data to train on."""

from __future__ import annotations

from pathlib import Path

from infoscope.data.named import AnyTask, NamedTask, check_as_it_is, name_of
from infoscope.dynamics.plane.checkpoints import checkpoints
from infoscope.dynamics.plane.saved_activations import SavedActivations, opened

_OF_A_DATA_SET = {"x", "X", "y", "Y", "classes"}


def source_of(data: AnyTask, has_data: bool) -> SavedActivations | Path | None:
    """Saved activations, a folder of checkpoints (which `has_data` beside it), or None for a training.

    A file `.npz` holds activations if it has other arrays than those of a data set.
    """
    if not isinstance(data, NamedTask | str | Path):
        return None
    path = Path(name_of(data))
    if path.suffix == ".npz" and _holds_layers(path):
        check_as_it_is(data, "a file of activations")
        return SavedActivations.of(path)
    if path.is_dir() and has_data:
        return path
    if path.is_dir() and _holds_checkpoints(path):
        raise ValueError(f"{path}: holds checkpoints; name the data to measure them on, and their network: "
                         f"infoscope plane {path} DATA --model NAME")  # fmt: skip
    return None


def _holds_layers(path: Path) -> bool:
    return bool(set(opened(path)) - _OF_A_DATA_SET)


def _holds_checkpoints(folder: Path) -> bool:
    try:
        return bool(checkpoints(folder))
    except ValueError:
        return False
