"""What pretrained weights save, from the codes of a task: the estimate, and its words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from infoscope.measurement import Measurement, Status
from infoscope.model_information.heads import HEADS, Head
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row


@dataclass(frozen=True)
class Transferred:
    """The codes of a task from newly drawn and from pretrained weights, under one head."""

    task: str
    network: str
    head: Head
    fresh: Sequence[LossCurve]
    tuned: Sequence[LossCurve]
    status: frozenset[Status] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def transferred(self) -> Measurement:
        """L_IT: what the pretrained weights save."""
        fresh, tuned = self._paired()
        return self._told(model_information(fresh, tuned).named("L_IT"))

    def rows(self) -> tuple[Row, ...]:
        """L_IT and both its terms."""
        at = {"task": self.task, "network": self.network, "head": self.head}
        terms = codelength(self.fresh).named("L_init(y|x)"), codelength(self.tuned).named("L_trained(y|x)")
        return tuple(Row(at, one) for one in (self.transferred, *map(self._told, terms)))

    def _paired(self) -> tuple[list[LossCurve], list[LossCurve]]:
        """Features of one task are other inputs from another network: what is coded is the same labels in one order."""
        data = self.tuned[0].receipt.data
        one = [dataclasses.replace(c, receipt=dataclasses.replace(c.receipt, data=data)) for c in self.fresh]
        return one, [dataclasses.replace(c, receipt=dataclasses.replace(c.receipt, data=data)) for c in self.tuned]

    def _told(self, one: Measurement) -> Measurement:
        notes = (HEADS[self.head], *self.notes)
        receipt = dataclasses.replace(one.receipt, notes=tuple(dict.fromkeys((*one.receipt.notes, *notes))))
        return dataclasses.replace(one, status=one.status | self.status, receipt=receipt)

    def words(self) -> str:
        """How much of the untrained network's bits is brought along."""
        brought, whole = self.transferred.with_error(), codelength(self.fresh).with_error()
        return f"{self.network} brings {brought} of {whole} bits ({HEADS[self.head]})"
