"""The only loop that trains a single network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from infoscope.data.inputs import pieces, take, to
from infoscope.data.task import Task
from infoscope.run.look import pack, unpack
from infoscope.training.check_network import check_network, owned
from infoscope.training.forward import device_of, forward
from infoscope.training.isolation import isolated
from infoscope.training.learner import Learner, Weights, copy_weights
from infoscope.training.recipe import Loss, Recipe, Term


@dataclass(frozen=True)
class Moment:
    """What an observer sees after each step: the live network (do not change it) and where training stands.

    `loss` is that of the step's batch; `mean` that of the whole epoch, at its end.
    """

    network: nn.Module
    step: int
    epoch: int
    loss: Tensor
    end_of_epoch: bool
    mean: float = math.nan


@dataclass(frozen=True)
class Window:
    """Other examples that are learned from in the epochs from `start` to before `stop`, counted from 0."""

    task: Task
    start: int
    stop: int

    def holds(self, epoch: int) -> bool:
        """Whether an epoch lies in it."""
        return self.start <= epoch < self.stop

    def check(self, task: Task) -> None:
        """ValueError unless its examples can stand in for a task's."""
        if (len(task), task.shape, task.target) != (len(self.task), self.task.shape, self.task.target):
            raise ValueError(
                f"{self.task.name!r} can't stand in for {task.name!r}: give as many examples, of one shape and target"
            )


class Diverged(ValueError):
    """The loss, or a weight after the last step, is NaN or infinite; the text says when."""


class Observer(Protocol):
    """Watches training; called after every step."""

    def observe(self, moment: Moment) -> None:
        """See one moment."""
        ...


@dataclass(frozen=True)
class Trained:
    """A trained network as a value: initial and final weights, and the losses of every epoch in nats an example.

    `converged` says that early stopping ended the training, or that the loss was next to nothing when the epochs ran
    out, or (without early stopping) had ceased to fall.
    """

    initial: Weights
    weights: Weights
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    converged: bool

    @property
    def epochs(self) -> int:
        """Number of epochs that were run."""
        return len(self.losses)

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = {f"{when}/{k}": v for when in ("initial", "weights") for k, v in getattr(self, when).items()}
        facts = {"losses": self.losses, "validation_losses": self.validation_losses, "converged": self.converged}
        return pack(tensors, **facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trained:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack(data)
        initial, weights = (
            {k.removeprefix(when): v for k, v in tensors.items() if k.startswith(when)}
            for when in ("initial/", "weights/")
        )
        losses, held_out = tuple(facts["losses"]), tuple(facts["validation_losses"])
        return cls(initial, weights, losses, held_out, facts["converged"])


def fit(
    learner: Learner,
    task: Task,
    validation: Task | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    observers: Iterable[Observer] = (),
    window: Window | None = None,
) -> Trained:
    """Train the learner's network on `task`, in the epochs of a `window` on its task.

    With `validation` and `recipe.patience`, training stops when the validation loss has not improved for `patience`
    epochs, and the best weights are given back; without patience that loss is taken note of (see `overfit`). Random
    state and threads outside are untouched.

    >>> from infoscope.models import MLP
    >>> digits = Task.from_dataset("digits")
    >>> trained = fit(Learner(MLP((32,))), digits[:500], digits[500:600])
    >>> trained.losses[-1] < trained.losses[0]
    True
    """
    for part in (task, validation):
        if part is not None and not len(part):
            raise ValueError(f"{part.name!r} has no examples to train with; give some, or no validation task")
    if window is not None:
        window.check(task)
    network = learner.network(task.shape, task.target.outputs, seed).to(device)
    initial = copy_weights(network)
    if learner.recipe.loss is None:
        check_network(network, task)
    losses: list[float] = []
    held_out: list[float] = []
    best: Weights | None = None
    with isolated(seed):
        extra = None if learner.recipe.penalty is None else learner.recipe.penalty.begin(network, seed)
        draws = torch.Generator().manual_seed(seed)
        for loss in _epochs(learner.recipe, network, task, draws, tuple(observers), extra, window):
            losses.append(loss)
            if validation is None:
                continue
            held_out.append(held_out_loss(network, validation, learner.recipe.loss))
            if learner.recipe.patience is None:
                continue
            if held_out[-1] <= min(held_out):
                best = copy_weights(network)
            if len(held_out) - 1 - held_out.index(min(held_out)) >= learner.recipe.patience:
                break
    weights = best or copy_weights(network)
    if (why := unfinished(weights, network)) is not None:
        raise Diverged(f"{why}; lower the learning rate")
    stopped = len(losses) < learner.recipe.epochs
    converged = stopped or settled(losses, stopping=bool(held_out) and learner.recipe.patience is not None)
    return Trained(initial, weights, tuple(losses), tuple(held_out), converged)


def _epochs(
    recipe: Recipe, network: nn.Module, task: Task, draws: torch.Generator, observers: Sequence[Observer],
    extra: Term | None, window: Window | None,
) -> Iterator[float]:  # fmt: skip
    """Train, and give the mean loss of each epoch when it ends, what is `extra` left out."""
    device = device_of(network)
    own, loss_of = (to(task.x, device), task.y.to(device)), recipe.loss_on(task.target)
    other = own if window is None else (to(window.task.x, device), window.task.y.to(device))
    n = len(task)
    optimizer = recipe.optimizer(network.parameters())
    rates = [group["lr"] for group in optimizer.param_groups]
    a_epoch = math.ceil(n / recipe.batch)
    step = 0
    for epoch in range(recipe.epochs):
        network.train()
        x, y = other if window is not None and window.holds(epoch) else own
        losses, sizes, mean = [], [], math.nan
        for last, rows in batches(n, recipe.batch, draws):
            factor = recipe.decay(step / (a_epoch * recipe.epochs))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            inputs = take(x, rows) if recipe.augment is None else recipe.augment(take(x, rows), draws)
            outputs = forward(network, inputs)
            loss = loss_of(outputs, y[rows])
            whole = loss if extra is None else loss + extra(inputs, outputs)
            optimizer.zero_grad()
            whole.backward()
            optimizer.step()
            losses.append(loss.detach())
            sizes.append(len(rows))
            step += 1
            mean = mean_loss(torch.stack(losses), sizes, epoch) if last else math.nan
            for observer in observers:
                observer.observe(Moment(network, step, epoch, losses[-1], last, mean))
        yield mean


def mean_loss(losses: Tensor, sizes: Sequence[int], epoch: int) -> float:
    """The mean over an epoch's examples of its batches' losses; `Diverged` if it is not finite."""
    weights = torch.tensor(sizes, device=losses.device, dtype=losses.dtype)
    mean = float(losses @ weights) / sum(sizes)
    if not math.isfinite(mean):
        raise Diverged(f"training diverged in epoch {epoch + 1}: the loss is {mean}; lower the learning rate")
    return mean


def unfinished(weights: Weights, network: nn.Module) -> str | None:
    """Why these can't be the final weights of such a network: its last step, whose loss nobody sees, diverged."""
    wild = next((name for name, _ in network.named_parameters() if not weights[name].isfinite().all()), None)
    return None if wild is None else f"training diverged in its last steps: {wild} has NaN or infinity"


def batches(n: int, batch: int, draws: torch.Generator) -> Iterable[tuple[bool, Tensor]]:
    """The rows of each batch of one epoch in random order, and whether it is the last."""
    parts = torch.randperm(n, generator=draws).split(batch)
    # A last batch of one example is joined to its neighbour: BatchNorm cannot train on a single example.
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts = (*parts[:-2], torch.cat(parts[-2:]))
    return ((i == len(parts) - 1, rows) for i, rows in enumerate(parts))


@torch.no_grad()
def held_out_loss(network: nn.Module, task: Task, loss: Loss | None = None, batch: int = 1024) -> float:
    """Mean loss on a task in nats an example (a token), in eval mode; the network is left in eval mode.

    Without `loss` it is the likelihood of the task's target.
    """
    device, loss_of = device_of(network), loss or task.target.loss
    network.eval()
    parts = zip(pieces(task.x, batch), task.y.split(batch), strict=True)
    total = sum(float(loss_of(forward(network, owned(x, device)), y.to(device))) * len(y) for x, y in parts)
    return total / len(task)


def settled(losses: Sequence[float], stopping: bool) -> bool:
    """Whether training that used up its epochs is done: the loss is next to nothing, or has stopped to fall.

    Where early stopping was to end it and did not, only the first counts.
    """
    if losses[-1] < 0.01:
        return True
    before = losses[-1 - max(1, len(losses) // 10)] if len(losses) > 1 else math.inf
    return not stopping and losses[-1] > 0.95 * before


def overfit(trained: Trained, recipe: Recipe) -> bool:
    """Whether the weights are from after the least held-out loss, which rose while the training loss fell on.

    A rise counts from 5 % on, and from 0.01 nat. With early stopping the weights are those of the least: False.
    """
    held_out = trained.validation_losses
    if recipe.patience is not None or not held_out:
        return False
    least = min(held_out)
    rose = held_out[-1] - least > max(0.01, 0.05 * abs(least))
    return rose and trained.losses[-1] < trained.losses[held_out.index(least)]
