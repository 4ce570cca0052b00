"""The question of checkpoints: which of one training generalises, and what says so?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch

from infoscope.data.named import AnyTask, sample, task_of, training_part
from infoscope.data.task import Task
from infoscope.dynamics.plane.checkpoints import checkpoints, read_weights
from infoscope.dynamics.which_checkpoint.answer import Held, WhichCheckpointAnswer
from infoscope.dynamics.which_checkpoint.posterior import (
    AtCheckpoint,
    CheckpointPosterior,
    checkpoint_posterior,
    counts_errors,
    nothing,
)
from infoscope.model_information.cost import PassTime, alike
from infoscope.models.default import Model, model_name
from infoscope.options import AtLeast, check_fields, positive
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.certificate.certified_posterior import check_certifiable
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint, checkpoints_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood, losses_look

_MOST = 1000
"""Examples, unless more are asked for."""


@dataclass(frozen=True)
class WhichCheckpoint:
    """Which checkpoint of a training generalises, and what says so? Information, coefficient, certificate, codelength.

    At each checkpoint: KL(q‖p) and C = E_q L + β KL of the Gaussian q of least C around its weights, the learning
    coefficient λ of its curvature, a PAC-Bayes certificate by the same q, and the loss on examples held out; then which
    checkpoint each of them would choose, what that costs, and how they rank together.

    Attributes
    ----------
    folder
        Of checkpoints of one training (.safetensors, or .pt with tensors only), with their step or epoch in their
        names.
    data
        What they were trained on, its train split where it has one.
    model
        Their network: a name from `infoscope list models`, or module:factory.
    held_out
        Examples that they were not trained on. Default: the test split of the data, if there is one.
    start
        The untrained weights that they started from, a file: the prior then lies around these, and certificates hold
        only if they have seen none of the data, which nobody can check. Default: around 0.
    scale
        Standard deviation λ of the prior. Default: chosen among 29, for which log 29 nats are paid.
    beta
        Price of a nat in the weights, in nats of loss.
    b
        Inverse temperature of the learning coefficient. Default: 1/log n.
    rounds
        Rounds of curvature under q's own noise.
    draws
        Weights drawn from each q.
    delta
        Probability that any of the certificates fails.
    examples
        Of the data, drawn by the seed. Default: at most 1000; more give better certificates.
    seed
        Of the examples and the draws.
    """

    folder: Path
    data: AnyTask
    model: Model = None
    held_out: AnyTask | None = None
    start: AnyCheckpoint | None = None
    scale: float | None = None
    beta: float = 1.0
    b: float | None = None
    rounds: Annotated[int, AtLeast(1)] = 8
    draws: Annotated[int, AtLeast(2)] = 100
    delta: float = 0.035
    examples: Annotated[int | None, AtLeast(4)] = None
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "scale", "beta", "b")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; certificates fail with a probability between 0 and 1")

    def stages(self, device: str = "cpu") -> Stages[WhichCheckpointAnswer]:
        """A posterior at every checkpoint, then its losses on the examples held out."""
        steps, given = self._given()
        whole = task_of(self.data)
        task, held = self._part(whole), self._held(whole)
        check_likelihood(task)
        start = None if self.start is None else Checkpoint.of(self.start)
        if start is not None:
            checkpoints_of([given[0], start])
        given[-1].learner(task, self.model)  # the units of its answers can be told, those of an untrained one can't
        learner = given[0].learner(task, self.model)
        network = learner.network(task.shape, task.target.outputs, self.seed)
        remark = self._no_certificate(task, network, given)
        if counts_errors(task):
            check_certifiable(network, task)
        how = AtCheckpoint(
            self.beta, None if start is None else start.weights, self.scale, self.rounds, self.draws,
            self.b or 1 / math.log(len(task)), self.scale or 1.0, not remark, self.seed,
        )  # fmt: skip
        bare = dataclasses.replace(learner, weights=None)
        time = PassTime(
            checkpoint_posterior, len(task), (*alike(task), bare, how.rounds, how.draws),
            lambda count: (task[:count], bare, dict(given[0].weights), how, device),
        )  # fmt: skip
        looks = tuple(self._look(task, bare, one, how, device, time) for one in given)
        found: list[CheckpointPosterior] = yield Looks(looks)
        losses: PerExample | None = None
        if held is not None:
            came: list[PerExample] = yield Looks(
                (losses_look(held, learner, [one.weights for one in given], device, "losses held out"),)
            )
            (losses,) = came
        notes = tuple(dict.fromkeys(note for one in given for note in one.notes))
        return WhichCheckpointAnswer(
            task, model_name(task, self.model), tuple(one.name for one in given), steps, tuple(found), how,
            self.delta, None if held is None or losses is None else Held(held, losses.values), remark, notes, device,
        )  # fmt: skip

    def _given(self) -> tuple[tuple[int, ...], tuple[Checkpoint, ...]]:
        """Steps and checkpoints in their order; those of several architectures, and NaN, are refused."""
        numbered = checkpoints(self.folder)
        read: list[Checkpoint] = []
        for one in numbered:
            name = one.files[0].name if len(one.files) == 1 else one.files[0].parent.name
            held = one.files[0] if len(one.files) == 1 else read_weights(one)
            read.append(dataclasses.replace(Checkpoint.of(held, len(read)), name=name))
        return tuple(one.epoch for one in numbered), checkpoints_of(read)

    def _part(self, whole: Task) -> Task:
        part = training_part(whole)
        if len(part) < 4:
            raise ValueError(f"{whole.name!r} has {len(part)} examples; give 4 or more that the network was trained on")
        return sample(part, self.examples or _MOST, self.seed)

    def _held(self, whole: Task) -> Task | None:
        if self.held_out is not None:
            found = task_of(self.held_out)
            if found.shape != whole.shape or found.target.outputs != whole.target.outputs:
                raise ValueError(
                    f"{found.name!r} has examples of shape {found.shape} and {found.target.outputs} outputs, and "
                    f"{whole.name!r} of {whole.shape} and {whole.target.outputs}; hold out examples of the same kind"
                )
        elif "train" in whole.splits and "test" in whole.splits:
            found = whole["test"]
        else:
            return None
        if len(found) < 4:
            raise ValueError(f"{found.name!r} has {len(found)} examples; hold out 4 or more")
        return found

    def _no_certificate(self, task: Task, network: torch.nn.Module, given: tuple[Checkpoint, ...]) -> str:
        """Why there is none; empty where there is one."""
        if not counts_errors(task):
            return "no certificate: it bounds the share of wrong classes, and the target has none"
        moved = [name for name, _ in network.named_buffers() if _moves(name, [one.weights for one in given])]
        if moved:
            return (
                f"no certificate: {moved[0]} was learned from the data and is no part of q ({len(moved)} such "
                "statistics), so that the prior has seen them"
            )
        return ""

    def _look(
        self, task: Task, bare: Learner, one: Checkpoint, how: AtCheckpoint, device: str, time: PassTime
    ) -> Look[CheckpointPosterior]:
        return Look(
            checkpoint_posterior, (task, bare, dict(one.weights), how, device), CheckpointPosterior, 2,
            f"posterior at {one.name}", kind="posteriors", seconds=time,
            stand_in=partial(nothing, len(task), how),
        )  # fmt: skip


def which_checkpoint(
    folder: str | Path, data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> WhichCheckpointAnswer:
    """Which checkpoint generalises, and what says so? `WhichCheckpoint` asked at once."""
    return ask(WhichCheckpoint(Path(folder), data, model, **options), context)


def _moves(name: str, several: list[Mapping[str, Any]] | list[Weights]) -> bool:
    """Whether a statistic is another one in another checkpoint; counters don't count."""
    ones = [weights[name] for weights in several if name in weights]
    return bool(ones) and ones[0].is_floating_point() and any(not torch.equal(ones[0], other) for other in ones[1:])
