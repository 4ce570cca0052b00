"""Networks to start from: how they are named, and whether they can read a task at all."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from infoscope.data.inputs import pieces, take
from infoscope.data.targets import check_outputs
from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.hugging_face import HUB
from infoscope.model_information.cost import PassTime, encoder_time
from infoscope.model_information.heads import Head, head_layer, with_head
from infoscope.models import model, name_and_file
from infoscope.models.default import model_name
from infoscope.observation.activations import Activations
from infoscope.observation.encoder import Encoder, encoder_layers, parameters_of
from infoscope.prequential.frozen import before
from infoscope.run.look import Look
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights
from infoscope.training.lora import adapted, is_adapter, scaling_beside
from infoscope.training.weights_file import weights_from

Start = Learner | Callable[..., nn.Module] | str
"""A learner (with weights, or untrained), a factory, or a name: NAME, module:factory, NAME=FILE, hf:NAME.

FILE may be BASE+ADAPTER, a file of weights and a LoRA adapter of it.
"""

Starts = Any
"""Several of them."""

BATCH = 64
"""Examples that pass through a network at once for its features."""


@dataclass(frozen=True)
class Candidate:
    """A network to start from: its learner and weights, if it has any, or an encoder; and how large it is."""

    name: str
    parameters: int
    learner: Learner | None = None
    weights: Weights | None = None
    encoder: Encoder | None = None

    def learners(self, task: Task, seeds: Sequence[int], head: Head) -> list[Learner]:
        """The learner of each replicate; the head of trained weights is treated as `head` says."""
        assert self.learner is not None
        if self.weights is None:
            return [self.learner] * len(seeds)
        return [with_head(self.learner, self.weights, task, seed, head) for seed in seeds]

    def passes(self, task: Task, seeds: Sequence[int]) -> tuple[Look[Activations], ...]:
        """The looks that give what its head is given: one for trained weights, else one a seed."""
        if self.encoder is not None:
            last, x = self.encoder.layers[-1], task.x
            assert isinstance(x, Texts)
            args: Any = (self.encoder, tuple(x.words()), (last,), "mean", None)
            return (self._look(encoder_layers, args, len(task), encoder_time(self.encoder, x, (last,))),)
        some = seeds if self.weights is None else seeds[:1]
        learners = self.learners(task, some, "new")
        looks = zip(learners, some, strict=True)
        return tuple(
            self._look(head_inputs, (task, learner, seed), len(task), PassTime.of(head_inputs, task, learner, seed))
            for learner, seed in looks
        )

    def _look(self, step: Any, args: tuple[Any, ...], n: int, seconds: PassTime) -> Look[Activations]:
        label, nothing = f"features of {self.name}", partial(_nothing, n)
        return Look(step, args, Activations, 1, label, kind="passes", seconds=seconds, stand_in=nothing)


def _nothing(n: int) -> Activations:
    return Activations({"head": torch.linspace(-1, 1, n)[:, None]})


def head_inputs(task: Task, learner: Learner, seed: int) -> Activations:
    """What a network gives to its head, averaged over places."""
    network = learner.network(task.shape, task.target.outputs, seed).eval()
    head = head_layer(network, task)
    with isolated(seed, threads=1), torch.no_grad():
        parts = [before(network, head, part).float() for part in pieces(task.x, BATCH)]  # pyright: ignore
    return Activations({"head": torch.cat(parts)})


def candidates(
    given: Sequence[Start], task: Task, head: Head, seed: int, frozen: bool, least: int = 2
) -> list[Candidate]:
    """All candidates, each tried on two examples: what cannot be compared is refused before anything runs."""
    if isinstance(given, str) or len(given) < least:
        raise ValueError(
            "there is nothing to choose from; name two networks or more, such as resnet20=FILE resnet56=FILE"
        )
    found = [_candidate(one, task) for one in given]
    times, seen, apart = Counter(one.name for one in found), Counter[str](), []
    for one in found:
        seen[one.name] += 1
        name = one.name if times[one.name] == 1 else f"{one.name} #{seen[one.name]}"
        apart.append(dataclasses.replace(one, name=name))
        if one.encoder is not None:
            _check_encoder(one, task, frozen)
        else:
            _check(apart[-1], task, head, seed)
    return apart


def _candidate(given: Start, task: Task) -> Candidate:
    if isinstance(given, str) and given.startswith(HUB):
        encoder = Encoder.of(given.removeprefix(HUB))
        return Candidate(given, parameters_of(encoder), encoder=encoder)
    if isinstance(given, str):
        form, file = name_and_file(given)
        weights = None if file is None else _read(file)
        learner = Learner(model(form))
        plain = form.partition("[")[0]
        name = plain if file is None else f"{plain}={Path(file).name}"
    else:
        learner = given if isinstance(given, Learner) else Learner(given)
        weights, name = learner.weights, model_name(task, learner)
    bare = dataclasses.replace(learner, weights=None)
    return Candidate(name, _size(bare, task, name), bare, weights)


def _read(file: str) -> Weights:
    """The weights of FILE, or of BASE+ADAPTER, a LoRA adapter being merged into its base."""
    base, _, low = file.rpartition("+")
    if base and not Path(file).is_file():
        scale = scaling_beside(Path(low))
        if scale is None:
            raise ValueError(f"{low}: has no adapter_config.json beside it, which has its scale; put it there")
        return adapted(weights_from(Path(base)), weights_from(Path(low)), scale)
    weights = weights_from(Path(file))
    if is_adapter(weights):
        raise ValueError(f"{file}: is a LoRA adapter; name its base, too: NAME=BASE+{file}")
    return weights


def _size(learner: Learner, task: Task, name: str) -> int:
    """Parameters, the head for this task among them."""
    try:
        network = learner.network(task.shape, task.target.outputs, 0)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name}: cannot be made for {task.name!r}, whose examples are {task.shape}: {error}"
        ) from error
    return sum(p.numel() for p in network.parameters())


def _check(one: Candidate, task: Task, head: Head, seed: int) -> None:
    """ValueError unless the network reads two examples, and gives what the target asks for."""
    (learner,) = _told(one, lambda: one.learners(task, [seed], head))
    network = _told(one, lambda: learner.network(task.shape, task.target.outputs, seed)).eval()
    few = take(task.x, slice(2))
    with isolated(seed), torch.no_grad():
        outputs = _told(one, lambda: forward(network, few), task)
    _told(one, lambda: check_outputs(outputs, task.target, task.y[:2], network))
    _told(one, lambda: head_layer(network, task))


def _told(one: Candidate, work: Callable[[], Any], task: Task | None = None) -> Any:
    """What `work` gives; a ValueError that names the candidate where it fails."""
    try:
        return work()
    except (RuntimeError, ValueError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        shape = f" examples of {task.name!r}, {task.shape}, are not for it:" if task is not None else ""
        raise ValueError(f"{one.name}:{shape} {first}") from error


def _check_encoder(one: Candidate, task: Task, frozen: bool) -> None:
    if not isinstance(task.x, Texts):
        raise ValueError(f"{one.name}: reads texts, and {task.name!r} has none; name data with a column of text")
    if not frozen:
        raise ValueError(f"{one.name}: an encoder is compared as it stands, by a head in closed form; add frozen")
