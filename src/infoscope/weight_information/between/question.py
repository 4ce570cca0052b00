"""The question between two checkpoints: how far apart are they, in weights, as functions, and on the way?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from infoscope import __version__
from infoscope.data.named import AnyTask, sample, task_of, training_part
from infoscope.data.task import Task
from infoscope.measurement import Receipt
from infoscope.models.default import Model, model_name
from infoscope.observation.estimators import Sketch
from infoscope.options import AtLeast, check_fields, positive
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Stages, ask
from infoscope.training.learner import Learner, Weights
from infoscope.training.lora import Scaling, adapted, adapter_file, is_adapter, scaling_beside
from infoscope.weight_information.between.answer import BetweenAnswer, Distance
from infoscope.weight_information.between.looks import (
    Likeness,
    Moved,
    divergences_look,
    likeness_look,
    line_look,
    moved_look,
)
from infoscope.weight_information.checkpoint import Checkpoint, Checkpoints, checkpoints_of, layer_of, parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import EKFAC, FisherOptions, network_fisher_look
from infoscope.weight_information.gaussian import gaussian_learning_coefficients
from infoscope.weight_information.second_order import second_order_look


@dataclass(frozen=True)
class Between:
    """How far apart are two checkpoints: in weights, as functions, on the line between them; and is it noise?

    Layer by layer: the Euclidean distance, ½ ΔwᵀFΔw with the Fisher information at the first one, and that beside
    ½ Σ s/(1 + s), what the posterior's noise costs; and the CKA of what layers answer. Of the whole: KL of the
    predictions, and the barrier of the loss on the line.

    Attributes
    ----------
    checkpoints
        Two files of weights of one network, such as a base and its fine-tune. The second may be a LoRA adapter.
    data
        What functions are compared on, train split where there is one. Without data there are distances of weights.
    model
        Their network: a name from `infoscope list models`, or module:factory.
    aligned
        Also after the units of the second were put in the order of the first.
    balanced
        Also after the scales of units were made canonical in both.
    prior
        Standard deviation λ of the Gaussian prior of every weight, for the posterior's noise.
    lora_scale
        What a LoRA adapter is multiplied with, α/r. Default: as `adapter_config.json` beside its file has it.
    examples
        Examples of the data, drawn by the seed, that everything is measured on.
    draws
        Random signs that each example's Fisher information is sketched with.
    seed
        Of the examples and the signs.
    """

    checkpoints: Checkpoints
    data: AnyTask | None = None
    model: Model = None
    aligned: bool = False
    balanced: bool = False
    prior: float = 1.0
    lora_scale: float | None = None
    examples: Annotated[int | None, AtLeast(2)] = 500
    draws: Annotated[int, AtLeast(1)] = 1
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        positive(self, "prior", "lora_scale")
        if self.data is None and (self.aligned or self.balanced):
            raise ValueError("units are found by tracing the network on an example; name data, or leave out aligned")

    def stages(self, device: str = "cpu") -> Stages[BetweenAnswer]:
        """Everything that needs no symmetry; then distance and line after symmetries were taken out."""
        one, other = self._pair()
        if self.data is None:
            names = tuple(name for name, t in one.weights.items() if t.is_floating_point())
            return BetweenAnswer(one, other, "the network", Distance.of(one.weights, other.weights, names))
        part = training_part(task_of(self.data))
        task = sample(part, self.examples, self.seed)
        check_likelihood(task)
        model = self.model if self.model is not None else one.model
        learner = one.learner(task, model)
        filled = other.learner(task, model).weights
        assert learner.weights is not None
        assert filled is not None
        one, other = dataclasses.replace(one, weights=learner.weights), dataclasses.replace(other, weights=filled)
        names = tuple(parameters_of(learner, task))
        distance = Distance.of(one.weights, other.weights, names)
        layers = list(distance.layers)
        changes = [_change(one.weights, other.weights, names, layer) for layer in (None, *layers)]
        came: list[PerExample] = yield Looks(
            (
                second_order_look(task, learner, changes, device, "changes of layers"),
                line_look(task, learner, other.weights, device, "line between both"),
                divergences_look(task, learner, other.weights, device),
            )
        )
        alike: list[Likeness] = yield Looks((likeness_look(task, learner, other.weights),))
        fishers: list[Fisher] = yield Looks((self._fisher(learner, task, names, device),))
        quadratic = dict(zip((None, *layers), came[0].values, strict=True))
        answer = BetweenAnswer(
            one, other, model_name(task, model), distance, quadratic, came[1].values, came[2].values, alike[0],
            self._noise(fishers[0], len(part)), len(part), self._receipt(task, one, other, device),
        )  # fmt: skip
        if not (self.aligned or self.balanced):
            return answer
        freed: list[Moved] = yield Looks((moved_look(task, learner, other.weights, self.aligned, self.balanced),))
        first, second = freed[0].first, freed[0].second
        there: list[PerExample] = yield Looks(
            (line_look(task, learner.starting_from(first), second, device, "line without symmetries"),)
        )
        told = ", ".join(word for word, on in (("aligned", self.aligned), ("balanced", self.balanced)) if on)
        return dataclasses.replace(
            answer, freed=told, freed_distance=Distance.of(first, second, names), freed_line=there[0].values,
            symmetries=freed[0].told(),
        )  # fmt: skip

    def _pair(self) -> tuple[Checkpoint, Checkpoint]:
        """Both checkpoints, an adapter as its base with it."""
        given = list(self.checkpoints) if isinstance(self.checkpoints, list | tuple) else [self.checkpoints]
        if len(given) != 2:
            raise ValueError(f"{len(given)} checkpoints were given; name two")
        one, other = (Checkpoint.of(each, place) for place, each in enumerate(given))
        if is_adapter(other.weights):
            beside = scaling_beside(adapter_file(Path(given[1]))) if isinstance(given[1], str | Path) else None
            if self.lora_scale is not None:
                beside = dataclasses.replace(beside or Scaling(), given=self.lora_scale)
            if beside is None:
                raise ValueError(
                    f"{other.name} is an adapter, and no adapter_config.json beside it says α/r; give lora_scale"
                )
            note = f"a LoRA adapter, {beside.of(''):g} · B A added to {one.name}"
            other = Checkpoint(other.name, adapted(one.weights, other.weights, beside), (*other.notes, note))
        elif self.lora_scale is not None:
            raise ValueError(f"lora_scale was given, and {other.name} is no LoRA adapter; leave it out")
        first, second = checkpoints_of([one, other])
        return first, second

    def _fisher(self, learner: Learner, task: Task, names: tuple[str, ...], device: str) -> Look[Fisher]:
        network = learner.network(task.shape, task.target.outputs, 0)
        options = FisherOptions(EKFAC(), Sketch(self.draws), seed=self.seed)
        return network_fisher_look(network, task, names, options, device)

    def _noise(self, fisher: Fisher, n: int) -> dict[str | None, float]:
        """½ Σ s/(1 + s) of each layer and of all, s = λ² n h, h the eigenvalues of EKFAC."""
        found: dict[str | None, float] = {None: 0.0}
        inside = {name for block in fisher.blocks for name in block.names}
        spectra = [(block.names[0], h) for block, h in zip(fisher.blocks, fisher.moments, strict=True)]
        spectra += [(name, h) for name, h in fisher.diagonal.mean.items() if name not in inside]
        for name, h in spectra:
            by_mean, _ = gaussian_learning_coefficients(h.flatten().clamp(min=0), float(n), self.prior**2)
            layer = layer_of(name)
            found[layer] = found.get(layer, 0.0) + by_mean
            found[None] += by_mean
        return found

    def _receipt(self, task: Task, one: Checkpoint, other: Checkpoint, device: str) -> Receipt:
        notes = (*one.notes, *other.notes, f"prior deviation {self.prior:g}")
        return Receipt(
            "two checkpoints on the same examples", task.fingerprint, f"{one.name}, {other.name}", n=len(task),
            seeds=(self.seed,), over="examples", notes=notes, version=__version__, device=device,
        )  # fmt: skip


def between(
    one: Any, other: Any, data: Any = None, *, context: RunContext = RunContext(), **options: Any
) -> BetweenAnswer:
    """How far apart are two checkpoints? `Between` asked at once.

    >>> import torch
    >>> between({"w": torch.tensor([0.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])}).distance.whole
    5.0
    """
    return ask(Between([one, other], data, **options), context)


def _change(one: Weights, other: Weights, names: tuple[str, ...], layer: str | None) -> dict[str, Tensor]:
    """Δw of a layer's parameters, or of all."""
    return {name: other[name] - one[name] for name in names if layer is None or layer_of(name) == layer}
