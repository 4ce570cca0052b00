"""From the codes of a network whose components were reset to I(c), its density, losses, sum and Shapley values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt, mean_and_stderr
from infoscope.model_information.ablation.components import Component
from infoscope.model_information.ablation.shapley import Coalition, gains, shapley
from infoscope.model_information.held_out_loss import HeldOutLoss
from infoscope.model_information.trained_pairs import TrainedPairs
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row

Code = tuple[int, Coalition | None]
"""A seed, and which components are reset; None is the network before training."""


@dataclass(frozen=True, eq=False)
class Ablated:
    """A network's components and what labels cost without each: one curve a seed and set of components that are reset.

    `orders` are the random orders of each seed's Shapley values; without any they are exact, from all sets.
    """

    task: str
    components: tuple[Component, ...]
    parameters: int
    reset: str
    known: TrainedPairs
    orders: Mapping[int, Sequence[tuple[int, ...]]] = field(default_factory=dict)
    curves: Mapping[Code, LossCurve] = field(default_factory=dict)
    losses: Mapping[Code, HeldOutLoss] = field(default_factory=dict)

    def with_looks(self, curves: Mapping[Code, LossCurve], losses: Mapping[Code, HeldOutLoss]) -> Ablated:
        """The same with what was looked at."""
        return dataclasses.replace(self, curves=curves, losses=losses)

    def rows(self, with_shapley: bool) -> tuple[Row, ...]:
        """All measurements: of the whole network, of every component, of their sum."""
        return tuple(
            Row({"task": self.task, "component": name}, m)
            for name, found in self.by_component(with_shapley).items()
            for m in found.values()
        )

    def by_component(self, with_shapley: bool) -> dict[str, dict[str, Measurement]]:
        """Measurements by component (`all` and `sum` beside them) and quantity."""
        none: Coalition = frozenset()
        whole = model_information(self._codes(None), self._codes(none))
        told = {"all": [whole, *self._size(self.parameters, whole, "L(M,D) a parameter"), *self._losses(none)]}
        parts = [self._information(i) for i in range(len(self.components))]
        values = self.shapley_values() if with_shapley else ()
        for i, (component, part) in enumerate(zip(self.components, parts, strict=True)):
            told[component.name] = [
                part,
                *self._size(component.parameters, part, "I(c) a parameter"),
                *self._losses(frozenset({i})),
                *values[i : i + 1],
            ]
        total = sum(parts[1:], parts[0]).named("Σ I(c)")
        told["sum"] = [dataclasses.replace(total, receipt=dataclasses.replace(parts[0].receipt, notes=()))]
        return {name: {m.quantity: self._noted(m, name) for m in found} for name, found in told.items()}

    def shapley_values(self) -> list[Measurement]:
        """One a component, over the seeds; of one seed and random orders the error is over these.

        Their sum is what all components together hold, in every replicate.
        """
        parts, none = len(self.components), self._information(0).receipt
        if not self.orders:
            exact = {seed: shapley(self._worth(seed), parts) for seed in self.known.seeds}
            return [self._over_seeds({s: v[i] for s, v in exact.items()}, none) for i in range(parts)]
        tables = {seed: gains(self._worth(seed), orders) for seed, orders in self.orders.items()}
        if len(tables) > 1:
            return [self._over_seeds({s: float(t[:, i].mean()) for s, t in tables.items()}, none) for i in range(parts)]
        ((seed, table),) = tables.items()
        return [
            Measurement(
                "Shapley I(c)", mean, error, replicates={seed: mean}, receipt=dataclasses.replace(none, over="orders")
            )
            for mean, error in (mean_and_stderr(column.tolist()) for column in table.T)
        ]

    def _worth(self, seed: int) -> Callable[[Coalition], float]:
        """What the network saves with these components as trained, and the other ones reset; nats, but a constant."""
        every = frozenset(range(len(self.components)))
        return lambda kept: -self.curves[seed, every - kept].total

    def _over_seeds(self, values: Mapping[int, float], receipt: Receipt) -> Measurement:
        return Measurement.from_replicates("Shapley I(c)", values, receipt=receipt)

    def _codes(self, gone: Coalition | None) -> list[LossCurve]:
        return [self.curves[seed, gone] for seed in self.known.seeds]

    def _information(self, i: int) -> Measurement:
        """I(c), eq. (15)-(16): what labels cost more without it, paired by seed."""
        return model_information(self._codes(frozenset({i})), self._codes(frozenset())).named("I(c)")

    def _size(self, parameters: int, information: Measurement, density: str) -> list[Measurement]:
        count = Measurement(
            "parameters", float(parameters), 0.0, "1", Bound.EXACT, receipt=Receipt("count", version=__version__)
        )
        return [count, (information * (1 / parameters)).named(density)] if parameters else [count]

    def _losses(self, gone: Coalition) -> list[Measurement]:
        """What a label costs a network that learns nothing meanwhile, and one that does."""
        frozen = {seed: self.losses[seed, gone].nats for seed in self.known.seeds}
        n = max(len(self.known.coded), 1)
        learning = (codelength(self._codes(gone)) * (1 / n)).named("loss while relearning")
        receipt = dataclasses.replace(learning.receipt, method="frozen network", over="networks")
        return [Measurement.from_replicates("loss without relearning", frozen, receipt=receipt), learning]

    def _noted(self, m: Measurement, name: str) -> Measurement:
        if m.quantity == "parameters":
            return m
        how = () if name == "all" else (f"reset to {self.reset}", *self._shapley_note(m.quantity))
        notes = (*m.receipt.notes, *self.known.notes, *how)
        return dataclasses.replace(
            m, status=m.status | self.known.status, receipt=dataclasses.replace(m.receipt, notes=notes)
        )

    def _shapley_note(self, quantity: str) -> tuple[str, ...]:
        if quantity != "Shapley I(c)":
            return ()
        count = len(next(iter(self.orders.values()))) if self.orders else 0
        return (f"over {count} random orders a seed" if count else "exact, over all sets of components",)
