"""An expert tried on a task: a head on its frozen features, and what can be said of these without one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import torch

from infoscope.data.combine import occurring_classes, union
from infoscope.data.inputs import pieces, to
from infoscope.data.task import Task
from infoscope.run.look import Look, pack, unpack
from infoscope.task_space.cost import trial_time
from infoscope.task_space.head import fit_head
from infoscope.task_space.probe import BATCH, Probe, features_of
from infoscope.task_space.transferability import h_score, leep, log_me
from infoscope.training.forward import forward
from infoscope.training.isolation import isolated


@dataclass(frozen=True)
class Trial:
    """Share of held-out examples that a head on the expert's features gets wrong, and LEEP, LogME and H-score."""

    error: float
    held_out: int
    leep: float
    log_me: float
    h_score: float

    def to_bytes(self) -> bytes:
        """As JSON in a file of tensors."""
        return pack({}, **asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes) -> Trial:
        """The value that `to_bytes` wrote."""
        return cls(**unpack(data)[1])


def try_expert(task: Task, held_out: Task, expert: Probe, device: str = "cpu") -> Trial:
    """Fit a head to the task's labels on the expert's features; count its errors on the held-out ones."""
    whole = occurring_classes(union(task, held_out))
    n = len(task)
    with isolated(0, threads=1):
        features = features_of(expert.body(task).to(device), whole.x)
        y = whole.labels
        head = fit_head(features[:n], y[:n], whole.target)
        wrong = head(features[n:]).argmax(1) != y[n:]
        network = expert.network(task).to(device).eval()
        with torch.no_grad():
            logits = torch.cat(
                [forward(network, to(part, torch.device(device))).cpu() for part in pieces(task.x, BATCH)]
            )
    return Trial(
        float(wrong.double().mean()), len(held_out), leep(logits.double().softmax(1), y[:n]),
        log_me(features[:n], y[:n]), h_score(features[:n], y[:n]),
    )  # fmt: skip


def trial_look(task: Task, held_out: Task, expert: Probe, device: str) -> Look[Trial]:
    """The same as a look."""
    stand_in = partial(Trial, 0.5, len(held_out), -1.0, -1.0, 0.5)
    label = f"{expert.name} on {task.name}"
    args = (task, held_out, expert, device)
    return Look(try_expert, args, Trial, 1, label, "trials", trial_time(try_expert, *args), stand_in)
