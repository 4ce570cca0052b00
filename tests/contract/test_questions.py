"""Every question of the table is held to what every question must keep; a new one is one more row of `QUESTIONS`."""

from __future__ import annotations

import dataclasses
import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infoscope.data.deficit import VerticalFlip
from infoscope.data.task import Task
from infoscope.model_information.forgetting.continual import EWC, SI
from infoscope.models import MLP
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.questions import QUESTIONS
from infoscope.task_space.embed import embed
from infoscope.testing import parametrize_with_checks
from infoscope.training.learner import Learner

WEIGHTS = [Learner(MLP((4,))).network((4,), 3, seed).state_dict() for seed in (0, 1)]
"""Of networks for iris, for questions about checkpoints."""

SMALL = {
    "checkpoint": WEIGHTS[0],
    "checkpoints": WEIGHTS,
    "data": Task.from_dataset("iris")[:60],
    "model": MLP((4,)),
    "networks": (MLP((4,)), MLP((8,))),
    "teacher": MLP((4,)),
    "k": 10,
    "train": 30,
    "examples": 20,
    "replicates": 2,
    "dimensions": 1,
    "epochs": 2,
    "steps": 20,
    "draws": 20,
    "rounds": 2,
}
"""What makes a question quick, by the names that its options have; those of another name stay at their defaults."""

OWN: dict[str, dict[str, Any]] = {
    "CriticalPeriod": {"data": Task.from_dataset("digits")[:60], "deficit": (VerticalFlip(),), "coded": 8},
    "FisherTraining": {"every": 1},
    "Compare": {
        "data": [Task.from_dataset("iris")[:60], Task.from_dataset("iris")[50:110]],
        "on": Task.from_dataset("iris"),
        "train": 20,
    },
    "Transfer": {"networks": (), "source": Task.from_dataset("iris")[60:120], "head": ("kept",)},
    "Forgetting": {
        "data": [Task.from_dataset("iris")[:60], Task.from_dataset("iris")[60:120]],
        "algorithm": (EWC(10.0), SI(1.0)),
        "depth": ("head-kept",),
        "train": 20,
    },
    "TaskSpace": {
        "data": embed("iris", "iris:rows=0..100", probe=Learner(MLP((4,)), weights=WEIGHTS[0]), examples=20),
        "sets": [Task.from_dataset("iris")[:60], Task.from_dataset("iris")[50:110]],
    },
    "Select": {
        "experts": [Learner(MLP((4,)), weights=weights) for weights in WEIGHTS],
        "sources": ["iris:rows=0..100", "iris:rows=50..150"],
    },
    "RiskCertificate": {"prior": "learnt"},
    "ShannonInformation": {"replicates": 4, "draws": 2, "seeds": 0},
    "WhichCheckpoint": {"held_out": Task.from_dataset("iris")[60:120]},
    "Similarity": {"data": [Task.from_dataset("iris")[:60], Task.from_dataset("iris")[50:110]]},
}
"""What a question needs otherwise, by its class."""

SAVED = Path(tempfile.gettempdir()) / "infoscope-contract-of-questions" / "saved.npz"
"""Activations of a network, for questions about a file."""

CODERS = {Replay: Replay(replays=1, start=8), Mixed: Mixed(), ClosedForm: ClosedForm()}


def small(place: str) -> Any:
    """The question with little data and a small network, as far as it has such options."""
    module, _, name = place.partition(":")
    kind = getattr(importlib.import_module(module), name)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    chosen = {name: value for name, value in SMALL.items() if name in fields}
    chosen |= OWN.get(name, {})
    if name == "WhichCheckpoint":
        chosen["folder"] = of_a_training()
    if fields["data"].type == "Path":
        chosen["data"] = saved()
    if "coder" in fields:
        chosen["coder"] = CODERS[type(fields["coder"].default)]
        if not chosen["coder"].needs_network:
            chosen.pop("model", None)
    return kind(**chosen)


def saved() -> Path:
    """A file of inputs, two layers and labels."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(40, 3)).astype(np.float32)
    SAVED.parent.mkdir(exist_ok=True)
    np.savez(SAVED, X=x, T1=np.tanh(x), T2=np.tanh(x[:, :1]), y=(x[:, 0] > 0).astype(int))
    return SAVED


def of_a_training() -> Path:
    """A folder of checkpoints."""
    folder = SAVED.parent / "checkpoints"
    folder.mkdir(exist_ok=True, parents=True)
    for step, weights in enumerate(WEIGHTS):
        torch.save(weights, folder / f"step_{step}.pt")
    return folder


@parametrize_with_checks({name: small(place) for name, place in QUESTIONS.items()})
def test_contract(check):
    check()
