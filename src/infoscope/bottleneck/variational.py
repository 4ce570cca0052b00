"""The question of the bottleneck: how much of its input must a code keep to tell the label, at every price of a nat?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch

from infoscope import __version__
from infoscope.bottleneck.bottleneck_answer import BottleneckAnswer, Point
from infoscope.bottleneck.learned_code import LearnedCode, learn_code, learner_of_code, seconds_to_learn
from infoscope.bottleneck.noisy_code import Noise, WithCode
from infoscope.bottleneck.nuisances import Nuisance, Planted, plant
from infoscope.data.named import AnyTask, task_of
from infoscope.data.partition import Partition, partition
from infoscope.data.task import Task
from infoscope.measurement import Receipt
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner

STEPS = 3000
"""Of a training, unless epochs are given."""


@dataclass(frozen=True)
class InformationBottleneck:
    """How much of its input must a code keep to tell the label? The information-bottleneck curve over the price β.

    For every β a network with a noisy code Z is trained to bring down H(Y|Z) + β I(Z;X) (Tishby, Pereira & Bialek 1999)
    by its variational bound (Alemi et al. 2017). Then, on held-out examples: what Z tells of the input, from above and
    from below, and of the label, from below; how far its units depend on each other; and with a planted nuisance, how
    much of that is left in Z. Where the label is a function of the input, every β below 1 has the same optimum.

    Attributes
    ----------
    data
        Data set of classes.
    model
        Network that encodes: a name from `infoscope list models`, or module:factory that takes (shape, outputs).
        Default: mlp, or cnn from 16 pixels on. A linear map of Z says the label.
    betas
        Prices of a nat in Z, in nats of loss. Default: six from 0.001 to 1.
    width
        Units of Z.
    noise
        In Z: gaussian is added, lognormal multiplies.
    nuisance
        Put into all examples, and asked for: turn, clutter or pattern, with options as in "clutter(values=8)".
    examples
        Most held-out examples that are measured.
    train
        Examples to train on. Default: all that are not held out.
    replicates
        Networks a price. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Epochs of a training. Default: as many as make 3000 steps.
    """

    data: AnyTask
    model: Model = None
    betas: tuple[float, ...] = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
    width: Annotated[int, AtLeast(1)] = 8
    noise: Noise = "gaussian"
    nuisance: Nuisance | None = None
    examples: Annotated[int, AtLeast(2)] = 1000
    train: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.betas or len(set(self.betas)) < len(self.betas):
            raise ValueError(f"betas are {self.betas}; give one or more, each once")
        for beta in self.betas:
            if not 0 <= beta < math.inf:
                raise ValueError(f"betas has {beta}; a price is 0 or more, and finite")
        if self.noise not in ("gaussian", "lognormal"):
            raise ValueError(f"noise is {self.noise!r}; take gaussian or lognormal")

    def stages(self, device: str = "cpu") -> Stages[BottleneckAnswer]:
        """For one price after another its networks, and what their codes tell."""
        task = task_of(self.data)
        parts = self._parts(task)
        learner = self._learner(task, parts.train)
        planted = [
            self._planted(part, i, parts.train) for i, part in enumerate((parts.train, parts.validation, parts.coded))
        ]
        seconds = partial(seconds_to_learn, planted[0].task, learner, device)
        points: list[Point] = []
        for beta in self.betas:
            looks = tuple(self._look(planted, learner, beta, seed, device, seconds) for seed in self._seeds)
            codes: list[LearnedCode] = yield Looks(looks)
            points.append(
                Point(beta, dict(zip(self._seeds, codes, strict=True)), self._receipt(planted[2].task, device))
            )
            yield Rows(points[-1].rows())
        return BottleneckAnswer(task.name, model_name(task, self.model), tuple(points), parts.notes)

    @property
    def _seeds(self) -> range:
        return range(self.seed, self.seed + self.replicates)

    def _parts(self, task: Task) -> Partition:
        task.labels  # noqa: B018 - a ValueError for what has no classes
        parts = partition(task, train=self.train, seed=self.seed)
        return parts.coding(min(self.examples, len(parts.coded)))

    def _learner(self, task: Task, train: Task) -> Learner:
        """The encoder as a learner, its network's form tried on an example."""
        given = learner_for(task, self.model)
        for name, what in (("loss", "the label's likelihood"), ("penalty", "the price of Z")):
            if getattr(given.recipe, name) is not None:
                raise ValueError(f"the learner's recipe has a {name} of its own, and here it is {what}; leave it out")
        if given.weights is not None:
            raise ValueError("the learner starts from weights, and the encoder is another network; leave them out")
        epochs = self.epochs or math.ceil(STEPS / math.ceil(len(train) / given.recipe.batch))
        code = WithCode(given.factory, self.width, self.noise)
        learner = learner_of_code(given, code, 1.0, epochs)
        try:
            network = learner.network(train.shape, train.target.outputs, self.seed)
        except TypeError as error:
            raise ValueError(
                f"{model_name(task, self.model)} cannot be made with {2 * self.width} outputs ({error}); give a "
                "factory that takes (shape, outputs)"
            ) from error
        with torch.no_grad():
            network.eval().encoded(train[:2].x)  # type: ignore[operator]
        return learner

    def _planted(self, part: Task, place: int, like: Task) -> Planted:
        if self.nuisance is None:
            return Planted(part, torch.empty(0, dtype=torch.long))
        return plant(part, self.nuisance, 3 * self.seed + place, like)

    def _look(
        self, parts: list[Planted], learner: Learner, beta: float, seed: int, device: str, seconds: Any
    ) -> Look[LearnedCode]:
        train, stopping, coded = parts
        priced = learner_of_code(learner, learner.factory, beta, learner.recipe.epochs)  # type: ignore[arg-type]
        return Look(
            learn_code,
            (train.task, stopping.task, coded.task, coded.n, priced, seed, device),
            LearnedCode,
            2,
            f"code at β = {beta:g}, seed {seed}",
            kind="trainings",
            seconds=seconds,
            stand_in=partial(LearnedCode.stand_in, len(coded.task), self.width, self.nuisance is not None),
        )

    def _receipt(self, coded: Task, device: str) -> Receipt:
        return Receipt(
            "variational information bottleneck", coded.fingerprint[:16], model_name(coded, self.model), n=len(coded),
            seeds=tuple(self._seeds), over="networks", notes=(f"{self.width} units, {self.noise} noise",),
            version=__version__, device=device,
        )  # fmt: skip


def information_bottleneck(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> BottleneckAnswer:
    """How much of its input must a code keep to tell the label? `InformationBottleneck` asked at once.

    >>> from infoscope.models import MLP
    >>> found = information_bottleneck("iris", MLP((8,)), betas=(0.01, 100.0), width=2, replicates=1, epochs=400)
    >>> cheap, dear = (point.measured("rate") for point in found.points)
    >>> cheap > 1.0 > dear
    True
    """
    return ask(InformationBottleneck(data, model, **options), context)
