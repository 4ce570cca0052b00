"""The question of quantisation: how many bits does each layer need, and how are so many bytes best spent?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from infoscope import __version__
from infoscope.data.named import AnyTask, measured_part, sample, task_of
from infoscope.data.task import Task
from infoscope.measurement import Receipt
from infoscope.models.default import Model, model_name
from infoscope.observation.estimators import Sketch
from infoscope.options import AtLeast, check_fields
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Learner
from infoscope.weight_information.checkpoint import AnyCheckpoint, Checkpoint, parameters_of
from infoscope.weight_information.example_losses import PerExample, check_likelihood
from infoscope.weight_information.fisher import Fisher
from infoscope.weight_information.fisher_look import FisherOptions, network_fisher_look
from infoscope.weight_information.quantise.answer import Allocated, QuantiseAnswer
from infoscope.weight_information.quantise.quantisation import WIDTHS, allocated, quantised
from infoscope.weight_information.quantise.quantised_file import content
from infoscope.weight_information.quantise.quantised_layers import (
    Allocation,
    Layer,
    Rise,
    layer_names,
    prediction,
    rounded_look,
)


@dataclass(frozen=True)
class Quantise:
    """How many bits can each layer take, and how are so many bytes best spent? Loss against bits, layer by layer.

    Every matrix of weights is rounded by itself to 2 to 8 and to 16 bits, uniformly and symmetrically, with a step a
    row. What that adds to the loss is predicted from the Fisher information, ½ Σ F δ², and measured. With a budget
    bits go where they save most, by the prediction; the network so rounded is measured, and written if a file is named.

    Attributes
    ----------
    checkpoint
        File of weights (.safetensors, or .pt with tensors only), or a transformer's folder, which brings its model.
    data
        What the loss is of: the test split where there is one, else all.
    model
        The weights' network: a name from `infoscope list models`, or module:factory.
    bytes
        Budget: the most that the whole file may take.
    bits
        Budget: bits a weight of the matrices on average. One of the two.
    tolerance
        Rise of the loss that a layer's `bits` may cost, as a share of the loss.
    save
        Write the weights, quantised within the budget, to this file (.safetensors).
    examples
        Examples of the data, drawn by the seed, that everything is measured on.
    draws
        Random signs that each example's Fisher information is sketched with.
    seed
        Of the examples and the signs.
    """

    checkpoint: AnyCheckpoint
    data: AnyTask
    model: Model = None
    bytes: Annotated[int | None, AtLeast(1)] = None
    bits: Annotated[float | None, AtLeast(2)] = None
    tolerance: Annotated[float, AtLeast(0)] = 0.01
    save: Path | None = None
    examples: Annotated[int | None, AtLeast(2)] = 500
    draws: Annotated[int, AtLeast(1)] = 1
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.bytes is not None and self.bits is not None:
            raise ValueError("both bytes and bits were given; a budget is one of the two")
        if self.save is not None and self.bytes is None and self.bits is None:
            raise ValueError(f"save is {self.save}, and there is no budget; add bytes, or bits a weight")
        if self.save is not None and (self.save.suffix != ".safetensors" or not self.save.parent.is_dir()):
            raise ValueError(f"{self.save}: cannot be written; name a .safetensors file in a folder that is there")

    def stages(self, device: str = "cpu") -> Stages[QuantiseAnswer]:
        """A Fisher information, the roundings of every layer by itself, and that of the budget."""
        task = sample(measured_part(task_of(self.data)), self.examples, self.seed)
        check_likelihood(task)
        found = Checkpoint.of(self.checkpoint)
        model = self.model if self.model is not None else found.model
        learner, network = _trained(found, task, model)
        names = parameters_of(learner, task)
        weights = learner.weights or {}
        matrices = tuple(name for name in names if weights[name].ndim > 1)
        if not matrices:
            raise ValueError(f"{found.name}: has no matrices of weights to quantise; give a network with some")
        budget = self._budget(weights, matrices, names)
        fishers: list[Fisher] = yield Looks((self._fisher(network, task, matrices, device),))
        alone = [(), *matrices]
        looks = tuple(rounded_look(task, learner, _each(one), names, device) for one in alone)
        came: list[PerExample] = yield Looks(looks)
        before, receipt = came[0].values[0], self._receipt(task, found, device)
        called, layers = layer_names(matrices), list[Layer]()
        for name, after in zip(matrices, came[1:], strict=True):
            told = [prediction(fishers[0], weights, ((name, width),)) for width in WIDTHS]
            rises = tuple(Rise.of(a, before, p, receipt) for a, p in zip(after.values, told, strict=True))
            layers.append(Layer(called[name], name, weights[name].numel(), rises))
        answer = QuantiseAnswer(
            model_name(task, model), found, before, tuple(layers), receipt, self.tolerance, self.seed, self.save
        )
        yield Rows(tuple(answer.record()))
        if budget is None:
            return answer
        sizes = {layer.parameter: layer.size for layer in layers}
        curves = {one.parameter: [max(0.0, rise.predicted.value) for rise in one.rises] for one in layers}
        best: Allocation = tuple(allocated(curves, sizes, budget).items())
        spent: list[PerExample] = yield Looks((rounded_look(task, learner, (best,), names, device),))
        rise = Rise.of(spent[0].values[0], before, prediction(fishers[0], weights, best), receipt)
        return dataclasses.replace(answer, spent=Allocated(best, rise, self._content(weights, best, names)))

    def _fisher(self, network: Any, task: Task, names: tuple[str, ...], device: str) -> Look[Fisher]:
        options = FisherOptions(estimator=Sketch(self.draws), seed=self.seed)
        return network_fisher_look(network, task, names, options, device)

    def _budget(self, weights: Mapping[str, Any], matrices: tuple[str, ...], names: Mapping[str, Any]) -> float | None:
        """Bits for all codes; a ValueError where there are too few even for the narrowest."""
        if self.bytes is None and self.bits is None:
            return None
        sizes = {name: weights[name].numel() for name in matrices}
        if self.bits is not None:
            budget = self.bits * sum(sizes.values())
        else:
            least = len(self._content(weights, tuple((name, WIDTHS[0]) for name in matrices), names))
            assert self.bytes is not None
            if self.bytes < least:
                raise ValueError(f"{self.bytes} bytes were asked for, and with 2 bits a weight the file takes {least}")
            # Rounded up to whole bytes, and up to one more digit of the header's places, a tensor.
            slack = 8 * (12 * len(weights) + 16)
            codes = 8 * sum(-(-size * WIDTHS[0] // 8) for size in sizes.values())
            budget = max(8 * (self.bytes - least) + codes - slack, codes)
        allocated({name: [0.0] * len(WIDTHS) for name in sizes}, sizes, budget)
        return budget

    def _content(self, weights: Mapping[str, Any], bits: Allocation, names: Mapping[str, Any]) -> bytes:
        codes = {name: quantised(weights[name], width) for name, width in bits}
        same = {other: first for first, several in names.items() for other in several[1:] if other in weights}
        return content(weights, codes, same)

    def _receipt(self, task: Task, found: Checkpoint, device: str) -> Receipt:
        method = "uniform symmetric codes, a step a row"
        return Receipt(
            method, task.fingerprint, found.name, n=len(task), seeds=(self.seed,), over="examples, paired",
            notes=found.notes, version=__version__, device=device,
        )  # fmt: skip


def quantise(
    checkpoint: AnyCheckpoint, data: Any, model: Model = None, *, context: RunContext = RunContext(), **options: Any
) -> QuantiseAnswer:
    """How many bits can each layer take? `Quantise` asked at once.

    >>> from infoscope import Learner
    >>> from infoscope.models import MLP
    >>> task = Task.from_dataset("iris")
    >>> weights = Learner(MLP((4,))).network(task.shape, 3, 0).state_dict()
    >>> quantise(weights, task, MLP((4,)), bits=4).mean_bits
    4.0
    """
    return ask(Quantise(checkpoint, data, model, **options), context)


def _trained(found: Checkpoint, task: Task, model: Model) -> tuple[Learner, Any]:
    learner = found.learner(task, model)
    return learner, learner.network(task.shape, task.target.outputs, 0)


def _each(name: str | tuple[()]) -> tuple[Allocation, ...]:
    """A parameter at every number of bits; the network as it is for none."""
    return tuple(((name, width),) for width in WIDTHS) if isinstance(name, str) else ((),)
