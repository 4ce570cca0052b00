"""Synced distillation: the code of a student whose teacher is taught the same labels, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, shape_of, take
from infoscope.data.targets import Classes, Target
from infoscope.data.task import Task
from infoscope.options import above_zero, at_least
from infoscope.prequential.heads import outputs_of
from infoscope.prequential.mixture import Experts
from infoscope.prequential.replay import Replay
from infoscope.training.fit import Diverged, fit
from infoscope.training.forward import device_of
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, copy_network
from infoscope.training.recipe import Recipe
from infoscope.training.soft_targets import smoothed, soft_loss

Teaches = Literal["labels", "random-labels", "label-smoothing"]
"""What a teacher has learned, the last two being controls: labels drawn at random, or no network at all."""


@dataclass(frozen=True)
class Synced:
    """A student learns each label, and what a teacher says who has learned no other labels than he has.

    "Model Information as an Analysis Tool in Deep Learning", §7 and A.6, Fig. 8a. The student is coded by `Replay`;
    each of its steps brings down α L_KD + (1 − α) L_ce, eq. (17), with L_KD as in `soft_loss`, at `temperature` T. The
    teacher is trained anew from its own start whenever the prefix has grown by `refit`, from `first` labels on, a share
    `held_out` of the prefix stopping it early. He speaks of the examples that he has learned, as the paper's does; of
    others, those that came since and those that stopped him, the student learns from labels alone, as before the first
    teacher. The receiver trains the same teacher, so labels come back from the inputs.

    The steps are as many as without a teacher, on the same examples: α = 0 is `student`'s own code, bit for bit.
    With `everywhere` the teacher speaks of as many other inputs, drawn among all, those whose labels are to come
    included, which both sides have. Without a `teacher` it is another network
    like the student, from the same start, trained by `recipe`. `teaches` chooses a control in its place: a teacher of
    labels drawn at random, or labels smoothed by `smoothing`.

    The student is coded by its gradients alone: regressions on its features would learn the labels at once whatever
    the teacher says, and hide what he tells. It learns images as they are, of which the teacher speaks.

    >>> code = Synced().experts(torch.zeros(3, 2), Classes(("a", "b")), network=nn.Linear(2, 2))
    >>> next(code).shape
    (20, 2)
    """

    teacher: Learner | None = None
    alpha: float = 0.5
    temperature: float = 4.0
    teaches: Teaches = "labels"
    everywhere: bool = False
    student: Replay = Replay(last_layer=None, nearby=None)
    first: int = 32
    refit: float = 1.5
    held_out: float = 0.2
    smoothing: float = 0.1
    recipe: Recipe = Recipe()
    needs_network: ClassVar[bool] = True
    version: ClassVar[int] = 3
    takes: ClassVar[tuple[type[Target], ...]] = (Classes,)

    def __post_init__(self) -> None:
        above_zero(self, "temperature", "smoothing")
        at_least(self, "first", 1)
        if not (0 <= self.alpha <= 1 and 0 <= self.held_out < 1 and self.smoothing <= 1):
            raise ValueError(f"{self}: alpha and smoothing lie from 0 to 1, held_out from 0 to below 1")
        if not self.refit > 1:
            raise ValueError(f"Synced(refit={self.refit}): refit is above 1, by which the prefix has to grow")
        if self.teacher is not None and self.teacher.weights is not None:
            raise ValueError(
                "the teacher comes with weights, which may have seen the labels that are sent; give its network alone, "
                "it is trained on each prefix"
            )

    def __repr__(self) -> str:
        """Every field; the teacher by the name of its network, where that is a function."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        factory: Any = getattr(self.teacher, "factory", None)
        if self.teacher is not None and hasattr(factory, "__qualname__"):
            told["teacher"] = f"{factory.__module__}:{factory.__qualname__}"
        return f"Synced({', '.join(f'{name}={value!r}' for name, value in told.items())})"

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What the student predicts of the next label, which is then sent."""
        if network is None:
            raise ValueError("Synced is the code of a network; give a network")
        if not isinstance(target, Classes):
            raise ValueError(f"Synced codes Classes, not {target}")
        if not self.alpha:
            return self.student.experts(x, target, seed, network)
        return self.student.learning(x, target, seed, network, _Teacher(self, network, x, target, seed))


def check_teacher(teacher: Learner, x: Inputs, target: Classes) -> None:
    """ValueError where a teacher has not as many outputs as there are classes."""
    few = take(x, slice(1))
    network = teacher.network(shape_of(x), target.outputs, 0)
    try:
        with isolated(0):
            outputs_of(network, few, target)
    except ValueError as error:
        raise ValueError(
            f"the teacher does not speak of the {target.outputs} classes of the data: {error}; give a network with an "
            "output for each"
        ) from error


class _Teacher:
    """The teacher as labels come in: what it says of every input, by the examples that it last learned."""

    def __init__(self, preset: Synced, network: nn.Module, x: Inputs, target: Classes, seed: int) -> None:
        self.preset, self.target, self.seed = preset, target, seed
        start = copy_network(network)
        self.learner = preset.teacher or Learner(lambda: copy_network(start), preset.recipe)
        self.device, self.due = device_of(network), float(preset.first)
        self.says: Float[Tensor, "n classes"] | None = None
        self.learned: Bool[Tensor, " n"] = torch.empty(0, dtype=torch.bool)
        self.sent: Int[Tensor, " sent"] = torch.empty(0, dtype=torch.long)
        self.draws = torch.Generator().manual_seed(seed)
        if preset.teaches != "label-smoothing":
            check_teacher(self.learner, x, target)

    def prepare(self, x: Inputs, sent: Tensor) -> None:
        """Learn the labels that are sent, from the start, if they are enough more than before."""
        self.sent = sent
        if self.preset.teaches == "label-smoothing":
            self.says = smoothed(sent, self.target.outputs, self.preset.smoothing)
            self.learned = torch.ones(len(sent), dtype=torch.bool)
        elif len(sent) >= self.due:
            self.due = len(sent) * self.preset.refit
            self._teach(x, sent)

    def loss(self, own: Tensor, outputs: Tensor, rows: Tensor, say: Callable[[Tensor], Tensor]) -> Tensor:
        """α L_KD + (1 − α) L_ce; the labels' loss alone of examples that the teacher has not learned."""
        if self.says is None:
            return own
        alpha = self.preset.alpha
        if self.preset.everywhere:
            rows = torch.randint(len(self.says), rows.shape, generator=self.draws)
            return alpha * self._soft(say(rows), rows) + (1 - alpha) * own
        known = (rows < len(self.learned)) & self.learned[rows.clamp(max=len(self.learned) - 1)]
        if not known.any():
            return own
        outputs, rows, share = outputs[known.to(outputs.device)], rows[known], float(known.float().mean())
        labels = self.target.loss(outputs, self.sent[rows].to(outputs.device))
        return own + alpha * share * (self._soft(outputs, rows) - labels)

    def _soft(self, outputs: Tensor, rows: Tensor) -> Tensor:
        """What parts the student from the teacher's word of these rows."""
        assert self.says is not None
        return soft_loss(outputs, self.says[rows.to(self.says.device)].to(outputs), self.preset.temperature)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _teach(self, x: Inputs, sent: Tensor) -> None:
        """Train a teacher of these labels; where that diverges the last one goes on speaking."""
        draws = torch.Generator().manual_seed(self.seed)
        order, y = torch.randperm(len(sent), generator=draws), sent
        if self.preset.teaches == "random-labels":
            y = torch.randint(self.target.outputs, sent.shape, generator=draws)
        past = Task.from_arrays(take(x, order), y[order], target=self.target, as_is=True)
        aside = int(self.preset.held_out * len(past))
        try:
            trained = fit(
                self.learner, past[aside:], past[:aside] if aside else None, seed=self.seed, device=self.device
            )
        except Diverged:
            return
        learner = self.learner.starting_from(trained.weights)
        network = learner.network(past.shape, self.target.outputs, self.seed).to(self.device)
        self.says = outputs_of(network, x, self.target).float()
        self.learned = torch.ones(len(sent), dtype=torch.bool).index_fill(0, order[:aside], False)
