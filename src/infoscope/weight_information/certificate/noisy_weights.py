"""A network whose weights are drawn anew at every call: a Gaussian posterior that is trained by gradients."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from infoscope.data.inputs import Batch, count, take
from infoscope.training.fit import Moment
from infoscope.training.forward import forward
from infoscope.training.learner import Weights
from infoscope.weight_information.certificate.local_noise import LocalNoise, NoisyWeight, used_once

SIDE = 512
"""Rows or columns of a weight's matrix, beyond which noise keeps to its axes on that side."""

SCALES = tuple(2.0 ** (j / 2) for j in range(-24, 9))
"""Standard deviations that a prior may have: from 2⁻¹² to 2⁴ in steps of √2. One is chosen after the data were seen."""

_FASTER = 4.0  # logarithms of deviations and of scales move so many times as fast as means, in units of the prior's


class Drawn(NamedTuple):
    """What a network with drawn weights gives for a batch, KL(q‖p) in nats, and the sharpness γ of the smooth loss."""

    outputs: Tensor
    kl: Tensor
    sharpness: Tensor


@dataclass(frozen=True)
class Layer:
    """Parameters that share one scale of the prior."""

    name: str
    parameters: tuple[str, ...]


def layers_of(network: nn.Module, one: bool = False) -> tuple[Layer, ...]:
    """A group for each layer (names that differ in the last part only), or one for all."""
    found: dict[str, list[str]] = {}
    for name, p in network.named_parameters():
        if p.requires_grad:
            found.setdefault("all" if one else name.rpartition(".")[0] or name, []).append(name)
    return tuple(Layer(name, tuple(names)) for name, names in found.items())


class NoisyWeights(nn.Module):
    """A network under q = N(M, Σ) with prior p = N(M0, λ²) of one λ a layer; q begins at p.

    Each weight is a matrix, its first axis down; Σ is diagonal in a basis U ⊗ V of its rows and columns, at first the
    axes (`turn`). M0 are the weights of the network that is given, or 0 with `centred`. M, log Σ and log λ are
    trained. Noise keeps to the axes on the sides of weights that are `kept` (0 rows, 1 columns). Buffers stay as they
    are, dropout and the statistics of batch normalisation too: what is certified is the network in eval mode.

    In a forward pass every example meets noise of its own in the layers where it can be drawn (`LocalNoise`); of all
    other weights each of `parts` of a batch meets a draw. An average over q is estimated without bias in both ways;
    `draw` gives whole weights.
    """

    def __init__(
        self, network: nn.Module, layers: Sequence[Layer], scale: float, centred: bool = False, parts: int = 8,
        kept: frozenset[tuple[str, int]] = frozenset(),
    ) -> None:  # fmt: skip
        super().__init__()
        self._network = (copy.deepcopy(network).eval().requires_grad_(False),)  # in a tuple: no parameters of this
        self.layers, self.parts, self._unit, self._kept = tuple(layers), parts, scale, kept
        own = dict(network.named_parameters())
        self._names = [name for layer in layers for name in layer.parameters]
        start = [own[name].detach().float() for name in self._names]
        self.shapes = [t.shape for t in start]
        self._centres = [torch.zeros_like(t) if centred else t for t in map(_matrix, start)]
        self.means = nn.ParameterList(_matrix(t) for t in start)
        self.logs = nn.ParameterList(torch.full_like(_matrix(t), math.log(scale) / _FASTER) for t in start)
        self.scales = nn.Parameter(torch.full((len(self.layers),), math.log(scale) / _FASTER))
        self.sharp = nn.Parameter(torch.zeros(()))
        self._bases: list[tuple[Tensor | None, Tensor | None]] = [(None, None) for _ in start]
        of = {name: i for i, layer in enumerate(self.layers) for name in layer.parameters}
        self._layer = [of[name] for name in self._names]
        self._local: frozenset[str] | None = None

    def train(self, mode: bool = True) -> NoisyWeights:
        """Always in eval mode."""
        return super().train(False)

    def to(self, *args: Any, **kwargs: Any) -> NoisyWeights:
        """With the network and the prior's centre, which are no parameters."""
        self._network[0].to(*args, **kwargs)
        self._centres = [t.to(*args, **kwargs) for t in self._centres]
        return super().to(*args, **kwargs)

    def forward(self, x: Batch | None = None, **named: Tensor) -> Drawn:
        """The outputs under noise; the first call finds out where noise can be drawn for each example."""
        x = named if x is None else x
        if self._local is None:
            self._local = self._found_local(x)
        weights = self._weights()
        local = {name: w for name, w in weights.items() if name in self._local}
        given = {name: w.centre for name, w in local.items()}
        others = {name: w for name, w in weights.items() if name not in self._local}
        n = count(x)
        whole = not others and all(len(w.shape) <= 2 for w in local.values())  # no draw is shared by examples
        rows = torch.arange(n, device=self.scales.device).tensor_split(1 if whole else min(self.parts, n))
        drawn = {name: w.draw(len(rows)) for name, w in others.items()}
        with LocalNoise(given, local):
            outputs = [
                self.outputs(given | {k: t[i] for k, t in drawn.items()}, x if whole else take(x, r))
                for i, r in enumerate(rows)
            ]
        return Drawn(torch.cat(outputs), self.kl(), self.sharp.exp())

    def outputs(self, weights: Mapping[str, Tensor], x: Batch) -> Tensor:
        """Of the network with these in place of its own."""
        return forward(_Called(self._network[0], dict(weights)), x)

    def draw(self, draws: int) -> dict[str, Float[Tensor, "draws ..."]]:
        """Weights from q; noise from PyTorch's global generator."""
        return {name: w.draw(draws) for name, w in self._weights().items()}

    def _weights(self) -> dict[str, NoisyWeight]:
        return {
            name: NoisyWeight(self.means[i], self._sd(i), *self._bases[i], self.shapes[i])
            for i, name in enumerate(self._names)
        }

    @torch.no_grad()
    def _found_local(self, x: Batch) -> frozenset[str]:
        """Weights that some examples, however many, meet once each."""
        given = {name: w.centre for name, w in self._weights().items()}
        found = frozenset(given)
        for k in (2, 3):
            some = take(x, torch.arange(k, device=self.scales.device) % count(x))
            found &= used_once(partial(self.outputs, given, some), given, k)
        return found

    def moved(self) -> Iterator[tuple[str, Tensor, Tensor, torch.Size]]:
        """Name, mean, the prior's centre (both as matrices) and the shape of each weight."""
        means = [mean.detach() for mean in self.means]
        yield from zip(self._names, means, self._centres, self.shapes, strict=True)

    def coordinates(self, name: str) -> tuple[Tensor, Tensor]:
        """Means and variances of a weight in its basis, as matrices."""
        i = self._names.index(name)
        rows, columns = self._bases[i]
        mean = self.means[i].detach()
        mean = mean if rows is None else rows.T @ mean
        mean = mean if columns is None else mean @ columns
        return mean.cpu(), (2 * self._log_sd(i).detach()).exp().cpu()

    def turns(self, i: int, side: int) -> bool:
        """Whether noise leaves the axes on this side of a weight."""
        return 1 < self.means[i].shape[side] <= SIDE and (self._names[i], side) not in self._kept

    def kl(self) -> Tensor:
        """KL(q‖p), nats, summed over layers."""
        return torch.stack(self.kl_by_layer()).sum()

    def kl_by_layer(self) -> list[Tensor]:
        """½ Σ ((|M − M0|² + Σ v)/λ² − 1 − log v/λ²) of each layer, in double precision."""
        found = [torch.zeros((), dtype=torch.float64, device=self.scales.device) for _ in self.layers]
        for i, (mean, centre) in enumerate(zip(self.means, self._centres, strict=True)):
            log = (_FASTER * self.scales[self._layer[i]]).double()
            logs = _FASTER * self.logs[i].double()
            sizes = (mean.double() - centre).square().sum() + (2 * logs).exp().sum()
            found[self._layer[i]] = found[self._layer[i]] + (
                0.5 * sizes * (-2 * log).exp() + mean.numel() * (log - 0.5) - logs.sum()
            )
        return found

    @torch.no_grad()
    def snap(self) -> None:
        """Put every λ on the grid `SCALES`, and leave it there."""
        grid = torch.tensor(SCALES, dtype=torch.float64, device=self.scales.device).log()
        near = (_FASTER * self.scales.double()[:, None] - grid).abs().argmin(1)
        self.scales.copy_(grid[near] / _FASTER)
        self.scales.requires_grad_(False)

    def prior_scales(self) -> dict[str, float]:
        """λ of each layer: exactly a value of the grid once it has been put there.

        A float32 cannot hold it exactly, so that KL is of the nearest one that it can: those are the grid.
        """
        return {
            layer.name: float(s) for layer, s in zip(self.layers, (_FASTER * self.scales.detach()).exp(), strict=True)
        }

    @torch.no_grad()
    def turn(self, bases: Sequence[tuple[Tensor | None, Tensor | None]]) -> None:
        """Other bases; Σ becomes its diagonal there."""
        for i, (rows, columns) in enumerate(bases):
            v = (2 * self._log_sd(i)).exp()
            old_rows, old_columns = self._bases[i]
            v = _rotated(rows, old_rows) @ v if rows is not None else v
            v = v @ _rotated(columns, old_columns).T if columns is not None else v
            self.logs[i].copy_(v.log() / (2 * _FASTER))
        self._bases = list(bases)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters with their rates: means in units of the first λ."""
        rest = [*self.logs, self.scales, self.sharp]
        return [{"params": list(self.means), "lr": rate * self._unit}, {"params": rest, "lr": rate / _FASTER}]

    def _log_sd(self, i: int) -> Tensor:
        return _FASTER * self.logs[i]

    def _sd(self, i: int) -> Tensor:
        return self._log_sd(i).exp()


class GradientMoments:
    """G Gᵀ and Gᵀ G of the gradients of M along a training, whose eigenvectors are the bases that noise turns to.

    What they are in Shampoo (Gupta et al. 2018): Kronecker factors of the gradients' second moment, here of the loss
    under noisy weights.
    """

    def __init__(self, noisy: NoisyWeights) -> None:
        sides = [t.shape for t in noisy.means]
        self._noisy = noisy
        self._rows, self._columns = (
            [torch.zeros(shape[side], shape[side]) if noisy.turns(i, side) else None for i, shape in enumerate(sides)]
            for side in range(2)
        )

    def observe(self, moment: Moment) -> None:
        """Add a step's gradients."""
        for i, mean in enumerate(self._noisy.means):
            g = mean.grad
            if g is None:
                continue
            for held, product in ((self._rows, lambda g: g @ g.T), (self._columns, lambda g: g.T @ g)):
                if (sums := held[i]) is not None:
                    held[i] = sums + product(g).cpu()

    def bases(self) -> list[tuple[Tensor | None, Tensor | None]]:
        """Eigenvectors of both sides; None stands for the axes."""
        device = self._noisy.scales.device
        return [(_vectors(r, device), _vectors(c, device)) for r, c in zip(self._rows, self._columns, strict=True)]


class _Called:
    """A network with these in place of its own parameters."""

    def __init__(self, network: nn.Module, tensors: Weights):
        self._network, self._tensors = network, dict(tensors)

    def __call__(self, *args: Tensor, **words: Tensor) -> object:
        return functional_call(self._network, self._tensors, args, words)


def _matrix(t: Tensor) -> Tensor:
    """A vector lies along a row."""
    return t.clone().flatten(1) if t.ndim > 1 else t.clone().view(1, -1)


def _rotated(new: Tensor, old: Tensor | None) -> Tensor:
    """Squares of the cosines between vectors of two bases."""
    return (new.T if old is None else new.T @ old).square()


def _vectors(moment: Tensor | None, device: torch.device) -> Tensor | None:
    if moment is None or not bool(moment.any()):
        return None
    return torch.linalg.eigh(moment.double())[1].float().to(device)
