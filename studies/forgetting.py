"""Catastrophic forgetting and algorithms of continual learning: the abstract of Zhang et al. 2020, at a small scale.

    infoscope study forgetting --page docs/results/forgetting.md

Digits 0 to 4, then 5 to 9, by one network with one head: the hardest of the usual settings, in which everything that
is said of the first half is overwritten. Fine-tuning, EWC, SI, LwF and rehearsal take the same steps; what each has
forgotten is told of the network as it stands, of its features, and of the network that goes on learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.model_information.forgetting.forgotten import Found
from infoscope.model_information.forgetting.question import Forgetting, ForgettingAnswer
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged


@dataclass(frozen=True)
class ForgettingOfDigits:
    """How much of one half of the digits is forgotten while the other is learned, by five algorithms.

    Attributes
    ----------
    k
        Examples of each half to code.
    train
        Examples of each half to train on.
    epochs
        Of each training.
    replicates
        Networks.
    """

    k: Annotated[int, AtLeast(1)] = 150
    train: Annotated[int, AtLeast(1)] = 450
    epochs: Annotated[int, AtLeast(1)] = 20
    replicates: Annotated[int, AtLeast(1)] = 3

    paper: ClassVar[Mapping[str, Any]] = {"k": 250, "epochs": 100, "replicates": 10}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The question of forgetting, and what the abstract claims of it."""
        digits = Task.from_dataset("digits")
        halves = [digits["classes=0,1,2,3,4"], digits["classes=5,6,7,8,9"]]
        question = Forgetting(
            halves, model=MLP((64,)), k=self.k, train=self.train, epochs=self.epochs, replicates=self.replicates,
            coder=Replay(replays=4, start=2000),
        )  # fmt: skip
        answer = yield from question.stages(device)
        return StudyAnswer(
            "Forgetting of digits",
            tuple(answer.record()),
            tables(answer),
            claims(answer.found),
            drawn=answer.figures(),
            chosen=answer.choices(),
            notes=(
                "The abstract prints no numbers and ranks no algorithms: the claims are those of the field, the "
                "setting and the choice of SI as the fifth are ours.",
                "Trainings are short and equally long for all, and stopped before their losses settled.",
            ),
        )


def tables(answer: ForgettingAnswer) -> tuple[Table, ...]:
    """For each depth what was forgotten of the first half, its share, and what is known of both in the end."""
    made = []
    for depth in answer.found[0].depths:
        rows = [
            (one.algorithm, *one.all_forgotten(depth)[:2], one.all_known(depth), *accuracies(one))
            for one in answer.found
        ]
        columns = ("algorithm", "forgotten of the first", "share", "known of both", "accuracy on 0-4", "on 5-9")
        made.append(Table(f"After the second half ({depth})", columns, rows))
    return tuple(made)


def accuracies(found: Found) -> tuple[Any, ...]:
    """On both halves, in the end."""
    return tuple(
        row.measurement
        for task in found.names
        for row in found.rows()
        if row.measurement.quantity == "accuracy"
        and (row.coordinates["task"], row.coordinates["after"]) == (task, found.names[-1])
    )


def claims(found: tuple[Found, ...]) -> tuple[Claim, ...]:
    """What the field says of forgetting, judged by paired differences."""
    plain, *others = found
    surface, known = plain.forgotten("head-kept", 0, 1), plain.all_known("head-kept")
    made = [
        claim("a network that goes on to other classes forgets", surface, "by fine-tuning"),
        claim(
            "what it says is forgotten before what its features hold",
            surface - plain.forgotten("closed-form", 0, 1),
            "more as it stands than in its features",
        ),
    ]
    for one in others:
        name = one.algorithm
        made += [
            claim(f"{name} forgets less than fine-tuning", surface - one.forgotten("head-kept", 0, 1), "less"),
            claim(f"with {name} more is known of both halves in the end", one.all_known("head-kept") - known, "more"),
        ]
    return tuple(made)


def claim(text: str, by: Measurement, words: str) -> Claim:
    """A claim that holds where this is above 0."""
    why = f"{by.bits:.0f} ± {by.stderr_bits:.1f} bits {words}"
    return Claim(text, judged(by.value, by.stderr, Verdict.DIFFERENT_DATA), why)
