"""The question of probing: which layer of a network holds most about a label?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch

from infoscope.data.named import AnyTask, check_as_it_is, name_of, task_of, training_part
from infoscope.data.partition import unseen
from infoscope.data.task import Task, coding_order
from infoscope.data.texts import Texts
from infoscope.measurement import Status
from infoscope.method_text import text_of
from infoscope.model_information.codes import code_looks
from infoscope.model_information.probing.answer import (
    LABELS,
    NONE,
    RANDOM,
    UNTRAINED,
    WORDS,
    LayerCodes,
    ProbingAnswer,
)
from infoscope.model_information.probing.controls import first_words, labels_of_words, plain_inputs, random_labels
from infoscope.model_information.probing.probed import (
    HUB,
    Features,
    Probed,
    features_of,
    is_features,
    labels_for,
    of_encoder,
    of_network,
)
from infoscope.models.default import Model, learner_for
from infoscope.observation.activations import Activations
from infoscope.observation.pooled import Pooling
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.coders import CODERS
from infoscope.prequential.encode import Coder, check_takes
from infoscope.prequential.loss_curve import LossCurve
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask
from infoscope.training.learner import Weights


@dataclass(frozen=True)
class Probing:
    """Which layer holds most about a label? The codelength of the labels given each layer's frozen features.

    L(y | layer) by regressions in closed form, beside controls that show what the probe itself brings: random labels,
    one label a word type, the untrained network, a bag of words (for other data than texts the inputs themselves).
    Voita & Titov (2020), "Information-theoretic probing with minimum description length"; Hewitt & Liang (2019).

    Attributes
    ----------
    data
        A file of features (.npz or .safetensors with an array (n, d) a layer, .npy); hf:NAME, an encoder by its name on
        the Hugging Face Hub or its folder; or a data set, with --model. Without one its inputs are the features.
    on
        The labels of features: a file, or the data set that they are of; default: `y` in the file itself. For hf:NAME
        the data set that it reads.
    model
        Network whose layers are probed: a name from `infoscope list models`, or module:factory.
    weights
        Its weights (.safetensors, or .pt with tensors only). Default: as its factory makes it.
    trained_on
        The data that these weights were trained on, as DATA[:SPLIT]: what is equal or nearly equal is not coded.
    layers
        Names or globs of layers, repeatable. Default: all.
    pooling
        What a layer says of a whole sequence or image: the mean over tokens (without padding) or places, the first
        token, the max, or flat: all side by side.
    coder
        closed-form, or another model-free coder: mixed, kernel.
    controls
        Code the controls, too: about four times the work.
    examples
        Probe with so many examples at most, drawn at random once for all layers.
    replicates
        Coding orders, each with control labels and an untrained network of its own. The standard error is over them.
    seed
        The first of their seeds.
    """

    data: AnyTask
    on: AnyTask | None = None
    model: Model = None
    weights: Weights | None = None
    trained_on: Task | None = None
    layers: tuple[str, ...] = ()
    pooling: Pooling = "mean"
    coder: Coder = ClosedForm()
    controls: bool = True
    examples: Annotated[int, AtLeast(2)] = 2000
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.coder.needs_network:
            raise ValueError(
                "features are frozen, and this coder is a network's own; give closed-form, mixed or kernel"
            )
        if self.weights is not None and self.model is None:
            raise ValueError("weights need the form of their network; name its model, as in --model resnet20")
        if self.trained_on is not None and self.model is None:
            raise ValueError("trained_on tells what a network of yours has seen; name its model, and its weights")

    def stages(self, device: str = "cpu") -> Stages[ProbingAnswer]:
        """All layers' features, then one layer's codes after another."""
        subject = self._subject()
        check_takes(self.coder, subject.labels.target)
        passes: list[Activations] = (yield Looks(subject.probed.looks)) if subject.probed.looks else []
        trained = subject.probed.ready or passes[0]
        nothing = torch.zeros(len(subject.labels), 1)
        alone = LayerCodes(
            LABELS, 0, (yield from self._codes(subject, self._cases(subject, nothing, ()), LABELS, device))
        )
        yield Rows(alone.alone_rows())
        found: list[LayerCodes] = []
        for name in trained.layers:
            untrained = [one.layers[name] for one in passes[1:]]
            cases = self._cases(subject, trained.layers[name], untrained)
            curves = yield from self._codes(subject, cases, name, device)
            found.append(LayerCodes(name, trained.layers[name].shape[1], curves, name in trained.unsteady))
            yield Rows(found[-1].rows(alone, subject.doubts))
        plain = None
        if subject.plain is not None:
            name, rows = subject.plain
            curves = yield from self._codes(subject, {NONE: [(rows, subject.labels.y)]}, name, device)
            plain = LayerCodes(name, rows.shape[1], curves)
        return ProbingAnswer(self.told(subject), subject.labels, tuple(found), alone, plain, subject.doubts)

    @property
    def seeds(self) -> range:
        """Of the orders, the control labels and the untrained networks."""
        return range(self.seed, self.seed + self.replicates)

    def _subject(self) -> Subject:
        """What is probed with which labels; everything that can be wrong is wrong here."""
        if isinstance(name := name_of(self.data), str) and name.startswith(HUB):
            if self.on is None:
                raise ValueError(
                    f"{name}: names an encoder; name the data that it reads, too: infoscope probe {name} DATA"
                )
            task = self._some(training_part(task_of(self.on)))
            untrained = self.seeds if self.controls else ()
            probed = of_encoder(name.removeprefix(HUB), task, self.layers, self.pooling, untrained)
            return self._with_controls(probed, task)
        if self.model is None and is_features(self.data):
            return self._of_features()
        if self.on is not None:
            raise ValueError(
                f"{name_of(self.data)}: is a data set, which has labels of its own; leave out the second name"
            )
        return self._of_inputs() if self.model is None else self._of_network()

    def _of_network(self) -> Subject:
        given = task_of(self.data)
        held_out = self.weights is not None and "test" in given.splits
        task = self._some(given["test"] if held_out else training_part(given))
        checked = None if self.trained_on is None else unseen(task, training_part(self.trained_on))
        task = task if checked is None else checked.task
        learner = learner_for(task, self.model)
        if self.weights is not None:
            learner = learner.starting_from(self.weights)
        untrained = self.seeds if self.controls and learner.weights is not None else ()
        probed = of_network(task, learner, self.layers, self.pooling, self.seed, untrained)
        known = checked is not None and checked.verified
        subject = self._with_controls(probed, task, learner.weights is not None and not known)
        return subject if checked is None else dataclasses.replace(subject, checked=checked.notes)

    def _of_inputs(self) -> Subject:
        """A data set whose inputs are features themselves: one layer."""
        task = self._some(training_part(task_of(self.data)))
        ready = Activations({"inputs": plain_inputs(task)[1]})
        return self._with_controls(Probed("inputs", ("inputs",), ready=ready), task, own_inputs=False)

    def _of_features(self) -> Subject:
        if self.on is None:
            check_as_it_is(self.data, "a file of features")
        features, beside = features_of(self.data)
        task, words = labels_for(features.count, self.on, beside, features.name)
        rows = coding_order(len(task), self.seed)[: self.examples]
        ready = features.at(rows, self.layers, self.pooling)
        probed = Probed(Path(features.name).stem, tuple(ready.layers), ready=ready)
        if words is not None:
            words = tuple(words[i] for i in rows)
        return self._with_controls(probed, task[rows], words=words, own_inputs=_has_inputs(self.on, features))

    def _some(self, task: Task) -> Task:
        return task[coding_order(len(task), self.seed)[: self.examples]]

    def _with_controls(
        self,
        probed: Probed,
        task: Task,
        unverified: bool = False,
        words: tuple[str, ...] | None = None,
        own_inputs: bool = True,
    ) -> Subject:
        if words is None and isinstance(task.x, Texts):
            words = first_words(task.x.words())
        plain = plain_inputs(task) if self.controls and own_inputs else None
        doubts = frozenset({Status.UNVERIFIED_SPLIT}) if unverified else frozenset()
        return Subject(probed, task, words if self.controls else None, plain, doubts)

    def _cases(self, subject: Subject, rows: Any, untrained: Sequence[Any]) -> dict[str, list[tuple[Any, Any]]]:
        """Features and labels of each control: one pair for all orders, or one an order."""
        y, cases = subject.labels.y, {NONE: [(rows, subject.labels.y)]}
        if not self.controls:
            return cases
        cases[RANDOM] = [(rows, random_labels(y, seed)) for seed in self.seeds]
        if subject.words is not None:
            cases[WORDS] = [(rows, labels_of_words(y, subject.words, seed)) for seed in self.seeds]
        if untrained:
            cases[UNTRAINED] = [(each, y) for each in untrained]
        return cases

    def _codes(self, subject: Subject, cases: Mapping[str, Sequence[tuple[Any, Any]]], layer: str, device: str) -> Any:
        """The curves of each case, one an order."""
        looks: list[Look[LossCurve]] = []
        for control, pairs in cases.items():
            orders = [self.seeds] if len(pairs) == 1 and self.replicates > 1 else [[seed] for seed in self.seeds]
            called = f"code of {layer}" if control == NONE else f"code of {layer}, {control}"
            for (rows, y), seeds in zip(pairs, orders, strict=True):
                task = Task.from_arrays(rows, y, target=subject.labels.target, name=layer, as_is=True)
                looks += code_looks(task, self.coder, [None] * len(seeds), seeds=seeds, device=device, label=called)
        curves: list[LossCurve] = yield Looks(tuple(looks))
        each = self.replicates
        return {control: curves[i * each : (i + 1) * each] for i, control in enumerate(cases)}

    def told(self, subject: Subject) -> dict[str, str]:
        """What was chosen for the caller."""
        texts = isinstance(subject.labels.x, Texts)
        told = {
            "Probed": f"{subject.probed.title}, {len(subject.labels):,} examples of {subject.labels.name}",
            "Coder": f"{text_of(self.coder, CODERS)}, given frozen features, whose own information is excluded",
            "Pooling": f"{self.pooling}, padding left out" if texts else self.pooling,
        }
        if subject.words is not None:
            of = "an example's first word" if texts else "the word that a row stands for"
            told["One label a word type"] = f"drawn from the labels for {of}, {len(set(subject.words)):,} types"
        if subject.checked:
            told["Split"] = "; ".join(subject.checked)
        elif subject.doubts:
            told["Split"] = "nobody could check that the network was not trained on these examples; give --trained-on"
        return told


@dataclass(frozen=True, eq=False)
class Subject:
    """What is probed, the labels and their inputs, the word of each, what controls are given, doubts, and checks."""

    probed: Probed
    labels: Task
    words: tuple[str, ...] | None
    plain: tuple[str, Any] | None
    doubts: frozenset[Status]
    checked: tuple[str, ...] = ()


def _has_inputs(on: AnyTask | None, features: Features) -> bool:
    """Whether labels come from a data set, whose inputs can be a control, and not from a file of labels alone."""
    if on is None:
        return False
    if isinstance(on, Task):
        return True
    return isinstance(name_of(on), str) and hasattr(on, "read") and Path(name_of(on)).suffix not in (".npy", ".npz")


def probe(data: Any, on: Any = None, *, context: RunContext = RunContext(), **options: Any) -> Record:
    """Which layer holds most about a label? `Probing` asked at once; its table.

    `data` are features by layer (an array (n, d), or a mapping of them) and `on` their labels; or a task and the
    `model` to probe; or an encoder, hf:NAME, and the task that it reads. `options` are the fields of `Probing`.

    >>> import numpy as np
    >>> y = np.arange(60) % 3
    >>> layers = {"noise": np.random.default_rng(0).normal(size=(60, 2)), "label": np.eye(3)[y]}
    >>> table = probe(layers, y, replicates=1, controls=False)
    >>> [f"{row.measurement.value:.0f}" for row in table if row.measurement.quantity == "P(best)"]
    ['0', '1']
    """
    if options.get("trained_on") is not None:
        options["trained_on"] = Task.of(options["trained_on"])
    return ask(Probing(data, on, **options), context).record()
