"""From what a network knows of several tasks to its capacity, and what it memorises of random labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.model_information.capacity.plateau import Values, cross_fitted_maximum, plateau_begins, surely_more
from infoscope.model_information.held_out_loss import HeldOutLoss
from infoscope.model_information.task_information import TaskInformation
from infoscope.record import Row

NEARLY_ALL = 0.95
"""Share of the bits of random labels from which on the labels, and not the network, are what limits."""


@dataclass(frozen=True, eq=False)
class Memory:
    """What random labels cost networks that were trained on them, for so many epochs, one by seed."""

    task: Task
    epochs: int
    losses: Mapping[int, HeldOutLoss]

    def measurement(self) -> Measurement:
        """Bits memorised, n H(Y) + Σ_i log p_θ(y_i | x_i), over the n examples whose labels were drawn at random.

        What the labels' frequencies don't tell, and the network does. The networks see each label many times, and
        nothing of it can be learned but by heart. At most n H(Y): near that it is a lower bound, and SATURATED.
        """
        most = len(self.task) * self.task.label_entropy
        values = {seed: most - loss.n * loss.nats for seed, loss in self.losses.items()}
        full = any(value > NEARLY_ALL * most for value in values.values())
        receipt = Receipt(
            "frozen network on the random labels it was trained on", self.task.fingerprint[:16], n=len(self.task),
            seeds=tuple(values), over="networks and labels", version=__version__,
            notes=(f"trained for {self.epochs} epochs on shuffled labels, which hold {most / np.log(2):.0f} bits",),
        )  # fmt: skip
        return Measurement.from_replicates(
            "memorised", values, bound=Bound.LOWER if full else Bound.NONE, receipt=receipt,
            status=frozenset({Status.SATURATED} if full else ()),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Held:
    """What one network knows of each task, in the order of their complexity, which `order` names.

    `others` are the `values` of other networks on the same tasks.
    """

    model: str
    tasks: tuple[str, ...]
    complexity: tuple[int, ...]
    parameters: int
    known: tuple[TaskInformation, ...]
    memory: Memory | None
    order: str
    others: tuple[Values, ...] = ()

    def rows(self) -> list[Row]:
        """Of every task, then of all."""
        return self.task_rows() + [Row({"model": self.model, "task": "all"}, m) for m in self.summary()]

    def task_rows(self) -> list[Row]:
        """Of every task."""
        return [
            Row({"model": self.model, "task": name}, m)
            for name, one in zip(self.tasks, self.known, strict=True)
            for m in one.measurements()
        ]

    def summary(self) -> list[Measurement]:
        """The largest information, by how much a maximum errs, the capacity, the size, and what is memorised."""
        count = Receipt("count, with the outputs of the last task", version=__version__)
        size = Measurement("parameters", float(self.parameters), 0.0, "1", Bound.EXACT, receipt=count)
        return [*self.maximum(), self.capacity(), size, *([self.memorised()] if self.memory else [])]

    def informations(self) -> list[Measurement]:
        """L(M, D) of every task."""
        return [one.measurements()[0] for one in self.known]

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Those whose networks came through on every task."""
        common = set.intersection(*(set(m.replicates) for m in self.informations()))
        return tuple(seed for seed in self.informations()[0].replicates if seed in common)

    @cached_property
    def values(self) -> Values:
        """L(M, D) in nats, (replicates, tasks)."""
        return np.array([[m.replicates[seed] for m in self.informations()] for seed in self.seeds])

    @cached_property
    def levels_off(self) -> int | None:
        """The task from which on the information no longer grows, whether it is the network's room that ends or not."""
        return plateau_begins(self.values, np.array(self.complexity, dtype=float))

    @property
    def plateau(self) -> int | None:
        """The same where another network learns more of these very tasks: so it is not the tasks that hold no more."""
        first = self.levels_off
        if first is None or not any(surely_more(other[:, first:], self.values[:, first:]) for other in self.others):
            return None
        return first

    def maximum(self) -> list[Measurement]:
        """The largest of the tasks' means, which is too large on average, and by how much more than cross-fitted."""
        best = int(self.values.mean(0).argmax())
        note = f"the largest of {len(self.tasks)} means, of {self.tasks[best]}: its noise took part in the choice"
        largest = self._measured("max L(M,D)", self.values[:, best], note)
        excess = self.values[:, best] - cross_fitted_maximum(self.values)
        why = "each replicate is measured on the task that is the best of the others"
        return [largest, self._measured("bias of the maximum", excess, why)]

    def capacity(self) -> Measurement:
        """C(M): the mean over the plateau, or without one the cross-fitted maximum, a lower bound.

        Of a single replicate, which shows neither, it is the maximum as it is, with TOO_FEW_SAMPLES.
        """
        if self.plateau is not None:
            tail = self.tasks[self.plateau :]
            note = f"the plateau over {self.order} from {tail[0]} to {tail[-1]}"
            return self._measured("C(M)", self.values[:, self.plateau :].mean(1), note)
        note = f"no plateau over {self.order}: {'; '.join(self.tasks)}"
        if self.levels_off is not None:
            note = f"level from {self.tasks[self.levels_off]} on, but no other network learns more of these tasks"
        if len(self.seeds) < 2:
            status = frozenset({Status.STILL_RISING, Status.TOO_FEW_SAMPLES})
            return self._measured("C(M)", self.values.max(1), note, status)
        return self._measured(
            "C(M)", cross_fitted_maximum(self.values), note, frozenset({Status.STILL_RISING}), Bound.LOWER
        )

    def memorised(self) -> Measurement:
        """See `Memory`."""
        assert self.memory is not None
        return self.memory.measurement()

    def _measured(
        self, quantity: str, values: np.ndarray, note: str, status: frozenset[Status] = frozenset(),
        bound: Bound = Bound.NONE,
    ) -> Measurement:  # fmt: skip
        all_of = self.informations()
        receipt = dataclasses.replace(all_of[-1].receipt, data="", notes=(note,))
        status = status.union(*(m.status for m in all_of))
        replicates = dict(zip(self.seeds, values.tolist(), strict=True))
        return Measurement.from_replicates(quantity, replicates, bound=bound, status=status, receipt=receipt)
