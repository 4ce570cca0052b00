"""Fisher and Shannon information in the weights of small networks: what the slides join, measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from scipy.stats import spearmanr

from infoscope import SGD, Learner, Member, Recipe, ShannonInformation, Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Population
from infoscope.ensembles.stacked_weights import member
from infoscope.ensembles.train import Train
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Measurement
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.look import Looks
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict
from infoscope.weight_information.example_losses import PerExample, losses_look
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import FisherOptions, network_fisher_look
from infoscope.weight_information.weights_and_data.answer import TaskShannon
from infoscope.weight_information.weights_and_data.closed_form import shannon_information
from infoscope.weight_information.weights_and_data.information_bounds import decoded_information

BETAS = (1.0, 0.1, 0.01)
RECIPES = ((0.2, 64), (0.5, 64), (0.1, 16), (0.3, 16), (0.05, 8), (0.15, 8))
"""Learning rates and batches of plain SGD."""

CONSTANTS = """\
**The constants.** The slide has I(w;D) ≈ H(D) − E log((2πe)^k/|∇w* F ∇w*ᵀ|). A Gaussian's entropy is ½
log((2πe)^k |Σ|), so that a ½ is missing before the log; the noise is βF⁻¹, so that a β is; and the determinant,
of a k × k matrix of the rank of the smaller of data and weights, is 0 as soon as data have more dimensions than
weights: its log is −∞ then, while the information is ½ log det(I + Cov(D) Jᵀ(F/β)J), of which it is the limit
for large signal. In Bayesian linear regression with s = 1, 3, 8 that is {exact:.10f} nats, and ½ Σ log s_j is
{limit:.4f}."""


@dataclass(frozen=True)
class FisherShannon:
    """Is Shannon's I(w;D) what Fisher's information says, and do weights of less Fisher information hold less of it?

    "SGD minimizes the Fisher information of the weights. However, generalization is governed by the Shannon
    information": I(w;D) ≈ H(D) − E log((2πe)^k/|∇w* F ∇w*ᵀ|) (slides of Achille; Achille, Paolini & Soatto 2019). First
    the formula, beside bounds that assume nothing (`infoscope shannon`), for models with one minimum and a network.
    Then plain SGD at several rates and batches, down to one training loss: Fisher's trace, Shannon's, the gap.

    Attributes
    ----------
    examples
        Of iris and of the digits, in the pools.
    replicates
        Data sets of iris.
    networks
        Data sets of the digits, a network each, for every recipe.
    width
        Hidden units, tanh, of the networks on digits.
    until
        Mean training loss, nats, at which recipes are compared.
    epochs
        Most of them.
    seed
        Of pools, data sets and networks.
    """

    examples: Annotated[int, AtLeast(10)] = 100
    replicates: Annotated[int, AtLeast(4)] = 24
    networks: Annotated[int, AtLeast(4)] = 10
    width: Annotated[int, AtLeast(1)] = 16
    until: float = 0.2
    epochs: Annotated[int, AtLeast(1)] = 400
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"examples": 150, "replicates": 200, "networks": 64, "epochs": 1000}

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.until > 0:
            raise ValueError(f"until is {self.until}; a training loss is above 0")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """The formula beside the bounds, then recipes."""
        found: dict[str, TaskShannon] = {}
        rows: list[Row] = []
        for name, question in self._questions().items():
            (found[name],) = (yield from question.stages(device)).found
            rows += [Row({"model": name, **row.coordinates}, row.measurement) for row in found[name].rows()]
        compared = yield from self._recipes(device)
        for recipe, of in compared.items():
            rows += [Row({"recipe": recipe}, m) for m in (of.trace, of.shannon)]
            rows += [Row({"recipe": recipe, "on": on}, m) for on, m in (("drawn", of.drawn), ("others", of.others))]
        s = torch.tensor([1.0, 3.0, 8.0], dtype=torch.float64)
        note = CONSTANTS.format(
            exact=shannon_information(s.diag(), torch.eye(3), torch.eye(3)), limit=0.5 * float(s.log().sum())
        )
        tables = (_formula(found), _by_recipe(compared))
        claims = [*_claims_of_formula(found), *_claims_of_recipes(compared)]
        return StudyAnswer("Fisher and Shannon information", rows, tables, claims, (note,), _figures(found))

    def _questions(self) -> dict[str, ShannonInformation]:
        shared: dict[str, Any] = {"curve": BETAS[1:], "seed": self.seed, "examples": self.examples, "epochs": 200}
        iris, digits = Task.from_dataset("iris"), Task.from_dataset("digits")
        return {
            "softmax regression, iris": ShannonInformation(
                iris, MLP(()), replicates=self.replicates, seeds=0, draws=4, **shared
            ),
            "softmax regression, digits": ShannonInformation(
                digits, MLP(()), replicates=max(4, self.networks // 2), seeds=0, draws=4, **shared
            ),
            "4-4-3, tanh, iris, one seed": ShannonInformation(
                iris, MLP((4,), "tanh"), replicates=self.replicates, seeds=0, draws=4, **shared
            ),
            "4-4-3, tanh, iris, seeds averaged": ShannonInformation(
                iris, MLP((4,), "tanh"), replicates=max(4, self.replicates // 2), seeds=2, draws=4, **shared
            ),
        }

    def _recipes(self, device: str) -> Stages[dict[str, Compared]]:
        mixed = Task.from_dataset("digits").shuffled(self.seed)
        pool, others, n = mixed[: self.examples], mixed[self.examples : 3 * self.examples], self.examples
        drawn = [np.random.default_rng([self.seed, j]).integers(0, n, n) for j in range(self.networks)]
        counts = torch.from_numpy(np.stack([np.bincount(one, minlength=n) for one in drawn]))
        compared: dict[str, Compared] = {}
        for lr, batch in RECIPES:
            recipe = Recipe(SGD(lr, momentum=0.0), batch=batch, epochs=self.epochs, patience=None)
            learner = Learner(MLP((self.width,), "tanh"), recipe)
            members = tuple(Member(learner, pool[rows], self.seed + j) for j, rows in enumerate(drawn))
            trained: Population = yield Train(members, EnsembleSpec(until=self.until))
            weights = [member(trained.matched, j) for j in range(len(trained))]
            known: list[PerExample] = yield Looks((losses_look(pool, learner, weights, device, "pool"),))
            unseen: list[PerExample] = yield Looks((losses_look(others, learner, weights, device, "other digits"),))
            looks = []
            for one, rows in zip(weights, drawn, strict=True):
                network = learner.starting_from(one).network(pool.shape, 10, 0)
                names = tuple(name for name, _ in network.named_parameters())
                looks.append(network_fisher_look(network, pool[rows], names, FisherOptions(), device))
            curved: list[Fisher] = yield Looks(tuple(looks))
            traces = {j: one.trace().value for j, one in enumerate(curved)}
            compared[f"rate {lr:g}, batch {batch}"] = Compared(
                int((trained.matched_epochs < 0).sum()), trained.matched_epochs.double().mean().item(),
                Measurement.from_replicates("tr F", traces), decoded_information(known[0].values[:, None], counts),
                _loss((known[0].values * counts).mean(1)), _loss(unseen[0].values.mean(1)),
            )  # fmt: skip
        return compared


@dataclass(frozen=True)
class Compared:
    """Networks of one recipe at one training loss: how many never came so far, the epochs, three quantities."""

    never: int
    epochs: float
    trace: Measurement
    shannon: Measurement
    drawn: Measurement
    others: Measurement

    @property
    def gap(self) -> Measurement:
        """Loss on other digits less the loss on those that were drawn, nats an example."""
        return self.others - self.drawn


def _loss(values: torch.Tensor) -> Measurement:
    """Nats an example, of every network."""
    return Measurement.from_replicates("loss", dict(enumerate(values.tolist())))


def _limit(one: TaskShannon, beta: float) -> tuple[float, float]:
    """½ log det of the slide with its ½ and β, in bits: in all dimensions of the data, and in those that reach w."""
    channel = next(price.channel for price in one.priced if price.noise.beta == beta)
    if channel is None:
        return math.nan, math.nan
    reached = channel.signal[channel.signal > 1e-9 * channel.signal.max()]
    inside = 0.5 * float(reached.log().sum()) / NATS_PER_BIT
    return (-math.inf if len(reached) < len(channel.signal) else inside), inside


def _formula(found: Mapping[str, TaskShannon]) -> Table:
    rows: list[list[Cell]] = []
    for name, one in found.items():
        for beta in BETAS:
            everywhere, inside = _limit(one, beta)
            cells = [one.of(way, beta) for way in ("decoder", "channel", "ensemble", "prior")]
            rows.append([name, f"{beta:g}", *cells, f"{everywhere:.1f}", f"{inside:.1f}"])
    columns = ("model", "β", "decoder (lower)", "channel", "ensemble", "prior (upper)", "slide, bit", "slide, its rank")
    note = 'The slide\'s form has its ½ and β here; "its rank" leaves out what never varies or never reaches w.'
    return Table("I(w;D) in bits", columns, rows, (note,))


def _by_recipe(compared: Mapping[str, Compared]) -> Table:
    rows = [[name, round(of.epochs, 1), of.never, of.trace, of.shannon, of.gap] for name, of in compared.items()]
    columns = ("recipe", "epochs", "never there", "tr F, bit", "I(w;D), at least, bit", "gap, bit an example")
    return Table("Plain SGD down to one training loss, digits", columns, rows, ("± is over data sets and seeds.",))


def _claims_of_formula(found: Mapping[str, TaskShannon]) -> list[Claim]:
    claims = []
    for kind, text in (("softmax", "models with one minimum"), ("tanh", "a network of four hidden units")):
        several = [(name, one, beta) for name, one in found.items() if kind in name for beta in BETAS]
        outside, tight = [], 0
        for name, one, beta in several:
            low, high, channel = (one.of(way, beta) for way in ("decoder", "prior", "channel"))
            tight += high.value <= 2 * low.value
            if not low.value - 2 * low.stderr <= channel.value <= high.value + 2 * high.stderr:
                outside.append(f"{name} at β = {beta:g}")
        verdict = Verdict.NOT_REPRODUCED if outside else Verdict.REPRODUCED if tight else Verdict.UNDECIDED
        why = (
            f"between the bounds in {len(several) - len(outside)} of {len(several)} cases"
            f"{', not ' + ', '.join(outside) if outside else ''}; within a factor of 2 of each other in {tight}"
        )
        claims.append(Claim(f"½ log det(I + Cov(D) Jᵀ(F/β)J) is I(w;D) of {text}", verdict, why))
    for name in ("softmax regression, iris", "4-4-3, tanh, iris, one seed"):
        pairs = [(found[name].of("ensemble", beta), found[name].of("channel", beta)) for beta in BETAS]
        apart = [abs(counted.value - local.value) > 2 * counted.stderr for counted, local in pairs]
        told = ", ".join(
            f"{counted.bits:.3g} ± {counted.stderr_bits:.2g} for {local.bits:.3g}" for counted, local in pairs
        )
        claims.append(Claim(
            f"networks that are trained again vary as implicit differentiation says ({name})",
            Verdict.NOT_REPRODUCED if any(apart) else Verdict.REPRODUCED, f"{told} bits at β = 1, 0.1, 0.01",
        ))  # fmt: skip
    limits = [_limit(one, beta)[0] for one in found.values() for beta in BETAS]
    void = sum(value == -math.inf for value in limits)
    claims.append(Claim(
        "I(w;D) ≈ H(D) − E log((2πe)^k/|∇w* F ∇w*ᵀ|), as it is printed",
        Verdict.NOT_REPRODUCED if void else Verdict.UNDECIDED,
        f"the determinant is 0 in {void} of {len(limits)} cases, its log −∞: not every dimension of the data reaches w",
    ))  # fmt: skip
    return claims


def _claims_of_recipes(compared: Mapping[str, Compared]) -> list[Claim]:
    there = [of for of in compared.values() if not of.never]
    few = f"{len(there)} recipes"
    claims = []
    for text, a, b in (
        ("SGD that ends at less Fisher information ends at less Shannon information", "trace", "shannon"),
        ("less Shannon information goes with a smaller gap", "shannon", "gap"),
        ("less Fisher information goes with a smaller gap", "trace", "gap"),
    ):
        x, y = ([getattr(of, name).value for of in there] for name in (a, b))
        if len(there) < 4:
            claims.append(Claim(text, Verdict.UNDECIDED, f"only {few} came down to the training loss"))
            continue
        rank, chance = spearmanr(x, y)
        verdict = Verdict.UNDECIDED if chance > 0.05 else Verdict.REPRODUCED if rank > 0 else Verdict.NOT_REPRODUCED
        claims.append(Claim(text, verdict, f"rank correlation {rank:+.2f} over {few}, p = {chance:.2f}"))
    return claims


def _figures(found: Mapping[str, TaskShannon]) -> Sequence[Figure]:
    betas = sorted(BETAS)
    drawn = []
    for name, one in found.items():
        lines = [
            Line(way, betas, [one.of(way, beta).bits for beta in betas], dash=way in ("decoder", "prior"))
            for way in ("decoder", "channel", "ensemble", "prior")
        ]
        drawn.append(Figure(f"I(w;D), {name}", "β", "I(w;D) (bits)", lines, log_x=True))
    return drawn
