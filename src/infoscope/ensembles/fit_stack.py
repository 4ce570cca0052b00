"""The only loop that trains many networks at once: epochs of a stack, until each of its rows is done."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population, Stacked, padded
from infoscope.ensembles.stack import Stack
from infoscope.run.progress import report
from infoscope.run.scratch import Scratch
from infoscope.training.fit import Diverged, Moment, Observer, batches, check_network, fit, settled, unfinished
from infoscope.training.isolation import isolated
from infoscope.training.learner import copy_weights, load_weights

_HELD_OUT = 256  # examples of each network at a time, in eval mode

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Moments:
    """What an observer of many networks sees after each step: names and live stacked weights (do not change them).

    `losses` (E,) are those of the step's batches, `means` (E,) those of the whole epoch, at its end (empty before).
    """

    names: tuple[str, ...]
    weights: Stacked
    step: int
    epoch: int
    losses: Tensor
    end_of_epoch: bool
    means: Tensor
    template: nn.Module

    def networks(self) -> Iterator[tuple[str, nn.Module]]:
        """Each network by itself, as a copy, in train mode."""
        network = copy.deepcopy(self.template).train()
        for i, name in enumerate(self.names):
            load_weights(network, {k: v[i].detach() for k, v in self.weights.items()})
            yield name, network


class GroupObserver(Protocol):
    """Watches the training of many networks; called after every step of a stack of them."""

    def observe(self, moments: Moments) -> None:
        """See one moment."""
        ...


@dataclass
class Each:
    """One observer of single networks for each name, made when the name is first seen.

    With `epochs_only` they see the last step of each epoch, which spares a copy of every network in every other.
    """

    make: Callable[[str], Observer]
    epochs_only: bool = False
    observers: dict[str, Observer] = field(default_factory=dict)

    def observe(self, moments: Moments) -> None:
        """Show every network to its own observer."""
        if self.epochs_only and not moments.end_of_epoch:
            return
        for i, (name, network) in enumerate(moments.networks()):
            if name not in self.observers:
                self.observers[name] = self.make(name)
            mean = float(moments.means[i]) if moments.end_of_epoch else math.nan
            loss = moments.losses[i]
            self.observers[name].observe(Moment(network, moments.step, moments.epoch, loss, moments.end_of_epoch, mean))


@dataclass(frozen=True)
class Wanted:
    """What to keep of each network besides its first and last weights.

    The weights after the epochs `snapshots`, and at the first epoch whose mean training loss is at most `until`.
    """

    snapshots: tuple[int, ...] = ()
    until: float | None = None


@dataclass
class _Course:
    """How far one member has come."""

    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    best: Weights | None = None
    snapshots: dict[int, Weights] = field(default_factory=dict)
    matched: Weights | None = None
    matched_epoch: int = -1
    final: Weights | None = None

    def see(self, mean: float, weights: Callable[[], Weights], wanted: Wanted) -> None:
        """The end of an epoch."""
        self.losses.append(mean)
        if len(self.losses) in wanted.snapshots:
            self.snapshots[len(self.losses)] = weights()
        if wanted.until is not None and self.matched is None and mean <= wanted.until:
            self.matched, self.matched_epoch = weights(), len(self.losses)

    def validate(self, loss: float, weights: Callable[[], Weights], patience: int) -> bool:
        """The validation loss of this epoch; whether training ends."""
        self.held_out.append(loss)
        lowest = min(self.held_out)
        if loss <= lowest:
            self.best = weights()
        return len(self.held_out) - 1 - self.held_out.index(lowest) >= patience


def fit_stack(
    members: Sequence[Member],
    way: str,
    device: str | torch.device = "cpu",
    wanted: Wanted = Wanted(),
    observers: Sequence[GroupObserver] = (),
) -> Population:
    """Train these members as one stack, or one after another where `way` is `loop`.

    They share an architecture, a number of examples and a batch size; each has its own everything else. With a store's
    scratch page, training goes on where it was interrupted.
    """
    if way == "loop":
        return _alone(members, device, wanted, observers)
    networks = [m.learner.network(m.task.shape, m.task.target.outputs, m.seed).to(device) for m in members]
    if members[0].learner.recipe.loss is None:
        check_network(networks[0], members[0].task)
        networks[0].train()
    initial = [copy_weights(network) for network in networks]
    recipes = [m.recipe for m in members]
    with isolated(members[0].seed):
        run = _Run(members, Stack(networks, recipes, way), networks[0], device, wanted, initial)
        run.train(observers)
    return _population(members, initial, run.courses, run.failed, wanted, way)


class _Run:
    """A stack under way: which members are its rows, their draws and their courses."""

    def __init__(
        self, members: Sequence[Member], stack: Stack, template: nn.Module, device: Any, wanted: Wanted,
        initial: Sequence[Weights],
    ):  # fmt: skip
        self.members, self.stack, self.template, self.wanted = members, stack, template, wanted
        self.rows = list(range(len(members)))  # the member of each row
        self.draws = [torch.Generator().manual_seed(m.seed) for m in members]
        self.courses = [_Course() for _ in members]
        for course, weights in zip(self.courses, initial, strict=True):
            if 0 in wanted.snapshots:
                course.snapshots[0] = weights
        self.failed: dict[str, str] = {}
        self.epoch, self.step = 0, 0
        self.data = _Examples([m.task for m in members], device)
        held_out = [m.validation for m in members]
        self.held_out = _Examples([t for t in held_out if t is not None], device) if all(held_out) else None

    def train(self, observers: Sequence[GroupObserver]) -> None:
        scratch = Scratch()
        # What observers have seen is not in the page: with them a training begins anew.
        if not observers and (kept := scratch.load()) is not None:
            self._restore(kept)
        longest = max(m.recipe.epochs for m in self.members)
        while self.rows:
            self._finish(*self._validated(self._an_epoch(observers)))
            report(self.epoch, longest)
            if not observers and scratch.due():
                scratch.save(self._state())

    def _an_epoch(self, observers: Sequence[GroupObserver]) -> Tensor:
        """Train one epoch; the mean loss (E,) of each row."""
        recipe, n = self.members[0].recipe, len(self.members[0].task)
        orders = [batches(n, recipe.batch, self.draws[m]) for m in self.rows]
        an_epoch = math.ceil(n / recipe.batch)
        names = tuple(self.members[m].called for m in self.rows)
        total: Tensor | float = 0.0
        for parts in zip(*orders, strict=True):
            last = parts[0][0]
            x, y = self.data.batch(self.rows, torch.stack([rows for _, rows in parts]))
            losses = self.stack.step(self._augmented(x), y, self.step, an_epoch)
            total = total + losses * x.shape[1]
            self.step += 1
            if observers:
                means = total / n if last and isinstance(total, Tensor) else torch.empty(0)
                moments = Moments(names, self.stack.tensors, self.step, self.epoch, losses, last, means, self.template)
                for observer in observers:
                    observer.observe(moments)
        self.epoch += 1
        return torch.as_tensor(total / n).cpu()

    def _augmented(self, x: Tensor) -> Tensor:
        augments = [self.members[m].recipe.augment for m in self.rows]
        if not any(augments):
            return x
        return torch.stack(
            [one if a is None else a(one, self.draws[m]) for one, a, m in zip(x, augments, self.rows, strict=True)]
        )

    def _validated(self, means: Tensor) -> tuple[Tensor, Tensor | None]:
        stopping = any(self.members[m].recipe.patience is not None for m in self.rows)
        if self.held_out is None or not stopping:
            return means, None
        n, total = self.held_out.n, torch.zeros(len(self.rows), dtype=torch.float64)
        for rows in torch.arange(n).split(_HELD_OUT):
            x, y = self.held_out.batch(self.rows, rows.expand(len(self.rows), -1))
            total += self.stack.loss(x, y).cpu() * len(rows)
        return means, total / n

    def _finish(self, means: Tensor, held_out: Tensor | None) -> None:
        """Take note of the epoch; rows that are done or diverged leave the stack."""
        tensors = self.stack.tensors
        going = []
        for i, m in enumerate(self.rows):
            course, member = self.courses[m], self.members[m]
            mean = float(means[i])

            def weights(i: int = i) -> Weights:
                return {k: v[i].detach().cpu().clone() for k, v in tensors.items()}

            if not math.isfinite(mean):
                self.failed[member.called] = f"training diverged in epoch {self.epoch}: the loss is {mean}"
                continue
            course.see(mean, weights, self.wanted)
            recipe = member.recipe
            done = self.epoch >= recipe.epochs
            if held_out is not None and recipe.patience is not None:
                done = course.validate(float(held_out[i]), weights, recipe.patience) or done
            if done:
                course.final = course.best or weights()
                if (why := unfinished(course.final, self.template)) is not None:
                    self.failed[member.called] = why
            else:
                going.append(i)
        if len(going) < len(self.rows):
            self.rows = [self.rows[i] for i in going]
            if going:
                self.stack.keep(going)

    def _state(self) -> bytes:
        state = {
            "stack": self.stack.state(),
            "rows": self.rows,
            "draws": [g.get_state() for g in self.draws],
            "random": torch.get_rng_state(),
            "courses": [dataclasses.asdict(c) for c in self.courses],
            "failed": self.failed,
            "at": (self.epoch, self.step),
        }
        torch.save(state, buffer := io.BytesIO())
        return buffer.getvalue()

    def _restore(self, data: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(data), weights_only=True)
        except Exception:  # a page that was cut off: begin anew
            return
        self.rows, self.failed, (self.epoch, self.step) = state["rows"], state["failed"], state["at"]
        self.courses = [_Course(**course) for course in state["courses"]]
        for generator, kept in zip(self.draws, state["draws"], strict=True):
            generator.set_state(kept)
        torch.set_rng_state(state["random"])
        self.stack.restore(state["stack"], [self.members[m].recipe for m in self.rows])


class _Examples:
    """The examples of every member, those that are shared held once."""

    def __init__(self, tasks: Sequence[Task], device: Any):
        self.n = len(tasks[0])
        self._x, self._x_at = _held_once([t.array for t in tasks], device)
        self._y, self._y_at = _held_once([t.y for t in tasks], device)

    def batch(self, members: Sequence[int], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (E, b, …) and labels (E, b, …) of the rows (E, b) of each member's task."""
        return self._picked(self._x, self._x_at[members], rows), self._picked(self._y, self._y_at[members], rows)

    @staticmethod
    def _picked(held: Tensor, at: Tensor, rows: Tensor) -> Tensor:
        flat = (rows + at[:, None]).flatten().to(held.device)
        return held.index_select(0, flat).unflatten(0, rows.shape)


def _held_once(parts: Sequence[Tensor], device: Any) -> tuple[Tensor, Tensor]:
    """All rows one after another, and where those of each part begin."""
    firsts = {place(part): part for part in reversed(parts)}
    begins = {where: i * len(parts[0]) for i, where in enumerate(firsts)}
    held = torch.cat(list(firsts.values())) if len(firsts) > 1 else parts[0]
    return held.to(device), torch.tensor([begins[place(part)] for part in parts])


def place(tensor: Tensor) -> tuple[Any, ...]:
    """What two views of the same numbers have in common."""
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


class _Keeper:
    """An observer of `fit` that keeps what is wanted, and shows the network to the observers of many."""

    def __init__(self, course: _Course, wanted: Wanted, name: str, observers: Sequence[GroupObserver]):
        self.course, self.wanted, self.name, self.observers = course, wanted, name, observers

    def observe(self, moment: Moment) -> None:
        if moment.end_of_epoch:
            self.course.see(moment.mean, lambda: copy_weights(moment.network), self.wanted)
        if self.observers:
            stacked = {k: v.detach()[None] for k, v in moment.network.state_dict().items()}
            means = torch.tensor([moment.mean]) if moment.end_of_epoch else torch.empty(0)
            seen = Moments(
                (self.name,), stacked, moment.step, moment.epoch, moment.loss[None], moment.end_of_epoch, means,
                moment.network,
            )  # fmt: skip
            for observer in self.observers:
                observer.observe(seen)


def _alone(
    members: Sequence[Member], device: str | torch.device, wanted: Wanted, observers: Sequence[GroupObserver]
) -> Population:
    """One member after another, each by `fit`."""
    courses, failed, initial = [], {}, []
    for i, member in enumerate(members):
        course = _Course()
        keeper = _Keeper(course, wanted, member.called, observers)
        courses.append(course)
        try:
            one = fit(
                member.learner, member.task, member.validation, seed=member.seed, device=device, observers=[keeper]
            )
        except Diverged as error:
            failed[member.called] = str(error)
            initial.append({})
            continue
        course.final, course.held_out = dict(one.weights), list(one.validation_losses)
        initial.append(dict(one.initial))
        if 0 in wanted.snapshots:
            course.snapshots[0] = dict(one.initial)
        report(i + 1, len(members))
    return _population(members, initial, courses, failed, wanted, "loop")


def _population(
    members: Sequence[Member], initial: Sequence[Weights], courses: Sequence[_Course], failed: dict[str, str],
    wanted: Wanted, way: str,
) -> Population:  # fmt: skip
    good = [i for i, m in enumerate(members) if m.called not in failed]
    ended = [courses[i] for i in good]
    finals = [course.final or {} for course in ended]
    matched = [course.matched or final for course, final in zip(ended, finals, strict=True)]
    return Population(
        tuple(members[i].called for i in good),
        tuple(members[i].seed for i in good),
        _stacked([initial[i] for i in good]),
        _stacked(finals),
        padded([torch.tensor(course.losses) for course in ended]),
        padded([torch.tensor(course.held_out) for course in ended]),
        tuple(_converged(members[i], courses[i]) for i in good),
        {e: _stacked([c.snapshots.get(e, f) for c, f in zip(ended, finals, strict=True)]) for e in wanted.snapshots},
        _stacked(matched) if wanted.until is not None else {},
        torch.tensor([course.matched_epoch for course in ended], dtype=torch.long),
        failed,
        way,
    )


def _converged(member: Member, course: _Course) -> bool:
    stopped = len(course.losses) < member.recipe.epochs
    return stopped or settled(course.losses, stopping=bool(course.held_out))


def _stacked(weights: Iterable[Weights]) -> Weights:
    every = list(weights)
    return {name: torch.stack([one[name] for one in every]) for name in every[0]} if every else {}
