"""Per-example Jacobians of a network's outputs, and their Gram matrix without ever holding them all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Batch, Inputs, count, pieces, take
from infoscope.observation.convolved import Convolved
from infoscope.observation.forms import Dense, Form, Outer, Slot, outer, written_out
from infoscope.observation.rows import Differentiated, Pass

BATCH = 128
"""Examples that are differentiated at once."""


def jacobian(
    network: nn.Module, x: Inputs, names: Sequence[str] | None = None, outputs: Sequence[int] | None = None
) -> Float[Tensor, "n outputs p"]:
    """∂f_c(x_i)/∂θ for each example, of a network in eval mode, over its trainable parameters (or those named).

    All that the network gives for an example is one row of outputs: logits (n, T, V) of a sequence are T·V outputs,
    position by position. Of an output with `.logits` or `["logits"]` these count. Parameters come in the order of
    `named_parameters`, flattened; one that is tied to another is one. In float arithmetic of the network. Examples must
    not depend on each other, as in eval mode they don't.

    >>> jacobian(nn.Linear(2, 1), torch.tensor([[3.0, 4.0]]))
    tensor([[[3., 4., 1.]]])
    """
    of = Differentiated(network, x, names)
    return torch.cat([_dense(of, of.at(part), outputs) for part in pieces(x, BATCH)])


def _dense(of: Differentiated, passed: Pass, outputs: Sequence[int] | None) -> Float[Tensor, "n outputs p"]:
    chosen = range(passed.outputs[0].numel()) if outputs is None else outputs
    forms = passed.rows(_one_hot(passed.outputs, chosen))
    rows = {k: passed.outputs.new_zeros(passed.n, len(chosen), *p.shape) for k, p in of.parameters.items()}
    for slot, uses in forms.items():
        rows[slot.name][:, :, *slot.index] = torch.cat(list(written_out(uses)))
    return torch.cat([r.flatten(2) for r in rows.values()], 2).detach()


def _one_hot(outputs: Float[Tensor, "n ..."], chosen: Sequence[int]) -> list[Tensor]:
    columns = [torch.zeros_like(outputs).flatten(1) for _ in chosen]
    for column, c in zip(columns, chosen, strict=True):
        column[:, c] = 1
    return [column.view(outputs.shape) for column in columns]


def gram(network: nn.Module, x: Inputs, memory: int = 2**31) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n outputs"]]:
    """(1/C) Σ_c J_c J_cᵀ, the empirical neural tangent kernel (Jacot, Gabriel & Hongler 2018), and the logits; float64.

    Over trainable parameters, in eval mode, and over all C outputs of an example: T·V for logits (n, T, V), see
    `jacobian`. Where the Jacobian of an example is a sum of outer products of what enters a layer and what is
    propagated back to it, the layer's share of the kernel is Σ_st ⟨a_is, a_jt⟩⟨g_is, g_jt⟩ over places s, t, if that
    is cheaper than the products themselves. The rows of all parameters are held for as many outputs and examples at a
    time as fit `memory` bytes; what does not fit is computed again. The kernel itself, 8 n² bytes, is extra.

    >>> kernel, logits = gram(nn.Linear(2, 3), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> kernel
    tensor([[ 6., 12.],
            [12., 26.]], dtype=torch.float64)
    """
    of = Differentiated(network, x, dtype=torch.float64)
    n, room = count(x), max(2, memory // _bytes(_factors(of, take(x, slice(1)), range(1))))
    blocks = [slice(0, n)] if room >= n else [slice(i, i + room // 2) for i in range(0, n, room // 2)]
    together = max(1, room // n)
    logits = torch.cat([of.at(part).outputs.detach().flatten(1) for part in pieces(x, BATCH)])
    width = logits.shape[1]
    kernel = logits.new_zeros(n, n)
    for first in range(0, width, together):
        outputs = range(first, min(width, first + together))
        for i, down in enumerate(blocks):
            mine = _factors(of, take(x, down), outputs)
            for across in blocks[: i + 1]:
                theirs = mine if across == down else _factors(of, take(x, across), outputs)
                for slot, a in mine.items():
                    share = _times(a, theirs[slot])
                    kernel[down, across] += share
                    if across != down:
                        kernel[across, down] += share.T
    return kernel / width, logits


Factors = dict[Slot, Outer | Dense]
"""What the rows of each parameter are made of, or they themselves where that is cheaper."""


def _factors(of: Differentiated, x: Batch, outputs: range) -> Factors:
    parts = []
    for part in pieces(x, BATCH):
        passed = of.at(part)
        forms = passed.rows(_one_hot(passed.outputs, outputs))
        parts.append({slot: _factor(uses) for slot, uses in forms.items()})
    if len({tuple(sorted(map(repr, part))) for part in parts}) > 1:
        raise ValueError("the network uses its parameters otherwise for some of the examples; use Replay")
    return {slot: _joined([part[slot] for part in parts]) for slot in parts[0]}


def _factor(uses: Sequence[Form]) -> Outer | Dense:
    """The form whose inner products need fewer multiplications."""
    one = outer(uses[0]) if isinstance(uses[0], Outer | Convolved) else None
    if len(uses) == 1 and one is not None and one.left.shape[2] == 1:
        sides = sum(t.shape[1] * t.shape[3] for t in (one.left, one.right))
        if one.places == 1 or one.places**2 * sides < one.columns * one.left.shape[3] * one.right.shape[3]:
            return one
    return Dense(torch.cat(list(written_out(uses))))


def _joined(parts: Sequence[Outer | Dense]) -> Outer | Dense:
    """The same for the examples of all parts."""
    if isinstance(parts[0], Dense):
        return Dense(torch.cat([part.rows for part in parts if isinstance(part, Dense)]))
    held = [part for part in parts if isinstance(part, Outer)]
    return Outer(torch.cat([p.left for p in held]), torch.cat([p.right for p in held]), held[0].shape, held[0].turned)


def _bytes(factors: Factors) -> int:
    held = [t for f in factors.values() for t in ((f.left, f.right) if isinstance(f, Outer) else (f.rows,))]
    return max(1, sum(t.numel() * t.element_size() for t in held))


def _times(a: Outer | Dense, b: Outer | Dense) -> Float[Tensor, "n m"]:
    """Inner products of the rows of n examples with those of m, summed over columns."""
    if isinstance(a, Dense) or isinstance(b, Dense):
        left, right = (f.dense().flatten(1) for f in (a, b))
        return left @ right.T
    (a_left, a_right), (b_left, b_right) = (
        tuple(t.squeeze(2).permute(0, 3, 1, 2).flatten(2) for t in (f.left, f.right)) for f in (a, b)
    )  # n places columns·width; the side that entered has one column
    if a.places == 1:
        return (a_left[:, 0] @ b_left[:, 0].T) * (a_right[:, 0] @ b_right[:, 0].T)
    # Example by example, as all pairs of places of all pairs of examples would not fit.
    pairs = [
        (torch.einsum("si,mti->mst", left, b_left) * torch.einsum("sk,mtk->mst", right, b_right)).sum((1, 2))
        for left, right in zip(a_left, a_right, strict=True)
    ]
    return torch.stack(pairs)
