"""Data sets that differ in their labels alone, drawn from one network or from networks of the prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from infoscope import __version__
from infoscope.data.inputs import pieces, to
from infoscope.data.targets import Classes, Labels, Real
from infoscope.data.task import Task
from infoscope.ensembles.stacked_loss import StackedLoss
from infoscope.measurement import Bound, Measurement, Receipt, mean_and_stderr
from infoscope.run.look import pack, unpack
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, load_weights
from infoscope.training.predict import evaluating
from infoscope.weight_information.example_losses import example_losses
from infoscope.weight_information.weights_and_data.noisy_network import Noise, NoisyNetwork, Settled

SHARES = (0.0, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)
"""How far a decoder goes from what is known of a label to what the weights say of it."""

_BATCH = 256


@dataclass(frozen=True, eq=False)
class DrawnLabels:
    """Labels of each data set (sets, n …), and what the network says from which they were drawn, empty if several.

    `entropy` is H(D), nats; NaN where it is not known, or where labels are numbers.
    """

    y: Shaped[Tensor, "sets n *_"]
    said: Tensor
    entropy: float

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"y": self.y, "said": self.said}, entropy=self.entropy)

    @classmethod
    def from_bytes(cls, data: bytes) -> DrawnLabels:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        return cls(**tensors, **facts)

    @classmethod
    def stand_in(cls, pool: Task, sets: int) -> DrawnLabels:
        """One of this form, made at once."""
        return cls(torch.stack([pool.y] * sets), torch.empty(0), float("nan"))


def check_drawable(task: Task) -> None:
    """ValueError for labels that can't be drawn."""
    if not isinstance(task.target, Classes | Labels | Real):
        raise ValueError(
            f"{task.name!r} asks for {task.target}, and labels are drawn of classes, yes or no, and numbers; take "
            "source examples"
        )


def drawn_labels(
    pool: Task, learner: Learner, weights: Weights | None, scale: float, sets: int, seed: int, device: str
) -> DrawnLabels:
    """Labels by p(y|x, w) of these weights for all data sets, or of weights from N(0, scale²) for each."""
    draws = torch.Generator().manual_seed(seed)
    with isolated(seed):
        network = learner.network(pool.shape, pool.target.outputs, seed).to(device)
        if weights is not None:
            load_weights(network, weights)
            said = outputs_of(network, pool)
            return DrawnLabels(
                torch.stack([_drawn(said, pool, draws) for _ in range(sets)]), said, _entropy(said, pool)
            )
        found, loss = [], StackedLoss(network, pool, device)
        for _ in range(sets):
            row = scale * torch.randn(loss.dimension, generator=draws, dtype=torch.float64)
            load_weights(network, loss.weights(row))
            found.append(_drawn(outputs_of(network, pool), pool, draws))
        return DrawnLabels(torch.stack(found), torch.empty(0), float("nan"))


def relabelled_network(
    drawn: Task, learner: Learner, weights: Weights, noise: Noise, said: Tensor, device: str
) -> NoisyNetwork:
    """From these weights to the minimum on the drawn labels, then the posterior there.

    In place of losses it has the nats that are saved in sending the labels, at each of `SHARES`, to one who knows what
    is `said` of them anyway; none where that is empty.
    """
    with isolated(noise.seed):
        at = Settled(drawn, learner, weights, noise, device)
        q = at.posterior()
        found = torch.zeros(noise.draws, len(SHARES) if len(said) else 0, dtype=torch.float64)
        for i, row in enumerate(q.draw(noise.draws, torch.Generator().manual_seed(noise.seed)) if len(said) else ()):
            load_weights(at.network, at.loss.weights(row))
            told = outputs_of(at.network, drawn)
            costs = [example_losses(said.lerp(told, share), drawn.target, drawn.y).sum() for share in SHARES]
            found[i] = costs[0] - torch.stack(costs)
        return NoisyNetwork(q, found)


def sent_information(saved: Float[Tensor, "sets draws shares"]) -> Measurement:
    """A lower bound of I(w;D), nats: what weights save in sending labels that are independent given the inputs.

    E log q(D|w)/p(D) for any q (Barber & Agakov 2003), here the network that the labels come from moved towards what
    the weights say; by what share is chosen on other data sets.
    """
    found: dict[int, float] = {}
    by_set = saved.mean(1)
    for j in range(len(by_set)):
        others = (by_set.sum(0) - by_set[j]) / (len(by_set) - 1)
        found[j] = float(by_set[j, int(others.argmax())])
    value, stderr = mean_and_stderr(found.values())
    receipt = Receipt("decoder of labels", n=len(found), over="data sets", version=__version__)
    return Measurement("I(w;D)", value, stderr, bound=Bound.LOWER, replicates=found, receipt=receipt)


@torch.no_grad()
def outputs_of(network: nn.Module, task: Task) -> Float[Tensor, "n ..."]:
    """What a network says of every example, in eval mode."""
    device = device_of(network)
    with evaluating(network):
        return torch.cat([forward(network, to(x, device)).double().cpu() for x in pieces(task.x, _BATCH)])


def _drawn(said: Tensor, pool: Task, draws: torch.Generator) -> Tensor:
    """Labels of one data set, in the form of the pool's."""
    target, y = pool.target, pool.y
    if isinstance(target, Classes):
        return torch.multinomial(said.softmax(1), 1, generator=draws)[:, 0].to(y.dtype)
    if isinstance(target, Labels):
        yes = torch.rand(said.shape, generator=draws, dtype=said.dtype) < said.sigmoid()
        return torch.where(y < 0, y, yes.to(y.dtype))
    assert isinstance(target, Real)
    noise = torch.randn(said.shape, generator=draws, dtype=said.dtype)
    values = target.centre + target.scale * (said + noise).view(y.shape)
    if float(values.min()) < target.low or float(values.max()) > target.high:
        raise ValueError(
            f"labels that are drawn for {pool.name!r} lie from {float(values.min()):.4g} to {float(values.max()):.4g}, "
            f"and its numbers from {target.low:g} to {target.high:g}; declare a wider range, or take a smaller scale"
        )
    return (target.low + target.resolution * ((values - target.low) / target.resolution).round()).to(y.dtype)


def _entropy(said: Tensor, pool: Task) -> float:
    if isinstance(pool.target, Classes):
        return float(torch.special.entr(said.softmax(1)).sum())
    if isinstance(pool.target, Labels):
        p = said.sigmoid()
        return float((torch.special.entr(p) + torch.special.entr(1 - p))[pool.y >= 0].sum())
    return float("nan")
