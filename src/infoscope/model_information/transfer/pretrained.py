"""Pretrained networks, and newly drawn ones beside them: who codes a task from each."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from infoscope.data.task import Task
from infoscope.data.texts import Texts
from infoscope.measurement import Status
from infoscope.model_information.codes import code_looks
from infoscope.model_information.cost import encoder_time
from infoscope.model_information.heads import Head, with_head
from infoscope.observation.activations import Activations
from infoscope.observation.encoder import Encoder, encoder_layers
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.loss_curve import LossCurve
from infoscope.run.look import Look, Looks
from infoscope.run.question import Request
from infoscope.training.learner import Learner, Weights, copy_weights


@dataclass(frozen=True)
class Pretrained:
    """Weights that something was learned with, by seed; or an encoder of texts.

    `initial` are those that the training began with, where they are known.
    """

    name: str
    learner: Learner | None
    weights: Mapping[int, Weights]
    initial: Mapping[int, Weights]
    encoder: Encoder | None
    seeds: tuple[int, ...]
    status: frozenset[Status] = frozenset()
    notes: tuple[str, ...] = ()

    def takes(self, head: Head) -> bool:
        """An encoder is read as it stands."""
        return self.encoder is None or head == "closed-form"

    def pair(self, coded: Task, head: Head, seed: int) -> tuple[Learner, Learner]:
        """Who codes from newly drawn weights, and who from these, the head of both being treated alike."""
        assert self.learner is not None
        bare = dataclasses.replace(self.learner, weights=None)
        drawn = copy_weights(bare.network(coded.shape, coded.target.outputs, seed))
        fresh = with_head(bare, drawn, coded, seed, head, drawn)
        return fresh, with_head(bare, self.weights[seed], coded, seed, head, self.initial.get(seed))

    def check(self, coded: Task, head: Head, seed: int) -> None:
        """ValueError where this head can't be taken."""
        if self.encoder is None:
            self.pair(coded, head, seed)
        elif not isinstance(coded.x, Texts):
            raise ValueError(f"{self.name}: reads texts, and {coded.name!r} has none; name data with a column of text")


def encoded(
    coded: Task, encoder: Encoder, seeds: Sequence[int], device: str, label: str
) -> Generator[Request, Any, tuple[list[LossCurve], list[LossCurve]]]:
    """Heads in closed form on the last layer of an encoder, and of the same drawn anew by each seed."""
    assert isinstance(coded.x, Texts)
    words, last = tuple(coded.x.words()), encoder.layers[-1]
    time = encoder_time(encoder, coded.x, (last,))

    def look(untrained: int | None) -> Look[Activations]:
        args = (encoder, words, (last,), "mean", untrained)
        called, nothing = f"features of {label}", partial(_nothing, last, len(words))
        return Look(encoder_layers, args, Activations, 1, called, kind="passes", seconds=time, stand_in=nothing)

    passed: list[Activations] = yield Looks(tuple(look(seed) for seed in (*seeds, None)))
    looks: list[Look[LossCurve]] = []
    for layers in (passed[:-1], passed[-1:] * len(seeds)):
        for seed, one in zip(seeds, layers, strict=True):
            features = Task.from_arrays(one.layers[last], coded.y, target=coded.target, name=coded.name, as_is=True)
            looks += code_looks(features, ClosedForm(), [None], seeds=[seed], device=device, label=label)
    curves: list[LossCurve] = yield Looks(tuple(looks))
    return curves[: len(seeds)], curves[len(seeds) :]


def _nothing(layer: str, n: int) -> Activations:
    return Activations({layer: torch.linspace(-1, 1, n)[:, None]})
