"""A network whose code of an example is drawn anew at every call, and the price of what the code tells."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from infoscope.bottleneck.rates import kl_to_normal
from infoscope.data.inputs import Batch, Shape
from infoscope.training.forward import forward
from infoscope.training.recipe import Term

Noise = Literal["gaussian", "lognormal"]

LEAST = 1e-4
"""Standard deviation of the noise, below which it never goes: rates stay finite."""


class NoisyCode(nn.Module):
    """An encoder that says m and s of each unit, Z = m + s ε or exp(m + s ε), and a linear decoder of Z.

    The noise is there in training and in eval mode alike: Z is what is measured. With `lognormal` it multiplies, as in
    information dropout (Achille & Soatto 2018); log Z is then the Gaussian one, and tells as much.
    """

    def __init__(self, encoder: nn.Module, width: int, outputs: int, noise: Noise = "gaussian") -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, nn.Linear(width, outputs)
        self.width, self.noise = width, noise
        self.rate: Float[Tensor, " n"] | None = None

    def forward(self, x: Tensor | None = None, **named: Tensor) -> Tensor:
        """What the decoder says of a draw of Z; `rate` is then KL(q(z|x) ‖ N(0, 1)) of each example, nats."""
        mean, sd = self.encoded(named if x is None else x)
        self.rate = kl_to_normal(mean, sd).sum(1)
        return self.decoded(mean + sd * torch.randn_like(mean))

    def encoded(self, x: Batch) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """M and s of each example; of log Z with `lognormal`."""
        said = forward(self.encoder, x)
        if not isinstance(said, Tensor) or said.ndim != 2 or said.shape[1] != 2 * self.width:
            shape = tuple(said.shape) if isinstance(said, Tensor) else type(said).__name__
            raise ValueError(
                f"{type(self.encoder).__name__} gives {shape} where {2 * self.width} numbers an example are asked for; "
                "give a factory (shape, outputs) of networks with so many outputs"
            )
        mean, raw = said.chunk(2, 1)
        return mean, F.softplus(raw) + LEAST

    def decoded(self, code: Float[Tensor, "n d"]) -> Tensor:
        """What the decoder says of a code, given as its Gaussian."""
        return self.decoder(code.exp() if self.noise == "lognormal" else code)


@dataclass(frozen=True)
class WithCode:
    """A factory of networks with a noisy code, whose encoders are another's networks with 2 · width outputs.

    >>> network = WithCode(lambda shape, outputs: nn.Linear(3, outputs), width=2)((3,), 5)
    >>> network(torch.zeros(4, 3)).shape, network.rate.shape
    (torch.Size([4, 5]), torch.Size([4]))
    """

    factory: Callable[..., nn.Module]
    width: int = 8
    noise: Noise = "gaussian"

    def __call__(self, shape: Shape, outputs: int) -> NoisyCode:
        """The network for examples of this shape."""
        return NoisyCode(self.factory(shape, 2 * self.width), self.width, outputs, self.noise)


@dataclass(frozen=True)
class Rate:
    """β E KL(q(z|x) ‖ N(0, 1)): what the code's information is charged, beside the loss (a `Penalty`).

    With the loss it is the variational bound on the information-bottleneck Lagrangian, H(Y|Z) + β I(Z;X), from above.
    """

    beta: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta < math.inf:
            raise ValueError(f"β is {self.beta}; it is 0 or more, and finite")

    def begin(self, network: nn.Module, seed: int) -> Term:
        """The term of one training: of the batch that the network has just seen."""
        if not isinstance(network, NoisyCode):
            raise TypeError(f"a rate is of a NoisyCode, and this is a {type(network).__name__}; see WithCode")

        def term(x: Batch, outputs: Any) -> Tensor:
            assert network.rate is not None
            return self.beta * network.rate.mean()

        return term
