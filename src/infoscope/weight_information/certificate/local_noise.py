"""Noise of weights drawn where it acts: every example has its own, in one pass for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from infoscope.observation.uses import tensors

_CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
_TINY = 1e-30  # added to a variance: a root has no slope at 0


@dataclass(frozen=True, eq=False)
class NoisyWeight:
    """A weight M + U (S ∘ ε) Vᵀ as a matrix, ε standard normal; a side without a basis keeps to the axes."""

    mean: Float[Tensor, "rows columns"]
    sd: Float[Tensor, "rows columns"]
    rows: Float[Tensor, "rows rows"] | None
    columns: Float[Tensor, "columns columns"] | None
    shape: torch.Size

    @property
    def centre(self) -> Float[Tensor, " ..."]:
        """M in the shape of the weight."""
        return self.mean.view(self.shape)

    def draw(self, draws: int) -> Float[Tensor, "draws ..."]:
        """So many weights; noise from PyTorch's global generator."""
        return (self.mean + self._noise(draws)).view(draws, *self.shape)

    def linear_noise(self, x: Float[Tensor, "n columns"]) -> Float[Tensor, "n rows"]:
        """(W − M)x, a W for every x: U(s ∘ ε), s² = S²(Vᵀx)² (Kingma, Salimans & Welling 2015)."""
        z = x if self.columns is None else x @ self.columns
        s = (F.linear(z.square(), self.sd.square()) + _TINY).sqrt()
        noise = s * torch.randn_like(s)
        return noise if self.rows is None else noise @ self.rows.T

    def convolved_noise(self, convolve: Callable[[Tensor], Tensor]) -> Float[Tensor, "n rows *places"]:
        """That of a convolution: one ε for all, whose rows change sign at random for each x (Wen et al. 2018).

        ±ε is distributed as ε is, so that each example has noise of one weight at all of its places.
        """
        filters = torch.randn_like(self.sd) * self.sd
        noise = convolve((filters if self.columns is None else filters @ self.columns.T).view(self.shape))
        signs = torch.randint(2, noise.shape[:2], device=noise.device) * 2 - 1
        noise = noise * signs.view(*noise.shape[:2], *(1 for _ in noise.shape[2:]))
        return noise if self.rows is None else torch.einsum("ij,nj...->ni...", self.rows, noise)

    def bias_noise(self, out: Float[Tensor, "n columns *places"]) -> Float[Tensor, "n columns *ones"]:
        """That of a bias of what a layer gave, the same at all places of an example."""
        return self._noise(len(out)).view(*out.shape[:2], *(1 for _ in out.shape[2:]))

    def _noise(self, draws: int) -> Tensor:
        noise = torch.randn(draws, *self.sd.shape, device=self.sd.device) * self.sd
        noise = noise if self.rows is None else self.rows @ noise
        return noise if self.columns is None else noise @ self.columns.T


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of a linear layer or of a convolution, one row of x an example."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    convolve: Callable[[Tensor], Tensor] | None


class LocalNoise(TorchFunctionMode):
    """While this is on, layers that are given these tensors have the noise of these weights, a draw for each example.

    `given` are the means, by name. For an example alone the outputs are distributed as under weights that are drawn
    whole, where each weight is used once an example (`used_once`).
    """

    def __init__(self, given: Mapping[str, Tensor], weights: Mapping[str, NoisyWeight]) -> None:
        super().__init__()
        self._of = {id(given[name]): weight for name, weight in weights.items()}

    def __torch_function__(
        self, func: Any, types_: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and add the noise of its weight and of its bias."""
        out = func(*args, **(kwargs or {}))
        call = _call(func, args, kwargs or {})
        if call is None:
            return out
        weight, bias = self._of.get(id(call.weight)), self._of.get(id(call.bias))
        if weight is not None:
            own = weight.linear_noise(call.x) if call.convolve is None else weight.convolved_noise(call.convolve)
            out = out + own
        return out if bias is None else out + bias.bias_noise(out)


def used_once(run: Callable[[], object], given: Mapping[str, Tensor], examples: int) -> frozenset[str]:
    """Names of what `run` uses in a single layer of so many rows, and nowhere else."""
    with _Uses(given, examples) as heard:
        run()
    return frozenset(name for name, uses in heard.uses.items() if uses == [True])


class _Uses(TorchFunctionMode):
    """Notes of each use of each tensor whether noise may be drawn there."""

    def __init__(self, given: Mapping[str, Tensor], examples: int) -> None:
        super().__init__()
        self.uses: dict[str, list[bool]] = {name: [] for name in given}
        self._names, self._examples = {id(t): name for name, t in given.items()}, examples

    def __torch_function__(
        self, func: Any, types_: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, and note what it was given."""
        call = _call(func, args, kwargs or {})
        for t in tensors((args, kwargs or {})):
            if (name := self._names.get(id(t))) is not None:
                local = call is not None and len(call.x) == self._examples and (t is call.weight or t is call.bias)
                self.uses[name].append(local)
        return func(*args, **(kwargs or {}))


def _call(func: Any, args: Sequence[Any], words: Mapping[str, Any]) -> _Call | None:
    """None where it is no call of a layer that is known, or of several positions an example."""
    if func is not F.linear and func not in _CONVOLUTIONS:
        return None
    x, weight, bias, rest, words = _bound(*args, **words)
    if func is F.linear:
        return _Call(x, weight, bias, None) if x.ndim == 2 else None
    groups = words.get("groups", rest[3] if len(rest) > 3 else 1)
    if x.ndim != weight.ndim or groups != 1:
        return None
    return _Call(x, weight, bias, lambda w: func(x, w, None, *rest, **words))


def _bound(input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **words: Any) -> Any:
    return input, weight, bias, rest, words
