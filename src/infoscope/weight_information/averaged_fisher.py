"""The curvature of a network's loss at any weights, averaged over draws of them, in a basis that factors it."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import take
from infoscope.data.task import Task
from infoscope.observation.blocks import Block, blocks
from infoscope.observation.estimators import Estimator, Exact
from infoscope.observation.fisher_diagonal import check_precision, columns_of_batches
from infoscope.observation.forms import Forms
from infoscope.observation.kronecker import Basis, InBasis, Moments
from infoscope.observation.likelihoods import as_given, likelihood_of
from infoscope.observation.rows import Differentiated
from infoscope.observation.whole_matrix import Full
from infoscope.weight_information.gaussian import Curvature

Form = Literal["full", "ekfac", "diagonal", "filter"]
"""How much of a matrix is kept: all, the diagonal in Kronecker's eigenbasis or as it is, one value a filter."""

FORMS: tuple[str, ...] = get_args(Form)

LARGE_BATCH = 512
FEW_WEIGHTS = 1 << 16
"""Up to so many weights, so many examples go through a network at once."""

_AXES = Basis(None, None)


@dataclass(frozen=True, eq=False)
class Blockwise:
    """Weights side by side as blocks (matrices), each in a basis of its own; `places` say where a block's weights are.

    >>> of = Blockwise((torch.tensor([[2, 0]]), torch.tensor([[1]])), (_AXES, _AXES))
    >>> of.to(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [3.0, 1.0, 2.0]
    """

    places: tuple[Tensor, ...]
    bases: tuple[Basis, ...]

    def to(self, w: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """Weights as coordinates."""
        pairs = zip(self.places, self.bases, strict=True)
        return torch.cat([basis.into(w[..., place]).flatten(-2) for place, basis in pairs], -1)

    def by_weight(self, values: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
        """What each weight has of values that stand at coordinates, Σ_k U_ik² values_k: they sum to the same."""
        squared = [Basis(*(None if u is None else u.square() for u in (b.rows, b.columns))) for b in self.bases]
        return Blockwise(self.places, tuple(squared)).back(values)

    def back(self, z: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """Coordinates as weights."""
        w, parts = torch.empty_like(z), z.split([place.numel() for place in self.places], -1)
        for part, place, basis in zip(parts, self.places, self.bases, strict=True):
            w[..., place] = basis.back(part.unflatten(-1, place.shape))
        return w


class AveragedFisher:
    """The Fisher information of a network on a task, summed over its examples, nats; of a copy in eval mode.

    Weights come as rows (draws, d), the trained ones side by side as `StackedLoss` has them. `blocks` are the matrices
    that they are taken for, a layer's weight and bias together where the form is Kronecker's.
    """

    def __init__(self, network: nn.Module, task: Task, form: Form, estimator: Estimator = Exact()) -> None:
        self.form, self._task, self._estimator, self._count = form, task, estimator, len(task)
        self._likelihood, self._y = likelihood_of(task.target), as_given(task.target, task.y)
        self._of = Differentiated(copy.deepcopy(network), task.x)
        check_precision(self._of)
        self._shapes = {name: tuple(p.shape) for name, p in self._of.parameters.items()}
        self._batch = LARGE_BATCH if sum(map(math.prod, self._shapes.values())) <= FEW_WEIGHTS else None
        self.blocks: tuple[Block, ...] = self._found()
        self.places = self._where()

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """The weights of the copy, by name, in the order of rows."""
        return self._of.parameters

    @property
    def names(self) -> tuple[str, ...]:
        """Those names."""
        return tuple(self._shapes)

    def on(self, part: Task) -> AveragedFisher:
        """The same on a part of the examples, which stands for all of them."""
        other = copy.copy(self)
        other._task, other._y = part, as_given(part.target, part.y)
        return other

    def outputs(self, row: Float[Tensor, " d"]) -> Tensor:
        """What the network with these weights gives for the first few examples."""
        self._set(row)
        return self._of.at(take(self._task.x, slice(0, 8))).outputs.detach()

    def at(self, weights: Float[Tensor, "draws d"], seed: int = 0, basis: Blockwise | None = None) -> Curvature:
        """The mean over these weights, in a basis that is given or in its own."""
        if self.form == "full":
            return self._full(weights, seed)
        if basis is None:
            bases = tuple(_AXES for _ in self.blocks)
            if self.form == "ekfac":
                moments = [Moments(block) for block in self.blocks]
                self._pass(weights, seed, moments)
                bases = tuple(one.factors(self._estimator.draws).basis() for one in moments)
            basis = Blockwise(self.places, bases)
        sums = [InBasis(block, one) for block, one in zip(self.blocks, basis.bases, strict=True)]
        self._pass(weights, seed, sums)
        means = [one.mean(self._estimator.draws) for one in sums]
        if self.form == "filter":
            means = [t.mean(1, keepdim=True).expand_as(t) for t in means]
        return Curvature(self._sum(means), basis)

    def _sum(self, means: Sequence[Tensor]) -> Float[Tensor, " d"]:
        return self._count * torch.cat([t.flatten() for t in means])

    def _full(self, weights: Tensor, seed: int) -> Curvature:
        found = Full(self.blocks)
        self._pass(weights, seed, [found])
        share = max(1, self._estimator.draws) * len(weights) * len(self._task) / self._count
        values, vectors = torch.linalg.eigh(found.sums.cpu() / share)
        return Curvature(values, Blockwise(self.places, (Basis(None, vectors),)))

    @torch.no_grad()
    def _set(self, row: Tensor) -> None:
        parameters = list(self._of.parameters.values())
        for p, part in zip(parameters, row.split([p.numel() for p in parameters]), strict=True):
            p.copy_(part.view_as(p))

    def _pass(self, weights: Tensor, seed: int, sums: Sequence[Moments | InBasis | Full]) -> None:
        def add(forms: Forms, first: bool) -> None:
            for one in sums:
                one.add(forms, first)

        for i, row in enumerate(weights):
            self._set(row)
            for _ in columns_of_batches(
                self._of, self._task.x, self._y, self._likelihood, self._estimator, seed + i, self._batch, add
            ):
                pass

    def _found(self) -> tuple[Block, ...]:
        whole = Block(tuple(self._shapes), tuple(self._shapes.values()), False, one_row=True)
        if self.form == "full":
            return (whole,)
        few = self._of.at(take(self._task.x, slice(0, 2)))
        columns = list(self._likelihood.columns(few.outputs.detach(), None))[:1]
        return blocks(few.rows(columns), self._shapes)

    def _where(self) -> tuple[Tensor, ...]:
        sizes = [p.numel() for p in self._of.parameters.values()]
        index = torch.arange(sum(sizes)).split(sizes)
        named = {name: part.view(shape) for part, (name, shape) in zip(index, self._shapes.items(), strict=True)}
        return tuple(block.joined(named) for block in self.blocks)
