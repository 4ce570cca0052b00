"""The question of the weights: how many bits do they hold, layer by layer, at every price of a bit?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, get_args

import torch

from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.targets import Real
from infoscope.data.task import Task, coding_order
from infoscope.ensembles.population import Member, Population
from infoscope.ensembles.train import Train
from infoscope.measurement import Measurement, Receipt
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, positive, weights_or_epochs
from infoscope.prequential.encode import curve_looks
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.mixed import Mixed
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.weight_information.averaged_fisher import FORMS
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint, parameters_of
from infoscope.weight_information.example_losses import check_likelihood, check_own_loss
from infoscope.weight_information.posterior import Rounds
from infoscope.weight_information.weights.answer import TaskWeights, WeightAnswer
from infoscope.weight_information.weights.curve import Point, WeightCurve
from infoscope.weight_information.weights.look import Fitting, Way, weight_curve
from infoscope.weight_information.weights.trial import curve_seconds

PriorName = Literal["zero", "start", "data"]
FormName = Literal["auto", "full", "ekfac", "diagonal", "filter"]

SHARE = 0.5
"""Of the examples that a data-dependent prior is learned from."""


@dataclass(frozen=True)
class WeightInformation:
    """How many bits do the weights hold? KL(q‖p), in all and layer by layer, and what they buy: C = E_q L + β KL(q‖p).

    q is the Gaussian of least C: in closed form where the network is linear in its weights; elsewhere by rounds of
    curvature under q's own noise while its mean moves, beside the closed form around the weights as they are. The loss
    under q is sampled, and flagged where it is not what the curvature predicts. Hinton & van Camp (1993), Achille,
    Paolini & Soatto (2019).

    Attributes
    ----------
    data
        One or more data sets; their train splits where they have them.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    weights
        Your network's weights, a file (.safetensors, or .pt with tensors only) or the folder of a transformer; nothing
        is trained.
    start
        The weights that yours started from, a file: for the prior around them, and for their distance.
    beta
        Price of a nat in the weights, in nats of loss. At 1, C is a codelength of the labels.
    curve
        More prices, for the curve of loss over information.
    prior
        Where the Gaussian prior lies: zero, the start of training, or data (weights learned from half of the examples,
        of which the other half is then all that counts).
    scale
        Standard deviation λ of the prior. Default: chosen among 29, for which log 29 nats are paid.
    posterior
        closed, rounds, noise (the mean stays at the weights, examples are taken by parts), or auto: closed where the
        network is linear in its weights, noise where it is too large for all examples at each step, else the first two.
    form
        Covariance: full, ekfac, diagonal, filter (one variance a filter), or auto: full for few weights of a linear
        model, else ekfac.
    rounds
        Rounds of curvature, of 15 steps of the mean each.
    refine
        Steps of variational refinement behind them; with the diagonal form this is mean-field inference.
    draws
        Weights drawn from q to sample its loss. The standard error is over them.
    floor
        Steps of chains that look for C*, the least that any distribution could cost; 0 for none. Costly.
    codelength
        Beside it the codelength of the same labels, by a model-free coder.
    seed
        Of training and of the draws.
    epochs
        Most epochs of a training. Default: the recipe's, 1000.
    examples
        Take only so many examples, drawn by the seed.
    """

    data: Tasks
    model: Model = None
    weights: AnyCheckpoint | None = None
    start: AnyCheckpoint | None = None
    beta: float = 1.0
    curve: tuple[float, ...] = ()
    prior: PriorName = "zero"
    scale: float | None = None
    posterior: Way = "auto"
    form: FormName = "auto"
    rounds: Annotated[int, AtLeast(1)] = 24
    refine: Annotated[int, AtLeast(0)] = 0
    draws: Annotated[int, AtLeast(2)] = 50
    floor: Annotated[int, AtLeast(0)] = 0
    codelength: bool = False
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None
    examples: Annotated[int | None, AtLeast(2)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "beta", "curve")
        if self.scale is not None and not 0 < self.scale < math.inf:
            raise ValueError(
                f"the prior's scale is {self.scale}; a prior without variance makes every other weight infinitely "
                "costly: give a standard deviation above 0, or none to have one chosen"
            )
        for name, value, known in (
            ("prior", self.prior, ("zero", "start", "data")),
            ("posterior", self.posterior, get_args(Way)),
            ("form", self.form, ("auto", *FORMS)),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; take {', '.join(known)}")
        weights_or_epochs(self)
        if self.weights is None and self.start is not None:
            raise ValueError("start is of weights that are given; without weights the network is trained here")
        if self.weights is not None and self.prior == "start" and self.start is None:
            raise ValueError("the prior around the start needs it: give the file of weights that yours started from")

    def stages(self, device: str = "cpu") -> Stages[WeightAnswer]:
        """For one task after another a network, unless one was given, and its posteriors."""
        given = [sample(training_part(task), self.examples, self.seed) for task in tasks(self.data)]
        for task in given:
            check_likelihood(task)
        found: list[TaskWeights] = []
        for task in given:
            one = yield from self._of(task, device)
            found.append(one)
            yield Rows(one.rows())
        return WeightAnswer(self.beta, tuple(found))

    def _of(self, task: Task, device: str) -> Stages[TaskWeights]:
        mine = None if self.weights is None else Checkpoint.of(self.weights)
        model = self.model if self.model is not None or mine is None else mine.model
        learner = learner_for(task, model, self.epochs)
        check_own_loss(learner)
        given = None if mine is None else mine.learner(task, model).weights
        begun = None if self.start is None else Checkpoint.of(self.start).learner(task, model).weights
        centre: Weights | None = None
        whole = task
        if self.prior == "data":
            cut = max(1, int(SHARE * len(task)))
            mixed = task.shuffled(self.seed)
            first, task = mixed[:cut], dataclasses.replace(mixed[cut:], name=task.name)
            before: Population = yield Train((Member(learner, first, self.seed),))
            centre = before.member(0)
            learner = learner.starting_from(centre)
        initial: Weights | None = learner.network(task.shape, task.target.outputs, self.seed).state_dict()
        if given is None:
            trained: Population = yield Train((Member(learner, task, self.seed),))
            weights = trained.member(0)
        else:
            weights, initial = given, begun
        if self.prior == "start":
            centre = initial
        fitting = Fitting(
            (self.beta, *(b for b in dict.fromkeys(self.curve) if b != self.beta)), self.posterior,
            None if self.form == "auto" else self.form, self.scale, centre, Rounds(self.rounds), self.refine,
            self.draws, self.floor, self.seed,
        )  # fmt: skip
        curves: list[WeightCurve] = yield Looks((self._look(task, learner, weights, fitting, device),))
        sent: list[LossCurve] = []
        if self.codelength:
            looks = curve_looks(task, Mixed(), [None], seeds=[self.seed], device=device, label="code")
            stand_in = partial(_uniform, task, self.seed)
            sent = yield Looks(tuple(dataclasses.replace(one, kind="codes", stand_in=stand_in) for one in looks))
        moved = None if initial is None else _distance(learner, task, weights, initial)
        return TaskWeights(whole.name, model_name(task, model), curves[0], moved, tuple(sent), _blind(task))

    def _look(self, task: Task, learner: Learner, weights: Weights, fitting: Fitting, device: str) -> Look[WeightCurve]:
        names = tuple(parameters_of(learner, task))
        return Look(
            weight_curve,
            (task, dataclasses.replace(learner, weights=None), dict(weights), fitting, device),
            WeightCurve,
            5,
            f"posterior on {task.name}",
            kind="posteriors",
            seconds=partial(curve_seconds, task, dataclasses.replace(learner, weights=None), fitting, device),
            stand_in=partial(_nothing, fitting, names),
        )


def bits_in_weights(
    data: Any, model: Model = None, *, context: RunContext = RunContext(), strict: bool = True, **options: Any
) -> Measurement:
    """KL(q‖p) of a network on a task, of the posterior that `WeightInformation` reports, asked at once; nats.

    >>> from infoscope.models import MLP
    >>> found = bits_in_weights("iris", MLP((2,)), scale=1.0, rounds=4, draws=8, epochs=20)
    >>> found.quantity, found.bound.name
    ('KL(q|p)', 'EXACT')
    """
    (one,) = ask(WeightInformation(data, model, **options), context).found
    return one.curve.measured(one.curve.main)[0].checked(strict)


def _distance(learner: Learner, task: Task, weights: Weights, initial: Weights) -> Measurement:
    """|w − w0| over the trained weights."""
    names = parameters_of(learner, task)
    squares = sum(float((weights[k].double().cpu() - initial[k].double().cpu()).square().sum()) for k in names)
    receipt = Receipt("Euclidean distance from the start", task.fingerprint[:16], n=len(task))
    return Measurement("d(w0,w)", math.sqrt(squares), unit="1", receipt=receipt)


def _blind(task: Task) -> float | None:
    """What the labels cost one who knows nothing, nats."""
    return None if isinstance(task.target, Real) else float(task.target.uniform(task.y).sum())


def _nothing(fitting: Fitting, names: Sequence[str]) -> WeightCurve:
    """A curve of the form of a look's, made at once."""
    ways = ("closed", "rounds") if fitting.way == "auto" else (fitting.way,)  # noise has points of the same form
    zero = dict.fromkeys(names, 0.0)
    points = [Point(way, beta, 1.0, 0.0, (0.0, 0.0), 0.0, zero, zero) for way in ways for beta in fitting.betas]
    return WeightCurve(tuple(points), Receipt(""))


def _uniform(task: Task, seed: int) -> LossCurve:
    """The curve of one who learns nothing."""
    index = coding_order(len(task), seed)
    y = task.y[torch.from_numpy(index)]
    nats, symbols = task.target.uniform(y), len(task.target.cut(y)[0])
    return LossCurve(nats, index, float(nats.sum()), symbols, seed=seed)
