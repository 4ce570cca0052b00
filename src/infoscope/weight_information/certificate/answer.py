"""What a risk certificate comes to: bounds, risks, and what the weights hold, of every task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infoscope import __version__
from infoscope.figure import Bars, Figure
from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.record import Record, Row
from infoscope.weight_information.certificate.bounds_of_posterior import bounds_of, of_file
from infoscope.weight_information.certificate.certified_posterior import CertifiedPosterior, FileRisk
from infoscope.weight_information.certificate.ledger import Ledger


@dataclass(frozen=True)
class TaskCertificate:
    """What is found for one task; `guessing` is the risk of one who always says the most frequent class."""

    name: str
    model: str
    posterior: CertifiedPosterior
    ledger: Ledger
    guessing: float
    notes: tuple[str, ...]
    status: frozenset[Status]
    data: str
    files: tuple[FileRisk, ...] = ()
    floors: tuple[Measurement, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """The kl bound first, the other bounds, what they rest on."""
        q, receipt = self.posterior, self._receipt()
        rows = []
        for found in (*bounds_of(q, self.ledger), *(of_file(one, self.ledger) for one in self.files)):
            status = self.status | (frozenset({Status.VACUOUS}) if found.value >= self.guessing else frozenset())
            made = dataclasses.replace(
                receipt, method=f"PAC-Bayes {found.name} bound", notes=(*found.notes, *self.notes)
            )
            measured = Measurement("certificate", found.value, unit="1", bound=Bound.UPPER, status=status, receipt=made)
            rows.append(Row({"task": self.name, "kind": found.name, "layer": None}, measured))
        rows += [Row({"task": self.name, "kind": "floor", "layer": None}, one) for one in self.floors]
        for what, draws in (("training", q.tails[:, 1]), ("test", q.held_out)):
            if len(draws):
                over = dataclasses.replace(receipt, method="draws of q", over=f"{len(draws)} draws of the weights")
                error = float(draws.std()) / math.sqrt(len(draws))
                measured = Measurement("risk", float(draws.mean()), error, unit="1", receipt=over)
                rows.append(Row({"task": self.name, "kind": what, "layer": None}, measured))
        for layer, kl in ((None, q.total), *q.kl.items()):
            notes = () if layer is None else (f"λ = {q.scales[layer]:.4g}",)
            told = dataclasses.replace(receipt, method="Gaussian posterior trained by the bound", notes=notes)
            rows.append(
                Row({"task": self.name, "kind": None, "layer": layer}, Measurement("KL(q|p)", kl, receipt=told))
            )
        return tuple(rows)

    def _receipt(self) -> Receipt:
        return Receipt("", self.data[:16], self.model, n=self.posterior.n, version=__version__)


@dataclass(frozen=True)
class RiskCertificateAnswer:
    """What `RiskCertificate` comes to."""

    found: tuple[TaskCertificate, ...]

    @property
    def title(self) -> str:
        """Risk certificates of networks on these tasks."""
        return f"Risk certificate of {self.found[0].model} on {', '.join(one.name for one in self.found)}"

    def record(self) -> Record:
        """Bounds, risks and information in the weights of every task."""
        return Record.of(row for one in self.found for row in one.rows())

    def figures(self) -> list[Figure]:
        """The bounds beside each other, and what each layer costs."""
        figures = []
        for one in self.found:
            bounds = bounds_of(one.posterior, one.ledger)
            names = [*(b.name for b in bounds), *("floor" for _ in one.floors)]
            values = [*(b.value for b in bounds), *(floor.value for floor in one.floors)]
            bars = Bars("bound", names, values)
            figures.append(Figure(f"Bounds on the risk, {one.name}", "bound", "share of errors", [bars]))
        return figures

    def sentence(self) -> str:
        """The certificate in words."""
        return " ".join(_told(one) for one in self.found)

    def choices(self) -> Mapping[str, str]:
        """Where δ went, and the prior."""
        return {one.name: "; ".join((*one.notes, *one.ledger.told())) for one in self.found}

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _told(one: TaskCertificate) -> str:
    q, bound = one.posterior, one.rows()[0].measurement
    if Status.VACUOUS in bound.status:
        return (
            f"On {one.name} nothing is certified for {one.model}: the bound on its share of errors is "
            f"{bound.value:.3g}, and saying the most frequent class has {one.guessing:.3g}."
        )
    test = f", {float(q.held_out.mean()):.3g} on the test split" if len(q.held_out) else ""
    floor = "".join(f"; no certificate with this prior is below {m.value:.3g}" for m in one.floors if not m.status)
    return (
        f"On {one.name} {one.model} with weights drawn from q errs on at most {bound.value:.3g} of new examples, but "
        f"for a probability of {one.ledger.delta:g} ({float(q.tails[:, 1].mean()):.3g} of its {q.n} examples{test}; "
        f"{q.total / math.log(2):.4g} bits in its weights){floor}."
    )
