"""Critical learning periods: Achille, Rovere & Soatto (2019) small, with the control runs of Pawlak (2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from infoscope.data.deficit import Blur, Deficit, PermutedClasses, VerticalFlip
from infoscope.data.task import Task
from infoscope.dynamics.critical_period.answer import CriticalPeriodAnswer
from infoscope.dynamics.critical_period.cells import CONTROLS, Cell, Control
from infoscope.dynamics.critical_period.networks import told
from infoscope.dynamics.critical_period.question import CriticalPeriod
from infoscope.dynamics.fisher_training.answer import FisherTrainingAnswer
from infoscope.dynamics.fisher_training.curve import CALIBRATED, RAW
from infoscope.dynamics.fisher_training.watched_trainings import WatchedTraining
from infoscope.measurement import Measurement
from infoscope.models import SmallCNN
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import SGD, Cosine, Recipe

NOTHING = 0.01
"""Of accuracy: a deficit that costs less has no lasting effect."""

NOTES = (
    "The paper trains All-CNN on CIFAR-10 and shows curves; the claims are those of its abstract, without numbers. "
    "Pawlak 2025 (arXiv 2510.09687) says that restarting the learning rate almost closes the gap.",
    "Control steps is the one that the claims are judged by: as many clean epochs as without a deficit. Control none "
    "has fewer of them, so that its gap is no sign of a critical period.",
    "All this hangs on the recipe, which was settled on the way. With a rate of 0.05 (--rate 0.05 --batch 64 --epochs "
    "16 --lengths 2 6 12 --replicates 3 --coded 100) a blur until epoch 12 cost 0.0102 ± 0.0046 with as many clean "
    "steps and 0.0005 ± 0.0048 with the rate begun anew too, a flip 0.0082 ± 0.0036, a permutation 0.42 ± 0.13: some "
    "networks broke down. With 0.01 (--rate 0.01 --epochs 16 --lengths 3 12 --replicates 4 --coded 100) networks "
    "without a deficit were not done when training ended, and 12 epochs of any deficit were a head start.",
    "A gap below 0 is a network that does better than without the deficit: with steps and both it has had more steps "
    "in all.",
)


@dataclass(frozen=True)
class CriticalPeriodStudy:
    """Critical learning periods: which deficits early in training do harm for good, and what of it a restart undoes.

    A small convolutional network learns by SGD with momentum whose rate falls along a cosine. Images are blurred,
    upside down, or under permuted names in the first epochs, for several lengths; each deficit is followed by what is
    left of the epochs, by as many clean steps as without it, and by both with the rate begun anew. Then a blur of one
    length moves along the training. Beside accuracy stand the Fisher trace and L(M, D).

    Attributes
    ----------
    data
        Images of 16 pixels a side or more, whose sides are multiples of 4: a name, or a folder in Hub layout.
    train
        Examples to train on.
    k
        Examples to test on.
    epochs
        Of a training without a deficit.
    lengths
        Epochs of the deficits.
    window
        Epochs of the blur that moves.
    onsets
        Epochs after which it begins.
    widths
        Channels of the network's convolutions.
    rate
        Learning rate at the start.
    batch
        Examples of a step.
    coded
        Examples that are coded for L(M, D).
    replicates
        Networks of every cell.
    seed
        The first of their seeds.
    """

    data: str = "usps"
    train: Annotated[int, AtLeast(2)] = 960
    k: Annotated[int, AtLeast(1)] = 2000
    epochs: Annotated[int, AtLeast(4)] = 24
    lengths: tuple[int, ...] = (4, 16)
    window: Annotated[int, AtLeast(1)] = 4
    onsets: tuple[int, ...] = (0, 4, 12)
    widths: tuple[int, int, int] = (8, 16, 32)
    rate: float = 0.02
    batch: Annotated[int, AtLeast(1)] = 32
    coded: Annotated[int, AtLeast(1)] = 60
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {
        "data": "cifar10", "train": 45_000, "k": 10_000, "epochs": 160, "lengths": (20, 40, 60, 80, 100, 120, 140),
        "window": 40, "onsets": (0, 20, 40, 60, 80, 100, 120), "widths": (96, 192, 192), "rate": 0.05,
        "batch": 128, "replicates": 5,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The deficits from the start on, then the blur that moves."""
        task = Task.from_dataset(self.data)
        early = yield from self._asked(
            task, (Blur(4), VerticalFlip(), PermutedClasses()), (0,), self.lengths, CONTROLS, self.coded
        ).stages(device)
        moving = yield from self._asked(task, (Blur(4),), self.onsets, (self.window,), ("steps", "both"), 0).stages(
            device
        )
        tables = [*_costs(early), _moving(moving), _traces(early)]
        rows = [
            Row({"part": part, **row.coordinates}, row.measurement)
            for part, one in (("from the start", early), ("moving", moving))
            for row in one.record()
        ]
        claims = [*_of_deficits(early), *_of_fisher(early, moving), *_of_controls(early)]
        return StudyAnswer(
            "Critical learning periods", rows, tables, claims, (_plainly(early), *NOTES),
            [*early.figures(), *moving.figures()], chosen=early.choices(),
        )  # fmt: skip

    def _asked(
        self, task: Task, deficits: Sequence[Deficit], onsets: Sequence[int], lengths: Sequence[int],
        controls: Sequence[Control], coded: int,
    ) -> CriticalPeriod:  # fmt: skip
        recipe = Recipe(SGD(self.rate, 0.9), batch=self.batch, decay=Cosine(), epochs=self.epochs, patience=None)
        return CriticalPeriod(
            task, Learner(SmallCNN(self.widths, 4 * self.widths[0]), recipe), deficit=tuple(deficits),
            onset=tuple(onsets), length=tuple(lengths), control=tuple(controls), train=self.train, k=self.k,
            coded=coded, coder=Replay(replays=2, start=500), replicates=self.replicates, seed=self.seed,
        )  # fmt: skip


def _plainly(found: CriticalPeriodAnswer) -> str:
    """What became of it, in one sentence for each deficit."""
    nets, told_of = found.networks, []
    for deficit in found.deficits:
        end = _cell(found, deficit, "steps").end
        steps, both = _gap(found, deficit, "steps"), _gap(found, deficit, "both")
        bits = nets.information_gap(_cell(found, deficit, "both"))
        told_of.append(
            f"After {deficit} until epoch {end} and as many clean steps as without it, {told(steps)} of accuracy are "
            f"missing; {told(both)}, and {told(bits)}, when the learning rate begins anew too."
        )
    last = "What of the last numbers is above two errors, training does not mend here."
    return " ".join(["In plain words.", *told_of, last])


def _cell(found: CriticalPeriodAnswer, deficit: str, control: str, last: bool = True) -> Cell:
    """The cell of the longest deficit, or of the shortest."""
    cells = sorted(found.of(deficit, control), key=lambda cell: cell.length)
    return cells[-1 if last else 0]


def _gap(found: CriticalPeriodAnswer, deficit: str, control: str, last: bool = True) -> Measurement:
    return found.networks.accuracy_gap(_cell(found, deficit, control, last))


def _is_nothing(gap: Measurement) -> Verdict:
    """Refuted two errors above nothing, held where it is below `NOTHING` by two errors, else undecided."""
    if gap.value > 2 * gap.stderr:
        return Verdict.NOT_REPRODUCED
    return Verdict.REPRODUCED if gap.value + 2 * gap.stderr < NOTHING else Verdict.UNDECIDED


def _above(text: str, effect: Measurement, why: str) -> Claim:
    return Claim(text, judged(effect.value, effect.stderr), why)


def _of_deficits(found: CriticalPeriodAnswer) -> list[Claim]:
    """Blur does harm for good, the more the longer it lasts, and more than what keeps low-level statistics."""
    blur = _gap(found, "blur", "steps")
    longest = _cell(found, "blur", "steps")
    short = _gap(found, "blur", "steps", last=False)
    claims = [
        _above(
            f"A blur in the first {longest.length} epochs costs accuracy for good, with as many clean steps", blur,
            f"{told(blur)}",
        ),
        _above("and the more, the later it ends", blur - short, f"{told(short)} if early, {told(blur)} if late"),
    ]  # fmt: skip
    for deficit, words in (("flip", "vertical flip"), ("permute", "permutation of the labels")):
        other = _gap(found, deficit, "steps")
        text = f"A {words} of the same length costs less than a blur"
        claims.append(_above(text, blur - other, f"{told(other)}, and the blur {told(blur)}"))
        claims.append(Claim(f"A {words} has no lasting effect", _is_nothing(other), f"costs {told(other)}"))
    bits = found.networks.information_gap(longest)
    claims.append(_above("What the blur costs is model information too", bits, told(bits)))
    return claims


def _of_fisher(early: CriticalPeriodAnswer, moving: CriticalPeriodAnswer) -> list[Claim]:
    """Tr F rises and falls, and is highest where a blur does most harm."""
    nets = early.networks
    trainings = [WatchedTraining(nets.curves[nets.clean, seed], {}) for seed in nets.seeds(nets.clean)]
    watched = FisherTrainingAnswer("", early.model, tuple(nets.seeds(nets.clean)), tuple(trainings))
    claims = []
    for quantity, words in ((RAW, "The Fisher information"), (CALIBRATED, "Over the variance of the predictions it")):
        rise, fall = watched.rise(quantity), watched.fall(quantity)
        least = min((rise, fall), key=lambda m: m.value / m.stderr if m.stderr else m.value)
        top = told(nets.peak(nets.clean, quantity))
        why = f"{told(rise)} doublings, then {told(fall)} halvings; highest after epoch {top}"
        verdict = judged(least.value, least.stderr)
        if watched.peak(quantity) == len(watched.times) - 1:
            verdict = Verdict.NOT_REPRODUCED
        claims.append(Claim(f"{words} rises, and then falls", verdict, why))
    cells = sorted(moving.of("blur", "steps"), key=lambda cell: -moving.networks.accuracy_gap(cell).value)
    worst, next_worst = (moving.networks.accuracy_gap(cell) for cell in cells[:2])
    peak = nets.peak(nets.clean)
    held = Verdict.REPRODUCED if cells[0].onset <= peak.value <= cells[0].end else Verdict.NOT_REPRODUCED
    apart = worst - next_worst
    why = (
        f"most harmful is the blur in epochs {cells[0].onset} to {cells[0].end}, {told(worst)}, then that in "
        f"{cells[1].onset} to {cells[1].end}, {told(next_worst)}; tr F is highest after epoch {told(peak)}"
    )
    decided = apart.value > 2 * apart.stderr and worst.value > 2 * worst.stderr
    text = "A blur does most harm while the Fisher information is highest"
    claims.append(Claim(text, held if decided else Verdict.UNDECIDED, why))
    return claims


def _of_controls(found: CriticalPeriodAnswer) -> list[Claim]:
    """What of the gap fewer clean steps and a smaller rate make."""
    none, steps, both = (_gap(found, "blur", control) for control in ("none", "steps", "both"))
    why = f"{told(steps)} with as many clean steps, {told(both)} with the rate restarted too"
    return [
        _above(
            "As many clean steps close most of the gap that fewer of them leave (blur)", none - steps - steps,
            f"{told(none)} with what is left, {told(steps)} with as many clean steps",
        ),
        Claim(
            "A learning rate that begins anew closes most of what is left then (Pawlak 2025)", _closes(steps, both), why
        ),
    ]  # fmt: skip


def _closes(gap: Measurement, after: Measurement) -> Verdict:
    """Whether less than half of a gap is left; undecided where there is none, by two errors."""
    half = gap - after - after
    return judged(half.value, half.stderr) if gap.value > 2 * gap.stderr else Verdict.UNDECIDED


def _costs(found: CriticalPeriodAnswer) -> list[Table]:
    """What each deficit costs, length by length, under each control."""
    nets, tables = found.networks, []
    spans = dict.fromkeys((cell.deficit, cell.length) for cell in found.cells if cell.length)
    for title, measure in (("accuracy", nets.accuracy_gap), ("L(M,D)", nets.information_gap)):
        rows = []
        for deficit, length in spans:
            by_control = {
                cell.control: cell for cell in found.cells if (cell.deficit, cell.length) == (deficit, length)
            }
            gaps = [measure(by_control[control]) if control in by_control else None for control in CONTROLS]
            rows.append((deficit, str(length), *gaps))
        whole = nets.accuracy(nets.clean) if title == "accuracy" else nets.information(nets.clean)
        tables.append(
            Table(
                f"What a deficit from the start costs of {title}, by what follows it",
                ("deficit", "epochs", *CONTROLS), rows, (f"Without a deficit {title} is {told(whole)}.",),
            )
        )  # fmt: skip
    return tables


def _moving(found: CriticalPeriodAnswer) -> Table:
    rows = []
    for onset in dict.fromkeys(cell.onset for cell in found.cells if cell.length):
        by_control = {cell.control: cell for cell in found.cells if cell.length and cell.onset == onset}
        cell = by_control["steps"]
        gaps = [found.networks.accuracy_gap(by_control[control]) for control in ("steps", "both")]
        rows.append((f"{cell.onset} to {cell.end}", *gaps))
    return Table("What a blur costs of accuracy, by when it comes", ("epochs", "steps", "both"), rows)


def _traces(found: CriticalPeriodAnswer) -> Table:
    """The Fisher traces without a deficit and under the longest ones."""
    nets = found.networks
    cells = [nets.clean, *(_cell(found, deficit, "none") for deficit in found.deficits)]
    last = found.epochs
    epochs = sorted({0, 1, 2, 3, 4, 6, last // 2, 3 * last // 4, last} & set(range(last + 1)))
    rows = [
        (str(epoch), *(nets.trace(cell, epoch) for cell in cells), nets.trace(nets.clean, epoch, CALIBRATED))
        for epoch in epochs
    ]
    names = [cell.deficit or "no deficit" for cell in cells]
    ends = ", ".join(f"{cell.deficit} until epoch {cell.end}" for cell in cells[1:])
    return Table("tr F on clean examples", ("after epoch", *names, "no deficit, calibrated"), rows, (f"{ends}.",))
