"""The only loop that trains many networks at once: epochs of a stack, until each of its rows is done."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.data.inputs import Batch, take, to
from infoscope.ensembles.agreement import EXAMPLES, check_agreement
from infoscope.ensembles.examples import SharedExamples, stacked_inputs
from infoscope.ensembles.fit_each import fit_each
from infoscope.ensembles.history import History, population_of
from infoscope.ensembles.observers import StackMoment, StackObserver
from infoscope.ensembles.population import Member, Population, SnapshotSpec
from infoscope.ensembles.shared_rows import first_rows, next_rows
from infoscope.ensembles.stack import Stack
from infoscope.ensembles.stacked_weights import member as row_of
from infoscope.ensembles.ways import Way, first_line
from infoscope.run.progress import report
from infoscope.run.scratch import Scratch
from infoscope.training.fit import batches, check_network, unfinished
from infoscope.training.isolation import isolated
from infoscope.training.learner import Weights, copy_weights

_HELD_OUT = 256  # examples of each network at a time, in eval mode


def fit_stack(
    members: Sequence[Member],
    way: Way,
    device: str | torch.device = "cpu",
    keep: SnapshotSpec = SnapshotSpec(),
    observers: Sequence[StackObserver] = (),
) -> Population:
    """Train these members as one stack, or one after another where `way` is the loop.

    They share an architecture, a number of examples and a batch size; each has its own everything else. With a store's
    checkpoint, training goes on where it was interrupted.
    """
    if way.name == "loop":
        return fit_each(members, device, keep, observers)
    networks = [m.learner.network(m.task.shape, m.task.target.outputs, m.seed).to(device) for m in members]
    if members[0].learner.recipe.loss is None:
        check_network(networks[0], members[0].task)
        networks[0].train()
    if (why := _closed(networks, members, way, device)) is not None:
        remark = f"{len(members)} networks from {members[0].called} on were trained one after another: {why}"
        return fit_each(members, device, keep, observers, (remark,))
    for member in members:
        if member.window is not None:
            member.window.check(member.task)
    initial = [copy_weights(network) for network in networks]
    recipes = [m.recipe for m in members]
    with isolated(members[0].seed):
        training = _StackTraining(members, Stack(networks, recipes, way.name), networks[0], device, keep, initial)
        training.run(observers)
    return population_of(members, initial, training.histories, training.failed, keep, way)


def _closed(networks: Sequence[nn.Module], members: Sequence[Member], way: Way, device: Any) -> str | None:
    """Why these networks can't go this way after all: the plan was made from a few of them."""
    task = members[0].task
    rows = torch.arange(min(EXAMPLES, len(task)))
    x, y = to(take(task.x, rows), device), task.y[rows].to(device)
    try:
        check_agreement(networks, [m.recipe for m in members], way.name, members[0].loss, x, y)
    except Exception as error:  # vmap says in many ways that it can't
        return first_line(error)
    return None


class _StackTraining:
    """A stack under way: which members are its rows, their draws and their histories."""

    def __init__(
        self, members: Sequence[Member], stack: Stack, template: nn.Module, device: Any, keep: SnapshotSpec,
        initial: Sequence[Weights],
    ):  # fmt: skip
        self.members, self.stack, self.template, self.keep = members, stack, template, keep
        self.groups = first_rows(members)
        if len(self.groups) < len(members):
            self.stack.keep(self.rows)
        self.draws = [torch.Generator().manual_seed(m.seed) for m in members]
        self.histories = [History(snapshots={0: first} if 0 in keep.epochs else {}) for first in initial]
        self.failed: dict[str, str] = {}
        self.epoch, self.step = 0, 0
        others = [m.task if m.window is None else m.window.task for m in members]
        tasks = [m.task for m in members]
        self.examples = SharedExamples([*tasks, *others] if any(m.window for m in members) else tasks, device)
        held_out = [m.validation for m in members]
        self.held_out = SharedExamples([t for t in held_out if t is not None], device) if all(held_out) else None

    @property
    def rows(self) -> list[int]:
        """The member that each row is trained as."""
        return [group[0] for group in self.groups]

    def run(self, observers: Sequence[StackObserver]) -> None:
        scratch = Scratch()
        # What observers have seen is not in the checkpoint: with them a training begins anew.
        if not observers and (kept := scratch.load()) is not None:
            self._restore(kept)
        longest = max(m.learner.recipe.epochs for m in self.members)
        while self.groups:
            means = self._train_epoch(observers)
            self._end_epoch(means, self._held_out_losses())
            report(self.epoch, longest)
            if not observers and scratch.due():
                scratch.save(self._state())

    def _train_epoch(self, observers: Sequence[StackObserver]) -> Tensor:
        """Train one epoch; the mean loss (E,) of each row."""
        recipe, n = self.members[0].learner.recipe, len(self.members[0].task)
        orders = [batches(n, recipe.batch, self.draws[m]) for m in self.rows]
        steps, e = math.ceil(n / recipe.batch), len(self.members)
        windows = [(m, self.members[m].window) for m in self.rows]
        places = [m if window is None or not window.holds(self.epoch) else e + m for m, window in windows]
        total: Tensor | float = 0.0
        for parts in zip(*orders, strict=True):
            last = parts[0][0]
            x, y = self.examples.batch(places, torch.stack([rows for _, rows in parts]))
            losses = self.stack.step(self._augmented(x), y, self.step, steps)
            total = total + losses * y.shape[1]
            self.step += 1
            if observers:
                self._show(observers, losses, total / n if last else torch.empty(0), last)
        self.epoch += 1
        return torch.as_tensor(total / n).cpu()

    def _show(self, observers: Sequence[StackObserver], losses: Tensor, means: Tensor, last: bool) -> None:
        names = tuple(self.members[m].called for m in self.rows)
        sharing = tuple(tuple(self.members[m].called for m in group) for group in self.groups)
        moment = StackMoment(
            names, self.stack.tensors, self.step, self.epoch, losses, last, means, self.template, sharing
        )
        for observer in observers:
            observer.observe(moment)

    def _augmented(self, x: Batch) -> Batch:
        augments = [self.members[m].learner.recipe.augment for m in self.rows]
        if not any(augments):
            return x
        ones = [take(x, i) for i in range(len(self.rows))]
        return stacked_inputs(
            [one if a is None else a(one, self.draws[m]) for one, a, m in zip(ones, augments, self.rows, strict=True)]
        )

    def _held_out_losses(self) -> Tensor | None:
        """The mean validation loss (E,) of each row."""
        if self.held_out is None:
            return None
        n, total = self.held_out.n, torch.zeros(len(self.rows), dtype=torch.float64)
        for rows in torch.arange(n).split(_HELD_OUT):
            x, y = self.held_out.batch(self.rows, rows.expand(len(self.rows), -1))
            total += self.stack.loss(x, y).cpu() * len(rows)
        return total / n

    def _end_epoch(self, means: Tensor, held_out: Tensor | None) -> None:
        """Take note of the epoch; members that are done or diverged leave the stack, others part where they differ."""
        tensors = self.stack.tensors  # one view of the stack for all rows
        moved = self.stack.moved().tolist()
        held = [None] * len(self.rows) if held_out is None else held_out.tolist()
        before = {m: i for i, group in enumerate(self.groups) for m in group}
        left = [
            [m for m in group if self._goes_on(m, _RowOf(tensors, i), float(means[i]), moved[i], held[i])]
            for i, group in enumerate(self.groups)
        ]
        after = next_rows(self.members, [group for group in left if group], self.epoch)
        if after == self.groups:
            return
        leaders, self.groups = self.rows, after
        going = [before[m] for m in self.rows]
        for m, row in zip(self.rows, going, strict=True):
            self.draws[m].set_state(self.draws[leaders[row]].get_state())
        if going and (going != list(range(len(leaders))) or self.rows != leaders):
            self.stack.keep(going, [self.members[m].recipe for m in self.rows])

    def _goes_on(self, m: int, weights: _RowOf, mean: float, moved: float, held_out: float | None) -> bool:
        """Take note of one member's epoch; whether it trains on."""
        history, member = self.histories[m], self.members[m]
        if not math.isfinite(mean):
            self.failed[member.called] = f"training diverged in epoch {self.epoch}: the loss is {mean}"
            return False
        history.end_epoch(mean, moved, weights, self.keep)
        recipe = member.learner.recipe
        done = self.epoch >= recipe.epochs
        if held_out is not None:
            done = history.validate(held_out, weights, recipe.patience) or done
        if done:
            history.final = history.best or weights()
            if (why := unfinished(history.final, self.template)) is not None:
                self.failed[member.called] = why
        return not done

    def _state(self) -> bytes:
        state = {
            "stack": self.stack.state(),
            "groups": self.groups,
            "draws": [g.get_state() for g in self.draws],
            "random": torch.get_rng_state(),
            "histories": [dataclasses.asdict(h) for h in self.histories],
            "failed": self.failed,
            "at": (self.epoch, self.step),
        }
        torch.save(state, buffer := io.BytesIO())
        return buffer.getvalue()

    def _restore(self, data: bytes) -> None:
        try:
            state = torch.load(io.BytesIO(data), weights_only=True)
        except Exception:  # a checkpoint that was cut off: begin anew
            return
        if "groups" not in state:  # of an earlier version: begin anew
            return
        self.groups, self.failed, (self.epoch, self.step) = state["groups"], state["failed"], state["at"]
        self.histories = [History(**history) for history in state["histories"]]
        for generator, kept in zip(self.draws, state["draws"], strict=True):
            generator.set_state(kept)
        torch.set_rng_state(state["random"])
        self.stack.restore(state["stack"], [self.members[m].recipe for m in self.rows])


@dataclasses.dataclass(frozen=True)
class _RowOf:
    """A copy of one row's weights, on the CPU, made only when it is asked for."""

    tensors: dict[str, Tensor]
    row: int

    def __call__(self) -> Weights:
        return {k: v.detach().cpu().clone() for k, v in row_of(self.tensors, self.row).items()}
