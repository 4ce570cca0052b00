"""The question of the information plane: what do the layers know about input and label while a network trains?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from infoscope.data.named import AnyTask, NamedTask, check_as_it_is, name_of, task_of
from infoscope.data.task import Task, coding_order
from infoscope.data.tishby import tishby
from infoscope.dynamics.plane.answer import PlaneAnswer
from infoscope.dynamics.plane.checkpoints import PlaneCheckpoints
from infoscope.dynamics.plane.curve import PlaneCurve
from infoscope.dynamics.plane.layer_method import FittedBins, check_layer_method, following
from infoscope.dynamics.plane.saved_activations import PlaneArrays, SavedActivations
from infoscope.dynamics.plane.source import source_of
from infoscope.dynamics.plane.specification import LayerSpecification, PlaneSpecification, PlaneStudy
from infoscope.dynamics.plane.training import PlaneTrainings
from infoscope.dynamics.schedule import SCHEDULES, Logarithmic, Schedule
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.method import Method
from infoscope.mi.methods import METHODS
from infoscope.models import MLP
from infoscope.models.default import Model, learner_for
from infoscope.models.quantised import QuantisationAware
from infoscope.observation.noise import WithNoise
from infoscope.options import AtLeast, check_fields
from infoscope.run.question import Stages
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

MOST_MEASURED = 4096
MOST_TRAINED = 10_000
EPOCHS = 20

PlaneData = AnyTask
"""Data to train on, or where a training left something."""


@dataclass(frozen=True)
class Plane:
    """What do the layers know about input and label while a network trains? The information plane, animated.

    I(X;T) and I(T;Y) of every layer T, epoch by epoch (Shwartz-Ziv & Tishby 2017).

    Attributes
    ----------
    data
        tishby (the 12-bit task and its network), DATA, module:factory (then DATA), a folder of checkpoints (then DATA
        and --model), or saved activations: an .npz with the labels `y` (n,) and one array (n, …) a layer, named by its
        layer (`fc1`) or by epoch and layer (`12/fc1`), in the order of the file; `X` are the inputs. Layers named
        `T1`, `T2` … form a chain, in the order of their numbers.
    on
        The data set that a factory or checkpoints go with.
    model
        Network: a name from `infoscope list models`, or module:factory.
    schedule
        Which epochs: every(n=10), log(per_decade=20), delta(delta=0.01), delta-approximate(delta=0.01). Default:
        delta, or log(per_decade=5) with --noise.
    estimator
        Such as "idnns", "saxe(width=0.5)", "kde-upper(variance=0.1)". Default: 30 bins over the range of a layer's
        activation function, or over what is seen where that has none (ReLU, logits, saved activations), and idnns on
        the tanh layers of tishby; with --bits or --noise the exact one. The report says which.
    layers
        Names or globs of layers, repeatable. Default: every layer after its activation.
    epochs
        Default: 8000 for tishby, else 20.
    train
        Examples to train on. Default: four fifths of tishby, else at most 10,000.
    examples
        Examples to measure on, of each side. Default: all of tishby, else at most 4096.
    bits
        Train with weights and activations of 2^bits levels, and measure exactly.
    noise
        Train with Gaussian noise of this variance on every layer but the last, and measure exactly.
    null
        Baselines of shuffled labels for I(T;Y).
    replicates
        Networks to train, one a seed.
    seed
        The first of their seeds.
    """

    data: PlaneData
    on: AnyTask | None = None
    model: Model = None
    schedule: Schedule | None = None
    estimator: Method | None = None
    layers: tuple[str, ...] = ()
    epochs: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(1)] = None
    bits: Annotated[int | None, AtLeast(1)] = None
    noise: float | None = None
    null: Annotated[int, AtLeast(0)] = 0
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.estimator is not None:
            check_layer_method(self.estimator)
        if self.bits is not None and self.bits > 16:
            raise ValueError(f"bits is {self.bits}; it is at most 16")
        if self.noise is not None and not self.noise > 0:
            raise ValueError(f"noise is {self.noise}; a variance is above 0")

    def stages(self, device: str = "cpu") -> Stages[PlaneAnswer]:
        """One stage: the trainings, the checkpoints or the arrays."""
        request, choices = self._request()
        curves: list[PlaneCurve] = yield request
        chosen = {"schedule": repr(self._schedule), **choices}
        trained = isinstance(request, PlaneTrainings)
        return PlaneAnswer(self._name, tuple(curves), self.seed, trained, chosen, following(self._method))

    def _request(self) -> tuple[PlaneTrainings | PlaneCheckpoints | PlaneArrays, dict[str, str]]:
        """What is needed, and what was chosen for it."""
        source = source_of(self.data, self.on is not None)
        if source is None:
            return self._trainings()
        kind = "activations" if isinstance(source, SavedActivations) else "checkpoints"
        if self.bits or self.noise or self.train or self.epochs:
            raise ValueError(f"bits, noise, train and epochs are for a training; {self._name} is one of {kind}")
        if isinstance(source, SavedActivations):
            return PlaneArrays(source, LayerSpecification(self._method, self.layers or None, self.null)), {}
        return self._checkpoints(source), {}

    def _checkpoints(self, folder: Path) -> PlaneCheckpoints:
        if self.model is None:
            raise ValueError("checkpoints hold weights only; name their network with --model")
        assert self.on is not None  # what makes it one of checkpoints
        task = task_of(self.on)
        train, test = _parts(task, self.seed)
        most = self.examples or MOST_MEASURED
        network = learner_for(task, self.model).network(task.shape, task.target.outputs, self.seed)
        return PlaneCheckpoints(folder, network, self._study(train[:most], test[:most]))

    def _trainings(self) -> tuple[PlaneTrainings, dict[str, str]]:
        """`tishby`, DATA, or a factory and DATA."""
        learner, train, study = self._of_the_paper() if self._is_tishby else self._of_data()
        factory = learner.factory
        if self.bits is not None:
            factory = QuantisationAware(factory, self.bits)
        if self.noise is not None:
            factory = WithNoise(factory, self.noise, self.layers or None)
        recipe = dataclasses.replace(learner.recipe, epochs=self.epochs or learner.recipe.epochs, patience=None)
        learner = dataclasses.replace(learner, factory=factory, recipe=recipe)
        told = {"network": repr(factory), "training": f"{recipe.epochs} epochs on {len(train):,} examples"}
        return PlaneTrainings(learner, train, study, self.replicates, self.seed), told

    def _of_the_paper(self) -> tuple[Learner, Task, PlaneStudy]:
        """Trained on four fifths of the patterns, measured on all."""
        check_as_it_is(self._trained_on, "the task of the paper")
        task, learner = tishby(), Learner(MLP((10, 7, 5, 4, 3), "tanh"), Recipe(Adam(4e-4), batch=512, epochs=8000))
        if self._model is not None:
            learner = dataclasses.replace(learner, factory=learner_for(task, self._model).factory)
        train = task[coding_order(len(task), self.seed)[: self.train or 3277]]
        return learner, train, self._study(task[: self.examples] if self.examples else task, None)

    def _of_data(self) -> tuple[Learner, Task, PlaneStudy]:
        """Trained on one part, measured on it and on the other."""
        task = self._task()
        learner = learner_for(task, self._model)
        if not isinstance(self._model, Learner):
            learner = dataclasses.replace(learner, recipe=dataclasses.replace(learner.recipe, epochs=EPOCHS))
        train, test = _parts(task, self.seed)
        train, most = train[: self.train or MOST_TRAINED], self.examples or MOST_MEASURED
        return learner, train, self._study(train[:most], test[:most])

    def _study(self, train: Task, test: Task | None) -> PlaneStudy:
        options = {"layers": self.layers or None, "method": self._method, "null": self.null}
        return PlaneStudy(PlaneSpecification.of(train, test, **options), self._schedule)

    def _task(self) -> Task:
        try:
            return task_of(self._trained_on)
        except ValueError as error:
            if ":" not in self._name or self.on is not None:
                raise
            raise ValueError(
                f"{error}; if {self._name} is a factory, name its data too: infoscope plane {self._name} DATA"
            ) from error

    @property
    def _name(self) -> str:
        return name_of(self.data)

    @property
    def _trained_on(self) -> AnyTask:
        return self.data if self.on is None else self.on

    @property
    def _model(self) -> Model:
        """The network; `data` is its factory where there are data beside it."""
        return self._name if self.on is not None and self.model is None else self.model

    @property
    def _is_tishby(self) -> bool:
        given = self._trained_on
        return isinstance(given, str | NamedTask) and name_of(given) == "tishby"

    @property
    def _schedule(self) -> Schedule:
        """A logarithmic one where delta skip would measure each epoch for minutes."""
        return self.schedule or (Logarithmic(5) if self.noise is not None else SCHEDULES["delta"])

    @property
    def _method(self) -> Method | FittedBins:
        """The exact one for a network that is quantised or noisy, else bins that fit each layer."""
        if self.estimator is not None:
            return self.estimator
        if self.bits is not None:
            return Quantised()
        if self.noise is not None:
            return Noisy(self.noise, 2048)
        is_papers = self.on is None and self._is_tishby
        return FittedBins(tanh=METHODS["idnns"]) if is_papers else FittedBins()


def _parts(task: Task, seed: int) -> tuple[Task, Task]:
    """The training and test parts: the task's own, or four fifths and the rest."""
    if "train" in task.splits and "test" in task.splits:
        return task["train"].shuffled(seed), task["test"].shuffled(seed)
    shuffled = task.shuffled(seed)
    return shuffled[: 4 * len(task) // 5], shuffled[4 * len(task) // 5 :]
