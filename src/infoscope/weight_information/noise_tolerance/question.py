"""The question of noise: how much of it can each layer take before the network gets worse?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.data.named import AnyTask, measured_part, sample, task_of
from infoscope.figure import Figure, Line
from infoscope.measurement import Measurement, Receipt, Status
from infoscope.models.default import Model, model_name
from infoscope.observation.estimators import Sketch
from infoscope.options import AtLeast, check_fields
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Stages, ask
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint, layer_of, parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood, mean_and_error
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import FisherOptions, network_fisher_look
from infoscope.weight_information.noise_tolerance.noisy_layers import Noised, noisy_look, predicted_rise


@dataclass(frozen=True)
class NoiseTolerance:
    """How much noise can each layer take? Loss against noise in the weights, layer by layer, and of all at once.

    The model-free way to ask what weights hold: put noise in, and see what is lost (Shannon 1951, of English). No
    prior, no posterior, no curvature. Beside it what the Fisher information predicts, ½ σ² tr F; where the two part,
    nothing that rests on the curvature alone can be trusted this far out.

    Attributes
    ----------
    checkpoint
        File of weights (.safetensors, or .pt with tensors only).
    data
        What the loss is of: the test split where there is one, else all.
    model
        The weights' network: a name from `infoscope list models`, or module:factory.
    scales
        Deviations of the noise, in units of the root mean square of a layer's weights.
    tolerance
        Rise of the loss that the tolerated noise may cost, as a share of the loss.
    replicates
        Draws of the noise at each scale, each with its mirror image. The standard error is over them and the examples.
    examples
        Examples of the data, drawn by the seed, that everything is measured on.
    draws
        Random signs that each example's Fisher information is sketched with.
    seed
        The first of the draws', of the examples and of the signs.
    """

    checkpoint: AnyCheckpoint
    data: AnyTask
    model: Model = None
    scales: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    tolerance: Annotated[float, AtLeast(0)] = 0.1
    replicates: Annotated[int, AtLeast(1)] = 4
    examples: Annotated[int | None, AtLeast(2)] = 500
    draws: Annotated[int, AtLeast(1)] = 1
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.scales) < 2 or any(not 0 < s < math.inf for s in self.scales):
            raise ValueError(f"scales are {self.scales}; give two or more, each above 0 and finite")
        if any(a >= b for a, b in zip(self.scales, self.scales[1:], strict=False)):
            raise ValueError(f"scales are {self.scales}; give them in order, each once")

    def stages(self, device: str = "cpu") -> Stages[NoiseAnswer]:
        """A Fisher information, then every layer by itself, and all at once."""
        task = sample(measured_part(task_of(self.data)), self.examples, self.seed)
        check_likelihood(task)
        found = Checkpoint.of(self.checkpoint)
        learner = found.learner(task, self.model)
        aliases = parameters_of(learner, task)
        layers: dict[str, tuple[str, ...]] = {}
        for name in aliases:
            layers[layer_of(name)] = (*layers.get(layer_of(name), ()), name)
        if silent := [name for name, held in layers.items() if not any(bool(found.weights[p].any()) for p in held)]:
            raise ValueError(f"{found.name}: the weights of {silent[0]} are all 0, and noise is in units of their size")
        network = learner.network(task.shape, task.target.outputs, 0)
        options = FisherOptions(estimator=Sketch(self.draws), seed=self.seed)
        fishers: list[Fisher] = yield Looks((network_fisher_look(network, task, tuple(aliases), options, device),))
        asked = [*({name: held} for name, held in layers.items()), layers]
        seeds = range(self.seed, self.seed + self.replicates)
        came: list[PerExample] = yield Looks(
            tuple(noisy_look(task, learner, each, aliases, self.scales, seeds, device) for each in asked)
        )
        receipt = Receipt(
            "Gaussian noise and its mirror image", task.fingerprint, found.name, n=len(task), seeds=tuple(seeds),
            over="draws and examples, paired", notes=found.notes, version=__version__, device=device,
        )  # fmt: skip
        noised = []
        for name, each, held in zip([*layers, None], asked, came, strict=True):
            told = [predicted_rise(fishers[0], found.weights, each, scale) for scale in self.scales]
            noised.append(Noised.of(name, self.scales, seeds, held.values, told, receipt))
        return NoiseAnswer(
            model_name(task, self.model), found, came[0].values[0], tuple(noised), self.tolerance, receipt
        )


@dataclass(frozen=True, eq=False)
class NoiseAnswer:
    """What `NoiseTolerance` comes to; the last of `noised` is of all layers at once."""

    model: str
    checkpoint: Checkpoint
    losses: Float[Tensor, " n"]
    noised: tuple[Noised, ...]
    tolerance: float
    receipt: Receipt

    @property
    def title(self) -> str:
        """Noise that layers can take."""
        return f"Noise that layers of {self.model} in {self.checkpoint.name} can take"

    @property
    def loss(self) -> Measurement:
        """The mean loss of the weights as they are, nats an example."""
        return Measurement("loss", *mean_and_error(self.losses), "nat", receipt=self.receipt)

    def record(self) -> Record:
        """The loss, then each layer."""
        whole = Row({"layer": None, "noise": None}, self.loss)
        return Record.of([whole, *(row for one in self.noised for row in one.rows(self._most))])

    @property
    def _most(self) -> float:
        return self.tolerance * self.loss.value

    def figures(self) -> list[Figure]:
        """Loss against noise, measured and predicted."""
        lines = []
        for one in self.noised:
            name = one.name or "all at once"
            lines.append(Line(name, one.scales, [m.bits for m in one.rises]))
            lines.append(Line(f"{name}, predicted", one.scales, [m.bits for m in one.predicted], dash=True))
        label = "noise (share of the layer's root mean square)"
        return [Figure("Loss against noise", label, "rise of the loss (bits an example)", lines, log_x=True)]

    def sentence(self) -> str:
        """Which layers take least and most."""
        told = [(one.tolerated(self._most).value, one.name) for one in self.noised]
        known = [(value, name) for value, name in told[:-1] if not math.isnan(value)]
        share = f"a rise of the loss by {100 * self.tolerance:.3g} %"
        if not known:
            return f"None of the noises that were tried brings a layer to {share}; try others (scales)."
        (low, first), (high, last) = min(known), max(known)
        text = (
            f"At {share}, layers take noise of {100 * low:.3g} % ({first}) to {100 * high:.3g} % ({last}) of their size"
        )
        return f"{text}{'' if math.isnan(told[-1][0]) else f', all at once {100 * told[-1][0]:.3g} %'}."

    def choices(self) -> Mapping[str, str]:
        """What is measured on what, and where the prediction fails."""
        parted = sum(Status.NOT_QUADRATIC in m.status for one in self.noised for m in one.predicted)
        return {
            "Examples": str(self.receipt.n),
            "Predictions that part from what was measured": f"{parted} of {sum(len(o.rises) for o in self.noised)}",
        }

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def noise_tolerance(
    checkpoint: AnyCheckpoint, data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> NoiseAnswer:
    """How much noise can each layer take? `NoiseTolerance` asked at once.

    >>> from infoscope import Learner, Task
    >>> from infoscope.models import MLP
    >>> task = Task.from_dataset("iris")
    >>> weights = Learner(MLP((4,))).network(task.shape, 3, 0).state_dict()
    >>> found = noise_tolerance(weights, task, MLP((4,)), replicates=2)
    >>> [one.name for one in found.noised]
    ['fc1', 'fc2', None]
    """
    return ask(NoiseTolerance(checkpoint, data, model, **options), context)
