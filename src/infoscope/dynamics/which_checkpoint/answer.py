"""What the question of checkpoints comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.dynamics.which_checkpoint.choice import Choice, chosen
from infoscope.dynamics.which_checkpoint.posterior import AtCheckpoint, CheckpointPosterior
from infoscope.figure import Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, Status, mean_and_stderr
from infoscope.record import Record, Row
from infoscope.weight_information.certificate.certificate import BOUND, DRAWS, Certificate, certify
from infoscope.weight_information.certificate.ledger import Ledger
from infoscope.weight_information.example_losses import mean_and_error

_SHARE_OF_DRAWS = 0.3  # of δ
_KEPT = frozenset({Status.NOT_AT_A_MINIMUM})


@dataclass(frozen=True, eq=False)
class Held:
    """Examples that the checkpoints have not seen, and what each costs at each of them, nats."""

    task: Task
    losses: Float[Tensor, "checkpoints n"]


@dataclass(frozen=True, eq=False)
class WhichCheckpointAnswer:
    """What `WhichCheckpoint` comes to: a posterior a checkpoint, in the order of their steps.

    `remark` says why there is no certificate, where there is none; `notes` what was changed in reading the files.
    """

    task: Task
    model: str
    names: tuple[str, ...]
    steps: tuple[int, ...]
    found: tuple[CheckpointPosterior, ...]
    how: AtCheckpoint
    delta: float
    held: Held | None
    remark: str
    notes: tuple[str, ...]
    device: str

    @property
    def title(self) -> str:
        """Checkpoints of a network."""
        return f"{len(self.steps)} checkpoints of {self.model} trained on {self.task.name}"

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """One each, which all hold together with probability 1 − δ; none where errors were not counted.

        One prior serves all posteriors, whatever they were trained on, as long as it has not seen the examples itself;
        only the draws are shared out.
        """
        if self.remark:
            return ()
        ledger = Ledger(self.delta).spend(DRAWS, float(f"{_SHARE_OF_DRAWS * self.delta:.3g}"), len(self.found))
        ledger = ledger.spend_rest(BOUND)
        return tuple(
            certify(torch.tensor(one.risks, dtype=torch.float64), one.total, one.n, ledger) for one in self.found
        )

    def rows(self, place: int) -> list[Row]:
        """All that was measured at one checkpoint."""
        one, found = self.found[place], list[tuple[Measurement, str]]()
        receipt = self._receipt(place, "Gaussian posterior around the weights", "draws of q")
        mean, error = mean_and_stderr(one.losses)
        replicates = dict(enumerate(one.losses))
        found += [
            (Measurement("KL(q|p)", one.total, 0.0, bound=Bound.EXACT, receipt=receipt), ""),
            (Measurement("E_q L", mean, error, replicates=replicates, receipt=receipt), ""),
            (Measurement("C", mean + self.how.beta * one.total, error, bound=Bound.UPPER, receipt=receipt), ""),
        ]
        flat = self._receipt(place, f"curvature at the weights, b = {self.how.b:.4g}, prior's λ {self.how.width:g}", "")
        doubt = frozenset[Status]() if one.at_a_minimum else _KEPT
        for name, value in (("lambda_E", one.by_mean), ("lambda_H", one.by_variance)):
            found.append((Measurement(name, value, unit="1", status=doubt, receipt=flat), ""))
        if self.certificates:
            own = self.certificates[place].measurement(
                self.task.fingerprint[:16], self.names[place], _guessing(self.task)
            )
            # Nobody can see of a file that it holds untrained weights.
            given = frozenset[Status]() if self.how.centre is None else frozenset({Status.UNVERIFIED_SPLIT})
            found.append((replace(own, status=own.status | given), ""))
            risk, spread = mean_and_stderr(one.risks)
            found.append((Measurement("risk", risk, spread, "1", receipt=receipt), "train"))
        found.append((Measurement("loss", one.loss / one.n, receipt=flat), "train"))
        if self.held is not None:
            nats, wide = mean_and_error(self.held.losses[place])
            seen = self._receipt(place, "loss of the weights as they are", "examples", self.held.task)
            found.append((Measurement("loss", nats, wide, receipt=seen), "held out"))
        return [Row({"checkpoint": self.steps[place]} | ({"part": part} if part else {}), m) for m, part in found]

    @cached_property
    def criteria(self) -> dict[str, list[float]]:
        """What one may choose a checkpoint by, the less the better: its value at each."""
        found = {
            "KL(q|p)": [one.total for one in self.found],
            "lambda_E": [one.by_mean for one in self.found],
            "C": [mean_and_stderr(one.losses)[0] + self.how.beta * one.total for one in self.found],
            "training loss": [one.loss for one in self.found],
        }
        return found | ({"certificate": [one.value for one in self.certificates]} if self.certificates else {})

    @cached_property
    def choices_made(self) -> dict[str, Choice]:
        """What each criterion chooses, judged by the examples held out; none without such."""
        if self.held is None:
            return {}
        losses = self.held.losses.numpy()
        return {name: chosen(values, losses, self.how.seed) for name, values in self.criteria.items()}

    def record(self) -> Record:
        """A checkpoint after the other, then the criteria."""
        rows = [row for place in range(len(self.found)) for row in self.rows(place)]
        for name, choice in self.choices_made.items():
            place = {"criterion": name, "checkpoint": self.steps[choice.place]}
            receipt = self._receipt(choice.place, "cross-fitted excess over the best", "examples, paired", self._held)
            rows.append(Row(place, Measurement("excess loss", choice.excess, choice.excess_stderr, receipt=receipt)))
            told = self._receipt(choice.place, "Kendall's τ-b over checkpoints", "examples, resampled", self._held)
            tau = Measurement("tau", choice.tau, choice.tau_stderr, "1", receipt=told)
            rows.append(Row({"criterion": name}, tau))
        return Record.of(rows)

    def figures(self) -> list[Figure]:
        """Information and codelength, the certificate, the coefficient, and the losses, over the steps."""
        steps, bits = list(self.steps), 1 / NATS_PER_BIT
        c = self.criteria
        losses = [Line("train", steps, [bits * one.loss / one.n for one in self.found])]
        if self.held is not None:
            each = [mean_and_error(row) for row in self.held.losses]
            low, high = ([bits * (m + sign * e) for m, e in each] for sign in (-1, 1))
            losses.append(Line("held out", steps, [bits * m for m, _ in each], low, high))
        drawn = [
            Figure("Loss", "step", "loss (bits an example)", losses),
            Figure("Information and codelength", "step", "bits", [
                Line(name, steps, [bits * v for v in c[name]]) for name in ("KL(q|p)", "C")
            ]),
            Figure("Learning coefficient", "step", "λ", [
                Line("λ_E", steps, c["lambda_E"]), Line("λ_H", steps, [one.by_variance for one in self.found])
            ]),
        ]  # fmt: skip
        if self.certificates:
            risks = Line("risk", steps, [one.risk for one in self.certificates])
            lines = [Line("certificate", steps, c["certificate"]), risks]
            drawn.append(Figure("Certificate", "step", "share of errors", lines))
        return drawn

    def sentence(self) -> str:
        """What each criterion would choose, and what is lost by it."""
        if self.held is None:
            told = ", ".join(f"step {self.steps[int(np.argmin(v))]} by {name}" for name, v in self.criteria.items())
            return f"No examples were held out, so nobody can tell which is right; the least values are at {told}."
        best = int(self.held.losses.mean(1).argmin())
        told = "; ".join(
            f"{name} chooses step {self.steps[one.place]}, {one.excess / NATS_PER_BIT:.3g} ± "
            f"{one.excess_stderr / NATS_PER_BIT:.2g} bits an example worse (τ = {one.tau:.2g} ± {one.tau_stderr:.1g})"
            for name, one in self.choices_made.items()
        )
        return f"On {self.held.task.name} step {self.steps[best]} has the least loss. {told}."

    def choices(self) -> Mapping[str, str]:
        """How it was made, what was left out, and what the files were read as."""
        prior = "the start" if self.how.centre is not None else "0"
        scale = "λ one of 29, paid for" if self.how.scale is None else f"λ = {self.how.scale:g}"
        told = {"posterior": f"mean at the weights, prior around {prior}, {scale}, β = {self.how.beta:g}"}
        if self.certificates:
            told["certificate"] = (
                "PAC-Bayes kl bound from the training examples, by a prior that has not seen them; all hold together: "
                + "; ".join(self.certificates[0].ledger.told())
            )
        told |= {"left out": self.remark} if self.remark else {}
        if self.held is None:
            told["held out"] = "none: the data have no test split; name some with held_out"
        few = [str(s) for s, one in zip(self.steps, self.found, strict=True) if not one.at_a_minimum]
        told |= {"not at a minimum": f"steps {', '.join(few)}"} if few else {}
        return told | ({"read as": "; ".join(self.notes)} if self.notes else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}

    @property
    def _held(self) -> Task | None:
        return None if self.held is None else self.held.task

    def _receipt(self, place: int, method: str, over: str, task: Task | None = None) -> Receipt:
        one, on = self.found[place], task or self.task
        notes = (f"prior's λ {one.scale:.4g}, chosen for {one.price:.3g} nats",) if one.price else ()
        return Receipt(
            method, on.fingerprint[:16], self.names[place], n=len(on), seeds=(self.how.seed,), over=over,
            notes=(*notes, *self.notes), version=__version__, device=self.device,
        )  # fmt: skip


def _guessing(task: Task) -> float:
    counts = np.bincount(task.labels.numpy())
    return 1 - float(counts.max()) / len(task)
