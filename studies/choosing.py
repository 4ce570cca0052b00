"""Which of three pretrained networks to start from, at several numbers of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from infoscope.data.task import Task
from infoscope.measurement import Measurement, mean_and_stderr
from infoscope.model_information.choosing.answer import DATA, OF_DATA, ChoosingAnswer
from infoscope.model_information.choosing.question import Choosing
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict

CIFAR = "[size=32, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)]"
IMAGENET = "[size=227, mean=(0.48235, 0.45882, 0.40784), deviation=0.00392157]"
NETWORKS = {
    f"squeezenet{IMAGENET}": "imagenet_squeezenet1_0.safetensors",
    f"resnet20{CIFAR}": "cifar10_resnet20.safetensors",
    f"resnet56{CIFAR}": "cifar10_resnet56.safetensors",
}
AT = (25, 50, 100, 200, 400, 800, 1600)


@dataclass(frozen=True)
class ChoosingStudy:
    """Which pretrained network to start from: SqueezeNet (ImageNet), ResNet-20 and ResNet-56 (CIFAR-10).

    By default the networks stay as they are and a head is solved for in closed form; with whole they go on learning.
    The lengths at fewer labels are those of the same codes up to there.

    What to expect: SqueezeNet, the smallest but one and trained on photographs of the same size, is the best on
    both; order by size would take ResNet-56.

    Attributes
    ----------
    data
        A folder with the data sets in Hub layout, and `weights`.
    sets
        Data sets to choose for.
    examples
        Labels of each, at most.
    whole
        The networks go on learning, by replay: for a GPU.
    replicates
        Coding orders.
    seed
        The first of their seeds.
    """

    data: Path
    sets: tuple[str, ...] = ("office31_webcam", "flowers")
    examples: Annotated[int, AtLeast(20)] = 400
    whole: bool = False
    replicates: Annotated[int, AtLeast(1)] = 2
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"examples": 2000, "whole": True, "replicates": 5}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One data set after another."""
        networks = tuple(f"{name}={self.data / 'weights' / file}" for name, file in NETWORKS.items())
        rows: list[Row] = []
        tables, claims, drawn = [], [], []
        for name in self.sets:
            task = Task.from_dataset(str(self.data / name))
            n = min(self.examples, len(task["train"] if "train" in task.splits else task))
            question = Choosing(
                task, networks, frozen=not self.whole, examples=n, replicates=self.replicates, seed=self.seed
            )
            answer = yield from question.stages(device)
            rows += [Row({"task": name, **row.coordinates}, row.measurement) for row in answer.record()]
            tables.append(_table(name, answer))
            claims += _claims(name, answer)
            drawn += answer.figures()
        return StudyAnswer("Which pretrained network to start from", rows, tables, claims, (), drawn)


def _table(name: str, answer: ChoosingAnswer) -> Table:
    n = len(answer.task)
    places = [k for k in AT if k < n] + [n]
    named = {one: answer.curves[one, answer.use] for one in answer.ranked} | {
        "no network": answer.curves[DATA, OF_DATA]
    }
    rows = [
        (one, *(_up_to(curves, k) for k in places), answer.shares[answer.use].get(one), _lead(answer, one))
        for one, curves in named.items()
    ]
    columns = ("start from", *(f"{k} labels" for k in places), "P(best)", "the best is ahead from")
    return Table(f"{name}: bits of the first labels, {answer.use} networks", columns, rows)


def _up_to(curves: Sequence[LossCurve], k: int) -> Measurement:
    mean, error = mean_and_stderr([float(np.sum(curve.nats[:k])) for curve in curves])
    return Measurement("L(y|x)", mean, error)


def _lead(answer: ChoosingAnswer, name: str) -> str:
    if name not in answer.crossings:
        return ""
    place = answer.crossings[name]
    return f"{place.n} labels (90 %: {place.lower:.0f} to {place.upper:.0f})"


def _claims(name: str, answer: ChoosingAnswer) -> list[Claim]:
    first = answer.ranked[0]
    largest = max(answer.starts, key=lambda one: one.parameters).name
    shares = answer.shares[answer.use]
    sure = shares[first] > 0.95
    right = Verdict.REPRODUCED if first == largest else Verdict.NOT_REPRODUCED
    data, own = answer.length(DATA, OF_DATA), answer.length(first, answer.use)
    gain = data - own
    return [
        Claim(f"{name}: the largest network is the best start", right if sure else Verdict.UNDECIDED,
              f"the largest is {largest}, the best {first} with a probability of {shares[first]:.2f}"),
        Claim(f"{name}: the best start costs less than no network at all",
              Verdict.REPRODUCED if gain.value > 2 * gain.stderr else Verdict.UNDECIDED,
              f"{gain.bits:.0f} ± {gain.stderr_bits:.0f} bits"),
    ]  # fmt: skip
