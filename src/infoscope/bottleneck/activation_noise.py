"""The noise that the weights' posterior makes in activations, and what inputs do to them: from rows of Jacobians."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.inputs import Batch
from infoscope.observation.blocks import Block, Rows
from infoscope.observation.forms import Forms, Slot, written_out
from infoscope.observation.kronecker import Basis
from infoscope.observation.rows import Differentiated
from infoscope.weight_information.averaged_fisher import Blockwise
from infoscope.weight_information.gaussian import Posterior

WHOLE = "whole."
"""Where `UpTo` has the parameters of its network."""


def activation_noise(forms: Forms, blocks: Sequence[Block], q: Posterior) -> Float[Tensor, "n z z"]:
    """Σ_z = J Σ_w Jᵀ for each input, from the rows of its z activations and the posterior of all weights.

    In the basis of the posterior, block by block: of a linear layer that is G diag(V a²) Gᵀ, with no row written out.
    """
    if not isinstance(q.basis, Blockwise):
        raise TypeError(
            f"the posterior's basis is {type(q.basis).__name__}; give one of blocks, as AveragedFisher does"
        )
    parts = q.variances.split([place.numel() for place in q.basis.places])
    found = [
        _block_noise(block.rows(forms), basis, v.view(place.shape))
        for block, basis, place, v in zip(blocks, q.basis.bases, q.basis.places, parts, strict=True)
    ]
    return torch.stack(found).sum(0)


def _block_noise(rows: Rows, basis: Basis, variances: Float[Tensor, "rows columns"]) -> Float[Tensor, "n z z"]:
    deviation = variances.sqrt()
    if isinstance(rows, Tensor):
        return _outer(basis.into(rows) * deviation.to(rows))
    uses = [basis.turned(use) for use in rows]
    one = uses[0]
    if len(uses) > 1 or one.places > 1 or one.left.shape[2] > 1:
        return torch.cat([_outer(part * deviation.to(part)) for part in written_out(uses)])
    left, right = one.left[:, :, 0, :, 0], one.right[:, :, 0, :, 0]
    entered, back, v = (left, right, variances) if one.turned else (right, left, variances.T)
    power = entered[:, 0].square() @ v.to(entered)
    return (back * power[:, None]) @ back.mT


def _outer(rows: Float[Tensor, "n z rows columns"]) -> Float[Tensor, "n z z"]:
    flat = rows.flatten(2)
    return flat @ flat.mT


def slopes(of: Differentiated, x: Batch) -> Float[Tensor, "n z x"]:
    """∂f(x)/∂x for each input, its numbers side by side; one reverse pass an activation."""
    with torch.inference_mode(False), torch.enable_grad():
        entered = of.cast(x)
        if not isinstance(entered, Tensor):
            raise TypeError("inputs are several arrays by name; slopes are along one array of numbers")
        entered.requires_grad_()
        z = of.network(entered)
        rows = [
            torch.autograd.grad(z[:, c].sum(), entered, retain_graph=True, materialize_grads=True)[0].flatten(1)
            for c in range(z.shape[1])
        ]
    return torch.stack(rows, 1)


def one_hot(z: Float[Tensor, "n z"]) -> list[Tensor]:
    """A direction to propagate back for each activation."""
    return [row.expand_as(z).contiguous() for row in torch.eye(z.shape[1], dtype=z.dtype, device=z.device)]


def renamed(forms: Forms) -> Forms:
    """Under the names of the whole network."""
    return {Slot(slot.name.removeprefix(WHOLE), slot.start, slot.shape): uses for slot, uses in forms.items()}
