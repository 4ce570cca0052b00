"""Risk certificates of small networks on the digits, and of fully connected ones on MNIST beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from infoscope.data.task import Task
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.question import Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict
from infoscope.weight_information.risk_certificate import RiskCertificate
from infoscope.weight_information.risk_certificate_answer import TaskCertificate

FREE, LEARNT = 0.3155, 0.0279
"""MNIST, fully connected: data-free and with a learnt prior (Pérez-Ortiz et al. 2021, tables 1 and 3)."""

ON_DIGITS = {"softmax regression": 0.27, "64-32-10, ReLU": 0.42, "64-32-10, tanh": 0.42}
"""What is asked for, data-free, the sampling of weights included."""


@dataclass(frozen=True)
class CertificateStudy:
    """Certificates of the share of errors, from the training data alone (Pérez-Ortiz et al. 2021).

    All at δ = 0.035, of which 0.0105 are for the draws. On the digits all 1797 examples are the certificate's; on MNIST
    a data-free one has the training split, and one with a learnt prior half of it.

    Attributes
    ----------
    mnist
        A folder with MNIST; without it only the digits are certified.
    width
        Hidden units of the network on MNIST.
    steps
        Of training each posterior on the digits.
    mnist_steps
        The same on MNIST, data-free; a tenth of it around a learnt prior.
    draws
        Draws of the weights.
    seed
        Of the untrained weights, of training and of the draws.
    """

    mnist: Path | None = None
    width: Annotated[int, AtLeast(1)] = 100
    steps: Annotated[int, AtLeast(1)] = 5000
    mnist_steps: Annotated[int, AtLeast(10)] = 4000
    draws: Annotated[int, AtLeast(2)] = 2000
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {"width": 600, "mnist_steps": 24_000, "draws": 10_000}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One certificate after another."""
        rows: list[Row] = []
        cells: list[list[Cell]] = []
        claims: list[Claim] = []
        for name, asked, question in self._questions():
            answer = yield from question.stages(device)
            (found,) = answer.found
            rows += [Row({"network": name, **row.coordinates}, row.measurement) for row in found.rows()]
            cells.append(_cells(name, asked, found))
            bound = found.rows()[0].measurement.value
            verdict = Verdict.REPRODUCED if bound < asked else Verdict.NOT_REPRODUCED
            claims.append(Claim(f"{name}: a certificate below {asked:g}", verdict, f"{bound:.4f}"))
        columns = ("network", "asked", "kl bound", "risk", "on test", "KL, nats", "compression", "recursive", "CPU s")
        table = Table("Certificates", columns, cells, ("CPU s is of training the posterior, on one thread.",))
        return StudyAnswer("Certificates of the risk", rows, (table,), tuple(claims))

    def _questions(self) -> list[tuple[str, float, RiskCertificate]]:
        digits, options = Task.from_dataset("digits"), {"draws": self.draws, "seed": self.seed}
        models = (MLP(()), MLP((32,)), MLP((32,), "tanh"))
        found = [
            (f"digits, {name}", asked, RiskCertificate(digits, model, steps=self.steps, **options))
            for (name, asked), model in zip(ON_DIGITS.items(), models, strict=True)
        ]
        if self.mnist is None:
            return found
        mnist, model = Task.from_dataset(str(self.mnist)), MLP((self.width,))
        free = RiskCertificate(mnist, model, steps=self.mnist_steps, **options)
        learnt = RiskCertificate(mnist, model, "learnt", steps=self.mnist_steps // 10, **options)
        return [*found, ("MNIST, data-free", FREE, free), ("MNIST, learnt prior", LEARNT, learnt)]


def _cells(name: str, asked: float, found: TaskCertificate) -> list[Cell]:
    bounds = {row.coordinates["bound"]: row.measurement.value for row in found.rows()}
    q = found.posterior
    test = float(q.held_out.mean()) if len(q.held_out) else None
    risk = float(q.tails[:, 1].mean())
    others = (bounds["compression"], bounds["recursive"])
    return [name, asked, bounds["kl"], risk, test, round(q.total, 1), *others, round(q.seconds, 1)]
