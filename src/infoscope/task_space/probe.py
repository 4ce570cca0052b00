"""The probe: one network for all tasks, whose filters matter more or less to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.combine import union
from infoscope.data.inputs import Batch, Inputs, pieces, take, to
from infoscope.data.named import sample
from infoscope.data.task import Task
from infoscope.models import MODELS, model, name_and_file
from infoscope.models.default import learner_for, model_name
from infoscope.observation.layers import last_layer, unwrapped
from infoscope.run.key import key
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import Learner, Weights
from infoscope.training.weights_file import weights_from
from infoscope.unreadable import listed

AnyProbe = Any
"""A learner with weights, or without, a factory, or a word: NAME=FILE, FILE, NAME; None trains the default network."""

MOST = 10_000
"""Examples of all tasks together that a probe is trained on, at most."""

BATCH = 64

SUFFIXES = (".safetensors", ".pt", ".pth")
"""Of files of weights."""


@dataclass(frozen=True)
class Probe:
    """A network with weights and as many outputs as they were trained for; `how` says where they come from."""

    name: str
    learner: Learner
    outputs: int
    how: str

    def __post_init__(self) -> None:
        if self.learner.weights is None:
            raise ValueError(f"the probe {self.name} has no weights; give a file, NAME=FILE, or have it trained")

    @property
    def digest(self) -> str:
        """What it computes: a hash of its form and its weights."""
        return key((self.learner.factory, dict(self.learner.weights or {}), self.outputs))

    def network(self, task: Task) -> nn.Module:
        """The network as it was trained, for examples of this task's shape."""
        return self.learner.network(task.shape, self.outputs, 0)

    def body(self, task: Task) -> nn.Module:
        """The network without the layer that makes its outputs: from a batch to features (n, d); in eval mode."""
        try:
            network = unwrapped(self.network(task))
            name = last_layer(network, take(task.x, slice(1)))
            if not name:
                raise ValueError(f"{type(network).__name__} has no layer but its head, if any")
            network.set_submodule(name, nn.Identity())
            with torch.no_grad():
                features = forward(network, take(task.x, slice(1)))
        except (RuntimeError, ValueError, TypeError) as error:
            raise ValueError(self._unfit(task, error)) from error
        if all(p.ndim < 2 for p in network.parameters()):
            raise ValueError(f"the probe {self.name} has no layer but its head; take a network of two layers or more")
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise ValueError(f"{self.name}: gives no features (n, d) where its head {name!r} is left out; take another")
        return network.eval()

    def _unfit(self, task: Task, error: Exception) -> str:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        remedy = "name data of the probe's own kind"
        if isinstance(task.shape, tuple) and len(task.shape) == 3:
            remedy = (
                "bring images to the probe's channels and size, as in resnet20[channels=3, size=32]=FILE, by which a "
                "grey image is given to all three channels, or in cnn[channels=1]=FILE, by which colours become grey"
            )
        return f"the probe {self.name} cannot read {task.name!r}, whose examples are {task.shape} ({first}); {remedy}"


class Headed(nn.Module):
    """A probe's body, and a linear head for one task behind it."""

    def __init__(self, body: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, *args: Tensor, **words: Tensor) -> Tensor:
        """The head's outputs for a batch."""
        return self.head(forward(self.body, args[0] if args else words))


@torch.no_grad()
def features_of(body: nn.Module, x: Inputs) -> Float[Tensor, "n d"]:
    """What a body says of every example."""
    device = device_of(body)
    return torch.cat([forward(body, _owned(to(part, device))).float().cpu() for part in pieces(x, BATCH)])


def _owned(x: Batch) -> Batch:
    return x.clone() if isinstance(x, Tensor) else {name: t.clone() for name, t in x.items()}


def probe_of(given: AnyProbe, several: Sequence[Task]) -> Probe | None:
    """The probe that was given with its weights; None where it is still to be trained (see `to_be_trained`)."""
    if isinstance(given, Probe):
        return given
    if isinstance(given, Learner) and given.weights is not None:
        bare = dataclasses.replace(given, weights=None)
        return _with_outputs(model_name(several[0], bare), bare, given.weights, several[0], "weights that were given")
    if not isinstance(given, str):
        return None
    if Path(given).is_file():
        weights = weights_from(Path(given))
        name, factory = _recognised(given, weights, several[0])
        return _with_outputs(
            f"{name}={Path(given).name}", Learner(factory), weights, several[0], f"weights from {given}"
        )
    form, file = name_and_file(given)
    if file is None and Path(given).suffix in SUFFIXES:
        raise ValueError(f"{given}: no such file; name a file of weights, or a model of `infoscope list models`")
    if file is None:
        return None
    name = f"{form.partition('[')[0]}={Path(file).name}"
    learner = Learner(model(form))
    return _with_outputs(name, learner, weights_from(Path(file)), several[0], f"weights from {file}")


def to_be_trained(
    given: AnyProbe, several: Sequence[Task], seed: int, epochs: int | None
) -> tuple[Learner, Task, Callable[[Weights], Probe]]:
    """The learner and the union of all tasks that it is trained on, and the probe that its weights make."""
    if any(str(task.shape) != str(several[0].shape) for task in several):
        told = listed([f"{task.name} {task.shape}" for task in several], 4)
        raise ValueError(
            f"no probe with weights was named, so one is trained on all tasks together, and their examples differ in "
            f"shape ({told}); scale images alike (--size), or name a trained network, "
            "NAME[channels=3, size=32]=FILE"
        )
    each = max(2, MOST // len(several))
    whole = union(*(sample(task, each, seed) for task in several))
    learner = learner_for(whole, given, epochs)
    name, how = model_name(whole, given), f"trained on the spot on {len(whole):,} examples of all {len(several)} tasks"

    def made(weights: Weights) -> Probe:
        return Probe(f"{name}, trained here", learner.starting_from(weights), whole.target.outputs, how)

    return learner, whole, made


def _with_outputs(name: str, learner: Learner, weights: Weights, task: Task, how: str) -> Probe:
    """As many outputs as the weights' head has."""
    plain = Probe(name, learner.starting_from(weights), 0, how)
    try:
        bare = learner.network(task.shape, 2, 0)
        head = last_layer(unwrapped(bare), take(task.x, slice(1)))
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(plain._unfit(task, error)) from error
    if head is None or f"{head}.weight" not in weights:
        raise ValueError(
            f"{name}: the weights lack {head or 'a head'}.weight; name the model that they are of, NAME=FILE"
        )
    found = dataclasses.replace(plain, outputs=len(weights[f"{head}.weight"]))
    found.body(task)
    return found


def _recognised(file: str, weights: Weights, task: Task) -> tuple[str, Callable[..., nn.Module]]:
    """The model of the table whose tensors are named and shaped as in a file, but for head and first channels."""
    names = {name for name in weights if not name.endswith("num_batches_tracked")}
    alike = ""
    for name, factory in MODELS.items():
        try:
            with torch.device("meta"):
                own = factory(_shape(task), 2).state_dict()
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError):
            continue
        same = {k for k in own if not k.endswith("num_batches_tracked")} == names
        if same and sum(own[k].shape != weights[k].shape for k in names) <= 3:
            return name, factory
        alike = alike or (name if same else "")
    if alike:
        raise ValueError(
            f"{file}: its tensors have the names of {alike}'s and other shapes; name it with its options, as in "
            f"{MODELS[alike]} of `infoscope list models`: {alike}(OPTION=…)={file}"
        )
    raise ValueError(f"{file}: no model of `infoscope list models` has tensors of these names; name it, NAME={file}")


def _shape(task: Task) -> tuple[int, ...]:
    if not isinstance(task.shape, tuple):
        raise ValueError(f"{task.name!r} has inputs by name; name the probe's model, NAME=FILE")
    return task.shape
