"""Checkpoints: the weights of a network as a file, a mapping or a network gives them, checked before they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.targets import Real
from infoscope.data.task import Task
from infoscope.hugging_face import HUB, is_saved_network
from infoscope.models import HuggingFaceModel
from infoscope.models.default import Model, learner_for
from infoscope.training.check_network import check_network
from infoscope.training.learner import Learner, Weights, copy_weights
from infoscope.training.lora import adapter_file
from infoscope.training.weights_file import tensors_from
from infoscope.unreadable import listed
from infoscope.weight_information.example_losses import by_piece, check_gradients
from infoscope.weight_information.quantise.quantised_file import is_quantised, read_quantised

AnyCheckpoint = Any
"""A file of weights (one that `quantise` wrote too), a folder that `save_pretrained` wrote or hf:NAME on the Hub, a
mapping of tensors by name, or a network."""

Checkpoints = Any
"""Several of them."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights by name, numbers with fractions in single precision; `notes` say what they were before.

    `model` is their network where they came with it.
    """

    name: str
    weights: Weights
    notes: tuple[str, ...] = ()
    model: Model = None

    @classmethod
    def of(cls, given: AnyCheckpoint, place: int = 0) -> Checkpoint:
        """The checkpoint that was given; a ValueError if a weight is NaN or infinite."""
        if isinstance(given, Checkpoint):
            return given
        name, held, model = _read(given, place)
        _check_finite(name, held)
        kinds = {str(t.dtype).removeprefix("torch.") for t in held.values() if t.is_floating_point()} - {"float32"}
        notes = (f"weights of {listed(sorted(kinds), 3)} are taken in single precision",) if kinds else ()
        return cls(name, {k: t.float() if t.is_floating_point() else t for k, t in held.items()}, notes, model)

    def learner(self, task: Task, model: Model) -> Learner:
        """The network of this model that has these weights; a ValueError unless it takes them and reads the task."""
        given = model if model is not None else self.model
        learner = dataclasses.replace(learner_for(task, given), weights=None).starting_from(self.weights)
        try:
            network = learner.network(task.shape, task.target.outputs, 0)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in network.parameters()):
            raise ValueError(
                f"{type(network).__name__} is made in half precision, in which small changes of its loss are lost; "
                "give one that is made in single precision, network.float()"
            )
        check_network(network, task)
        check_gradients(network, task)
        _check_units(self.name, network, task)
        lacking = network.state_dict().keys() - self.weights.keys()  # tied ones that have one name in the file
        return learner.starting_from({**self.weights, **{k: copy_weights(network)[k] for k in lacking}})


def checkpoints_of(given: Checkpoints, least: int = 2) -> tuple[Checkpoint, ...]:
    """Checkpoints of one architecture, each by a name of its own."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    if len(several) < least:
        raise ValueError(f"{len(several)} checkpoints were given; name {least} or more files of weights")
    found = [Checkpoint.of(one, place) for place, one in enumerate(several)]
    names = [one.name for one in found]
    apart = [
        one if names.count(one.name) == 1 else dataclasses.replace(one, name=f"{one.name} #{i + 1}")
        for i, one in enumerate(found)
    ]
    for other in apart[1:]:
        _check_same(apart[0], other)
    return tuple(apart)


def parameters_of(learner: Learner, task: Task) -> dict[str, tuple[str, ...]]:
    """The trainable parameters of a learner's network, each with all the names that it goes by."""
    network = learner.network(task.shape, task.target.outputs, 0)
    names: dict[int, list[str]] = {}
    for name, p in network.named_parameters(remove_duplicate=False):
        if p.requires_grad:
            names.setdefault(id(p), []).append(name)
    return {several[0]: tuple(several) for several in names.values()}


def layer_of(parameter: str) -> str:
    """The layer of a parameter: its name without the last part.

    >>> layer_of("layer1.0.conv1.weight"), layer_of("scale")
    ('layer1.0.conv1', 'scale')
    """
    return parameter.rpartition(".")[0] or parameter


def _read(given: AnyCheckpoint, place: int) -> tuple[str, Mapping[str, Tensor], Model]:
    """A name, tensors, and the network that came with them."""
    if isinstance(given, nn.Module):
        return f"{type(given).__name__} {place + 1}", copy_weights(given), None
    if isinstance(given, Mapping):
        return f"checkpoint {place + 1}", given, None
    if not isinstance(given, str | Path):
        raise TypeError(f"a checkpoint is a file, tensors by name or a network; {type(given).__name__} is none")
    if str(given).startswith(HUB) or is_saved_network(Path(given)):
        saved = HuggingFaceModel.of(str(given))
        return Path(saved.name).name, copy_weights(saved.as_saved()), saved
    path = adapter_file(Path(given))
    return path.name, read_quantised(path) if is_quantised(path) else tensors_from(path), None


def _check_finite(name: str, weights: Mapping[str, Tensor]) -> None:
    bad = [k for k, t in weights.items() if t.is_floating_point() and not bool(t.isfinite().all())]
    if bad:
        raise ValueError(
            f"{name}: {len(bad)} of {len(weights)} tensors hold NaN or infinity, {listed(bad, 3)}; the training "
            "diverged, take an earlier checkpoint"
        )


def _check_units(name: str, network: nn.Module, task: Task) -> None:
    """ValueError where a network gives numbers as they are, and is asked for them in standard units."""
    target = task.target
    if not isinstance(target, Real) or (target.centre, target.scale) == (0.0, 1.0):
        return
    few = task[:_FEW]
    given, y = by_piece(network, few, lambda call, x, _: call(x).double().mT).mT, few.y.double()
    raw, standard = ((y - one).square().mean() for one in (given, target.centre + target.scale * given))
    spread = (y - y.mean(0)).square().mean()
    if bool(raw < spread / 2) and bool(raw < standard / 2):
        raise ValueError(
            f"{name}: its answers are the numbers of {task.name!r} themselves, and here they are taken for "
            f"(y − {target.centre:.6g})/{target.scale:.6g}; declare centre=0 and scale=1 of the target in Python, or "
            "name a model whose last step gives that"
        )


_FEW = 512  # examples that units are told from


def _check_same(one: Checkpoint, other: Checkpoint) -> None:
    a, b = one.weights, other.weights
    lacking = [k for k in a if k not in b] + [k for k in b if k not in a]
    if lacking:
        raise ValueError(
            f"{one.name} and {other.name} are of two architectures: {len(lacking)} tensors stand in one of them only, "
            f"{listed(lacking, 3)}; give checkpoints of one network"
        )
    for k in a:
        if a[k].shape != b[k].shape:
            raise ValueError(
                f"{one.name} and {other.name} are of two architectures: {k} is {tuple(a[k].shape)} in one and "
                f"{tuple(b[k].shape)} in the other; give checkpoints of one network"
            )
