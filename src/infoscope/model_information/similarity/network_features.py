"""Features as a look: what a network, or what is frozen, says of a task's examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from infoscope.data.task import Task
from infoscope.model_information.cost import PassTime, alike
from infoscope.prequential.frozen import Features, checked
from infoscope.prequential.last_layer import last_features
from infoscope.run.look import Look, pack, unpack
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner

UNKNOWN = 64
"""Features that a dry run takes an example to have."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """The features of a task's examples, in the task's order."""

    values: Float[np.ndarray, "n d"]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"values": torch.from_numpy(np.ascontiguousarray(self.values))})

    @classmethod
    def from_bytes(cls, data: bytes) -> FeatureTable:
        """The value that `to_bytes` wrote."""
        return cls(unpack(data)[0]["values"].numpy())

    @classmethod
    def of_nobody(cls, n: int) -> FeatureTable:
        """What a dry run goes on with."""
        return cls(np.zeros((n, UNKNOWN), dtype=np.float32))


def features_of_network(task: Task, learner: Learner, seed: int, device: str = "cpu") -> FeatureTable:
    """What goes into the last linear layer of the learner's network, in eval mode; its outputs if there is none."""
    with isolated(seed, threads=1):
        network = learner.network(task.shape, task.target.outputs, seed).to(device)
        return FeatureTable(last_features(network, task.x).float().numpy())


def frozen_features(task: Task, features: Features) -> FeatureTable:
    """What frozen features say of a task's examples."""
    return FeatureTable(checked(features(task.x, 0), len(task)).float().numpy())


def network_feature_look(task: Task, learner: Learner, seed: int, device: str) -> Look[FeatureTable]:
    """The look at a network's features."""
    label = f"features of {task.name}, seed {seed}"
    time = PassTime.of(features_of_network, task, learner, seed, device)
    return _look(features_of_network, (task, learner, seed, device), label, len(task), time)


def frozen_feature_look(task: Task, features: Features) -> Look[FeatureTable]:
    """The look at frozen features."""
    time = PassTime(frozen_features, len(task), (*alike(task), id(features)), lambda count: (task[:count], features))
    return _look(frozen_features, (task, features), f"frozen features of {task.name}", len(task), time)


def _look(
    step: Callable[..., FeatureTable], args: tuple[Any, ...], label: str, n: int, time: PassTime
) -> Look[FeatureTable]:
    nothing = partial(FeatureTable.of_nobody, n)
    return Look(step, args, FeatureTable, 1, label, kind="features", seconds=time, stand_in=nothing)
