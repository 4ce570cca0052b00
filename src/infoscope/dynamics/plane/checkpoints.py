"""The plane of a training that is over, from the checkpoints that it left."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infoscope.dynamics.examples import ExamplesLike
from infoscope.dynamics.plane.cost import expected, seconds, told
from infoscope.dynamics.plane.curve import PlaneCurve
from infoscope.dynamics.plane.point import plane_point
from infoscope.dynamics.plane.specification import PlaneSpecification, PlaneStudy
from infoscope.dynamics.plane.study_run import State, StudyRun
from infoscope.dynamics.schedule import Every, Schedule
from infoscope.observation.architecture import Architecture
from infoscope.record import Record
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.question import Cost
from infoscope.training.learner import Weights
from infoscope.training.weights_file import tensors_from

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one epoch or step: a file, or several that share them out."""

    epoch: int
    files: tuple[Path, ...]


def plane_of_checkpoints(
    folder: str | Path,
    network: nn.Module,
    task: ExamplesLike,
    *,
    test: ExamplesLike | None = None,
    schedule: Schedule = Every(),
    store: Store | None = None,
    record: Record | None = None,
    jobs: int = 1,
    device: str | torch.device | None = None,
    **options: Any,
) -> Record:
    """The plane of the checkpoints in a folder, by epoch; `network` is of their architecture, its weights don't matter.

    Checkpoints are what `checkpoints` finds. The schedule counts them, not the epochs between them. With `jobs` > 1,
    sections are searched side by side. Rows are appended to `record` as they are measured; an unreadable checkpoint is
    an error, `PlaneStopped`, which carries what was measured before. A gap in the numbering is a warning. `options` are
    those of `LayerSpecification`: method, layers, null, seed, sketch, passes, batch, room.
    """
    found = checkpoints(folder)
    for a, b, stride in gaps([one.epoch for one in found]):
        warnings.warn(f"{folder}: no checkpoint between {a} and {b}, where they come every {stride}: the curve has a "
                      "gap there; the others are measured", stacklevel=2)  # fmt: skip
    study = PlaneStudy(PlaneSpecification.of(task, test, **options), schedule, store)
    run, architecture = StudyRun(study, record, jobs), Architecture.of(network, device)

    def state(number: int) -> State:
        weights = read_weights(found[number])
        try:
            architecture.with_weights(weights)
        except ValueError as error:
            raise ValueError(f"{found[number].files[0]}: {error}") from error
        return found[number].epoch, weights

    try:
        run.go(len(found) - 1, state, architecture, last=True)
    finally:
        run.close()
    return run.record()


@dataclass(frozen=True)
class PlaneCheckpoints:
    """What a stage of a question needs: the plane of checkpoints. A list of one `PlaneCurve` is sent back."""

    folder: Path
    network: nn.Module
    study: PlaneStudy

    def take(self, context: RunContext) -> list[PlaneCurve]:
        """Measure what the store lacks; what was measured before a checkpoint that cannot be stays."""
        specification = self.study.specification
        return [
            PlaneCurve.of(
                lambda: plane_of_checkpoints(
                    self.folder, self.network, specification.train, test=specification.test,
                    schedule=self.study.schedule, store=context.store, jobs=context.jobs, device=context.device,
                    **vars(specification.how),
                )
            )
        ]  # fmt: skip

    def units(self) -> Mapping[str, int]:
        """One an epoch that the schedule measures, as far as it is known."""
        return {"measured epochs": expected(self.study.schedule, self._last)[0]}

    def cost(self, context: RunContext) -> Cost:
        """The time of one point, for as many."""
        plane_point(self.study.specification, self.network)
        one = seconds(lambda: plane_point(self.study.specification, self.network))
        units = self.units()
        return Cost(units, one * sum(units.values()), (told(self.study.schedule, self._last),))

    def stand_in(self) -> list[PlaneCurve]:
        """A curve of nothing."""
        return [PlaneCurve(())]

    @property
    def _last(self) -> int:
        return len(checkpoints(self.folder)) - 1


def checkpoints(folder: str | Path) -> list[Checkpoint]:
    """The checkpoints in a folder, by the last number in their names.

    Each is a file of weights (`epoch_12.pt`, `12.safetensors`), or a folder that holds them (`step1000/`, with one file
    or the shards of one).
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; give the one that holds the checkpoints")
    found: dict[int, Checkpoint] = {}
    for path in sorted(root.iterdir()):
        number = re.findall(r"\d+", path.stem if path.is_file() else path.name)
        files = _weight_files(path)
        if not number or not files:
            continue
        epoch = int(number[-1])
        if epoch in found:
            raise ValueError(
                f"{root}: both {found[epoch].files[0].name} and {path.name} are of epoch {epoch}; keep one"
            )
        found[epoch] = Checkpoint(epoch, files)
    if not found:
        raise ValueError(f"{root}: holds no checkpoints; name them by their epoch, such as step100/ or epoch_12.pt")
    return [found[epoch] for epoch in sorted(found)]


def gaps(epochs: Sequence[int]) -> list[tuple[int, int, int]]:
    """Neighbours further apart than later ones are, and the stride there: where a checkpoint seems to be missing.

    Strides that only grow, as on a logarithmic axis, are no gaps.

    >>> gaps([0, 1, 2, 4, 8, 16, 1000, 2000, 4000, 5000]), gaps([0, 1, 2, 4, 8])
    ([(2000, 4000, 1000)], [])
    """
    strides = [b - a for a, b in pairwise(epochs)]
    return [(a, b, min(strides[i:])) for i, (a, b) in enumerate(pairwise(epochs)) if strides[i] > min(strides[i:])]


def read_weights(checkpoint: Checkpoint) -> Weights:
    """Tensors by name, those of all its files."""
    weights: dict[str, Tensor] = {}
    for file in checkpoint.files:
        weights |= tensors_from(file)
    return weights


def _weight_files(path: Path) -> tuple[Path, ...]:
    """The files of one checkpoint: of several formats of the same weights, the first in the order of `_SUFFIXES`."""
    if path.is_file():
        return (path,) * (path.suffix in _SUFFIXES)
    for suffix in _SUFFIXES:
        files = tuple(f for f in sorted(path.glob(f"*{suffix}")) if "optimizer" not in f.name)
        if files:
            return files
    return ()
