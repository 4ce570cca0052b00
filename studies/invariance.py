"""Does less information in the weights make activations that hold less, and are more invariant? A sweep over β."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np

from infoscope.bottleneck.emergence import effective_information
from infoscope.bottleneck.invariance import dependence, nuisance_information
from infoscope.bottleneck.nuisances import NUISANCES, Nuisance, Planted, plant
from infoscope.bottleneck.sampled_layer import Sampled, SampledLayer, sampled_layer_look
from infoscope.bottleneck.weight_noise import Channels, Looking, channel_look
from infoscope.data.partition import partition
from infoscope.data.task import Task
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, mean_and_stderr
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.look import Looks
from infoscope.run.question import Rows, Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe

LAYER = "act1"
INPUTS = 32
"""Inputs around which effective information is taken."""

QUANTITIES = ("I_eff", "I(Z;N)", "I(Z;Y)", "TC(Z), at least")


@dataclass(frozen=True)
class InvarianceStudy:
    """The sweep over β on the weights: the claim that joins the two bottlenecks (Achille & Soatto 2018; the slides).

    A tanh network with one hidden layer learns digits with a nuisance planted in each. Then for every β the posterior
    of least E_q L + β KL(q‖p) is found, and held-out examples go through, each with weights of its own drawn from it.
    Of the hidden layer: effective information; what it tells of nuisance and label, both from below by the same probe;
    total correlation, from below. As a control the same with noise that is equal on all weights.

    Attributes
    ----------
    data
        Data set of images, by name.
    nuisances
        Planted: turn, clutter or pattern.
    betas
        Prices of a nat in the weights. The prior's scale is chosen at the one nearest to 1.
    plain
        Deviations of the control's noise, in units of the weights' root mean square.
    width
        Hidden units.
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    """

    data: str = "digits"
    nuisances: tuple[str, ...] = ("turn", "clutter")
    betas: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    plain: tuple[float, ...] = (0.0, 0.2, 0.3, 0.4, 0.6, 1.0)
    width: Annotated[int, AtLeast(2)] = 32
    epochs: Annotated[int, AtLeast(1)] = 100
    replicates: Annotated[int, AtLeast(2)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"replicates": 10, "width": 256}

    def __post_init__(self) -> None:
        check_fields(self)
        if unknown := [name for name in self.nuisances if name not in NUISANCES]:
            raise ValueError(f"no nuisance {unknown[0]!r}; there are {', '.join(NUISANCES)}")
        if len(self.betas) < 3 or not all(0 < beta < math.inf for beta in self.betas):
            raise ValueError(f"betas are {self.betas}; give three or more, each above 0 and finite")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One nuisance after another."""
        found: list[Sweep] = []
        for name in self.nuisances:
            found.append((yield from self._sweep(name, NUISANCES[name], device)))
            yield Rows(tuple(found[-1].rows()))
        rows = tuple(row for sweep in found for row in sweep.rows())
        tables = tuple(table for sweep in found for table in sweep.tables())
        claims = tuple(claim for sweep in found for claim in sweep.claims())
        return StudyAnswer(
            "Invariance by less information in the weights", rows, tables, claims, _NOTES,
            [sweep.figure() for sweep in found],
        )  # fmt: skip

    def _sweep(self, name: str, nuisance: Nuisance, device: str) -> Stages[Sweep]:
        parts = partition(Task.from_dataset(self.data))
        train = plant(parts.train, nuisance, 0)
        held_out = plant(parts.coded, nuisance, 1, parts.train)
        learner = Learner(MLP((self.width,), "tanh"), Recipe(epochs=self.epochs, patience=None))
        seeds = tuple(range(self.seed, self.seed + self.replicates))
        trained: Population = yield Train(tuple(Member(learner, train.task, seed) for seed in seeds))
        betas = tuple(sorted(self.betas, key=lambda beta: abs(math.log(beta))))
        sampled: list[SampledLayer] = yield Looks(
            tuple(
                sampled_layer_look(
                    train.task, held_out.task, learner, trained.member(i), LAYER, betas, self.plain, seed, device,
                    f"posteriors, {name}, seed {seed}",
                )
                for i, seed in enumerate(seeds)
            )
        )  # fmt: skip
        places = [(i, point) for i, one in enumerate(sampled) for point in one.points]
        channels: list[Channels] = yield Looks(
            tuple(
                channel_look(
                    train.task, learner, point.weights, _looking(point.beta, sampled[i].scale, seeds[i]), device,
                    f"effective information, {name}, β = {point.beta:g}, seed {seeds[i]}",
                )
                for i, point in places
            )
        )  # fmt: skip
        told = {(seeds[i], point.beta): one for (i, point), one in zip(places, channels, strict=True)}
        return Sweep(name, nuisance, held_out, dict(zip(seeds, sampled, strict=True)), told, device)


def _looking(beta: float, scale: float, seed: int) -> Looking:
    return Looking((LAYER,), (beta,), scale, "rounds", "ekfac", 8, INPUTS, "data", 1.0, "mean", seed)


@dataclass(frozen=True, eq=False)
class Sweep:
    """What is found with one nuisance."""

    name: str
    nuisance: Nuisance
    held_out: Planted
    sampled: Mapping[int, SampledLayer]
    channels: Mapping[tuple[int, float], Channels]
    device: str

    @cached_property
    def betas(self) -> list[float]:
        """In order."""
        return sorted(point.beta for point in next(iter(self.sampled.values())).points)

    @cached_property
    def values(self) -> dict[tuple[str, float], dict[str, dict[int, float]]]:
        """By ("posterior", β) or ("plain", deviation) and quantity, the value of each seed, nats."""
        found: dict[tuple[str, float], dict[str, dict[int, float]]] = {}
        for seed, one in self.sampled.items():
            both = [("posterior", p.beta, p) for p in one.points] + [("plain", p.sd, p) for p in one.plain]
            for way, at, point in both:
                for quantity, value in self._values(point, seed).items():
                    found.setdefault((way, at), {}).setdefault(quantity, {})[seed] = value
        return found

    def _values(self, point: Sampled, seed: int) -> dict[str, float]:
        told = nuisance_information(point.z, self.held_out.n, seeds=(seed,), strict=False)
        label = nuisance_information(point.z, self.held_out.task.y, seeds=(seed,), strict=False)
        found = {
            "KL(q|p)": point.kl,
            "I(Z;N)": told.value,
            "I(Z;Y)": label.value,
            "TC(Z), at least": dependence(point.z),
            "loss": float(point.nats.mean()),
            "gap": float(point.nats.mean()) - point.loss,
        }
        channel = self.channels.get((seed, point.beta))
        if channel is not None:
            found["I_eff"] = effective_information({seed: channel.ratios[LAYER][0]}).value
        return found

    def measured(self, way: str, at: float, quantity: str) -> Measurement:
        """The mean over networks."""
        held = self.values[way, at].get(quantity)
        receipt = Receipt(
            "each example under weights of its own", self.held_out.task.fingerprint[:16], n=len(self.held_out.task),
            seeds=tuple(self.sampled), over="networks", device=self.device,
        )  # fmt: skip
        below = quantity in ("I(Z;N)", "I(Z;Y)", "TC(Z), at least")
        bound = Bound.LOWER if below else Bound.NONE
        return Measurement.from_replicates(quantity, held or {}, bound=bound, receipt=receipt)

    def rows(self) -> list[Row]:
        """Of the posteriors, then of the control."""
        rows = []
        for (way, at), held in self.values.items():
            place = {"nuisance": self.name, "noise": way, "beta" if way == "posterior" else "deviation": at}
            names = [name for name in held if name != "gap" and math.isfinite(sum(held[name].values()))]
            rows += [Row(place, self.measured(way, at, name)) for name in names]
        return rows

    def tables(self) -> tuple[Table, Table]:
        """Over β, and the control."""
        entropy = math.log(self.nuisance.values) / NATS_PER_BIT
        over = [
            (beta, *(self.measured("posterior", beta, q) for q in ("KL(q|p)", *QUANTITIES, "loss", "gap")))
            for beta in self.betas
        ]
        first = Table(
            f"{self.name}: the hidden layer over β",
            ("β", "KL(q‖p)", "I_eff", "I(Z;N) ≥", "I(Z;Y) ≥", "TC ≥", "held-out loss", "gap to training"),
            over, (f"H(N) = {entropy:.3g} bits. Loss in bits an example, under the noise.",),
        )  # fmt: skip
        names = ("I(Z;N)", "I(Z;Y)", "TC(Z), at least", "loss")
        plain = [(at, *(self.measured(way, at, q) for q in names)) for way, at in self.values if way == "plain"]
        title = f"{self.name}: the control, noise that is equal on all weights"
        return first, Table(title, ("deviation", "I(Z;N) ≥", "I(Z;Y) ≥", "TC ≥", "held-out loss"), plain)

    def claims(self) -> list[Claim]:
        """What the slides say, each by differences that are paired by network."""
        low, one, high = self.betas[0], min(self.betas, key=lambda b: abs(math.log(b))), self.betas[-1]
        return [
            self._fall("less information in the weights, less in the activations (I_eff)", "I_eff", low, high),
            self._fall("the layer tells less of the nuisance", "I(Z;N)", low, one),
            self._sooner(low, one),
            self._fall("total correlation falls", "TC(Z), at least", low, one),
            self._beyond_noise(one),
            self._fall("the gap between training and held-out loss falls", "gap", low, one),
        ]

    def _fall(self, text: str, quantity: str, start: float, end: float) -> Claim:
        first, last = (self.values["posterior", beta][quantity] for beta in (start, end))
        effect, error = mean_and_stderr([first[seed] - last[seed] for seed in first])
        why = f"from β = {start:g} to {end:g} by {_bits(effect, error)}"
        return Claim(f"{self.name}: {text}", judged(effect, error), why)

    def _sooner(self, start: float, end: float) -> Claim:
        kept = {}
        for quantity in ("I(Z;N)", "I(Z;Y)"):
            first, last = (self.values["posterior", beta][quantity] for beta in (start, end))
            kept[quantity] = {seed: last[seed] / first[seed] for seed in first}
        shares = {q: float(np.mean(list(by.values()))) for q, by in kept.items()}
        effect, error = mean_and_stderr([kept["I(Z;Y)"][s] - kept["I(Z;N)"][s] for s in kept["I(Z;Y)"]])
        why = f"at β = {end:g}, {shares['I(Z;N)']:.0%} of the nuisance and {shares['I(Z;Y)']:.0%} of the label are left"
        return Claim(f"{self.name}: the nuisance goes before the label", judged(effect, error), why)

    def _beyond_noise(self, beta: float) -> Claim:
        """Against the levels of plain noise that leave next less and next more of the label: both must agree."""
        text = f"{self.name}: it takes the posterior, plain noise that leaves as much of the label leaves more nuisance"
        plain = [at for way, at in self.values if way == "plain"]
        here, less, more = self.values["posterior", beta], list[float](), list[float]()
        for seed in self.sampled:
            told = sorted((self.values["plain", at]["I(Z;Y)"][seed], at) for at in plain)
            below = [at for label, at in told if label <= here["I(Z;Y)"][seed]]
            above = [at for label, at in told if label >= here["I(Z;Y)"][seed]]
            if not below or not above:
                return Claim(text, Verdict.UNDECIDED, "no two levels of plain noise have as much of the label between")
            for at, held in ((below[-1], less), (above[0], more)):
                held.append(self.values["plain", at]["I(Z;N)"][seed] - here["I(Z;N)"][seed])
        sides = [mean_and_stderr(held) for held in (less, more)]
        verdicts = {judged(*side) for side in sides}
        verdict = verdicts.pop() if len(verdicts) == 1 else Verdict.UNDECIDED
        why = (
            f"beside β = {beta:g}, plain noise with less of the label leaves {_bits(*sides[0])} more, with more of it "
        )
        return Claim(text, verdict, f"{why}{_bits(*sides[1])} more")

    def figure(self) -> Figure:
        """Everything over the information in the weights."""
        points = [("posterior", beta) for beta in self.betas]
        kl = [self.measured(*at, "KL(q|p)").bits for at in points]
        lines = [Line(q, kl, [self.measured(*at, q).bits for at in points]) for q in QUANTITIES]
        return Figure(
            f"The hidden layer by the information in the weights, {self.name}", "KL(q‖p) (bits)", "bits", lines,
            log_x=True,
        )  # fmt: skip


def _bits(effect: float, error: float) -> str:
    return f"{effect / NATS_PER_BIT:.2f} ± {error / NATS_PER_BIT:.2f} bits"


_NOTES: Sequence[str] = (
    "In the claims an effect counts from two of its errors on, over networks. I(Z;N) and I(Z;Y) are lower bounds by "
    "one probe, so that a fall is one of what that probe finds.",
)
