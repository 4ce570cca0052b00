"""A study of the plane under way: following its schedule through the states of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from infoscope.dynamics.plane.point import PlanePoint, point_of_weights
from infoscope.dynamics.plane.specification import PlaneSpecification, PlaneStudy
from infoscope.observation.architecture import Architecture
from infoscope.record import Record
from infoscope.run import Pool, Store, Work, execute
from infoscope.run.look import Look
from infoscope.training.learner import Weights

State = tuple[int, Weights]
"""An epoch and the weights at its end."""


class PlaneStopped(ValueError):
    """A state that cannot be measured; `record` holds what was measured before it, and `reason` why."""

    def __init__(self, message: str, record: Record, reason: ValueError):
        super().__init__(message)
        self.record, self.reason = record, reason


class StudyRun:
    """Measures the states that a study's schedule asks for; those asked for together are measured side by side.

    Every point is appended to `record`, the caller's, as soon as it is there.
    """

    def __init__(self, study: PlaneStudy, record: Record | None = None, jobs: int = 1):
        self.study, self.record_to, self.jobs = study, record, jobs
        self.schedule = study.schedule.start()
        self._points: dict[int, PlanePoint] = {}
        self._scales = study.specification.scales
        self._workers = ExitStack()
        self._pool: Pool | None = None

    def go(self, reached: int, state: Callable[[int], State], architecture: Architecture, last: bool) -> None:
        """Measure all that the schedule asks for of the states up to `reached`.

        Where a state cannot be measured, those that were asked for beside it are kept, and a `PlaneStopped` holds all.
        """
        while wanted := self.schedule.wanted(reached, last):
            states, failed = self._read(wanted, state)
            looks = [_look(self.study.specification, architecture, *one) for _, one in states]
            for (number, (epoch, _)), found in zip(states, self._taken(looks), strict=True):
                if isinstance(found, ValueError):
                    failed = failed or PlaneStopped(f"epoch {epoch}: {found}", self.record(), found)
                    continue
                self._points[epoch] = found
                if self.record_to is not None:
                    found.append_to(self.record_to, epoch)
                self.schedule.update(number, self._scaled(found))
            if failed is not None:
                failed.record = self.record()
                raise failed from failed.reason

    def record(self) -> Record:
        """All that was measured, by epoch."""
        record = Record()
        for epoch in sorted(self._points):
            self._points[epoch].append_to(record, epoch)
        return record

    def close(self) -> None:
        """Let the worker processes go; they come back when there is work again."""
        self._workers.close()
        self._pool = None

    def _read(
        self, wanted: Sequence[int], state: Callable[[int], State]
    ) -> tuple[list[tuple[int, State]], PlaneStopped | None]:
        """The states that can be read, up to the first that cannot, and why it cannot."""
        states: list[tuple[int, State]] = []
        for number in sorted(wanted):
            try:
                states.append((number, state(number)))
            except ValueError as error:
                return states, PlaneStopped(str(error), self.record(), error)
        return states, None

    def _taken(self, looks: Sequence[Look[PlanePoint]]) -> list[PlanePoint | ValueError]:
        """The looks' results, from the store where it has them; one thread each, so that they repeat bit for bit.

        What a look cannot measure, because of the network or the data, stands in its place.
        """
        if self.jobs > 1 and len(looks) > 1 and self._pool is None:
            self._pool = self._workers.enter_context(Pool(self.jobs, threads=1))
        # Without a store nothing is asked for twice, and nothing needs hashing.
        works = [Work(one.key if self.study.store else one.label, _bytes, one.args, one.label) for one in looks]
        pool = self._pool if len(looks) > 1 else None
        store, failure = self.study.store or Store(None), None
        try:
            execute(works, store, threads=1, pool=pool)
        except ValueError as error:
            failure = error
        found = [store.get(work.key) for work in works]
        if failure is None:
            return [PlanePoint.from_bytes(data or b"") for data in found]
        return [failure if data is None else PlanePoint.from_bytes(data) for data in found]

    def _scaled(self, point: PlanePoint) -> list[float]:
        """The point in units of H(X) and H(Y)."""
        scaled = ((one, *self._scales[one.side]) for one in point.layers)
        return [value for one, h_x, h_y in scaled for value in (one.x_t.value / h_x, one.t_y.value / h_y)]


def _look(
    specification: PlaneSpecification, architecture: Architecture, epoch: int, weights: Weights
) -> Look[PlanePoint]:
    """The look that places a network with these weights on the plane."""
    return Look(point_of_weights, (specification, architecture, dict(weights)), PlanePoint, 2, f"epoch-{epoch}")


def _bytes(specification: PlaneSpecification, architecture: Architecture, weights: Weights) -> bytes:
    return point_of_weights(specification, architecture, weights).to_bytes()
