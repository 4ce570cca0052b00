"""Which hidden units of a network have no names, and their posterior: what a symmetry discount is of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from infoscope.weight_information.certificate.noisy_weights import NoisyWeights
from infoscope.weight_information.certificate.symmetry_discount import HiddenUnits

_SIGNED = (nn.Tanh, nn.Softsign, nn.Hardtanh)
_UNSIGNED = (nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.LeakyReLU, nn.ELU)


@dataclass(frozen=True)
class Unnamed:
    """A layer of hidden units by the parameters that go in and out; `signs`: the activation is odd."""

    into: str
    bias: str | None
    out: str
    signs: bool

    @property
    def kept(self) -> frozenset[tuple[str, int]]:
        """Sides of weights (0 rows, 1 columns) along which units lie, and where noise must keep to its axes."""
        bias = () if self.bias is None else ((self.bias, 1),)
        return frozenset({(self.into, 0), (self.out, 1), *bias})

    def of(self, noisy: NoisyWeights) -> HiddenUnits:
        """The posterior of each unit's weights."""
        parts = [noisy.coordinates(self.into), tuple(t.T for t in noisy.coordinates(self.out))]
        if self.bias is not None:
            parts.append(tuple(t.T for t in noisy.coordinates(self.bias)))
        means, variances = (torch.cat([part[i] for part in parts], 1) for i in range(2))
        return HiddenUnits(means, variances, self.signs)


def unnamed_units(network: nn.Module) -> Unnamed:
    """The first hidden layer of a fully connected network; a ValueError if there is none.

    >>> unnamed_units(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))).signs
    True
    """
    inner = [(name, module) for name, module in network.named_children() if not isinstance(module, nn.Flatten)]
    if isinstance(network, nn.Sequential) and len(inner) > 2:
        (first, a), (_, act), (second, b) = inner[:3]
        known = isinstance(act, (*_SIGNED, *_UNSIGNED))
        if known and isinstance(a, nn.Linear) and isinstance(b, nn.Linear):
            bias = None if a.bias is None else f"{first}.bias"
            return Unnamed(f"{first}.weight", bias, f"{second}.weight", isinstance(act, _SIGNED))
    raise ValueError(
        f"{type(network).__name__} has no hidden units whose names are known not to matter; a symmetry discount takes "
        "a fully connected nn.Sequential with a hidden layer: leave the discount out"
    )
