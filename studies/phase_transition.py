"""Random labels against the price of a nat in the weights: do networks cease to memorise at β = 1?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from both_ways import BothWays, both_ways
from infoscope import Massart, Task
from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict, judged
from infoscope.weight_information.phase_transition import GateAndMemoriser
from infoscope.weight_information.weights.curve import Point

BETAS = (0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
GATE = GateAndMemoriser(10, 0.5, 2)
"""Ten labels of two classes, a table that answers with prior probability ½: m(.9) = .683556, m(1.1) = .34748."""

THEOREM = """\
**What must hold.** Random labels are N log|Y| nats whatever the inputs are, and E_q L + KL(q‖p) is the length
of a code for them: on average E_q L ≥ N log|Y| − KL, so nobody memorises for less than a nat a nat. At β ≥ 1,
then, memorising never pays; below, it pays for one who stores labels at their own price, as the exact model
does. Gaussian noise on a network's weights is no such store: at β½ a nat of what it knows costs 1/β½ of them."""


@dataclass(frozen=True)
class PhaseTransition:
    """The share of the labels' information that a network holds, against β, with true labels and with random ones.

    "For random labels there is a transition between over- and under-fitting at β = 1" (slides of Achille, "Information
    in the Weights and Emergent Properties of Deep Neural Networks"; Achille & Soatto 2018, Fig. 1). Digits, of which
    the labels are drawn anew and evenly; Gaussian posteriors by rounds (`infoscope weights`), each from its
    neighbour's. Known is 1 − E_q L/(N log|Y|), with E_q L sampled: the gate and memoriser's m(β) is the same share.

    Attributes
    ----------
    examples
        Digits.
    width
        Hidden units, tanh.
    betas
        Prices, with 1 among them. They are walked twice, from the lowest up and from the highest down, each posterior
        beginning from its neighbour's.
    rounds
        Of curvature.
    draws
        Of weights.
    epochs
        Most epochs of a training.
    replicates
        Digits, labels and networks drawn anew.
    seed
        The first of their seeds.
    """

    examples: Annotated[int, AtLeast(10)] = 100
    width: Annotated[int, AtLeast(1)] = 16
    betas: tuple[float, ...] = BETAS
    rounds: Annotated[int, AtLeast(1)] = 12
    draws: Annotated[int, AtLeast(2)] = 16
    epochs: Annotated[int, AtLeast(1)] = 300
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"examples": 1797, "width": 256, "rounds": 48, "epochs": 1000, "replicates": 5}

    def __post_init__(self) -> None:
        check_fields(self)
        if 1.0 not in self.betas or len(self.betas) < 2:
            raise ValueError(f"betas are {self.betas}; give two or more, 1 among them")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One curve after another."""
        digits, seeds = Task.from_dataset("digits"), range(self.seed, self.seed + self.replicates)
        curves: dict[str, dict[int, BothWays]] = {"random": {}, "true": {}}
        rows: list[Row] = []
        for seed in seeds:
            true = digits.shuffled(seed)[: self.examples]
            for labels, task in (("random", true.corrupted(Massart(1.0), seed)), ("true", true)):
                curves[labels][seed] = yield from both_ways(
                    dataclasses.replace(task, name="digits"), MLP((self.width,), "tanh"), self.betas, rows,
                    {"labels": labels, "seed": seed}, rounds=self.rounds, draws=self.draws, seed=seed,
                    epochs=self.epochs,
                )  # fmt: skip
        most = self.examples * math.log(digits.classes)
        table = _table(curves, most)
        claims = _claims(curves, most, digits.classes)
        return StudyAnswer(
            "The phase transition on random labels", rows, (table,), claims, (THEOREM,), (_figure(curves, most),)
        )


Curves = Mapping[int, BothWays]
"""By seed."""


def known(point: Point, most: float) -> float:
    """Share of the labels' nats that are known: 1 − E_q L/(N log|Y|)."""
    return 1 - point.expected[0] / most


def crossing(curve: Sequence[tuple[float, float]], level: float = 0.5) -> float:
    """The β beyond which a share stays below this level, between two that were tried on a scale of log β; NaN if none.

    >>> round(crossing([(0.1, 0.9), (1.0, 0.1)]), 3)
    0.316
    """
    above = [i for i, (_, share) in enumerate(curve) if share >= level]
    if not above or above[-1] + 1 == len(curve):
        return math.nan
    (low, high), (after, less) = curve[above[-1]], curve[above[-1] + 1]
    return math.exp(math.log(low) + (high - level) / (high - less) * (math.log(after) - math.log(low)))


def meeting(of: BothWays, most: float) -> float:
    """The β at which knowing half of the labels or more begins to cost more than knowing none.

    Two kinds of posterior compete, and each walk stays with its own: the cheaper one of those that know, and that of
    the highest β, which knows nothing and is there at every price. Their C cross between two prices, on a scale of
    log β; or where knowing ceases by itself, if it was the cheaper one till then.
    """
    nothing, told = of.down[-1], []
    for pair in zip(of.up, of.down, strict=True):
        knowing = [p.complexity for p in pair if known(p, most) >= 0.5]
        if knowing:
            told.append((pair[0].beta, nothing.expected[0] + pair[0].beta * nothing.kl - min(knowing)))
    crossed = crossing(told, 0.0)
    return crossing([(p.beta, known(p, most)) for p in of.up]) if math.isnan(crossed) else crossed


def _place(curves: Curves, walk: str, most: float) -> Measurement:
    """Log β½, over seeds: of the walk from below or above, or where the two cost the same."""
    found = {
        s: meeting(of, most) if walk == "best" else crossing([(p.beta, known(p, most)) for p in getattr(of, walk)])
        for s, of in curves.items()
    }
    return Measurement.from_replicates("log β½", {s: math.log(b) for s, b in found.items()}, unit="1")


def _over(curves: Curves, i: int, what: str, most: float, walk: str = "best") -> Measurement:
    points = {seed: getattr(of, walk)[i] for seed, of in curves.items()}
    if what == "known":
        return Measurement.from_replicates("known", {s: known(p, most) for s, p in points.items()}, unit="1")
    return Measurement.from_replicates("KL(q|p)", {s: p.kl for s, p in points.items()})


def _table(curves: Mapping[str, Curves], most: float) -> Table:
    betas = [p.beta for p in next(iter(curves["random"].values())).up]
    rows: list[list[Cell]] = []
    for i, beta in enumerate(betas):
        cells: list[Cell] = [f"{beta:g}"]
        for labels in ("random", "true"):
            cells += [_over(curves[labels], i, what, most) for what in ("known", "KL")]
            cells += [_over(curves[labels], i, "known", most, walk) for walk in ("up", "down")]
        rows.append([*cells, GATE.memorised(beta)])
    columns = ["β"]
    for labels in ("random", "true"):
        columns += [f"{labels}: known", "KL(q‖p), bit", "from below", "from above"]
    notes = ("± is over networks and labels. Known and KL are those of the posterior of lower C of the two walks.",)
    return Table("What is known of the labels, and what it costs", [*columns, "gate, N = 10"], rows, notes)


def _claims(curves: Mapping[str, Curves], most: float, classes: int) -> list[Claim]:
    places = {labels: _place(curves[labels], "best", most) for labels in ("random", "true")}
    random, true = places["random"], places["true"]
    told = {labels: _said(place) for labels, place in places.items()}
    held = max(2 * random.stderr, math.log(1.5))
    verdict = Verdict.UNDECIDED
    if math.isfinite(random.value) and math.isfinite(random.stderr):
        verdict = Verdict.NOT_REPRODUCED if abs(random.value) > held else Verdict.REPRODUCED
    below, above_it = (_place(curves["random"], walk, most) for walk in ("up", "down"))
    width = below - above_it
    best = {s: of.best for s, of in curves["random"].items()}
    at_one = {s: next(p for p in curve if p.beta == 1).complexity - most for s, curve in best.items()
              if any(p.beta == 1 for p in curve)}  # fmt: skip
    above = Measurement.from_replicates("C", at_one)
    learned = {s: known(next(p for p in c if p.beta == 1), most) for s, c in best.items() if s in at_one}
    share = Measurement.from_replicates("known", learned, unit="1")
    gap = true - random
    return [
        Claim("over- and under-fitting of random labels change places at β = 1", verdict,
              f"they cost the same at β½ = {told['random']}; in the exact model at 1 (ρ = ½)"),
        Claim("the change is a transition: each side holds on beyond the place where the other is cheaper (ours)",
              judged(width.value, width.stderr),
              f"from below they are forgotten at {_said(below)}, from above learned at {_said(above_it)}"),
        Claim("at β = 1 and above random labels are not memorised", judged(0.5 - share.value, share.stderr),
              f"at β = 1 {share.value:.3f} ± {share.stderr:.3f} of their bits are known"),
        Claim("C at β = 1 is a codelength: never below N log|Y| on random labels", judged(above.value, above.stderr),
              f"{above.bits:.1f} ± {above.stderr_bits:.1f} bits above {most / math.log(2):.0f}"),
        Claim("true labels are held at a higher price than random ones", judged(gap.value, gap.stderr),
              f"β½ = {told['true']} against {told['random']}"),
    ]  # fmt: skip


def _said(place: Measurement) -> str:
    return f"{math.exp(place.value):.3g} (× or ÷ {math.exp(place.stderr):.2f})"


def _figure(curves: Mapping[str, Curves], most: float) -> Figure:
    betas = [p.beta for p in next(iter(curves["random"].values())).up]
    lines = [
        Line(f"{labels} labels", betas, [_over(of, i, "known", most).value for i in range(len(betas))])
        for labels, of in curves.items()
    ]
    lines.append(Line("gate and memoriser, N = 10", betas, [GATE.memorised(beta) for beta in betas], dash=True))
    return Figure("Share of the labels' bits that is known", "β", "1 − E_q L/(N log|Y|)", lines, log_x=True)
