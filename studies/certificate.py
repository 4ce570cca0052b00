"""Risk certificates of small networks on the digits and on MNIST, beside PAC-Bayes with backprop and published ones."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import pbb
from infoscope.data.task import Task
from infoscope.measurement import Measurement
from infoscope.models import MLP
from infoscope.options import AtLeast, check_fields
from infoscope.record import Row
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request, Stages
from infoscope.run.study import Cell, Claim, StudyAnswer, Table, Verdict
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Cosine, Recipe
from infoscope.weight_information.certificate.answer import TaskCertificate
from infoscope.weight_information.certificate.question import RiskCertificate

SHIFTED = "MNIST, prior learnt from shifted images"
FREE, LEARNT = 0.3155, 0.0279
"""MNIST, fully connected: data-free and with a learnt prior (Pérez-Ortiz et al. 2021, tables 1 and 3)."""

ON_DIGITS = {"softmax regression": 0.27, "64-32-10, ReLU": 0.42, "64-32-10, ReLU, discount": 0.42}
"""What is asked for, data-free, the sampling of weights included."""

NOTES = (
    "The schedule of training q (first λ, rate of Adam, steps and examples of each round) was chosen by certificates "
    "of the digits, and of 2000 examples each of USPS and Fashion-MNIST; nothing was chosen by MNIST's. That the "
    "digits took part in choosing it is not paid for in δ; the choice of λ is.",
    "PAC-Bayes with backprop stays near its prior on the digits, where its own objective gains next to nothing: its "
    "bounded cross-entropy is log(10)/log(1/p_min) = 0.2 for one who knows nothing, and f_quad ≥ 2c, c = (KL + "
    "log(2√n/δ))/n, so that with 1797 examples no posterior of more than some 200 nats is below the prior's 0.25, even "
    "one without errors. The certificates here take 280 nats and more. Posteriors of fewer nats are not excluded by "
    "this; gradient descent found none below 0.249.",
    "Of PAC-Bayes with backprop σ0 = 0.1 was taken on MNIST after trials of two epochs with 0.1 and 0.03, which δ does "
    "not pay for, in its own favour; the paper takes the best of a grid, and pays.",
    "That images are shifted while a prior is learnt was tried after the certificate without shifts had been seen, for "
    "which δ does not pay either (log 2 of some ten nats); the published figure is without shifts.",
)


@dataclass(frozen=True)
class DropoutMLP:
    """A fully connected ReLU network with dropout after each hidden layer, as the paper's priors are learnt."""

    widths: tuple[int, ...] = (400, 400)
    dropout: float = 0.2

    def __call__(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """The network for examples of this shape."""
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        inputs = math.prod(shape)
        for i, width in enumerate(self.widths, start=1):
            layers |= {f"fc{i}": nn.Linear(inputs, width), f"act{i}": nn.ReLU(), f"drop{i}": nn.Dropout(self.dropout)}
            inputs = width
        layers[f"fc{len(self.widths) + 1}"] = nn.Linear(inputs, classes)
        return nn.Sequential(layers)


@dataclass(frozen=True)
class Shifted:
    """Images moved by up to so many pixels either way, each by its own draw; what comes in at the edges is 0."""

    pixels: int = 2

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Images (n, channels, height, width), as many and as large."""
        n, channels, *sides = x.shape
        x = F.pad(x, (self.pixels,) * 4)
        for axis, side in zip((2, 3), sides, strict=True):
            first = torch.randint(2 * self.pixels + 1, (n, 1), generator=generator)
            places = (first + torch.arange(side)).view(n, 1, *((side, 1) if axis == 2 else (1, side)))
            x = x.gather(axis, places.expand(n, channels, *((side, x.shape[3]) if axis == 2 else (x.shape[2], side))))
        return x


@dataclass(frozen=True)
class CertificateStudy:
    """Certificates of the share of errors, from the training data alone (Pérez-Ortiz et al. 2021).

    All at δ = 0.035. On the digits all 1797 examples are the certificate's; on MNIST a data-free one has the training
    split, and one with a learnt prior half of it; the prior is learnt once from the images as they are, as in the
    paper, and once from images that are shifted at random. Beside them PAC-Bayes with backprop, restated, on the same
    examples.

    Attributes
    ----------
    mnist
        A folder with MNIST; without it only the digits are certified.
    width
        Hidden units of the network on MNIST, data-free.
    widths
        Of its hidden layers with a learnt prior.
    steps
        Of training each posterior on the digits.
    mnist_steps
        The same on MNIST, data-free; a tenth of it around a learnt prior.
    prior_epochs
        Of learning a prior.
    pbb_epochs
        Of PAC-Bayes with backprop on MNIST.
    draws
        Draws of the weights; on the digits five times as many.
    seed
        Of the untrained weights, of training and of the draws.
    """

    mnist: Path | None = None
    width: Annotated[int, AtLeast(1)] = 100
    widths: tuple[int, ...] = (300, 300)
    steps: Annotated[int, AtLeast(1)] = 3000
    mnist_steps: Annotated[int, AtLeast(10)] = 2000
    prior_epochs: Annotated[int, AtLeast(1)] = 20
    pbb_epochs: Annotated[int, AtLeast(1)] = 15
    draws: Annotated[int, AtLeast(2)] = 2000
    seed: Annotated[int, AtLeast(0)] = 0

    paper: ClassVar[Mapping[str, Any]] = {
        "width": 600, "widths": (600, 600, 600), "mnist_steps": 24_000, "prior_epochs": 100, "pbb_epochs": 100,
        "draws": 10_000,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """One certificate after another, then those of PAC-Bayes with backprop."""
        rows: list[Row] = []
        cells: list[list[Cell]] = []
        claims: list[Claim] = []
        ours: dict[str, float] = {}
        for name, asked, question in self._questions():
            answer = yield from question.stages(device)
            (found,) = answer.found
            rows += [Row({"network": name, **row.coordinates}, row.measurement) for row in found.rows()]
            cells.append(_cells(name, asked, found))
            ours[name] = found.rows()[0].measurement.value
            verdict = Verdict.REPRODUCED if ours[name] < asked else Verdict.NOT_REPRODUCED
            claims.append(Claim(_claimed(name, asked), verdict, f"{ours[name]:.4f}"))
        if self.mnist is None:
            absent = (("MNIST, data-free", FREE), ("MNIST, learnt prior", LEARNT), (SHIFTED, LEARNT))
            claims += [
                Claim(f"{n}: a certificate below {a:g}", Verdict.NOT_RUN, "no MNIST was given") for n, a in absent
            ]
        beside = yield from self._beside(ours, rows)
        columns = (
            "network", "asked", "kl bound", "floor", "risk", "on test", "KL, nats", "compression", "recursive", "CPU s",
        )  # fmt: skip
        note = (
            "CPU s is of training the posterior, on one thread. The floor is sampled; it is that of KL = 0 where "
            "chains from the prior have not come together."
        )
        table = Table("Certificates", columns, cells, (note,))
        return StudyAnswer("Certificates of the risk", rows, (table, beside), tuple(claims), NOTES)

    def _questions(self) -> list[tuple[str, float, RiskCertificate]]:
        digits, options = Task.from_dataset("digits"), {"steps": self.steps, "draws": 5 * self.draws, "seed": self.seed}
        questions = (
            RiskCertificate(digits, MLP(()), floor=True, **options),
            RiskCertificate(digits, MLP((32,)), **options),
            RiskCertificate(digits, MLP((32,)), "zero", discount=True, **options),
        )
        found = [
            (f"digits, {name}", asked, question)
            for (name, asked), question in zip(ON_DIGITS.items(), questions, strict=True)
        ]
        if self.mnist is None:
            return found
        options = {"draws": self.draws, "seed": self.seed}
        mnist = Task.from_dataset(str(self.mnist))
        free = RiskCertificate(mnist, MLP((self.width,)), steps=self.mnist_steps, **options)
        recipe = Recipe(Adam(), Cosine(), 128, self.prior_epochs, None)
        recipes = {
            "MNIST, learnt prior": recipe,
            SHIFTED: replace(recipe, epochs=2 * self.prior_epochs, augment=Shifted()),
        }
        options |= {"one_scale": True, "steps": self.mnist_steps // 10}
        learnt = [
            (name, LEARNT, RiskCertificate(mnist, Learner(DropoutMLP(self.widths), recipe), "learnt", **options))
            for name, recipe in recipes.items()
        ]
        return [*found, ("MNIST, data-free", FREE, free), *learnt]

    def _beside(self, ours: Mapping[str, float], rows: list[Row]) -> Generator[Request, Any, Table]:
        """PAC-Bayes with backprop on the same examples and a network of the same size."""
        digits = pbb.Backprop("quadratic", 0.1, 0.1, seed=self.seed)
        settings = [("digits, 64-32-10, ReLU", Task.from_dataset("digits"), (32,), digits)]
        if self.mnist is not None:
            mnist = Task.from_dataset(str(self.mnist))["train"]
            asked = pbb.Backprop("quadratic", 0.1, 0.01, epochs=self.pbb_epochs, seed=self.seed)
            settings.append(("MNIST, data-free", mnist, (self.width,), asked))
        looks, names = [], []
        for name, task, widths, asked in settings:
            for objective in pbb.OBJECTIVES:
                one = pbb.Backprop(**{**asked.__dict__, "objective": objective})
                looks.append(
                    Look(
                        pbb.train, (task, widths, one, self.draws), pbb.Trained, 1, f"{objective}, {name}",
                        kind="posteriors", stand_in=partial(pbb.nothing, self.draws),
                    )
                )  # fmt: skip
                names.append((name, one))
        found: list[pbb.Trained] = yield Looks(tuple(looks))
        cells: list[list[Cell]] = []
        for (name, asked), one in zip(names, found, strict=True):
            made = one.certificate()
            place = {"network": name, "task": None, "kind": f"backprop, {asked.objective}", "layer": None}
            rows.append(Row(place, made.measurement()))
            cells.append([
                name, asked.objective, asked.epochs, made.value, ours[name], round(made.risk, 4), round(one.kl, 1),
                round(one.first, 4), round(one.last, 4), round(one.seconds, 1),
            ])  # fmt: skip
        columns = (
            "network", "objective", "epochs", "kl bound", "ours", "risk", "KL, nats", "objective at the prior",
            "at the end", "CPU s",
        )  # fmt: skip
        note = "σ0 = 0.1, momentum 0.95, batches of 250; rate 0.1 on the digits, 0.01 on MNIST. CPU s is of training."
        return Table("PAC-Bayes with backprop, restated", columns, cells, (note,))


def _claimed(name: str, asked: float) -> str:
    return f"{name}: a certificate below {asked:g}"


def _cells(name: str, asked: float, found: TaskCertificate) -> list[Cell]:
    bounds: dict[Any, Measurement] = {row.coordinates["kind"]: row.measurement for row in found.rows()}
    q = found.posterior
    test = float(q.held_out.mean()) if len(q.held_out) else None
    floor = bounds["floor"].value if "floor" in bounds else None
    risk = float(q.tails[:, 1].mean())
    others = (bounds["compression"].value, bounds["recursive"].value)
    return [name, asked, bounds["kl"].value, floor, risk, test, round(q.total, 1), *others, round(q.seconds, 1)]
