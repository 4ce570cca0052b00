"""Landmark MDS: the picture of more networks than an n × n matrix can hold."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.ensembles.stacked_weights import ChosenParameters, Parameters, StackedWeights
from infoscope.measurement import Receipt
from infoscope.weight_distance.mds import Picture, centred, classical_mds, picture, ready, upright
from infoscope.weight_distance.nearest import squared_distances

MOST = 5000
"""Networks up to which the whole Gram matrix is taken unless `landmarks` says otherwise."""


def landmark_mds(
    *stacks: StackedWeights,
    dimensions: int = 2,
    landmarks: int | None = None,
    parameters: Parameters = None,
    seed: int = 0,
) -> Picture:
    """A picture of any number of networks by their distances to a random few (de Silva & Tenenbaum 2004).

    The landmarks are scaled classically; every network x then lies at −½ Λ^−½ Vᵀ (δ_x − δ̄), δ_x being its squared
    distances to the landmarks and δ̄ the landmarks' mean δ. Exact if the landmarks span what the networks span.
    Without a number of `landmarks` it is `classical_mds` up to 5000 networks and takes 1000 landmarks beyond;
    `eigenvalues` and `explained` are then the landmarks'. Points are turned to their principal axes.

    >>> plane = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> few, all = landmark_mds({"w": plane}, landmarks=10), classical_mds({"w": plane})
    >>> torch.allclose(few.points, all.points)
    True
    """
    chosen = ready(stacks, parameters)
    n = sum(len(w[chosen.names[0]]) for w in stacks)
    if landmarks is None and n <= MOST:
        return classical_mds(*stacks, dimensions=dimensions, parameters=parameters)
    count = min(n, landmarks or 1000)
    if count <= dimensions:
        raise ValueError(f"{count} landmarks for {dimensions} dimensions; take {dimensions + 1} or more")
    draws = torch.Generator().manual_seed(seed)
    few = _rows(stacks, chosen, torch.randperm(n, generator=draws)[:count].sort()[0])
    squares = torch.cat([squared_distances(weights, few, chosen.names) for weights in stacks])
    receipt = Receipt(
        f"landmark MDS, {count} landmarks",
        model=chosen.model,
        n=n,
        seeds=(seed,),
        notes=(chosen.note, "eigenvalues and explained share are those of the landmarks"),
        version=__version__,
    )
    return _placed(squares, squared_distances(few, few, chosen.names), dimensions, receipt)


def _placed(squares: Float[Tensor, "n k"], among: Float[Tensor, "k k"], dimensions: int, receipt: Receipt) -> Picture:
    among = (among + among.T) / 2
    base = picture(-0.5 * centred(among), dimensions, receipt)
    lengths = base.points.square().sum(0)
    if bool((lengths <= 1e-12 * lengths.max()).any()):
        raise ValueError(f"the landmarks span fewer than {dimensions} dimensions; ask for fewer, or for more landmarks")
    points = -0.5 * (squares - among.mean(0)) @ (base.points / lengths)
    points = points - points.mean(0)
    # The axes are the landmarks'; turned to the principal ones they are those of classical scaling.
    turned = torch.linalg.eigh(points.T @ points)[1].flip(1)
    return Picture(upright(points @ turned), base.eigenvalues, base.explained, receipt)


def _rows(stacks: tuple[StackedWeights, ...], chosen: ChosenParameters, index: Tensor) -> StackedWeights:
    """The members at these indices of all stacks, counted through."""
    starts = torch.tensor([0, *(len(w[chosen.names[0]]) for w in stacks)]).cumsum(0).tolist()
    own = [index[(index >= a) & (index < b)] - a for a, b in pairwise(starts)]
    return {k: torch.cat([w[k][i.to(w[k].device)] for w, i in zip(stacks, own, strict=True)]) for k in chosen.names}
