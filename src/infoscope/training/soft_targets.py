"""Soft targets: what a teacher says of the classes, which a student learns beside the labels (Hinton et al. 2015)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from infoscope.data.inputs import Batch, Shape
from infoscope.training.forward import device_of, forward
from infoscope.training.learner import Learner
from infoscope.training.recipe import Loss, Penalty, Term


def soft_loss(
    student: Float[Tensor, "b classes"], teacher: Float[Tensor, "b classes"], temperature: float
) -> Float[Tensor, ""]:
    """L_KD = −T² Σ_k p_k^t log p_k^s, p = softmax(z / T) of the logits z; the mean over examples, nats.

    Eq. (18) of "Model Information as an Analysis Tool in Deep Learning". Its eq. (19) has probabilities where logits
    belong.

    >>> round(float(soft_loss(torch.zeros(1, 2), torch.tensor([[9.0, 0.0]]), 2.0)) / 4, 4)  # log 2, whoever is right
    0.6931
    """
    wanted = F.softmax(teacher / temperature, -1)
    return -(temperature**2) * (wanted * F.log_softmax(student / temperature, -1)).sum(-1).mean()


def smoothed(labels: Int[Tensor, " b"], classes: int, smoothing: float) -> Float[Tensor, "b classes"]:
    """Logits of (1 − ε) of the label and ε of all classes alike: a teacher who knows the labels and nothing else.

    >>> F.softmax(smoothed(torch.tensor([1]), 2, 0.2), -1)
    tensor([[0.1000, 0.9000]])
    """
    return (F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes).log()


@dataclass(frozen=True)
class Discounted:
    """A loss of which only the share 1 − α teaches; its value, by which training stops early, stays the whole.

    With `smoothing` the rest, α, is `soft_loss` at this temperature towards smoothed labels.
    """

    loss: Loss
    alpha: float
    temperature: float = 1.0
    smoothing: float | None = None

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch."""
        own = self.loss(outputs, y)
        taught = (1 - self.alpha) * own
        if self.smoothing is not None and outputs.requires_grad:
            soft = smoothed(y, outputs.shape[-1], self.smoothing)
            taught = taught + self.alpha * soft_loss(outputs, soft, self.temperature)
        return taught + (own - taught).detach()


@dataclass(frozen=True, eq=False)
class TaughtBy:
    """A penalty: α · `soft_loss` towards what a trained teacher, in eval mode, says of the same inputs."""

    teacher: Learner
    shape: Shape
    outputs: int
    alpha: float
    temperature: float

    def begin(self, network: Any, seed: int) -> Term:
        """What the teacher adds to the loss of a batch."""
        teacher = self.teacher.network(self.shape, self.outputs, seed).to(device_of(network)).eval()

        def term(x: Batch, outputs: Tensor) -> Tensor:
            with torch.no_grad():
                said = forward(teacher, x)
            return self.alpha * soft_loss(outputs, said, self.temperature)

        return term


def distilling(learner: Learner, loss: Discounted, penalty: Penalty | None) -> Learner:
    """The student's learner: the same recipe but for what is brought down, L = α L_KD + (1 − α) L_ce, eq. (17)."""
    return dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, loss=loss, penalty=penalty))
