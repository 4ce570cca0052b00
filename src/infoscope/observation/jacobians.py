"""Per-example Jacobians of a network's logits, and their Gram matrix without ever holding them all."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from infoscope.data.inputs import Batch, Inputs, count, each, pieces, take
from infoscope.training.forward import forward

BATCH = 128
"""Examples that are differentiated at once."""


def jacobian(
    network: nn.Module, x: Inputs, names: Sequence[str] | None = None, outputs: Sequence[int] | None = None
) -> Float[Tensor, "n outputs p"]:
    """∂f_c(x_i)/∂θ for each example, of a network in eval mode, over its trainable parameters (or those named).

    All that the network gives for an example is one row of outputs: logits (n, T, V) of a sequence are T·V outputs,
    position by position. Of an output with `.logits` or `["logits"]` these count. Parameters come in the order of
    `named_parameters`, flattened; one that is tied to another is one. Plain and general: one reverse pass an output,
    in float arithmetic of the network. Examples must not depend on each other, as in eval mode they don't.

    >>> jacobian(nn.Linear(2, 1), torch.tensor([[3.0, 4.0]]))
    tensor([[[3., 4., 1.]]])
    """
    network = copy.deepcopy(network).eval()
    parameters = {k: p.detach() for k, p in network.named_parameters() if p.requires_grad}
    chosen = {k: parameters[k] for k in (parameters if names is None else names)}
    network.requires_grad_(False)
    picked = slice(None) if outputs is None else list(outputs)
    held = take(x, slice(None))

    def one(values: dict[str, Tensor], example: Batch) -> Tensor:
        def call(*args: Any, **kwargs: Any) -> Any:
            return functional_call(network, values, args, kwargs)

        return _outputs(call, each(example, lambda t: t[None]), 1, network)[0, picked]

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention know no vmap
        try:
            parts = vmap(jacrev(one), (None, 0))(chosen, held)
        except RuntimeError:  # nor do networks that look at their inputs (`if mask.all()`): one example at a time
            each_one = [jacrev(one)(chosen, take(held, i)) for i in range(count(held))]
            parts = {k: torch.stack([part[k] for part in each_one]) for k in chosen}
    return torch.cat([part.flatten(2) for part in parts.values()], 2)


def gram(network: nn.Module, x: Inputs, memory: int = 2**31) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n outputs"]]:
    """(1/C) Σ_c J_c J_cᵀ, the empirical neural tangent kernel (Jacot, Gabriel & Hongler 2018), and the logits; float64.

    Over trainable parameters, in eval mode, and over all C outputs of an example: T·V for logits (n, T, V), see
    `jacobian`. For `nn.Linear` and `nn.Conv2d` the Jacobian of an example is a sum of outer products of what enters the
    layer and what is propagated back to it, so the layer's share of the kernel is Σ_st ⟨a_is, a_jt⟩⟨g_is, g_jt⟩ over
    places s, t. What other modules own comes from `jacobian`. The factors of all layers are held for as many outputs
    and examples at a time as fit `memory` bytes; what does not fit is computed again. The kernel itself, 8 n² bytes, is
    extra.

    >>> kernel, logits = gram(nn.Linear(2, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> kernel
    tensor([[ 6., 12.],
            [12., 26.]], dtype=torch.float64)
    """
    factory = _Factory(network, x)
    n, room = count(x), max(2, memory // factory.bytes)
    blocks = [slice(0, n)] if room >= n else [slice(i, i + room // 2) for i in range(0, n, room // 2)]
    together = max(1, room // n)
    logits = torch.cat([factory.logits(part) for part in pieces(x, BATCH)])
    width = logits.shape[1]
    kernel = logits.new_zeros(n, n)
    for first in range(0, width, together):
        outputs = range(first, min(width, first + together))
        for i, down in enumerate(blocks):
            mine = factory.factors(take(x, down), outputs)
            for across in blocks[: i + 1]:
                theirs = mine if across == down else factory.factors(take(x, across), outputs)
                for a, b in zip(mine, theirs, strict=True):
                    share = a.times(b)
                    kernel[down, across] += share
                    if across != down:
                        kernel[across, down] += share.T
    return kernel / width, logits


@dataclass(frozen=True)
class _Outer:
    """A layer's Jacobians as sums over places of g ⊗ a."""

    a: Float[Tensor, "n places inputs"]
    g: Float[Tensor, "n places back"]

    def times(self, other: _Outer) -> Float[Tensor, "n m"]:
        """Their inner products, summed over outputs."""
        if self.a.shape[1] == 1:
            return (self.a[:, 0] @ other.a[:, 0].T) * (self.g[:, 0] @ other.g[:, 0].T)
        # Row by row, as all pairs of places of all pairs of examples would not fit.
        pairs = [
            (torch.einsum("si,mti->mst", a, other.a) * torch.einsum("sk,mtk->mst", g, other.g)).sum((1, 2))
            for a, g in zip(self.a, self.g, strict=True)
        ]
        return torch.stack(pairs)


@dataclass(frozen=True)
class _Dense:
    """Jacobians as they are, where that is cheaper."""

    j: Float[Tensor, "n columns"]

    def times(self, other: _Dense) -> Float[Tensor, "n m"]:
        """Their inner products, summed over outputs."""
        return self.j @ other.j.T


class _Factory:
    """Makes the factors of each layer's Jacobians, in float64, from a copy of the network in eval mode."""

    def __init__(self, network: nn.Module, x: Inputs):
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self.device = torch.device("cpu") if device.type == "mps" else device  # which has no float64
        self.network = copy.deepcopy(network).to(self.device, torch.float64).eval()
        self.layers = _closed_forms(self.network, self.cast(take(x, slice(2))))
        closed = {id(p) for layer in self.layers for p in layer.parameters()}
        self.rest = [k for k, p in self.network.named_parameters() if p.requires_grad and id(p) not in closed]
        if not closed and not self.rest:
            raise ValueError(f"{type(network).__name__} has no trainable parameters, so no tangent kernel")
        probe = self.factors(take(x, slice(1)), range(1))
        self.bytes = 8 * sum(t.numel() for factor in probe for t in vars(factor).values())

    def cast(self, x: Batch) -> Batch:
        return each(x, lambda t: t.to(self.device, torch.float64 if t.is_floating_point() else t.dtype))

    @torch.no_grad()
    def logits(self, x: Batch) -> Tensor:
        return _outputs(self.network, self.cast(x), count(x), self.network)

    def factors(self, x: Inputs, outputs: range) -> list[Any]:
        """One factor a layer, and one for all parameters without a closed form."""
        parts = [self._factors(self.cast(part), outputs) for part in pieces(x, BATCH)]
        return [type(same[0])(*(torch.cat(ts) for ts in zip(*(vars(f).values() for f in same), strict=True)))
                for same in zip(*parts, strict=True)]  # fmt: skip

    def _factors(self, x: Batch, outputs: range) -> list[Any]:
        factors: list[Any] = []
        if self.layers:
            with _listening(self.layers) as heard, torch.enable_grad():
                logits = _outputs(self.network, x, count(x), self.network)
            entered, left = zip(*(heard[layer][0] for layer in self.layers), strict=True)
            sums = [logits[:, c].sum() for c in outputs]
            back = [torch.autograd.grad(z, left, retain_graph=True, materialize_grads=True) for z in sums]
            for layer, a, *g in zip(self.layers, entered, *back, strict=True):
                factors.append(_factor(*_places(layer, a.detach(), torch.stack(g, 1))))
        if self.rest:
            factors.append(_Dense(jacobian(self.network, x, self.rest, outputs).flatten(1)))
        return factors


def _outputs(call: Callable[..., Any], x: Batch, n: int, network: nn.Module) -> Float[Tensor, "n outputs"]:
    """All that a network gives for each of n examples, in one row."""
    logits = forward(call, x)
    if not isinstance(logits, Tensor) or logits.ndim == 0 or len(logits) != n:
        given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(
            f"{type(network).__name__} gave {given} for {n} examples; a tangent kernel needs one tensor with a row for "
            "each"
        )
    return logits.reshape(n, -1)


def _places(layer: nn.Module, a: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """What enters at each place (n, places, inputs), with a 1 for the bias; what comes back (n, places, outputs, o)."""
    if isinstance(layer, nn.Conv2d):
        padding = cast("tuple[int, ...]", layer.padding)  # plain layers have no padding by name
        a = F.unfold(a, layer.kernel_size, layer.dilation, padding, layer.stride).transpose(1, 2)
        g = g.flatten(3).permute(0, 3, 1, 2)
    else:
        a = a.flatten(1, -2) if a.ndim > 2 else a[:, None]
        g = g.flatten(2, -2).transpose(1, 2) if g.ndim > 3 else g[:, None]
    return (a if layer.bias is None else F.pad(a, (0, 1), value=1.0)), g


def _factor(a: Tensor, g: Tensor) -> _Outer | _Dense:
    """The form whose inner products need fewer multiplications."""
    _, places, outputs, width = g.shape
    if places**2 * (a.shape[2] + outputs * width) < outputs * width * a.shape[2] or places == 1:
        return _Outer(a, g.flatten(2))
    return _Dense(torch.einsum("nsi,nsco->ncoi", a, g).flatten(1))


def _closed_forms(network: nn.Module, x: Batch) -> list[nn.Module]:
    """Layers whose Jacobians are outer products: plain, trainable, used once, sharing no parameter."""
    owners = Counter(id(p) for module in network.modules() for p in module.parameters(recurse=False))
    plain = [m for m in network.modules() if _is_plain(m) and all(owners[id(p)] == 1 for p in m.parameters())]
    # One example and two: an axis that only happens to be as long as the batch is that for one of them.
    for few in (take(x, slice(1)), x):
        with _listening(plain) as heard, torch.no_grad():
            forward(network, few)
        plain = [m for m in plain if len(heard[m]) == 1 and len(heard[m][0][0]) == count(few)]
    return plain


def _is_plain(module: nn.Module) -> bool:
    if not all(p.requires_grad for p in module.parameters()):
        return False
    if type(module) is nn.Conv2d:
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear


@contextmanager
def _listening(layers: Sequence[nn.Module]) -> Iterator[dict[nn.Module, list[tuple[Tensor, Tensor]]]]:
    """What enters and leaves each layer, once for every time it is used."""
    heard: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}

    def hear(layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> Tensor:
        heard[layer].append((inputs[0] if inputs else named["input"], output))
        return output.clone()  # what comes next may change it in place

    handles = [layer.register_forward_hook(hear, with_kwargs=True) for layer in layers]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
