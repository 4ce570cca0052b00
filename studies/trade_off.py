"""The structure function of tasks: what labels cost against what weights hold, at every price of a nat."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from both_ways import both_ways
from infoscope import Massart, Task
from infoscope.data.targets import Classes
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict, judged
from infoscope.weight_information.weights.curve import Point

BETAS = (0.02, 0.1, 0.3, 1.0, 3.0, 10.0)
TASKS = ("true labels", "even or odd", "half of them random", "random labels")

SHARE = 0.1
"""Of N log|Y|: the loss t at which S(t) is told."""

PARTS = """\
**Where prediction and measurement part.** E_q L is sampled. "Predicted" is L(m) + ½ tr HΣ, what a curve from
one decomposition of the curvature would show. The closed form rests on it: where the two part
(`NOT_QUADRATIC`), the point is not on the curve, and its KL buys another loss than the formula says. The rounds
don't rest on it."""


@dataclass(frozen=True)
class TradeOff:
    """E_q L against KL(q‖p) over β: the trade-off curve of the slides, for tasks of more and of less structure.

    S(t) = min KL(q‖p) so that E_q L < t (slides of Achille; Achille & Soatto 2018; Vereshchagin & Vitányi 2004). Digits
    with their labels, with labels that only say even or odd, with half or all of the labels drawn anew. Gaussian
    posteriors (`infoscope weights`) in closed form around the trained weights, and by rounds.

    Attributes
    ----------
    examples
        Digits.
    width
        Hidden units, tanh.
    betas
        Prices, with 1 among them. They are walked twice, from the lowest up and from the highest down, each posterior
        beginning from its neighbour's; the better of the two counts.
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
    replicates: Annotated[int, AtLeast(2)] = 4
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"examples": 1797, "width": 256, "rounds": 48, "epochs": 1000, "replicates": 5}

    def __post_init__(self) -> None:
        check_fields(self)
        if 1.0 not in self.betas or len(self.betas) < 2:
            raise ValueError(f"betas are {self.betas}; give two or more, 1 among them")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One task and seed after another."""
        found: dict[str, dict[int, dict[str, tuple[Point, ...]]]] = {name: {} for name in TASKS}
        rows: list[Row] = []
        for seed in range(self.seed, self.seed + self.replicates):
            for name, task in zip(TASKS, tasks_of(self.examples, seed), strict=True):
                walked = yield from both_ways(
                    task, MLP((self.width,), "tanh"), self.betas, rows, {"task": name, "seed": seed},
                    rounds=self.rounds, draws=self.draws, seed=seed, epochs=self.epochs,
                )  # fmt: skip
                found[name][seed] = {"closed": walked.closed, "rounds": walked.best}
        tables = [_table(name, found[name]) for name in TASKS]
        figures = [_curves(found), *(_both(name, found[name]) for name in (TASKS[0], TASKS[-1]))]
        return StudyAnswer("The trade-off curve", rows, tables, _claims(found, self.examples), (PARTS,), figures)


Found = Mapping[int, Mapping[str, tuple[Point, ...]]]
"""By seed and way, a posterior at every β, rising."""


def tasks_of(examples: int, seed: int) -> tuple[Task, ...]:
    """The same digits under four kinds of labels, in the order of `TASKS`."""
    true = Task.from_dataset("digits").shuffled(seed)[:examples]
    parity = Task.from_arrays(true.x, true.y % 2, target=Classes(("even", "odd")), name="digits")
    drawn = (true.corrupted(Massart(level), seed) for level in (0.5, 1.0))
    return tuple(dataclasses.replace(task, name="digits") for task in (true, parity, *drawn))


def _mean(found: Found, way: str, i: int, what: str) -> Measurement:
    points = {seed: ways[way][i] for seed, ways in found.items()}
    values = {"KL(q|p)": lambda p: p.kl, "E_q L": lambda p: p.expected[0], "E_q L quadratic": lambda p: p.predicted,
              "C": lambda p: p.complexity}  # fmt: skip
    return Measurement.from_replicates(what, {seed: values[what](p) for seed, p in points.items()})


def _betas(found: Found) -> list[float]:
    return [p.beta for p in next(iter(found.values()))["rounds"]]


def _table(name: str, found: Found) -> Table:
    rows: list[list[Cell]] = []
    for i, beta in enumerate(_betas(found)):
        cells: list[Cell] = [f"{beta:g}"]
        for way in ("closed", "rounds"):
            apart = sum(ways[way][i].parts_ways for ways in found.values())
            cells += [_mean(found, way, i, what) for what in ("KL(q|p)", "E_q L", "E_q L quadratic")]
            cells.append(f"{apart} of {len(found)}")
        rows.append(cells)
    columns = ["β"]
    for way in ("closed", "rounds"):
        columns += [f"{way}: KL(q‖p), bit", "E_q L, sampled", "predicted", "parted"]
    return Table(name, columns, rows, ("± is over replicates; parted: in how many NOT_QUADRATIC.",))


def structure(curve: Sequence[Point], loss: float) -> float:
    """S(t), nats: the least KL(q‖p) at which E_q L comes down to t, on the points' lower convex hull; NaN if never.

    Between two posteriors lies their mixture, which costs no more than the straight line between them.

    >>> def point(loss, kl): return Point("rounds", 1.0, 1.0, 0.0, (loss, loss), loss, {"w": kl}, {})
    >>> structure([point(1.0, 10.0), point(3.0, 9.0), point(5.0, 0.0)], 3.0)
    5.0
    """
    at = [(p.expected[0], p.kl) for p in curve]
    pairs = [(low, high) for low in at for high in at if low[0] <= loss <= high[0]]
    if not pairs:
        return math.nan
    return min(
        low[1] if high[0] == low[0] else low[1] + (loss - low[0]) / (high[0] - low[0]) * (high[1] - low[1])
        for low, high in pairs
    )


def _structure(found: Found, share: float, most: float) -> Measurement:
    """S(t) by rounds, over replicates."""
    at = {seed: structure(ways["rounds"], share * most) for seed, ways in found.items()}
    return Measurement.from_replicates("KL(q|p)", at)


def _claims(found: Mapping[str, Found], examples: int) -> list[Claim]:
    n = len(_betas(next(iter(found.values()))))
    rises = [
        ways["rounds"][i + 1].kl - ways["rounds"][i].kl for of in found.values() for ways in of.values()
        for i in range(n - 1)
    ]  # fmt: skip
    parted = {way: sum(ways[way][i].parts_ways for of in found.values() for ways in of.values() for i in range(n))
              for way in ("closed", "rounds")}  # fmt: skip
    total = n * sum(len(of) for of in found.values())
    middle = _betas(next(iter(found.values()))).index(1.0)
    cost = {name: _structure(of, SHARE, examples * math.log(2 if name == "even or odd" else 10))
            for name, of in found.items()}  # fmt: skip
    saved = [_mean(of, "closed", middle, "C") - _mean(of, "rounds", middle, "C") for of in found.values()]
    least = min(saved, key=lambda m: m.value / max(m.stderr, 1e-9))
    true, half, random = (cost[name] for name in ("true labels", "half of them random", "random labels"))
    steps = [half - true, random - half]
    step = min(steps, key=lambda m: m.value / max(m.stderr, 1e-9))
    told = {name: f"{m.bits:.0f} ± {m.stderr_bits:.0f}" for name, m in cost.items()}
    return [
        Claim("KL(q‖p) falls as its price rises",
              Verdict.REPRODUCED if max(rises) < NATS_PER_BIT / 10 else Verdict.NOT_REPRODUCED,
              f"in {len(rises)} steps it rises by {max(rises) / NATS_PER_BIT:.2g} bit at most, by rounds"),
        Claim("structure is cheap: S(t) of true labels is below that of random ones", judged(
              (random - true).value, (random - true).stderr),
              f"{told['true labels']} against {told['random labels']} bits at t = N log|Y|/10"),
        Claim("the more of the labels are random, the more bits they take", judged(step.value, step.stderr),
              f"S(t) is {told['true labels']}, {told['half of them random']}, {told['random labels']} bits"),
        Claim("the curve from one decomposition is the curve (ours)",
              Verdict.REPRODUCED if not parted["closed"] else Verdict.NOT_REPRODUCED,
              f"sampled and predicted loss part at {parted['closed']} of {total} points in closed form, "
              f"at {parted['rounds']} by rounds"),
        Claim("rounds lie below the closed form at β = 1 on every task (ours)", judged(least.value, least.stderr),
              "by " + ", ".join(f"{m.bits:.0f} ± {m.stderr_bits:.0f}" for m in saved) + " bits"),
    ]  # fmt: skip


def _curves(found: Mapping[str, Found]) -> Figure:
    lines = [_line(name, of, "rounds", "E_q L") for name, of in found.items()]
    return Figure("The trade-off curve of four tasks", "KL(q‖p) (bits)", "E_q L (bits)", lines)


def _both(name: str, found: Found) -> Figure:
    lines = [
        dataclasses.replace(_line(f"{way}, {said}", found, way, what), dash=said == "predicted")
        for way in ("closed", "rounds")
        for said, what in (("sampled", "E_q L"), ("predicted", "E_q L quadratic"))
    ]
    return Figure(f"Sampled and predicted, {name}", "KL(q‖p) (bits)", "E_q L (bits)", lines, log_y=True)


def _line(name: str, found: Found, way: str, what: str) -> Line:
    places: Sequence[int] = range(len(_betas(found)))
    x, y = ([_mean(found, way, i, q).bits for i in places] for q in ("KL(q|p)", what))
    return Line(name, x, y)
