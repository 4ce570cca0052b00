"""What becomes of a network's head decides what it knows: the same and renamed classes under every policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args

from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement
from infoscope.model_information.codes import code_looks
from infoscope.model_information.heads import HEADS, Head, with_head
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.codelength import codelength
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.look import Looks
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

ASKED = 120.0
"""Bits at most for renamed classes."""


@dataclass(frozen=True)
class RenamedClasses:
    """A trained network sends labels under the names that it learned, and under others, by each policy of its head.

    Digits, one hidden layer of 512 units: 1000 examples trained on, 400 others sent by replay. Renamed, class c is
    called 3c + 1 mod 10: all that the network knows is as good as before but for the names.

    Attributes
    ----------
    replicates
        Networks, each with a coding order of its own.
    seed
        The first of their seeds.
    train
        Examples to train on.
    k
        Examples to code.
    epochs
        Most epochs of a training.
    """

    replicates: Annotated[int, AtLeast(2)] = 5
    seed: Annotated[int, AtLeast(0)] = 0
    train: Annotated[int, AtLeast(1)] = 1000
    k: Annotated[int, AtLeast(1)] = 400
    epochs: Annotated[int, AtLeast(1)] = 1000

    paper: ClassVar[Mapping[str, Any]] = {"replicates": 20}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The networks, then the codes of every policy and the untrained ones."""
        digits, learner = Task.from_dataset("digits").shuffled(0), Learner(MLP((512,)), Recipe(epochs=self.epochs))
        coded, train = digits[: self.k], digits[self.k : self.k + self.train]
        held_out = digits[self.k + self.train :]
        seeds = range(self.seed, self.seed + self.replicates)
        population: Population = yield Train(tuple(Member(learner, train, s, held_out) for s in seeds))
        others = Task.from_arrays(coded.array, (3 * coded.y + 1) % 10, target=coded.target, name="renamed digits")
        called = {"same": coded, "renamed": others}
        lengths: dict[tuple[str, str], Measurement] = {}
        for head in ("untrained", *get_args(Head)):
            for names, task in called.items():
                learners = [_learner(learner, population, i, task, head) for i in range(len(population))]
                label = f"{head}, {names} names, code"
                looks = code_looks(task, Replay(), learners, seeds=population.seeds, device=device, label=label)
                curves: list[LossCurve] = yield Looks(looks)
                lengths[head, names] = codelength(curves)
        return _answer(lengths)


def _learner(learner: Learner, population: Population, i: int, task: Task, head: str) -> Learner:
    trained, seed = population.trained(i), population.seeds[i]
    if head == "untrained":
        return learner.starting_from(trained.initial)
    policy: Head = next(each for each in get_args(Head) if each == head)
    return with_head(learner, trained.weights, task, seed, policy, trained.initial)


def _answer(lengths: Mapping[tuple[str, str], Measurement]) -> StudyAnswer:
    rows = [Row({"head": head, "names": names}, m) for (head, names), m in lengths.items()]
    told = {"untrained": "untrained"} | {str(head): words for head, words in HEADS.items()}
    table = Table(
        "Bits that the labels cost",
        ("head", "names as trained", "renamed", "what the names save"),
        [
            (words, lengths[head, "same"], lengths[head, "renamed"], lengths[head, "renamed"] - lengths[head, "same"])
            for head, words in told.items()
        ],
    )
    renamed = lengths["kept", "renamed"]
    start = lengths["start", "renamed"] - lengths["start", "same"]
    free = lengths["closed-form", "renamed"] - lengths["closed-form", "same"]
    claims = (
        Claim(
            f"Renamed classes cost a network that keeps its head at most {ASKED:.0f} bits",
            judged(ASKED - renamed.bits, renamed.stderr_bits),
            f"{renamed.bits:.1f} ± {renamed.stderr_bits:.1f}",
        ),
        Claim(
            "A head that is set back to its own start still knows the names: the body was fitted to it",
            judged(start.bits, start.stderr_bits),
            f"they save {start.bits:.1f} ± {start.stderr_bits:.1f} bits",
        ),
        Claim(
            "In closed form names do not matter",
            Verdict.REPRODUCED if abs(free.bits) < 1e-6 else Verdict.NOT_REPRODUCED,
            f"they save {free.bits:.6f} bits",
        ),
    )
    notes = (
        "So the policy decides what similarity says: with the head kept, two sets of the same images under other names "
        "are unlike; in closed form they are one. It stands in every receipt.",
    )
    return StudyAnswer("Renamed classes", rows, (table,), claims, notes)
