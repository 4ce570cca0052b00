"""Who watches the Fisher information of a network while it trains, without changing the training."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from infoscope.data.inputs import take
from infoscope.data.task import Task, coding_order
from infoscope.dynamics.fisher_training.curve import FisherCurve, Watching, When, receipt_of
from infoscope.ensembles.observers import StackMoment
from infoscope.ensembles.stacked_weights import member
from infoscope.observation.estimators import Sketch
from infoscope.observation.example_traces import ExampleTraces, example_traces
from infoscope.observation.fisher_diagonal import check_precision
from infoscope.observation.layers import unwrapped
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.observation.rows import Differentiated
from infoscope.record import Record
from infoscope.training.fit import Moment
from infoscope.training.isolation import isolated
from infoscope.training.learner import Weights, load_weights
from infoscope.weight_information.checkpoint import layer_of


@dataclass
class NetworkCopy:
    """A copy of a network, into which the weights of any of its architecture are put to differentiate it there."""

    of: Differentiated | None = None

    def holding(self, network: nn.Module, weights: Weights, task: Task) -> Differentiated:
        """The copy with these weights; made when it is first asked for, and checked on the task's first examples."""
        if self.of is None:
            self.of = Differentiated(network, task.x)
            check_precision(self.of)
        load_weights(self.of.network, weights)
        return self.of


class FisherTrace:
    """Records the trace of the Fisher information of a network while it trains, layer by layer, from outside.

    An observer of `fit`, or one line in any other loop:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> watch = FisherTrace(Task.from_dataset("digits"), every=20)
    >>> for step in range(41):  # 0 is the untrained network; then after every step
    ...     watch.step(network, step)
    >>> [when.step for when in watch.curve().times]
    [0, 20, 40]

    It looks at the same few `examples` of the task, drawn by the `seed`, at every `every`-th step, by `draws` random
    signs an example (`Sketch`); beside tr F stands tr F over the mean of p (1 − p), from which the mere confidence of
    the network is taken off. The network is not changed: weights and buffers are put into a copy, which is
    differentiated in eval mode, with random numbers of its own; what the network computes must follow from its
    `state_dict`. `fit` shows steps from 1 on, so call `step(network, 0)` before it for the start.
    """

    def __init__(
        self, task: Task, *, every: int = 20, examples: int = 32, draws: int = 1, seed: int = 0,
        copy: NetworkCopy | None = None,
    ) -> None:  # fmt: skip
        if len(task) < 2:
            raise ValueError(f"{task.name!r} has {len(task)} examples; a trace with an error needs 2 or more")
        self._likelihood = likelihood_of(task.target)
        self._batch = task[coding_order(len(task), seed)[:examples]]
        self._watching = Watching(every, min(examples, len(task)), draws)
        self._y = as_given(task.target, self._batch.y)
        self._data, self._seed, self._copy = task.fingerprint, seed, copy or NetworkCopy()
        self._times: list[When] = []
        self._found: list[ExampleTraces] = []
        self._losses: list[float] = []
        self._since: list[Tensor] = []
        self._latest, self._seconds, self._model, self._device = -1, 0.0, "", "cpu"

    def observe(self, moment: Moment) -> None:
        """See one moment of `fit`."""
        self.step(moment.network, moment.step, moment.loss, moment.epoch + 1)

    def step(self, network: nn.Module, step: int, loss: Tensor | float = math.nan, epoch: int = 0) -> None:
        """See the network after `step` steps, of which the last had this loss; it is measured at every so many."""
        if self._wants(step, loss):
            inner = unwrapped(network)
            self.measure(inner, {k: v.detach() for k, v in inner.state_dict().items()}, step, epoch)

    def see(self, moment: StackMoment, place: int) -> None:
        """See one network of many."""
        if self._wants(moment.step, moment.losses[place]):
            weights = {k: v.detach() for k, v in member(moment.weights, place).items()}
            self.measure(moment.template, weights, moment.step, moment.epoch + 1)

    def measure(self, network: nn.Module, weights: Weights, step: int, epoch: int) -> None:
        """Measure the network with these weights."""
        begin = time.process_time()
        signs = torch.Generator().manual_seed(int(np.random.default_rng([self._seed, step]).integers(2**62)))
        with isolated(self._seed):
            of = self._copy.holding(network, weights, self._batch)
            x = take(self._batch.x, slice(None))
            found = example_traces(of, x, self._likelihood, self._y, Sketch(self._watching.draws), signs)
        self._model, self._device = type(network).__name__, str(of.device)
        self._found.append(found)
        self._times.append(When(step, epoch))
        self._losses.append(float(torch.stack(self._since).mean()) if self._since else math.nan)
        self._since = []
        self._seconds += time.process_time() - begin

    def curve(self) -> FisherCurve:
        """All that was measured; a ValueError if nothing was."""
        if not self._found:
            raise ValueError("nothing was measured yet; show the network at step 0, or train for more steps")
        layers: dict[str, list[str]] = {}
        for name in self._found[0].traces:
            layers.setdefault(layer_of(name), []).append(name)
        each = [
            [torch.stack([one.traces[k] for k in names]).sum(0) for names in layers.values()] for one in self._found
        ]
        return FisherCurve(
            tuple(self._times), tuple(layers), torch.stack([torch.stack(one) for one in each]),
            torch.stack([one.variances for one in self._found]), tuple(self._losses),
            receipt_of(self._data, self._model, self._watching, self._seed, self._device), self._seconds,
        )  # fmt: skip

    def forked(self) -> FisherTrace:
        """Another one that has seen the same, for a training that goes another way from here on."""
        other = copy.copy(self)
        other._times, other._found = list(self._times), list(self._found)
        other._losses, other._since = list(self._losses), list(self._since)
        return other

    def record(self) -> Record:
        """All that was measured, by step, epoch and layer."""
        return self.curve().record()

    def _wants(self, step: int, loss: Tensor | float) -> bool:
        if step <= self._latest:
            raise ValueError(
                f"step {step} comes after step {self._latest}: steps go up, and another training takes another "
                "FisherTrace"
            )
        self._latest = step
        if isinstance(loss, Tensor):
            self._since.append(loss.detach())
        elif not math.isnan(loss):
            self._since.append(torch.tensor(loss))
        return step % self._watching.every == 0


@dataclass
class FisherTraces:
    """An observer of stacks: a `FisherTrace` for each network, by name, which share one copy to differentiate.

    Networks that are one row are seen by that row's, and by their own from when they part.
    """

    traces: dict[str, FisherTrace] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)

    def observe(self, moment: StackMoment) -> None:
        """Show every network to its own."""
        self._part({name: row[0] for row in moment.sharing for name in row})
        for place, name in enumerate(moment.names):
            self.traces[name].see(moment, place)

    def of(self, name: str) -> FisherTrace:
        """What has seen a network."""
        return self.traces[self.rows.get(name, name)]

    def _part(self, rows: Mapping[str, str]) -> None:
        for name, row in self.rows.items():
            if row != name and rows.get(name, name) == name:
                self.traces[name] = self.traces[row].forked()
        self.rows = {name: rows.get(name, name) for name in (*self.rows, *rows)}
