"""What teachers tell a student: Tables 10 and 11 and Figure 8 of Zhang et al., and a sweep of the temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from infoscope import Distillation, Replay, Task
from infoscope.model_information.distillation.answer import CONTROLS, DistillationAnswer, Gain
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict, judged

ALPHAS = (0.05, 0.1, 0.2, 0.5, 0.9)
TEMPERATURES = (1.0, 2.0, 8.0)
SHARE, TEMPERATURE = 0.5, 4.0

TABLE_10 = {
    "ResNet-20": (0.8707, 0.840, 452.6),
    "ResNet-56": (0.8878, 0.838, 1246.2),
    "ResNet-101": (0.8969, 0.842, 1277.7),
}
"""The teacher's accuracy, the student's, and I; without a teacher the student has 0.827."""

TABLE_11 = {0.05: 938.1, 0.1: 1040.9, 0.2: 1178.9, 0.3: 1188.6, 0.5: 1214.4, 0.7: 1246.2, 0.9: 1177.5}
"""I at each α, T = 4, the teacher being ResNet-56: Table 10's 1246.2 is that of α = .7."""

NOTES = (
    """\
**Bits or nats.** The paper does not say; 1277.7 fits both for what 10,000 or 50,000 labels of ten classes cost. Ours
are bits. What is judged are signs, and where the gain stops to rise.""",
    """\
**Two readings.** `synced` is what the paper measured: bits that the student's code of D saves. `fresh` is eq. (2) on
examples that neither has seen, for a student who learned D with a teacher of D, in as many epochs as alone.""",
    """\
**Controls.** A teacher of labels drawn at random, and one who smooths labels, know nothing of the inputs. The paper has
neither.""",
)


@dataclass(frozen=True)
class DistillationStudy:
    """What teachers tell a student: Tables 10 and 11 and Figure 8 of Zhang et al., and a sweep of the temperature.

    "Model Information as an Analysis Tool in Deep Learning", §7 and A.6: LeNet-5 learns CIFAR-10 with ResNet-20, 56 and
    101. The paper names neither α of Table 10 (it must be .7) nor how much is coded. The small scale has digits, and
    multilayer perceptrons of one hidden layer. Teachers differ at α = .5, shares and temperatures with the middle
    one.

    Attributes
    ----------
    data
        The data set, such as path/to/cifar10.
    teachers
        From the smallest to the largest; the middle one has the sweeps.
    student
        The student.
    coder
        The student's own code.
    train
        Examples to learn, whose labels the synced code sends.
    k
        Fresh examples.
    replicates
        Coding orders and networks.
    seed
        The first of their seeds.
    """

    data: str = "digits"
    teachers: tuple[str, ...] = ("mlp(widths=(8,))", "mlp(widths=(64,))", "mlp(widths=(512,))")
    student: str = "mlp(widths=(16,))"
    coder: Coder = Replay(growth=1.1, replays=4, start=1000, last_layer=None, nearby=None)
    train: Annotated[int, AtLeast(2)] = 300
    k: Annotated[int, AtLeast(1)] = 300
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {
        "data": "cifar10",
        "teachers": ("preact-resnet20", "preact-resnet56", "preact-resnet101"),
        "student": "lenet5",
        "coder": Replay(last_layer=None, nearby=None),
        "train": 10_000,
        "k": 10_000,
    }

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.teachers) < 2:
            raise ValueError(f"teachers are {self.teachers}; a study compares two or more, the smallest first")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """All teachers at one share, then the middle one's shares and temperatures, with the controls beside."""
        task = Task.from_dataset(self.data)
        middle = self.teachers[len(self.teachers) // 2]
        differ = yield from self._asked(task, self.teachers, (SHARE,), (TEMPERATURE,)).stages(device)
        shares = yield from self._asked(task, (middle,), ALPHAS, (TEMPERATURE,), True).stages(device)
        warm = yield from self._asked(task, (middle,), (SHARE,), TEMPERATURES).stages(device)
        found = _Found(self.teachers, differ, shares, warm)
        rows = list({_place(row): row for one in (differ, shares, warm) for row in one.record()}.values())
        return StudyAnswer(
            "Distillation: what a teacher tells a student",
            rows,
            (found.of_teachers(), found.of_shares(), found.of_temperatures()),
            found.claims(),
            NOTES,
            shares.figures(),
        )

    def _asked(
        self,
        task: Task,
        teachers: tuple[str, ...],
        alpha: tuple[float, ...],
        temperature: tuple[float, ...],
        controls: bool = False,
    ) -> Distillation:
        return Distillation(
            task,
            teachers,
            self.student,
            alpha,
            temperature,
            self.coder,
            controls,
            train=self.train,
            k=self.k,
            replicates=self.replicates,
            seed=self.seed,
        )


def _place(row: Row) -> tuple[object, ...]:
    return (*row.coordinates.items(), row.measurement.quantity)


@dataclass(frozen=True)
class _Found:
    """The three answers, and their tables and verdicts."""

    teachers: Sequence[str]
    differ: DistillationAnswer
    shares: DistillationAnswer
    warm: DistillationAnswer

    @property
    def middle(self) -> str:
        return self.teachers[len(self.teachers) // 2]

    def of_teachers(self) -> Table:
        """Table 10, the paper's teachers beside ours from the smallest on."""
        alone = self.differ.found[0]
        rows: list[Sequence[Cell]] = [("none", "—", "—", 0.827, alone.accuracy, 0.0, None, None)]
        for name, paper in zip(self.teachers, TABLE_10, strict=False):
            gain, (theirs, student, told) = self.differ.gain(name, SHARE, TEMPERATURE), TABLE_10[paper]
            gains = (told, gain.gains()["synced"], gain.gains()["fresh"])
            rows.append((f"{name} for {paper}", theirs, gain.teacher_accuracy, student, gain.accuracy, *gains))
        columns = (
            "teacher",
            "its accuracy, paper",
            "here",
            "the student's, paper",
            "here",
            "I, paper",
            "synced",
            "fresh",
        )
        return Table("Table 10: teachers", columns, rows)

    def of_shares(self) -> Table:
        """Table 11, with the controls."""
        rows = []
        for alpha in ALPHAS:
            each = [self.shares.gain(name, alpha, TEMPERATURE).gains() for name in (self.middle, *CONTROLS)]
            (synced, fresh), *others = [(one["synced"], one["fresh"]) for one in each]
            rows.append((f"{alpha:g}", TABLE_11.get(alpha), synced, fresh, *(one for one, _ in others)))
        columns = ("α", "I, paper", "synced", "fresh", *(f"synced, {name}" for name in CONTROLS))
        return Table(f"Table 11: shares α, T = {TEMPERATURE:g}, by {self.middle}", columns, rows)

    def of_temperatures(self) -> Table:
        """The sweep that the paper lacks."""
        answers = dict.fromkeys(TEMPERATURES, self.warm) | {TEMPERATURE: self.shares}
        found = [(t, answers[t].gain(self.middle, SHARE, t).gains()) for t in sorted(answers)]
        rows = [(f"{t:g}", gains["synced"], gains["fresh"]) for t, gains in found]
        return Table(f"Temperatures, α = {SHARE:g}, by {self.middle}", ("T", "synced", "fresh"), rows)

    def claims(self) -> list[Claim]:
        """The paper's two, and whether the teacher's knowledge is what helps."""
        small, large = (self.differ.gain(name, SHARE, TEMPERATURE) for name in (self.teachers[0], self.teachers[-1]))
        low, mid, high = (self.shares.gain(self.middle, alpha, TEMPERATURE) for alpha in (0.05, 0.2, 0.9))
        smooth = self.shares.gain("label-smoothing", SHARE, TEMPERATURE)
        usual = self.shares.gain(self.middle, SHARE, TEMPERATURE)
        held = Verdict.DIFFERENT_SCALE
        more, error, told = _less(large, small)
        claims = [Claim("larger teachers pass on more", judged(more, error, held), f"{self.teachers[-1]} {told}")]
        alone, off = usual.gains()["synced"].bits, usual.gains()["synced"].stderr_bits
        claims.append(
            Claim("a teacher passes on information", judged(alone, off, held), f"{alone:.1f} ± {off:.1f} bits")
        )
        rise, error_of_rise, first = _less(mid, low)
        later, error_of_later, then = _less(high, mid)
        claims.append(Claim("the gain rises up to α = .2", judged(rise, error_of_rise, held), f"from α = .05 {first}"))
        there = mid.gains()["synced"]
        flat = Verdict.NOT_REPRODUCED if later > 2 * error_of_later else held
        verdict = flat if there.value > 2 * there.stderr else Verdict.UNDECIDED
        told = f"at α = .2 the gain is {there.bits:.1f} ± {there.stderr_bits:.1f} bits; α = .9 {then} against it"
        claims.append(Claim("the gain levels off after α = .2", verdict, told))
        better, error_of_better, beside = _less(usual, smooth)
        text = "what helps is what the teacher knows, not that targets are soft"
        claims.append(
            Claim(text, judged(better, error_of_better, held), f"against smoothed labels the teacher {beside}")
        )
        return claims


def _less(a: Gain, b: Gain) -> tuple[float, float, str]:
    """By how much the synced gain at `a` is above that at `b`, bits; its error, paired by seeds; and in words."""
    one = a.gains()["synced"] - b.gains()["synced"]
    return one.bits, one.stderr_bits, f"saves {one.bits:+.1f} ± {one.stderr_bits:.1f} bits"
