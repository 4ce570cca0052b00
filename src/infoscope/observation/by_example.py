"""Per-example derivatives of any function of any parameters, with no closed form: by vmap, or one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from infoscope.data.inputs import Batch, count, each, take
from infoscope.training.forward import forward

Columns = Sequence[Float[Tensor, "n ..."]]
"""Directions v_c that are propagated back, each of the shape of the outputs."""

Rows = dict[str, Float[Tensor, "n c ..."]]
"""r_ic = ∂⟨v_ic, f(x_i)⟩/∂θ by the parameter's name."""


def outputs_of(call: Callable[..., Any], x: Batch, n: int, network: nn.Module) -> Float[Tensor, "n ..."]:
    """What a network gives for each of n examples; a ValueError if that is no tensor with a row for each."""
    outputs = forward(call, x)
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != n:
        given = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise ValueError(
            f"{type(network).__name__} gave {given} for {n} examples; per-example derivatives need one tensor with a "
            "row for each"
        )
    return outputs


def vmapped(network: nn.Module, parameters: Mapping[str, Tensor], x: Batch, columns: Columns) -> Rows:
    """Reverse passes of single examples, all at once. A RuntimeError where a function knows no vmap."""

    def one(values: dict[str, Tensor], example: Batch, backs: list[Tensor]) -> dict[str, Tensor]:
        def of(these: dict[str, Tensor]) -> Tensor:
            def call(*args: Any, **kwargs: Any) -> Any:
                return functional_call(network, these, args, kwargs)

            return outputs_of(call, each(example, lambda t: t[None]), 1, network)[0]

        pull = vjp(of, values)[1]
        found = [pull(back)[0] for back in backs]
        return {name: torch.stack([rows[name] for rows in found]) for name in values}

    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention know no vmap
        return vmap(one, (None, 0, 0))(dict(parameters), x, list(columns))


def looped(network: nn.Module, parameters: Mapping[str, Tensor], x: Batch, columns: Columns) -> Rows:
    """One example after another by plain autograd: slow, and true whatever the network does."""
    held, values = list(parameters), list(parameters.values())
    rows: dict[str, list[Tensor]] = {name: [] for name in held}
    for value in values:
        value.requires_grad_(True)
    try:
        for i in range(count(x)):
            with torch.enable_grad():
                outputs = outputs_of(network, take(x, slice(i, i + 1)), 1, network)
            if not outputs.requires_grad:
                found = [[torch.zeros_like(v) for v in values] for _ in columns]
            else:
                found = [
                    torch.autograd.grad(outputs, values, c[i : i + 1], retain_graph=True, materialize_grads=True)
                    for c in columns
                ]
            for name, *grads in zip(held, *found, strict=True):
                rows[name].append(torch.stack(grads))
    finally:
        for value in values:
            value.requires_grad_(False)
    return {name: torch.stack(parts) for name, parts in rows.items()}
