"""d(1→2) = I_12 − I_1: how much more there is to learn for two tasks than for one, beside what S and S_uni say."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

from infoscope.data.combine import union
from infoscope.data.named import training_part
from infoscope.data.partition import Partition, partition, without_overlap
from infoscope.data.task import Task
from infoscope.ensembles.population import Member
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Status
from infoscope.model_information.codes import code_looks
from infoscope.model_information.heads import Head
from infoscope.model_information.information import check_own_code
from infoscope.model_information.similarity.answer import SimilarityAnswer
from infoscope.model_information.similarity.common_start import CommonStart, TrainedOn
from infoscope.model_information.similarity.question import Similarity
from infoscope.models.default import Model, learner_for
from infoscope.prequential.codelength import model_information
from infoscope.prequential.encode import Coder
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.look import Looks
from infoscope.run.question import Request
from infoscope.task_space.distance import information_distance

DISTANCE, BY_DEFINITION, JOINT = "I_12 - I_1", "I_2 (1 - S_uni)", "I_12"


@dataclass(frozen=True)
class JointInformation:
    """I_12 is L(M, D1 ∪ D2) of a network that is trained on both, coded with the examples of both, as I_1 is of one.

    Tasks of one alphabet are asked of networks as they are, others with a new head: so is I_1, and so is I_12.

    `examples` are coded of each task, `train` are trained on (None: as a budget of five minutes reaches).
    """

    model: Model = None
    coder: Coder = Replay()
    examples: int = 300
    train: int | None = None
    epochs: int | None = None
    replicates: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        check_own_code(self.coder)

    def stages(self, given: Sequence[Task], device: str) -> Generator[Request, Any, list[Row]]:
        """Similarities of the first halves of all tasks; a network for every pair of them, and for both halves."""
        halves = [_halves(task, self.seed) for task in given]
        few = [first for first, _ in halves]
        head: Head = "kept" if len({task.target for task in few}) == 1 else "new"
        alike: SimilarityAnswer = yield from Similarity(
            few, self.model, head=head, coder=self.coder, k=self.examples, train=self.train,
            replicates=self.replicates, seed=self.seed, epochs=self.epochs,
        ).stages(device)  # fmt: skip
        parts, joint = alike.parts, dict[tuple[str, str], Measurement]()
        for a, b in combinations(parts, 2):
            joint[a, b] = joint[b, a] = yield from self._joint(_both(parts[a], parts[b]), head, device)
        for first, second in halves:
            one = parts[first.name]
            both = _apart(one, partition(second, k=len(one.coded)))
            joint[first.name, first.name] = yield from self._joint(both, head, device)
        return _rows(alike, joint)

    def _joint(self, both: Partition, head: Head, device: str) -> Generator[Request, Any, Measurement]:
        """I_12 of two parted tasks."""
        learner, name = learner_for(both.train, self.model, self.epochs), both.train.name
        starts = CommonStart({name: both}, {name: learner}, head)
        seeds = range(self.seed, self.seed + self.replicates)
        found = yield Train(tuple(Member(starts.start(name, s), both.train, s, both.validation) for s in seeds))
        trained = TrainedOn.of(found, both, learner)
        went = list(trained.weights)
        first = [starts.coding(name, starts.weights(name, s), name, s) for s in went]
        last = [starts.coding(name, trained.weights[s], name, s) for s in went]
        looks = code_looks(both.coded, self.coder, first, seeds=went, device=device, label="first code")
        looks += code_looks(both.coded, self.coder, last, seeds=went, device=device, label="code of both")
        curves: list[LossCurve] = yield Looks(looks)
        length = model_information(curves[: len(went)], curves[len(went) :])
        return dataclasses.replace(length, status=length.status | trained.status)


def _rows(alike: SimilarityAnswer, joint: Mapping[tuple[str, str], Measurement]) -> list[Row]:
    """Of each task how far it is from itself; of each ordered pair the distance, with its correction, S and S_uni."""
    known, rows = alike.found.known, list[Row]()
    own = {name: information_distance(joint[name, name], known[name, name]) for name in alike.parts}
    for name, m in own.items():
        rows += [Row({"from": name, "to": name}, one) for one in (known[name, name], m)]
    for a, b in permutations(alike.parts, 2):
        far = information_distance(joint[a, b], known[a, a])
        by_definition = _plain(known[b, b] - known[a, b]).named(BY_DEFINITION)
        ratios = (alike.found.s[a, b].measurement, alike.found.s_uni[a, b].measurement)
        several = (joint[a, b].named(JOINT), far, corrected(far, own[a], own[b]), by_definition, *ratios)
        rows += [Row({"from": a, "to": b}, one) for one in several]
    return rows


def corrected(far: Measurement, first: Measurement, second: Measurement) -> Measurement:
    """d(1→2) less half of how far tasks 1 and 2 are from themselves, from another sample of each, nats; seed by seed.

    >>> d, one, two = (Measurement("I_12 - I_1", nats) for nats in (5.0, 1.0, 2.0))
    >>> corrected(d, one, two).value
    3.5
    """
    return _plain(far - (first + second) * 0.5).named(f"{far.quantity} - d_self")


def _plain(m: Measurement) -> Measurement:
    """Data and networks differ by the definition of what is subtracted."""
    return dataclasses.replace(m, status=m.status - {Status.INCOMPARABLE})


def _halves(task: Task, seed: int) -> tuple[Task, Task]:
    mixed = training_part(task).shuffled(seed)
    n = len(mixed) // 2
    if n < 6:
        raise ValueError(f"{task.name!r} has {len(mixed)} examples; its distance from itself takes 12 or more")
    first, second = (dataclasses.replace(part, name=task.name) for part in (mixed[:n], mixed[n : 2 * n]))
    return first, second


def _both(a: Partition, b: Partition) -> Partition:
    train, validation = union(a.train, b.train), union(a.validation, b.validation)
    return Partition(train, validation, union(a.coded, b.coded), ("of both",))


def _apart(one: Partition, other: Partition) -> Partition:
    """Two halves of a task, of one size, without what is coded of one and equal to what is learned of the other."""
    other = dataclasses.replace(other, train=other.train[: len(one.train)])
    left, _ = without_overlap(one.coded, other.train, other.validation)
    right, _ = without_overlap(other.coded, one.train, one.validation)
    return _both(dataclasses.replace(one, coded=left), dataclasses.replace(other, coded=right))
