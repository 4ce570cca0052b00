"""How far apart two networks are as functions: their predictions on the same inputs."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Receipt
from infoscope.weight_distance.distance import Distances


def function_distances(
    before: Float[Tensor, "members n classes"],
    after: Float[Tensor, "members n classes"],
    by: Literal["l2", "js"] = "js",
    *,
    logits: bool = True,
    names: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
) -> Distances:
    """Distance between predictive distributions p and q on the same n inputs, mean over inputs, one a network.

    `"l2"` is |p − q|, dimensionless; `"js"` the Jensen–Shannon divergence H(½p + ½q) − ½H(p) − ½H(q), nats, at most
    log 2. Give logits, or probabilities with `logits=False`. No symmetry of the weights changes it.

    >>> sure = torch.tensor([[[1.0, 0.0]]])
    >>> [round(float(function_distances(sure, 1 - sure, by, logits=False).values), 6) for by in ("l2", "js")]
    [1.414214, 0.693147]
    """
    if by not in ("l2", "js"):
        raise ValueError(f"by is {by!r}; it is 'l2' or 'js'")
    if before.ndim != 3 or before.shape != after.shape:
        raise ValueError(
            f"predictions have shapes {tuple(before.shape)} and {tuple(after.shape)}; both are (members, n, classes)"
        )
    names = names or tuple(str(i) for i in range(len(before)))
    p, q = (_probabilities(side, what, logits, names) for side, what in ((before, "before"), (after, "after")))
    each = (p - q).square().sum(2).sqrt() if by == "l2" else _jensen_shannon(p, q)
    receipt = Receipt(
        {"l2": "Euclidean over probabilities", "js": "Jensen–Shannon"}[by],
        n=before.shape[1],
        seeds=seeds or tuple(range(len(before))),
        version=__version__,
    )
    quantity, unit = ("|p−q|", "1") if by == "l2" else ("JS(p,q)", "nat")
    return Distances(quantity, names, receipt.seeds, each.mean(1).cpu(), receipt, unit=unit)


def _probabilities(side: Tensor, what: str, logits: bool, names: tuple[str, ...]) -> Tensor:
    finite = side.isfinite().flatten(1).all(1)
    if not finite.all():
        name = names[int((~finite).nonzero()[0])]
        raise ValueError(f"network {name!r} predicts NaN or infinity {what} training; it diverged: leave it out")
    values = side.double()
    if logits:
        return values.softmax(2)
    if bool((values < 0).any()) or not torch.allclose(values.sum(2), values.new_ones(()), atol=1e-4):
        raise ValueError(f"predictions {what} training are no probabilities; give logits, or rows that sum to 1")
    return values


def _jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum(2)
