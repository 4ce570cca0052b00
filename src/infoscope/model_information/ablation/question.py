"""The question of ablation: how much of a network's information lies in which of its components?"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from infoscope.data.inputs import take
from infoscope.data.named import Tasks, tasks
from infoscope.data.partition import partition
from infoscope.data.task import Task
from infoscope.figure import Bars, Figure
from infoscope.measurement import Measurement
from infoscope.model_information.ablation.components import Chosen, Component, Components
from infoscope.model_information.ablation.reset import Reset, beginnings, with_reset
from infoscope.model_information.ablation.result import Ablated, Code
from infoscope.model_information.ablation.shapley import EXACT, MOST, Coalition, coalitions, prefixes, random_orders
from infoscope.model_information.codes import code_looks
from infoscope.model_information.held_out_loss import loss_looks
from infoscope.model_information.information import check_own_code
from infoscope.model_information.trained_pairs import OwnWeights, TrainedPairs, own_pairs, trained_pairs
from infoscope.models.default import Model, learner_for, model_name
from infoscope.options import AtLeast, check_fields, weights_or_epochs
from infoscope.prequential.encode import Coder
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.training.learner import Learner, Weights

NONE: Coalition = frozenset()
"""No component is reset."""

NOTHING = 3.0
"""Errors within which a network's information counts as none."""


@dataclass(frozen=True)
class Ablation:
    """How much of what a network learned lies in which of its components?

    I(c) = L(M, D) − L(M with c reset, D), eq. (7) of "Model Information as an Analysis Tool in Deep Learning": the bits
    that labels cost more when component c has forgotten, to a network that goes on learning while they are sent. So
    what others can take over, or what is quickly learned again, counts for little; the loss without relearning stands
    beside it. I(c) do not add up: components share what they know, or know it only together. Shapley values do.

    Attributes
    ----------
    data
        A data set. With weights, what is coded: the test split where there is one, else all.
    model
        Network: a name from `infoscope list models`, or module:factory. Default: mlp, or cnn from 16 pixels on.
    components
        Kinds (blocks, fc, embeddings; stem, 1x1-before, 3x3, 1x1-after, residual; layers, heads, mlps), or globs of
        modules and tensors. Each word is one component of all it finds; with :each behind it, as in blocks:each, one of
        each. Default: every block, and every layer outside of blocks.
    reset
        What a component is reset to: start (its own), new (another draw), mean, or resampled (its values change
        places). Four answers to four questions.
    shapley
        Shapley values too, of at most 12 components: exact up to 6, else by random orders.
    permutations
        Take so many random orders for Shapley values, however many components there are. Default: 8 beyond 6.
    coder
        The network's own code: replay, entk or blocks. Numbers of different coders are not compared.
    k
        Examples to code, which are not trained on. Default: the test split or a third, at most 10,000.
    train
        Examples to train on. Default: what is left.
    weights
        Your network's weights (.safetensors, or .pt with tensors only); nothing is trained.
    trained_on
        The data that they were trained on, as DATA[:SPLIT], so that the split can be checked.
    initial
        The weights that their training started from: a file, or the seed that drew them.
    replicates
        Networks, each with a coding order of its own. The standard error is over them; one gives none.
    seed
        The first of their seeds.
    epochs
        Most epochs of a training, which ends earlier when it has settled. Default: the recipe's, 1000.
    """

    data: Tasks
    model: Model = None
    components: Chosen = ()
    reset: Reset = "start"
    shapley: bool = False
    permutations: Annotated[int | None, AtLeast(1)] = None
    coder: Coder = Replay()
    k: Annotated[int | None, AtLeast(1)] = None
    train: Annotated[int | None, AtLeast(1)] = None
    weights: Weights | None = None
    trained_on: Task | None = None
    initial: Weights | int | None = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0
    epochs: Annotated[int | None, AtLeast(1)] = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        if isinstance(self.components, str):
            raise TypeError(f"components is the text {self.components!r}; give a list of words, even of one")
        if self.weights is None and (self.trained_on is not None or self.initial is not None):
            raise ValueError("trained_on and initial describe your own network; give its weights too")
        weights_or_epochs(self)
        if self.weights is not None and self.initial is None and self.reset == "start":
            raise ValueError(
                "reset 'start' needs to know where the training of these weights began; give initial, or reset to new, "
                "mean or resampled"
            )
        if self.permutations is not None and not self.shapley:
            raise ValueError("permutations are for Shapley values; ask for shapley too")

    def stages(self, device: str = "cpu") -> Stages[AblationAnswer]:
        """Networks, then a code for every component and seed, and the loss of each without relearning."""
        task = self._task()
        learner = learner_for(task, self.model, self.epochs)
        chosen, parameters = self._components(task, learner)
        known = yield from self._networks(task, learner)
        orders = self._orders(len(chosen), known.seeds)
        found = Ablated(task.name, chosen, parameters, self.reset, known, orders)
        codes, losses = yield from self._looks(found, learner, device)
        answer = AblationAnswer(self, task, found.with_looks(codes, losses))
        yield Rows(tuple(answer.record()))
        return answer

    def _task(self) -> Task:
        task, *others = tasks(self.data)
        if others:
            raise ValueError(f"ablation takes one data set, and {1 + len(others)} were given; ask for each by itself")
        return task

    def _components(self, task: Task, learner: Learner) -> tuple[tuple[Component, ...], int]:
        """The components that were asked for, and how many parameters the network has."""
        network = learner.network(task.shape, task.target.outputs, self.seed)
        made = Components(network, take(task.x, slice(2)))
        chosen = made.choose(self.components)
        if self.shapley and len(chosen) > MOST:
            raise ValueError(
                f"there are {len(chosen)} components, and Shapley values of at most {MOST} are offered; choose fewer, "
                "or larger ones: a word without :each is one component of all that it finds"
            )
        return chosen, made.parameters

    def _networks(self, task: Task, learner: Learner) -> Generator[Request, Any, TrainedPairs]:
        seeds = range(self.seed, self.seed + self.replicates)
        if self.weights is not None:
            own = OwnWeights(self.weights, self.trained_on, self.initial)
            return own_pairs(task, learner, own, self.k, seeds)
        return (yield from trained_pairs(partition(task, k=self.k, train=self.train), learner, seeds))

    def _orders(self, parts: int, seeds: Sequence[int]) -> dict[int, list[tuple[int, ...]]]:
        """Random orders of the components for each seed; none where all coalitions are looked at, or none is asked."""
        if not self.shapley or (self.permutations is None and parts <= EXACT):
            return {}
        return {seed: random_orders(parts, self.permutations or 8, seed) for seed in seeds}

    def _looks(
        self, found: Ablated, learner: Learner, device: str
    ) -> Generator[Request, Any, tuple[dict[Code, Any], dict[Code, Any]]]:
        """Curves and losses by seed and what is reset; by seed and None from the initial weights."""
        known = found.known
        single = [NONE, *(frozenset({i}) for i in range(len(found.components)))]
        learners: dict[Code, Learner] = {
            (seed, None): start for seed, (start, _) in zip(known.seeds, known.pairs, strict=True)
        }
        for seed, (start, end) in zip(known.seeds, known.pairs, strict=True):
            begun = beginnings(known.coded, learner, start.weights, seed)
            for gone in dict.fromkeys([*single, *self._gone(found, seed)]):
                parts = [found.components[i] for i in sorted(gone)]
                assert end.weights is not None or not parts
                weights = with_reset(end.weights or {}, parts, self.reset, begun, seed)
                learners[seed, gone] = end.starting_from(weights) if parts else end
        keys, seeds = list(learners), [seed for seed, _ in learners]
        curves = yield Looks(
            code_looks(known.coded, self.coder, list(learners.values()), seeds=seeds, device=device, label="code")
        )
        frozen = [key for key in product(known.seeds, single) if key in learners]
        losses = yield Looks(
            tuple(loss_looks(known.coded, [learners[key] for key in frozen], [seed for seed, _ in frozen], device))
        )
        return dict(zip(keys, curves, strict=True)), dict(zip(frozen, losses, strict=True))

    def _gone(self, found: Ablated, seed: int) -> Iterable[Coalition]:
        """What is reset for the coalitions that Shapley values are made of."""
        if not self.shapley:
            return ()
        parts = len(found.components)
        kept = prefixes(found.orders[seed]) if found.orders else coalitions(parts)
        return [frozenset(range(parts)) - some for some in kept]


@dataclass(frozen=True)
class AblationAnswer:
    """What `Ablation` comes to."""

    question: Ablation
    task: Task
    found: Ablated

    @property
    def title(self) -> str:
        """Where the information of this network about this task lies."""
        return f"Ablation of {model_name(self.task, self.question.model)} on {self.task.name}"

    def record(self) -> Record:
        """The whole network first, then every component, then their sum."""
        return Record.of(self.found.rows(self.question.shapley))

    def figures(self) -> list[Figure]:
        """Fig. 7: bits and bits a parameter of every component; then its losses with relearning and without."""
        each = self.found.by_component(self.question.shapley)
        names = [name for name in each if name not in ("all", "sum")]
        wanted = [q for q in ("I(c)", "Shapley I(c)") if all(q in each[name] for name in names)]
        losses = ("loss without relearning", "loss while relearning")
        dense = [name for name in names if "I(c) a parameter" in each[name]]
        return [
            Figure("Information in each component", "component", "bits", [_bars(q, names, each) for q in wanted]),
            Figure("Density", "component", "bits a parameter", [_bars("I(c) a parameter", dense, each)]),
            Figure("What is lost without the component", "component", "bits a label",
                   [_bars(q, ["all", *names], each) for q in losses],
                   caption="“all” is the network as it was trained; in the others the component is reset."),
        ]  # fmt: skip

    def sentence(self) -> str:
        """Where most of it lies, and by how much the parts miss the whole."""
        each = self.found.by_component(False)
        parts = {name: rows["I(c)"] for name, rows in each.items() if name not in ("all", "sum")}
        most = max(parts, key=lambda name: parts[name].value)
        whole, total = each["all"]["L(M,D)"], each["sum"]["Σ I(c)"]
        if not whole.value > 0 or whole.value < NOTHING * whole.stderr:
            return (
                f"Training put nothing about {self.task.name} into the network that could be told from none "
                f"({whole.with_error()} bits), so there is nothing to find in its components; train it for "
                "longer, or on more examples."
            )
        apart = total - whole
        why = ", as what they know is shared or joint" if abs(apart.value) > 2 * apart.stderr else ""
        return (
            f"Of the {whole.with_error()} bits about {self.task.name} that training put into the network, most is "
            f"missed without {most} ({parts[most].with_error()} bits, reset to {self.question.reset}); the "
            f"components by themselves come to {total.with_error()} bits{why}."
        )

    def choices(self) -> Mapping[str, str]:
        """The network, what components were reset to, and how the task was parted."""
        return {
            "Network": model_name(self.task, self.question.model),
            "Reset to": self.question.reset,
            self.task.name: "; ".join(self.found.known.notes) or f"{len(self.found.known.coded)} examples coded",
        }

    def write(self, folder: Path) -> Mapping[str, str]:
        """No file but the report."""
        return {}


def _bars(quantity: str, names: Sequence[str], each: Mapping[str, Mapping[str, Measurement]]) -> Bars:
    found = [each[name][quantity] for name in names]
    band = [[m.bits + sign * m.stderr_bits for m in found] for sign in (-1, 1)] if len(found[0].replicates) > 1 else []
    return Bars(quantity, names, [m.bits for m in found], *band)


def ablation(data: Any, context: RunContext = RunContext(), **options: Any) -> Record:
    """How much of what a network learned lies in which of its components? `Ablation` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> table = ablation("iris", model=MLP((8,)), coder=Replay(replays=1, start=8), k=20, replicates=1, reset="mean")
    >>> [row.coordinates["component"] for row in table if row.measurement.quantity == "I(c)"]
    ['fc1', 'fc2']
    """
    return ask(Ablation(data, **options), context).record()
