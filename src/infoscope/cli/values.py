"""Words of the command line as values: methods with their options, data, networks, weights."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from infoscope.cli.former_commands import Data
from infoscope.data.corruption import CORRUPTIONS, Corruption
from infoscope.data.task import Task
from infoscope.measurement import NATS_PER_BIT
from infoscope.models import model
from infoscope.prequential.loss_curve import LossCurve
from infoscope.training.learner import Learner, Weights

T = TypeVar("T")


def method(text: str, table: Mapping[str, T]) -> T:
    """A frozen value of a table, with other values for some of its fields.

    >>> from infoscope.prequential.coders import CODERS
    >>> method("replay(replays=4)", CODERS).replays
    4
    """
    name, _, options = text.partition("(")
    if name not in table:
        near = difflib.get_close_matches(name, table, 1) or [", ".join(table)]
        raise ValueError(f"no method {name!r}; did you mean {near[0]}?")
    value: Any = table[name]
    if not options:
        return value
    given = _options(text)
    known = [field.name for field in dataclasses.fields(value)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(f"{name} has no option {unknown[0]!r}; it has: {', '.join(known)}")
    for key, word in given.items():
        own = getattr(value, key)
        if type(own) in (int, float) and (isinstance(word, bool) or not isinstance(word, int | float)):
            raise ValueError(f"{name}'s {key} is {word!r}; it is a number, such as {own}")
    return dataclasses.replace(value, **given)


def _options(text: str) -> dict[str, Any]:
    try:
        # Names may hold hyphens, which Python would take for subtraction.
        call = ast.parse("options" + text[text.index("(") :], mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options go by name")
        return {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"cannot read {text!r}; write it like name(option=3)") from error


def corruption(text: str) -> Corruption:
    """A corruption such as `massart=0.1`."""
    kind, _, level = text.partition("=")
    if kind not in CORRUPTIONS:
        raise ValueError(f"no corruption {kind!r}; there are {', '.join(CORRUPTIONS)}")
    make: Any = CORRUPTIONS[kind]
    if kind == "shuffled-labels":
        if level:
            raise ValueError(f"{text!r}: shuffled-labels has no level; all labels are shuffled")
        return make()
    try:
        return make(float(level))
    except ValueError as error:
        raise ValueError(f"{text!r}: write the level as a fraction, such as {kind}=0.1") from error


def learner_for(task: Task, name: str | None) -> tuple[str, Learner]:
    """The named network, or the default: a convolutional one for images of 16 pixels a side and more."""
    chosen = name or ("cnn" if len(task.shape) == 3 and min(task.shape[1:]) >= 16 else "mlp")
    return chosen, Learner(model(chosen))


def tasks_from(name: str, reading: Data) -> list[Task]:
    """The task of this name, under each of the corruptions asked for."""
    task = Task.from_dataset(name, classes=reading.classes, size=reading.size)
    return [task.corrupted(corruption(word)) for word in reading.corrupt] or [task]


def save_per_example(path: Path, curves: Mapping[str, Sequence[LossCurve]]) -> None:
    """Code lengths in bits, (orders, n) in coding order, with the row of the data that each belongs to."""
    arrays: dict[str, Any] = {}
    for prefix, several in curves.items():
        arrays[f"{prefix}bits"] = np.stack([curve.nats for curve in several]) / NATS_PER_BIT
        arrays["index"] = np.stack([curve.index for curve in several])
        arrays["seeds"] = np.array([curve.seed for curve in several])
    with path.open("wb") as file:
        np.savez(file, **arrays)


def weights_from(path: Path) -> Weights:
    """Tensors by name from a .safetensors file, or from a .pt that holds tensors only."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in load_file(path).items()
            }
        import torch

        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each format raises its own
        raise ValueError(
            f"{path}: cannot be read as weights ({type(error).__name__}); save the tensors alone: model.state_dict()"
        ) from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f"{path}: holds a {type(tensors).__name__}, not tensors by name; save model.state_dict()")
    return {_unwrapped(name): tensor for name, tensor in tensors.items()}


def _unwrapped(name: str) -> str:
    """A parameter's name without what data parallelism and compilation put before it."""
    for wrapper in ("module.", "_orig_mod."):
        name = name.removeprefix(wrapper)
    return name


def told_apart(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with a number behind a name that another one has already."""
    seen: dict[str, int] = {}
    for task in tasks:
        seen[task.name] = seen.get(task.name, 0) + 1
    count: dict[str, int] = {}
    told = []
    for task in tasks:
        count[task.name] = count.get(task.name, 0) + 1
        unique = task.name if seen[task.name] == 1 else f"{task.name} #{count[task.name]}"
        told.append(dataclasses.replace(task, name=unique))
    return told


def check_targets(*files: Path | None) -> None:
    """ValueError if a file that is to be written could not be, before anything is computed for it."""
    for file in files:
        if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
            raise ValueError(f"{file}: cannot be written, there is no folder {file.parent} to write to; make it first")
