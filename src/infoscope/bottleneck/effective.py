"""The question of effective information: what do activations tell of an input, given how precise the weights are?"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from infoscope.bottleneck.effective_answer import EffectiveAnswer, TaskLayers
from infoscope.bottleneck.input_spread import MOST_NUMBERS, Covariance
from infoscope.bottleneck.weight_noise import Channels, Looking, Way, calls_of, channel_look
from infoscope.data.inputs import Inputs, take
from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.ensembles.planning import EnsembleSpec
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.stacked_weights import member
from infoscope.ensembles.train import Train
from infoscope.models.default import Model, learner_for, model_name
from infoscope.observation.up_to import Places
from infoscope.options import AtLeast, check_fields, positive
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.averaged_fisher import FORMS, Form
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint
from infoscope.weight_information.example_losses import check_likelihood

EPOCHS = 100
"""Of a training, where neither the caller nor a learner's recipe says how many."""


@dataclass(frozen=True)
class State:
    """A network at some time of its training, None for weights that were given; `last` is the end."""

    epoch: int | None
    seed: int
    last: bool
    weights: Weights


@dataclass(frozen=True)
class EffectiveInformation:
    """How much do activations tell of the input, if weights are no more precise than the loss needs? I_eff by layer.

    The weights' posterior makes noise in every activation, J Σ_w Jᵀ; the inputs around an example make a signal, and
    I_eff is what the one leaves of the other: E_x ½ log det(I + Σ_z⁻¹ ∂f Cov(x) ∂fᵀ). Layer by layer and while the
    network trains, beside the information in the weights: the emergence bound says that with less of this there is
    less of the other. Achille & Soatto (2018), Achille, Paolini & Soatto (2019).

    Attributes
    ----------
    data
        One or more data sets of numbers; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    layers
        Names or globs of modules. Default: every layer, after its activation function.
    weights
        Your network's weights, a file (.safetensors, or .pt with tensors only); nothing is trained.
    at
        Epochs after which to look, 0 for the start. Default: 0, 1, 2, 5, 10, 22, 46 … The last is always looked at.
    beta
        Prices of a nat in the weights, in nats of loss: the higher, the more noise. The first is that of the figures.
    scale
        Standard deviation λ of the prior around 0. Default: chosen where C is least, at the last epoch for all.
    posterior
        rounds: the curvature under the noise itself, the mean staying where the weights are; or closed: at the weights.
    form
        Covariance of the weights: full, ekfac, diagonal or filter.
    rounds
        Rounds of curvature.
    covariance
        How inputs vary around an example: like the data (correlations shrunk), or each number independent.
    spread
        How far they do, in units of the data's own deviations: 1 for as far as the data, less for a neighbourhood.
    places
        Of maps and sequences the mean over places (one number a channel), or all.
    inputs
        Examples around which the channel is looked at.
    replicates
        Networks, of one seed each, over which errors are taken; with weights that are given there is one.
    seed
        The first of their seeds.
    epochs
        Epochs of a training. Default: 100, or those of a learner's own recipe.
    examples
        Take only so many examples, drawn by the seed.
    """

    data: Tasks
    model: Model = None
    layers: tuple[str, ...] = ()
    weights: AnyCheckpoint | None = None
    at: tuple[int, ...] = ()
    beta: tuple[float, ...] = (1.0,)
    scale: float | None = None
    posterior: Way = "rounds"
    form: Form = "ekfac"
    rounds: Annotated[int, AtLeast(1)] = 8
    covariance: Covariance = "data"
    spread: float = 1.0
    places: Places = "mean"
    inputs: Annotated[int, AtLeast(2)] = 64
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(2)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.beta:
            raise ValueError("no β is given; give one or more, such as 1")
        positive(self, "beta", "spread")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ValueError(
                f"the prior's scale is {self.scale}; give a standard deviation above 0, or none to have one chosen"
            )
        for name, value, known in (
            ("posterior", self.posterior, ("rounds", "closed")),
            ("form", self.form, FORMS),
            ("covariance", self.covariance, ("data", "independent")),
            ("places", self.places, ("mean", "all")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; take {', '.join(known)}")
        if self.weights is not None and (self.at or self.epochs is not None):
            raise ValueError("at and epochs are of a training, and with weights there is none; leave them out")
        if any(epoch < 0 for epoch in self.at):
            raise ValueError(f"at is {', '.join(map(str, self.at))}; epochs count from 0, the start")

    def stages(self, device: str = "cpu") -> Stages[EffectiveAnswer]:
        """For one task after another: train, look at the last epoch, then at those before it under the same prior."""
        given = [sample(training_part(task), self.examples, self.seed) for task in tasks(self.data)]
        for task in given:
            self._check(task)
        found: list[TaskLayers] = []
        for task in given:
            one = yield from self._of(task, device)
            found.append(one)
            yield Rows(one.rows())
        return EffectiveAnswer(tuple(found))

    def _of(self, task: Task, device: str) -> Stages[TaskLayers]:
        learner, states = yield from self._states(task)
        last, before = ([one for one in states if one.last is end] for end in (True, False))
        how = Looking(
            self.layers or None, self.beta, self.scale, self.posterior, self.form, self.rounds, self.inputs,
            self.covariance, self.spread, self.places, self.seed,
        )  # fmt: skip
        ends: list[Channels] = yield Looks(tuple(_look(task, learner, one, how, device) for one in last))
        scaled = {one.seed: dataclasses.replace(how, scale=c.scale) for one, c in zip(last, ends, strict=True)}
        looks = tuple(_look(task, learner, one, scaled[one.seed], device) for one in before)
        others: list[Channels] = (yield Looks(looks)) if looks else []
        when = [(one.epoch, one.seed) for one in (*before, *last)]
        seen = dict(zip(when, [*others, *ends], strict=True))
        return TaskLayers(task.name, model_name(task, self.model), how, task.fingerprint[:16], device, seen)

    def _states(self, task: Task) -> Stages[tuple[Learner, list[State]]]:
        """The networks that are looked at, and when."""
        if self.weights is not None:
            mine = Checkpoint.of(self.weights)
            learner = mine.learner(task, self.model)
            calls_of(learner.network(task.shape, task.target.outputs, 0), task, self.layers or None)
            return learner, [State(None, self.seed, True, mine.weights)]
        learner = self._learner(task)
        calls_of(learner.network(task.shape, task.target.outputs, 0), task, self.layers or None)
        end = learner.recipe.epochs
        if late := [epoch for epoch in self.at if epoch > end]:
            raise ValueError(f"at has epoch {max(late)}, and training takes {end}; raise epochs, or look earlier")
        at = sorted(set(self.at or epochs_of(end)) - {end})
        members = tuple(Member(learner, task, self.seed + i) for i in range(self.replicates))
        trained: Population = yield Train(members, EnsembleSpec(snapshots=tuple(at)))
        states = [
            State(epoch, seed, False, member(trained.snapshots[epoch], i))
            for epoch in at
            for i, seed in enumerate(trained.seeds)
        ]
        return learner, [*states, *(State(end, seed, True, trained.member(i)) for i, seed in enumerate(trained.seeds))]

    def _learner(self, task: Task) -> Learner:
        epochs = self.epochs if self.epochs is not None or isinstance(self.model, Learner) else EPOCHS
        learner = learner_for(task, self.model, epochs)
        if learner.recipe.loss is not None:
            raise ValueError(
                "the learner's recipe has a loss of its own, of which nobody knows whether it is −log p; leave "
                "Recipe.loss out, so that the loss is the target's likelihood"
            )
        return learner

    def _check(self, task: Task) -> None:
        """ValueError for inputs that have no neighbourhood, before anything is trained."""
        check_likelihood(task)
        shape = task.shape
        if not isinstance(shape, tuple) or not _are_fractions(task.x):
            raise ValueError(
                f"the inputs of {task.name!r} are tokens, or several arrays; effective information is of inputs that "
                "are one array of numbers with fractions: embed them first"
            )
        numbers = math.prod(shape)
        if self.covariance == "data" and numbers > MOST_NUMBERS:
            raise ValueError(
                f"an input of {task.name!r} is {numbers} numbers, and correlations are taken of {MOST_NUMBERS} at "
                "most; take covariance independent, or smaller inputs"
            )


def _look(task: Task, learner: Learner, state: State, how: Looking, device: str) -> Look[Channels]:
    when = "" if state.epoch is None else f", seed {state.seed}, epoch {state.epoch}"
    return channel_look(task, learner, state.weights, how, device, f"layers on {task.name}{when}")


def _are_fractions(x: Inputs) -> bool:
    few = take(x, slice(0, 1))
    return isinstance(few, Tensor) and few.is_floating_point()


def epochs_of(end: int) -> tuple[int, ...]:
    """The start, then three epochs a decade, evenly on a logarithmic axis.

    >>> epochs_of(30)
    (0, 1, 2, 5, 10, 22)
    """
    return (
        0,
        *dict.fromkeys(e for k in range(math.ceil(3 * math.log10(end)) + 1) if (e := round(10 ** (k / 3))) < end),
    )


def effective_layers(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> EffectiveAnswer:
    """I_eff of the layers of a network on a task, see `EffectiveInformation`, asked at once.

    >>> from infoscope.models import MLP
    >>> found = effective_layers("iris", MLP((4,)), epochs=5, at=(0,), rounds=2, replicates=2)
    >>> [row.coordinates["layer"] for row in found.record() if row.measurement.quantity == "I_eff"]
    ['act1', 'fc2', 'act1', 'fc2']
    """
    return ask(EffectiveInformation(data, model, **options), context)
