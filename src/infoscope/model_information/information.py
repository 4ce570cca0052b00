"""How much a network knows about a task: model information, by training or from a user's own weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infoscope import __version__
from infoscope.data.partition import MOST_CODED, Partition, without_overlap
from infoscope.data.task import Task
from infoscope.ensembles.population import Member
from infoscope.ensembles.run_context import Running
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.model_information.performance import accuracy, confidence
from infoscope.prequential.codelength import codelength, model_information
from infoscope.prequential.encode import Coder, curve_looks
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.look import Look
from infoscope.training.learner import Learner, Weights
from infoscope.training.predict import Predictions, predict


@dataclass(frozen=True)
class Knowledge:
    """Both terms of eq. (2) as curves, and what the final networks predict for the coded examples."""

    coded: Task
    initial: Sequence[LossCurve]
    trained: Sequence[LossCurve]
    predictions: dict[int, np.ndarray]
    status: frozenset[Status]
    notes: tuple[str, ...]

    def measurements(self) -> list[Measurement]:
        """L(M, D) first, then its terms, then accuracy and confidence on the coded examples."""
        first, last = codelength(self.initial), codelength(self.trained)
        difference = model_information(self.initial, self.trained)
        y = self.coded.labels.numpy()
        receipt = Receipt(
            "network on unseen examples", first.receipt.data, last.receipt.model, n=len(y),
            seeds=tuple(self.predictions), over="networks", version=__version__,
        )  # fmt: skip
        rows = [
            difference,
            first.named("L_init(y|x)"),
            last.named("L_trained(y|x)"),
            accuracy(self.predictions, y, receipt),
            confidence(self.predictions, y, receipt),
        ]
        return [
            dataclasses.replace(
                row,
                status=row.status | self.status,
                receipt=dataclasses.replace(row.receipt, notes=(*row.receipt.notes, *self.notes)),
            )
            for row in rows
        ]


def train_and_measure(
    parts: Partition,
    learner: Learner,
    coder: Coder,
    *,
    replicates: int = 3,
    seed: int = 0,
    running: Running | None = None,
) -> Knowledge:
    """Train one network a seed, then send the coded labels from its initial and from its final weights.

    A seed whose training diverges is left out, and named in the notes.
    """
    running = running or Running()
    seeds = range(seed, seed + replicates)
    population = running.train([Member(learner, parts.train, s, parts.validation) for s in seeds])
    trained = [population.trained(i) for i in range(len(population))]
    status = frozenset() if all(t.converged for t in trained) else frozenset({Status.NOT_CONVERGED})
    pairs = [(learner.starting_from(t.initial), learner.starting_from(t.weights)) for t in trained]
    epochs = ", ".join(str(t.epochs) for t in trained)
    lost = [f"left out: {name}: {why}" for name, why in population.failed.items()]
    notes = (*parts.notes, f"epochs: {epochs}", f"trained by {population.way}", *lost)
    return measure(parts.coded, pairs, coder, population.seeds, running, status, notes)


def measure_weights(
    coded: Task,
    learner: Learner,
    weights: Weights,
    coder: Coder,
    *,
    trained_on: Task | None,
    initial: Weights | None = None,
    k: int | None = None,
    replicates: int = 3,
    seed: int = 0,
    running: Running | None = None,
) -> Knowledge:
    """A user's own network: both terms from its weights and from `initial` (else from each seed's own start).

    Without `trained_on` nobody can check that the coded examples are new, and the status is UNVERIFIED_SPLIT.
    """
    coded = coded.shuffled(seed)
    notes: tuple[str, ...] = ()
    status = frozenset({Status.UNVERIFIED_SPLIT})
    if trained_on is not None:
        coded, dropped = without_overlap(coded, trained_on)
        # Inputs of another shape cannot be compared, so nobody has checked that they are new.
        status = frozenset() if trained_on.shape == coded.shape else status
        notes = (f"{dropped} examples equal to trained ones were not coded",) if dropped else ()
    if k is not None and k > len(coded):
        raise ValueError(f"{coded.name!r} has {len(coded)} examples to code, and k = {k} were asked for")
    coded = coded[: min(MOST_CODED if k is None else k, len(coded))]
    start = learner if initial is None else learner.starting_from(initial)
    pairs = [(start, learner.starting_from(weights))] * replicates
    return measure(coded, pairs, coder, range(seed, seed + replicates), running or Running(), status, notes)


def measure(
    coded: Task,
    pairs: Sequence[tuple[Learner, Learner]],
    coder: Coder,
    seeds: Sequence[int],
    running: Running,
    status: frozenset[Status] = frozenset(),
    notes: tuple[str, ...] = (),
) -> Knowledge:
    """Both terms of eq. (2) for each pair of an initial and a final learner, paired by their seed's order and draws."""
    if not coder.needs_network:
        raise ValueError(f"eq. (2) measures a network with its own code; {type(coder).__name__} knows no network")
    initial, final = zip(*pairs, strict=True)
    looks = curve_looks(coded, coder, initial, seeds=seeds, device=running.device, label="initial code")
    looks += curve_looks(coded, coder, final, seeds=seeds, device=running.device, label="trained code")
    curves = running.look(looks)
    guesses: list[Predictions] = running.look(
        [
            Look(
                predict,
                (coded, one, seed, running.device),
                Predictions,
                1,
                f"predictions on {coded.name}, seed {seed}",
            )
            for seed, one in zip(seeds, final, strict=True)
        ]
    )
    predictions = {seed: guess.p.numpy() for seed, guess in zip(seeds, guesses, strict=True)}
    n = len(pairs)
    return Knowledge(coded, curves[:n], curves[n:], predictions, status, notes)
