"""The question of merging: what does one network cost that stands for several checkpoints?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from infoscope import __version__
from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement, Receipt
from infoscope.models.default import Model, model_name
from infoscope.observation.estimators import Sketch
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.checkpoint import Checkpoint, Checkpoints, checkpoints_of, parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood, losses_look, mean_and_error
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import EKFAC, FisherOptions, network_fisher_look
from infoscope.weight_information.merge.merging import Merged, fisher_merged, mean_weights
from infoscope.weight_information.quantise.quantised_layers import Rise
from infoscope.weight_information.second_order import second_order_look

Way = Literal["mean", "diagonal", "ekfac"]


@dataclass(frozen=True)
class Merge:
    """What does one network cost that stands for several checkpoints? Their mean beside Fisher-weighted merging.

    Merged weights solve (Σ n_k F_k + 1/λ²)(w − w̄) = Σ n_k F_k (w_k − w̄), w̄ their mean, F_k the Fisher information of
    a checkpoint on its own data, as its diagonal and as EKFAC. The price is what each checkpoint's own loss rises by,
    measured and to second order.

    Attributes
    ----------
    checkpoints
        Two or more files of weights of one network.
    data
        What each was trained on, in their order, or one data set for all; train splits where there are some. Without
        data there is the plain mean, and no price.
    model
        Their network: a name from `infoscope list models`, or module:factory.
    weights
        How much each checkpoint counts. Default: as many as it has examples, in the plain mean all alike.
    way
        Which merged weights are written: mean, diagonal or ekfac. Default: those that cost least.
    prior
        Standard deviation λ of a Gaussian prior around the mean, where no Fisher information says otherwise.
    save
        Write the merged weights to this file (.safetensors).
    examples
        Examples of each data set, drawn by the seed, that Fisher information and losses are taken over.
    draws
        Random signs that each example's Fisher information is sketched with.
    seed
        Of the examples and the signs.
    """

    checkpoints: Checkpoints
    data: Tasks | None = None
    model: Model = None
    weights: tuple[float, ...] = ()
    way: Way | None = None
    prior: float = 1.0
    save: Path | None = None
    examples: Annotated[int | None, AtLeast(2)] = 500
    draws: Annotated[int, AtLeast(1)] = 1
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if any(not 0 < a < math.inf for a in self.weights):
            raise ValueError(f"weights are {self.weights}; each is above 0 and finite")
        if not self.prior > 0:
            raise ValueError(f"prior is {self.prior}; it is above 0")
        if self.way not in (None, "mean", "diagonal", "ekfac"):
            raise ValueError(f"way is {self.way!r}; it is mean, diagonal or ekfac")
        if self.data is None and self.way not in (None, "mean"):
            raise ValueError(f"{self.way} merging takes the Fisher information of data; name some")
        if self.save is not None and (self.save.suffix != ".safetensors" or not self.save.parent.is_dir()):
            raise ValueError(f"{self.save}: cannot be written; name a .safetensors file in a folder that is there")

    def stages(self, device: str = "cpu") -> Stages[MergeAnswer]:
        """A Fisher information a checkpoint; then all merged weights on the data of each."""
        points = checkpoints_of(self.checkpoints)
        if self.weights and len(self.weights) != len(points):
            raise ValueError(f"{len(self.weights)} weights were given for {len(points)} checkpoints; one each")
        held = [one.weights for one in points]
        shares = self.weights or (1.0,) * len(points)
        mean = Merged(mean_weights(held, shares))
        if self.data is None:
            return MergeAnswer(points, {"mean": mean}, (), "the network", "mean", self.save)
        parts = [training_part(task) for task in self._tasks(len(points))]
        few = [sample(part, self.examples, self.seed) for part in parts]
        for task in few:
            check_likelihood(task)
        if len(few) == 1:  # one for all
            parts, few = parts * len(points), few * len(points)
        model = self.model if self.model is not None else points[0].model
        learners = [one.learner(task, model) for one, task in zip(points, few, strict=True)]
        held = [learner.weights or {} for learner in learners]  # with every name that tied weights go by
        mean = Merged(mean_weights(held, shares))
        names = tuple(parameters_of(learners[0], few[0]))
        fishers: list[Fisher] = yield Looks(
            tuple(self._fisher(a, task, names, device) for a, task in zip(learners, few, strict=True))
        )
        shares = self.weights or tuple(float(len(part)) for part in parts)
        bare = [replace(one, blocks=(), factors=(), moments=()) for one in fishers]
        same = parameters_of(learners[0], few[0])
        merged = {"mean": mean, "diagonal": fisher_merged(held, bare, shares, self.prior)}
        merged["ekfac"] = fisher_merged(held, fishers, shares, self.prior)
        merged = {way: replace(one, weights=_tied(one.weights, same)) for way, one in merged.items()}
        prices = list[Price]()
        for one, own, task, learner in zip(points, held, few, learners, strict=True):
            several = [own, *(each.weights for each in merged.values())]
            changes = [{name: w[name] - own[name] for name in names} for w in several[1:]]
            label = f"{one.name} on {task.name}"
            came: list[PerExample] = yield Looks(
                (
                    losses_look(task, learner, several, device, f"losses of {label}"),
                    second_order_look(task, learner, changes, device, f"changes of {label}"),
                )
            )
            receipt = self._receipt(task, one, device)
            before, *others = came[0].values
            for way, after, quadratic in zip(merged, others, came[1].values, strict=True):
                rise = Rise.of(after, before, mean_and_error(quadratic), receipt)
                prices.append(Price(way, one.name, rise, after - before))
            yield Rows(tuple(row for price in prices[-len(merged) :] for row in price.rows()))
        return MergeAnswer(points, merged, tuple(prices), model_name(few[0], model), self.way, self.save)

    def _tasks(self, n: int) -> tuple[Task, ...]:
        found = tasks(self.data)
        if len(found) not in (1, n):
            raise ValueError(f"{len(found)} data sets were named for {n} checkpoints; name one, or one for each")
        return found

    def _fisher(self, learner: Learner, task: Task, names: tuple[str, ...], device: str) -> Look[Fisher]:
        network = learner.network(task.shape, task.target.outputs, 0)
        options = FisherOptions(EKFAC(), Sketch(self.draws), seed=self.seed)
        return network_fisher_look(network, task, names, options, device)

    def _receipt(self, task: Task, one: Checkpoint, device: str) -> Receipt:
        return Receipt(
            "merged weights", task.fingerprint, one.name, n=len(task), seeds=(self.seed,), over="examples, paired",
            notes=one.notes, version=__version__, device=device,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Price:
    """What merged weights cost on the data of one checkpoint, beside the checkpoint itself: on average and `each`."""

    way: str
    checkpoint: str
    rise: Rise
    each: Float[Tensor, " n"]

    def rows(self) -> tuple[Row, ...]:
        """Measured, and to second order."""
        place = {"way": self.way, "checkpoint": self.checkpoint}
        return Row(place, self.rise.measured), Row(place, self.rise.predicted)


@dataclass(frozen=True)
class MergeAnswer:
    """What `Merge` comes to."""

    checkpoints: tuple[Checkpoint, ...]
    merged: Mapping[str, Merged]
    prices: tuple[Price, ...]
    model: str
    asked: Way | None
    save: Path | None = None

    @property
    def title(self) -> str:
        """The checkpoints, merged."""
        return f"{self.model} of {', '.join(one.name for one in self.checkpoints)} merged"

    @property
    def way(self) -> str:
        """The way that was asked for, else the one that costs least."""
        return self.asked or min(self.merged, key=lambda way: self.price(way).value)

    @property
    def weights(self) -> Weights:
        """The merged weights of the way that was asked for."""
        return self.merged[self.way].weights

    def price(self, way: str) -> Measurement:
        """The mean over checkpoints of what their losses rise by, nats an example; the same examples are paired."""
        prices = [one for one in self.prices if one.way == way]
        rises = [one.rise.measured for one in prices]
        together: dict[str, Tensor] = {}
        for one in prices:
            data = one.rise.measured.receipt.data
            together[data] = together[data] + one.each if data in together else one.each
        error = math.hypot(*(mean_and_error(rows)[1] for rows in together.values())) / len(prices)
        receipt = replace(rises[0].receipt, data="", model="", over="examples, paired; checkpoints as they are")
        return Measurement("loss rise", sum(one.value for one in rises) / len(rises), error, "nat", receipt=receipt)

    def record(self) -> Record:
        """What each way costs on average, then on each checkpoint's data; distances where there are no data."""
        if not self.prices:
            return Record.of(self._distances())
        whole = [Row({"way": way, "checkpoint": None}, self.price(way)) for way in self.merged]
        return Record.of([*whole, *(row for price in self.prices for row in price.rows())])

    def figures(self) -> list[Figure]:
        """The price of each way on each checkpoint's data."""
        bars = []
        for way in self.merged if self.prices else ():
            rises = [one for one in self.prices if one.way == way]
            bars.append(Bars(way, [one.checkpoint for one in rises], [one.rise.measured.bits for one in rises]))
        return [Figure("What merging costs", "checkpoint", "rise of its loss (bits an example)", bars)] if bars else []

    def sentence(self) -> str:
        """Which way costs least."""
        if not self.prices:
            return f"The plain mean of {len(self.checkpoints)} checkpoints; without data nothing is known of its loss."
        told = [f"{way} {self.price(way).bits:+.3g} ± {self.price(way).stderr_bits:.2g}" for way in self.merged]
        doubt = any(one.rise.predicted.status for one in self.prices)
        further = " Prediction and measurement part: the checkpoints lie far apart for a parabola." if doubt else ""
        return f"Merged, the loss of each rises on average by {', '.join(told)} bits an example.{further}"

    def choices(self) -> Mapping[str, str]:
        """How the equations were solved, and what is averaged."""
        found = {
            f"Solving, {way}": f"{one.steps} steps of conjugate gradients, {one.residual:.1g} of the residual left"
            for way, one in self.merged.items()
            if way != "mean"
        }
        notes = [f"{one.name}: {'; '.join(one.notes)}" for one in self.checkpoints if one.notes]
        return found | {"Running statistics": "averaged"} | ({"Weights": ", ".join(notes)} if notes else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """The merged weights, if a file was named."""
        if self.save is None:
            return {}
        save_file(
            {name: t.clone().contiguous() for name, t in self.weights.items()},
            self.save,
            {"merged": self.way, "format": "pt"},
        )
        return {f"merged weights ({self.way})": str(self.save)}

    def _distances(self) -> list[Row]:
        receipt = Receipt("Euclidean", version=__version__)
        return [
            Row(
                {"way": "mean", "checkpoint": one.name},
                Measurement("|Δw|", _apart(one, self.weights), unit="1", receipt=receipt),
            )
            for one in self.checkpoints
        ]


def merge(*checkpoints: Any, data: Any = None, context: RunContext = RunContext(), **options: Any) -> MergeAnswer:
    """One network for several checkpoints, by the mean and by Fisher information. `Merge` asked at once.

    >>> import torch
    >>> merge({"w": torch.tensor([1.0])}, {"w": torch.tensor([3.0])}).weights["w"]
    tensor([2.])
    """
    return ask(Merge(list(checkpoints), data, **options), context)


def _tied(weights: Weights, names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Tensors of several names are one."""
    return dict(weights) | {other: weights[first] for first, several in names.items() for other in several}


def _apart(one: Checkpoint, weights: Weights) -> float:
    held = [(t.double() - weights[k].double()).square().sum() for k, t in one.weights.items() if t.is_floating_point()]
    return float(sum(held)) ** 0.5
