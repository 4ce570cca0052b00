"""The largest of several estimates that err downward."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from infoscope.measurement import NATS_PER_BIT, Status
from infoscope.mi.estimators import probe as probes
from infoscope.mi.estimators.copula_critic import CopulaCritic
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.probe import Probe
from infoscope.mi.estimators.ross import Ross
from infoscope.mi.method import Claims, Finding
from infoscope.mi.numerics.neighbours import TREE_DIMENSIONS
from infoscope.mi.numerics.subsample import spread
from infoscope.mi.sample import Side
from infoscope.run import Store

DEVIATIONS = 2.0
"""Combined standard errors by which a probe must stand above neighbours to be believed in their place."""


@dataclass(frozen=True)
class Largest:
    """The recommended estimator: the larger of one from neighbours and one that learns.

    Between points: `KSG` or `CopulaCritic`, whichever is larger, which errs upward by a fraction of the standard error
    where both are right. Between points and labels: `Ross`, unless `Probe`, a lower bound, is significantly above it.
    All of them miss dependence rather than invent it. Neighbours are sharp in few dimensions, at sharp edges and at
    high information, and see little in many; what learns is the other way round. In more than a dozen dimensions KSG
    is left out.
    """

    ksg: KSG = KSG()
    critic: CopulaCritic = CopulaCritic()
    ross: Ross = Ross()
    probe: Probe = Probe()

    takes: ClassVar[tuple[str, ...]] = ("points-points", "points-labels")
    subsampled: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    claims = Claims(ceiling=False, seeded=True, invariant=frozenset({"scale"}))

    def estimate(self, x: Side, y: Side, seed: int, store: Store | None = None) -> Finding:
        """Both, and the larger."""
        return self._of_labels(x, y, seed, store) if y.labels else self._of_points(x, y, seed, store)

    def _of_points(self, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
        learned = self.critic.estimate(x, y, seed, store)
        if x.values.shape[1] + y.values.shape[1] > TREE_DIMENSIONS:
            return learned
        near = self.ksg.estimate(x, y, seed)
        if learned.value >= near.value:
            return _told(learned, "CopulaCritic is the larger", near)
        near = spread(near, self.ksg, x, y, seed)
        # What the critic loses on held-out pairs is there to be found, and KSG stood in for it.
        infinite = learned.status & {Status.INFINITE}
        near = replace(near, bias=math.hypot(near.bias, learned.bias), status=near.status | infinite)
        return _told(near, "KSG is the larger", learned)

    def _of_labels(self, x: Side, y: Side, seed: int, store: Store | None) -> Finding:
        near = spread(self.ross.estimate(x, y, seed), self.ross, x, y, seed)
        if len(x) < probes.FEWEST:
            return near
        learned = self.probe.estimate(x, y, seed, store)
        if learned.value - near.value > DEVIATIONS * math.hypot(learned.stderr, near.stderr):
            return _told(learned, "Probe, a lower bound, is above Ross", near)
        return _told(near, "Ross is not below the probe's bound", learned)


def _told(found: Finding, why: str, other: Finding) -> Finding:
    note = f"{why}; the other gives {other.value / NATS_PER_BIT:.6f} bit"
    return replace(found, notes=(note, *found.notes))
