"""Task2Vec: a task as the Fisher information of a probe's filters, its head refitted to the task."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.combine import occurring_classes
from infoscope.data.targets import Classes
from infoscope.data.task import Task
from infoscope.observation.estimators import Estimator, Sketch
from infoscope.observation.fisher_diagonal import fisher_diagonal
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import curve_looks
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.key import key
from infoscope.run.look import Look, pack, unpack
from infoscope.task_space.cost import CodeTime, embedding_time
from infoscope.task_space.filter_noise import FilterNoise, prior_variances
from infoscope.task_space.head import check_target, fit_head
from infoscope.task_space.probe import Headed, Probe, features_of
from infoscope.training.isolation import isolated

VERSION = 1
"""Raised when the same probe and task would give another embedding."""

Way = Estimator | FilterNoise


@dataclass(frozen=True)
class Settings:
    """What must agree for two embeddings to be compared: how they were made, of how many examples at most."""

    way: Way = Sketch()
    examples: int = 500

    def hash(self, probe: Probe) -> str:
        """Of the settings and the probe: what two embeddings must have in common."""
        return key((VERSION, self, probe.digest))


@dataclass(frozen=True, eq=False)
class Embedding:
    """E_x F of each filter of a probe: the mean of the Fisher information over its weights, nats an example.

    `scale` are the prior's variances λ² of the weights of a filter: the mean square of its layer. `layers` say how many
    filters each layer has. `loss` is the head's mean loss, nats an example, on the n examples it was fitted to.
    """

    values: Float[Tensor, " filters"]
    scale: Float[Tensor, " filters"]
    layers: dict[str, int]
    n: int
    classes: int
    loss: float
    converged: bool

    @property
    def norm(self) -> float:
        """|F|₁, the sum over filters."""
        return float(self.values.sum())

    @property
    def trivial(self) -> Float[Tensor, " filters"]:
        """t₀, a task to which no weight matters: the prior's precision alone, 1/(n λ²); `FilterNoise` for F = 0."""
        return 1 / (self.n * self.scale)

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        facts = {name: value for name, value in asdict(self).items() if name not in ("values", "scale")}
        return pack({"values": self.values, "scale": self.scale}, **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Embedding:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)


def embed_task(task: Task, probe: Probe, way: Way, seed: int, device: str = "cpu") -> Embedding:
    """Refit the head, then look at how much every filter matters. What is given stays as it is.

    (Achille et al. 2019, §3: F of the weights of a fixed feature extractor, averaged over the weights of each filter;
    batch normalisation in eval mode.)
    """
    task = occurring_classes(task)
    check_task(task)
    with isolated(seed, threads=1):
        body = probe.body(task).to(device)
        head = fit_head(features_of(body, task.x), task.y, task.target)
        network = Headed(body, head.layer().to(device)).eval().requires_grad_(True)
        weights = {name: p for name, p in network.named_parameters() if p.ndim > 1 and name.startswith("body.")}
        found = _information(network, task, tuple(weights), way, seed)
    prior = prior_variances(weights)
    return Embedding(
        torch.cat([found[name] for name in weights]),
        torch.cat([torch.full((len(w),), prior[name], dtype=torch.float64) for name, w in weights.items()]),
        {name.removeprefix("body."): len(w) for name, w in weights.items()},
        len(task), task.target.outputs, head.loss, head.converged,
    )  # fmt: skip


def _information(network: Headed, task: Task, names: tuple[str, ...], way: Way, seed: int) -> dict[str, Tensor]:
    if isinstance(way, FilterNoise):
        return way.information(network, task.x, task.y, task.target, names, seed)
    y = as_given(task.target, task.y)
    likelihood = likelihood_of(task.target)
    found = fisher_diagonal(network, task.x, likelihood, y, estimator=way, names=names, seed=seed)
    return {name: t.flatten(1).mean(1) for name, t in found.mean.items()}


def check_task(task: Task) -> None:
    """ValueError for a task that says nothing of a probe's weights: one class, no examples, no target for a head."""
    check_target(task.target, task.name)
    if len(task) < 2:
        raise ValueError(f"{task.name!r} has {len(task)} examples; an embedding is a mean over two or more")
    if isinstance(task.target, Classes) and len(task.labels.unique()) < 2:
        raise ValueError(
            f"{task.name!r} has examples of one class only: nothing is asked of a network, and its embedding would be "
            "0; name data of two classes or more"
        )


def embedding_look(task: Task, probe: Probe, way: Way, seed: int, device: str) -> Look[Embedding]:
    """An embedding as a look."""
    args = (task, probe, way, seed, device)
    return Look(
        embed_task, args, Embedding, VERSION, f"embedding of {task.name}", "embeddings",
        embedding_time(embed_task, *args), partial(_flat, len(task)),
    )  # fmt: skip


def _flat(n: int) -> Embedding:
    """Of a probe of two filters: what a dry run goes on with."""
    one = torch.ones(2, dtype=torch.float64)
    return Embedding(one, one, {"none": 2}, n, 2, 1.0, True)


def code_on_features(task: Task, probe: Probe, seed: int, device: str = "cpu") -> LossCurve:
    """The prequential code of a task's labels by a head in closed form, given what the probe says of the inputs."""
    with isolated(seed, threads=1):
        features = _features(task, probe, device)
    told = Task.from_arrays(features, task.y, target=task.target, name=task.name, as_is=True)
    (one,) = curve_looks(told, ClosedForm(), [None], seeds=[seed], device=device)
    return one.step(*one.args)


def code_look(task: Task, probe: Probe, seed: int, device: str) -> Look[LossCurve]:
    """The code as a look, over the task's own classes: parts of one task are sent in one alphabet."""
    label = f"code of {task.name} given {probe.name}"
    args = (task, probe, seed, device)
    seconds = CodeTime.of(_features, task, probe, device)
    return Look(code_on_features, args, LossCurve, 1, label, "codes", seconds, partial(_coin, len(task), seed))


def _features(task: Task, probe: Probe, device: str) -> Tensor:
    return features_of(probe.body(task).to(device), task.x)


def _coin(n: int, seed: int) -> LossCurve:
    return LossCurve.from_probabilities([[0.5, 0.5]] * n, [0] * n, seed=seed)


def parts_of(task: Task, examples: int, replicates: int, seed: int) -> list[Task]:
    """Disjoint parts of a task, one a replicate, of at most so many examples each, drawn by the seed."""
    each = min(examples, len(task) // replicates)
    if each < 2:
        raise ValueError(
            f"{task.name!r} has {len(task)} examples, too few for {replicates} parts; ask for one replicate"
        )
    mixed = task.shuffled(seed)
    return [dataclasses.replace(mixed[i * each : (i + 1) * each], name=task.name) for i in range(replicates)]
