"""The largest of several estimates that err downward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from infoscope.measurement import NATS_PER_BIT
from infoscope.mi.copula_critic import CopulaCritic
from infoscope.mi.ksg import KSG
from infoscope.mi.method import Finding
from infoscope.mi.neighbours import TREE_DIMENSIONS
from infoscope.mi.sample import Side
from infoscope.mi.subsample import subsample_error


@dataclass(frozen=True)
class Largest:
    """The larger of `KSG` and `CopulaCritic`: the recommended estimator between two sets of points.

    Both miss dependence rather than invent it. KSG is sharp in few dimensions, at sharp edges and at high
    information, and sees little in many; the copula and its critic are the other way round. Taking the larger errs
    upward by a fraction of the standard error where both are right. In more than a dozen dimensions KSG is left out.
    """

    ksg: KSG = KSG()
    critic: CopulaCritic = CopulaCritic()

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        """Both, and the larger."""
        learned = self.critic.estimate(x, y, seed)
        if x.values.shape[1] + y.values.shape[1] > TREE_DIMENSIONS:
            return learned
        near = self.ksg.estimate(x, y, seed)
        winner, other, method = (
            (learned, near, self.critic) if learned.value >= near.value else (near, learned, self.ksg)
        )
        told = f"{type(method).__name__} is the larger; the other gives {other.value / NATS_PER_BIT:.6f} bit"
        if winner is near:
            winner = replace(near, stderr=subsample_error(self.ksg, x, y, seed), over="disjoint subsamples")
        return replace(winner, notes=(told, *winner.notes))
