"""The information plane: I(X;T) and I(T;Y) of a network's layers while it trains (Shwartz-Ziv & Tishby 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from infoscope.data.inputs import take
from infoscope.dynamics.examples import ExamplesLike
from infoscope.dynamics.plane.specification import PlaneSpecification, PlaneStudy
from infoscope.dynamics.plane.study_run import StudyRun
from infoscope.dynamics.schedule import Every, Schedule
from infoscope.observation.activations import activations
from infoscope.observation.architecture import Architecture
from infoscope.observation.layers import unwrapped
from infoscope.record import Record
from infoscope.run import Store
from infoscope.training.fit import Moment
from infoscope.training.learner import Weights, copy_weights


class InformationPlane:
    """Records where a network's layers stand on the information plane, epoch by epoch, from outside.

    An observer of `fit`, or three lines around any other loop:

    >>> from infoscope.data.tishby import tishby
    >>> network = nn.Sequential(nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 2))
    >>> plane = InformationPlane(tishby(), layers=["1"])
    >>> plane.step(network, 0)  # after each epoch
    >>> [str(row.measurement.quantity) for row in plane.record()]
    ['I(X;T)', 'I(T;Y)']

    `task` are the examples to measure on, or arrays (x, y), and `test` others. The network is called with the inputs
    exactly as they are (`network(**x)` for a mapping) and is not changed: its weights are copied and measured in a
    copy of it, in eval mode. So what it computes must follow from its `state_dict`; what doesn't (a temperature that a
    loop anneals) is noticed and refused. `options` are those of `LayerSpecification`: method, layers, null, seed,
    sketch, passes, batch, room.

    Weights are kept only while the schedule may go back to them, at most `memory` bytes of them: when that is full, a
    section ends early. With `store`, an interrupted run measures nothing twice; rows are appended to `record` as they
    are measured. With `jobs` > 1 epochs that are wanted together are measured side by side. `device` is where the copy
    runs, the network's own unless said otherwise.

    Epoch 0 is the untrained network; `fit` shows epochs from 1 on, so call `step(network, 0)` before it for the start.
    """

    def __init__(
        self,
        task: ExamplesLike,
        *,
        test: ExamplesLike | None = None,
        schedule: Schedule = Every(),
        store: Store | None = None,
        record: Record | None = None,
        jobs: int = 1,
        memory: int = 2**30,
        device: str | torch.device | None = None,
        **options: Any,
    ):
        self.specification = PlaneSpecification.of(task, test, **options)
        self._run = StudyRun(PlaneStudy(self.specification, schedule, store), record, jobs)
        self._memory, self._device = memory, device
        self._kept: dict[int, tuple[int, Weights]] = {}
        self._latest, self._stopped = -1, False
        self._architecture: Architecture | None = None

    def observe(self, moment: Moment) -> None:
        """See one moment of `fit`."""
        if moment.end_of_epoch:
            self.step(moment.network, moment.epoch + 1)

    def step(self, network: nn.Module, epoch: int) -> None:
        """See the network after `epoch` epochs; it is measured, or earlier ones are, if the schedule says so."""
        if self._kept and epoch <= self._kept[self._latest][0]:
            raise ValueError(
                f"epoch {epoch} comes after epoch {self._kept[self._latest][0]}: epochs go up, and another training "
                "takes another InformationPlane"
            )
        if self._architecture is None:
            self._architecture = Architecture.of(network, self._device)
        self._latest += 1
        self._kept[self._latest] = epoch, copy_weights(unwrapped(network))
        if self._latest in self._run.schedule.wanted(self._latest):
            self._check_copy(network, self._architecture)
        self._go(self._architecture, last=self._full())

    def record(self) -> Record:
        """All that was measured, by epoch; the last epoch seen is measured now if it was not before.

        After a step that failed, it is what was measured before.
        """
        if self._architecture is not None and not self._stopped:
            self._go(self._architecture, last=True)
        self._run.close()
        return self._run.record()

    def _go(self, architecture: Architecture, last: bool) -> None:
        self._stopped = True
        self._run.go(self._latest, self._kept.__getitem__, architecture, last)
        self._stopped = False
        self._forget()

    def _full(self) -> bool:
        """Whether the schedule goes back and the weights of one more epoch would not fit."""
        size = sum(t.numel() * t.element_size() for t in self._kept[self._latest][1].values())
        return self._run.schedule.oldest() is not None and size * (len(self._kept) + 1) > self._memory

    def _forget(self) -> None:
        """Drop the weights that nothing can want any more; the latest may turn out to be the last."""
        oldest = self._run.schedule.oldest()
        first = self._latest if oldest is None else min(oldest, self._latest)
        self._kept = {state: kept for state, kept in self._kept.items() if state >= first}

    def _check_copy(self, network: nn.Module, architecture: Architecture) -> None:
        """ValueError if the copy with the network's weights does not answer as the network itself does."""
        x, layers = take(self.specification.train.x, slice(2)), self.specification.how.layers
        theirs = activations(network, x, layers)
        ours = activations(architecture.with_weights(self._kept[self._latest][1]), x, layers)
        for layer, t in theirs.layers.items():
            # As far as two devices may differ; what this is to catch is larger.
            near = 0.01 * float(t.abs().nan_to_num().max()) + 1e-6
            if not torch.allclose(t, ours[layer], rtol=0, atol=near, equal_nan=True):
                raise ValueError(
                    f"layer {layer!r} of {type(network).__name__} depends on more than its weights and buffers: a copy "
                    "made at the first epoch answers otherwise; register what changes as a buffer"
                )
