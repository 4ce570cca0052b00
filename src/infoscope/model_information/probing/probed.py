"""What is probed: saved features, the layers of a network, or those of an encoder; and the labels that go with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infoscope.data.array_file import ArrayFile, open_npy, open_npz, open_safetensors
from infoscope.data.named import AnyTask, NamedTask, check_as_it_is, name_of, task_of, training_part
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.model_information.cost import PassTime, encoder_time
from infoscope.models.default import model_name
from infoscope.observation.activations import Activations
from infoscope.observation.encoder import Encoder, encoder_layers
from infoscope.observation.layers import chosen, layer_names, unwrapped
from infoscope.observation.pooled import MASK, Pooling, pooled, pooled_layers
from infoscope.observation.survey import survey
from infoscope.run.look import Look
from infoscope.training.learner import Learner
from infoscope.unreadable import listed

OPENERS = {".npz": open_npz, ".npy": open_npy, ".safetensors": open_safetensors}
"""Files of features by suffix."""

BESIDE = ("y", "words", "classes", MASK)
"""Arrays of a file of features that are no layers."""

OF_A_DATA_SET = {"x", "y", "classes"}
"""What a file of a data set holds, and nothing else."""

HUB = "hf:"

UNKNOWN = 64
"""Numbers that a dry run takes a layer to have."""


@dataclass(frozen=True, eq=False)
class Features:
    """Saved features: a layer an array, (n, d), or (n, tokens, d) with the mask beside them."""

    name: str
    layers: Mapping[str, Any]
    mask: Any = None

    def at(self, rows: np.ndarray, globs: Sequence[str], pooling: Pooling) -> Activations:
        """The layers that the globs match, pooled, at these rows."""
        names = chosen(self.layers, globs, self.name)
        mask = None if self.mask is None else torch.from_numpy(np.asarray(self.mask)[rows])
        return Activations({name: self._pooled(name, rows, mask, pooling) for name in names})

    def _pooled(self, name: str, rows: np.ndarray, mask: Tensor | None, pooling: Pooling) -> Tensor:
        given = np.asarray(self.layers[name])
        if given.ndim < 1 or given.dtype.kind not in "fiub":
            raise ValueError(f"{self.name}: {name!r} has shape {given.shape} of {given.dtype}; save numbers (n, d)")
        return pooled(torch.from_numpy(np.ascontiguousarray(given[rows])).float(), pooling, mask)

    @property
    def count(self) -> int:
        """How many examples there are; a ValueError unless all layers have as many."""
        sizes = {name: len(np.asarray(rows)) for name, rows in self.layers.items()}
        if len(set(sizes.values())) != 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items()) or "none"
            raise ValueError(f"{self.name}: layers have unlike numbers of rows ({told}); save one row an example")
        return next(iter(sizes.values()))


def features_of(data: Any) -> tuple[Features, Mapping[str, Any]]:
    """Features by a file, an array or arrays by name; and what lies beside them: `y`, `words`, `classes`."""
    name = name_of(data)
    if isinstance(data, NamedTask | str | Path):
        held: Mapping[str, Any] = _opened(Path(name))
    else:
        held = data if isinstance(data, Mapping) else {"features": data}
        held = {key: each.numpy() if isinstance(each, Tensor) else np.asarray(each) for key, each in held.items()}
        name = "features"
    single = Path(name).suffix == ".npy"
    layers = {Path(name).stem if single else key: held[key] for key in held if single or key not in BESIDE}
    if not layers:
        raise ValueError(f"{name}: holds {listed(held)}, and no layer; save one array (n, d) a layer, or name --model")
    beside = {} if single else {key: held[key] for key in ("y", "words", "classes") if key in held}
    return Features(name, layers, held.get(MASK)), beside


def is_features(data: Any) -> bool:
    """Whether these are features by layer, and not a data set: a file that holds other arrays than those of one."""
    if isinstance(data, Task):
        return False
    if isinstance(data, NamedTask | str | Path):
        path = Path(name_of(data))
        if path.suffix == ".npy":
            return not path.with_name(f"{path.stem}.y.npy").is_file()
        return path.suffix in OPENERS and bool(set(_opened(path)) - OF_A_DATA_SET)
    return True


def _opened(path: Path) -> ArrayFile:
    if path.suffix not in OPENERS:
        raise ValueError(
            f"{path}: features are read from {', '.join(OPENERS)}; for a data set name --model, or hf:NAME"
        )
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    return OPENERS[path.suffix](path)


def labels_for(n: int, on: AnyTask | None, beside: Mapping[str, Any], name: str) -> tuple[Task, tuple[str, ...] | None]:
    """The labels of n rows of features as a task without inputs of its own, and the word of each where it is known.

    From an array or a file of labels, from the data set that the features are of, or from what lies beside them.
    """
    words = None if "words" not in beside else tuple(map(str, np.asarray(beside["words"]).ravel()))
    if on is None:
        if "y" not in beside:
            raise ValueError(
                f"{name}: has no labels `y`; save them beside the layers, or name them: probe {name} LABELS"
            )
        names = beside.get("classes")
        alphabet = None if names is None else list(map(str, np.asarray(names)))
        task = _of_labels(np.asarray(beside["y"]), name, alphabet)
    else:
        task = _labels_of(on)
    if len(task) != n and len(training_part(task)) == n:
        task = training_part(task)
    if len(task) != n:
        raise ValueError(f"{name}: has {n} rows, and there are {len(task)} labels in {task.name}; give one row a label")
    if words is not None and len(words) != n:
        raise ValueError(f"{name}: has {n} rows and {len(words)} `words`; give each row the word that it stands for")
    return task, words


def _labels_of(on: AnyTask) -> Task:
    """Labels from an array, from a file of nothing else, or of a data set."""
    if isinstance(on, Task):
        return on
    if not isinstance(on, NamedTask | str | Path):
        return _of_labels(np.asarray(on), "labels", None)
    path = Path(name_of(on))
    if path.suffix in OPENERS and path.is_file():
        file = OPENERS[path.suffix](path)
        if path.suffix == ".npy" or ("y" in file and "x" not in file):
            check_as_it_is(on, "a file of labels")
            names = file.get("classes")
            alphabet = None if names is None else list(map(str, names))
            return _of_labels(file["x" if path.suffix == ".npy" else "y"], str(path), alphabet)
    return task_of(on)


def _of_labels(y: np.ndarray, name: str, alphabet: list[str] | None) -> Task:
    return Task.from_arrays(np.zeros((len(y), 1)), y, alphabet=alphabet, name=name)


@dataclass(frozen=True)
class Probed:
    """What gives the features of n examples: `looks` come first, trained, then untrained ones, one a replicate.

    `ready` are features that are there already.
    """

    title: str
    names: tuple[str, ...]
    looks: tuple[Look[Activations], ...] = ()
    ready: Activations | None = None


def of_encoder(name: str, task: Task, layers: Sequence[str], pooling: Pooling, untrained: Sequence[int]) -> Probed:
    """The layers of an encoder on the texts of a task."""
    encoder, x = Encoder.of(name), task.x
    if not isinstance(x, Texts):
        raise ValueError(f"hf:{name}: reads texts, and {task.name!r} has none; give a Hub name or a folder of a text "
                         "column and a label")  # fmt: skip
    names, texts = encoder.chosen(layers), tuple(x.words())
    time = encoder_time(encoder, x, names, pooling)

    def look(seed: int | None) -> Look[Activations]:
        called = "layers" if seed is None else f"untrained layers, seed {seed}"
        return _look(encoder_layers, (encoder, texts, names, pooling, seed), f"{called} of {name}", names, time)

    return Probed(f"hf:{name}", names, (look(None), *map(look, untrained)))


def of_network(
    task: Task,
    learner: Learner,
    layers: Sequence[str],
    pooling: Pooling,
    seed: int,
    untrained: Sequence[int],
) -> Probed:
    """The layers of a network on the inputs of a task."""
    network = learner.network(task.shape, task.target.outputs, seed)
    globs = None if not layers or tuple(layers) == ("all",) else tuple(layers)
    modules = layer_names(unwrapped(network), globs)
    found = survey(unwrapped(network), modules, task.x, named=globs is not None, seed=seed)
    names = tuple(size.call.layer for size in found.sizes)

    def look(one: Learner, own: int, called: str) -> Look[Activations]:
        time = PassTime.of(network_layers, task, one, found.modules, pooling, own)
        return _look(network_layers, (task, one, found.modules, pooling, own), called, names, time)

    bare = dataclasses.replace(learner, weights=None)
    anew = [look(bare, own, f"untrained layers, seed {own}") for own in untrained]
    return Probed(model_name(task, learner), names, (look(learner, seed, "layers"), *anew))


def network_layers(task: Task, learner: Learner, layers: tuple[str, ...], pooling: Pooling, seed: int) -> Activations:
    """What the layers of the network that a learner makes say of every example."""
    network = learner.network(task.shape, task.target.outputs, seed)
    return pooled_layers(network, task.x, layers, pooling, seed=seed)


def _look(step: Any, args: tuple[Any, ...], label: str, names: tuple[str, ...], time: PassTime) -> Look[Activations]:
    nothing = partial(_nothing, names, time.n)
    return Look(step, args, Activations, 1, label, kind="passes", seconds=time, stand_in=nothing)


def _nothing(names: tuple[str, ...], n: int) -> Activations:
    """Layers of as many numbers as many have, for a dry run."""
    rows = torch.randn(n, UNKNOWN, generator=torch.Generator().manual_seed(0))
    return Activations(dict.fromkeys(names, rows))
