"""How far does training carry a network? One question, asked of many networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infoscope.data.task import Task
from infoscope.ensembles.ensemble import measure_ensemble
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member
from infoscope.run.context import RunContext
from infoscope.training.learner import Learner
from infoscope.weight_distance.distance_look import VERSION, DistanceLook
from infoscope.weight_distance.member_distances import MemberDistances, joined
from infoscope.weight_distance.result import DistanceResult, distance_result


def distance(
    task: Task,
    learner: Learner,
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    replicates: int = 10,
    seed: int = 0,
    aligned: bool = False,
    balanced: bool = False,
    context: RunContext = RunContext(),
) -> DistanceResult:
    """Train networks of the seeds `seed`, `seed` + 1 … and measure how far each goes; no weights are kept.

    "The distance between the weights of the neural network is meaningful" (Yang et al.), experiment 3 and Table 2.
    At equal steps a distance tells of rate and patience as well; `spec.until` (a training loss, nats) measures it at
    equal fit too; `spec.snapshots` are the epochs of the curve d(w_t, w_final). With `aligned`, hidden units of each
    final network are first permuted to lie near the initial one's; with `balanced`, scales that the function does not
    feel (of ReLU units, of what batch normalisation follows) are made canonical in both.

    >>> from infoscope.training.recipe import Recipe
    >>> from infoscope.models import MLP
    >>> digits = Task.from_dataset("digits")[:200]
    >>> found = distance(digits, Learner(MLP((8,)), Recipe(epochs=2, patience=None)), replicates=3)
    >>> len(found.whole.names), found.other_start_nearer
    (3, {})
    """
    if replicates < 1:
        raise ValueError(f"replicates is {replicates}; train 1 network or more")
    members = [Member(learner, task, s) for s in range(seed, seed + replicates)]
    return measure_distances(members, spec, aligned=aligned, balanced=balanced, context=context)


def measure_distances(
    members: Sequence[Member],
    spec: EnsembleSpec = EnsembleSpec(),
    *,
    aligned: bool = False,
    balanced: bool = False,
    context: RunContext = RunContext(),
) -> DistanceResult:
    """The same for members of your own, of one architecture: shared starts, other labels, other recipes."""
    spec = replace(spec, snapshots=(0, *spec.snapshots))
    measure = DistanceLook(tuple(members), aligned, balanced)
    parts = measure_ensemble(members, measure, MemberDistances, spec, version=VERSION, context=context)
    return distance_result(joined(parts), members)
