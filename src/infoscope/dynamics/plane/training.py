"""The plane of whole trainings, one for each seed, as looks: an interrupted run goes on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infoscope.data.task import Task
from infoscope.dynamics.plane.cost import told, tried
from infoscope.dynamics.plane.curve import PlaneCurve
from infoscope.dynamics.plane.information_plane import InformationPlane
from infoscope.dynamics.plane.specification import PlaneStudy
from infoscope.ensembles.ensemble import for_each
from infoscope.ensembles.fit_stack import fit_stack
from infoscope.ensembles.observers import PerMember, StackMoment
from infoscope.ensembles.planning import planned, stacks
from infoscope.ensembles.population import Member
from infoscope.ensembles.ways import Way
from infoscope.run import Store, Work
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.progress import report
from infoscope.run.question import Cost
from infoscope.training.learner import Learner


@dataclass(frozen=True)
class PlaneCurves:
    """What the trainings of one stack left on the plane."""

    curves: tuple[PlaneCurve, ...]

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps([curve.to_bytes().decode() for curve in self.curves]).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PlaneCurves:
        """The value that `to_bytes` wrote."""
        return cls(tuple(PlaneCurve.from_bytes(one.encode()) for one in json.loads(data)))


def planes(
    learner: Learner,
    task: Task,
    study: PlaneStudy,
    *,
    replicates: int = 1,
    seed: int = 0,
    device: str = "cpu",
    store: Store | None = None,
    jobs: int = 1,
    on_done: Callable[[Work], None] | None = None,
) -> list[PlaneCurve]:
    """Train on `task` with this seed and the next, from epoch 0 on, the initial weights, and study the plane meanwhile.

    >>> from infoscope.training.recipe import Recipe
    >>> from infoscope.data.tishby import tishby
    >>> from infoscope.dynamics.schedule import Every
    >>> from infoscope.dynamics.plane.specification import PlaneSpecification
    >>> from infoscope.models import MLP
    >>> task = tishby()[::64]
    >>> study = PlaneStudy(PlaneSpecification.of(task), Every(2))
    >>> (curve,) = planes(Learner(MLP((3,), "tanh"), Recipe(epochs=4)), task, study)
    >>> curve.epochs, len(curve.rows)  # two layers, two quantities
    ((0, 2, 4), 12)
    """
    members = [Member(learner, task, s, name=f"seed-{s}") for s in range(seed, seed + replicates)]
    parts = stacks(planned(members, context=RunContext(store, jobs, device)))
    looks = [
        Look(curves_of_stack, (part.members, study, part.plan.way, device), PlaneCurves, 5, part.label)
        for part in parts
    ]
    curves = [c for part in look(looks, store, jobs=jobs, on_done=for_each(on_done, parts)) for c in part.curves]
    for one in (curve for curve in curves if curve.stopped):
        warnings.warn(f"a training ended early, what was measured before is kept: {one.stopped}", stacklevel=2)
    return curves


def curves_of_stack(members: Sequence[Member], study: PlaneStudy, way: Way, device: str) -> PlaneCurves:
    """The trainings of one stack, each network with a plane of its own."""
    shown = {member.name: _plane(study, member, device) for member in members}
    progress = Progress(members[0].learner.recipe.epochs)
    each = PerMember(lambda name: shown[name], epochs_only=True)
    try:
        population = fit_stack(members, way, device, observers=[each, progress])
    except ValueError as error:  # the measuring failed: what it has is kept
        if not any(len(plane.record()) for plane in shown.values()):
            raise
        return PlaneCurves(tuple(PlaneCurve(tuple(plane.record()), (), str(error)) for plane in shown.values()))
    losses = {
        name: tuple(row[~row.isnan()].tolist()) for name, row in zip(population.names, population.losses, strict=True)
    }
    return PlaneCurves(
        tuple(
            PlaneCurve(tuple(plane.record()), losses.get(name, ()), population.failed.get(name, ""))
            for name, plane in shown.items()
        )
    )


def _plane(study: PlaneStudy, member: Member, device: str) -> InformationPlane:
    """A recorder that has seen the untrained network."""
    train, test, how = study.specification.train, study.specification.test, study.specification.how
    plane = InformationPlane(train, test=test, schedule=study.schedule, store=study.store, **vars(how))
    plane.step(member.learner.network(member.task.shape, member.task.classes, member.seed).to(device), 0)
    return plane


@dataclass(frozen=True)
class PlaneTrainings:
    """What a stage of a question needs: these trainings, and the plane of each. A list of `PlaneCurve` is sent back."""

    learner: Learner
    task: Task
    study: PlaneStudy
    replicates: int
    seed: int

    def take(self, context: RunContext) -> list[PlaneCurve]:
        """Train and measure what the store lacks."""
        return planes(
            self.learner, self.task, dataclasses.replace(self.study, store=context.store), replicates=self.replicates,
            seed=self.seed, device=context.device, store=context.store, jobs=context.jobs, on_done=context.on_done,
        )  # fmt: skip

    def units(self) -> Mapping[str, int]:
        """One training a replicate."""
        return {"trainings": self.replicates}

    def cost(self, context: RunContext) -> Cost:
        """A short trial of an epoch and of a measured one."""
        found, epochs = tried(self.learner, self.task, self.study), self.learner.recipe.epochs
        remark = f"Of each training, {told(self.study.schedule, epochs, found.drift).lower()}"
        return Cost(self.units(), found.seconds(self.study.schedule, epochs) * self.replicates, (remark,))

    def stand_in(self) -> list[PlaneCurve]:
        """Curves of nothing."""
        return [PlaneCurve(())] * self.replicates


@dataclass(frozen=True)
class Progress:
    """An observer that tells how far the training is."""

    epochs: int

    def observe(self, moment: StackMoment) -> None:
        """After an epoch."""
        if moment.end_of_epoch:
            report(moment.epoch + 1, self.epochs)
