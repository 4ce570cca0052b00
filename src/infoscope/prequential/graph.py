"""The shape of the inputs as a graph: what unlabelled neighbours tell about each other.

Points are joined to their nearest neighbours; labels then spread along the edges (Zhou et al. 2004, "Learning with
local and global consistency"). With the symmetric affinity `S = D^-½ W D^-½` the kernel of that spread is
`(I − αS)⁻¹`, here kept to its leading eigenvectors.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.prequential.gram import squared_distances

Edges = tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]
"""Every point's neighbours and their squared distances, nearest first."""


def nearest(squares: Float[Tensor, "n m"], k: int, start: int = 0) -> Edges:
    """The k nearest others of points start, start + 1, …, whose squared distances from all are given; nearest first."""
    own = torch.arange(len(squares))
    kept = squares[own, own + start]
    squares[own, own + start] = torch.inf
    found = squares.topk(min(k, squares.shape[1] - 1), dim=1, largest=False)
    squares[own, own + start] = kept
    return found.indices, found.values


def nearest_by_rows(f: Float[Tensor, "n d"], k: int, rows: int = 1000) -> Edges:
    """The k nearest others of every point, without ever holding all distances."""
    found = (nearest(squared_distances(f[i : i + rows], f), k, i) for i in range(0, len(f), rows))
    indices, squares = zip(*found, strict=True)
    return torch.cat(indices), torch.cat(squares)


def leading_components(f: Float[Tensor, "n d"], rank: int, generator: torch.Generator) -> Float[Tensor, "n rank"]:
    """Principal components by a randomised range finder (Halko, Martinsson & Tropp 2011); distances hardly change."""
    f = f - f.mean(0)
    basis = torch.randn(f.shape[1], min(rank, f.shape[1]), generator=generator)
    for _ in range(3):
        basis = torch.linalg.qr(f.T @ (f @ basis))[0]
    return f @ basis


def affinity(indices: Int[Tensor, "n k"], squares: Float[Tensor, "n k"]) -> sp.csr_array:
    """The normalised symmetric affinity S, each edge weighed in the local scale of its two ends.

    An edge weighs `exp(−d²_ij / (s_i s_j))` with s_i the distance to the middle neighbour (Zelnik-Manor & Perona 2004).
    """
    n, k = indices.shape
    scale = squares[:, k // 2].clamp_min(1e-12).sqrt()
    weight = torch.exp(-squares / (scale[:, None] * scale[indices])).clamp_min(1e-6)
    edges = weight.double().flatten().numpy(), (np.repeat(np.arange(n), k), indices.flatten().numpy())
    w = sp.csr_array(edges, shape=(n, n))
    w = w.maximum(w.T)
    root = sp.diags_array(1 / np.sqrt(w @ np.ones(n)))
    return sp.csr_array(root @ w @ root)


def leading(s: sp.csr_array, rank: int, sweeps: int = 4, degree: int = 12) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of S from the top, by subspace iteration under a Chebyshev filter.

    The filter flattens [−1, ½] and raises what lies above. Start and arithmetic are fixed, so two sides that run it
    get the same bits, which a Lanczos solver with a random start would not promise.
    """
    draw = torch.randn(len(s.indptr) - 1, rank, generator=torch.Generator().manual_seed(0))
    single, basis = sp.csr_array(s, dtype=np.float32), torch.linalg.qr(draw)[0]
    for _ in range(sweeps):
        basis = torch.linalg.qr(torch.from_numpy(_filtered(single, basis.numpy(), degree)))[0]
    values, turn = torch.linalg.eigh(basis.T @ torch.from_numpy(single @ basis.numpy()))
    return values.flip(0), basis @ turn.flip(1)


def _filtered(s: sp.csr_array, basis: np.ndarray, degree: int, low: float = -1.0, high: float = 0.5) -> np.ndarray:
    half, middle = (high - low) / 2, (high + low) / 2
    before, now = basis, (s @ basis - middle * basis) / half
    for _ in range(degree - 1):
        before, now = now, 2 / half * (s @ now - middle * now) - before
    return now


def spread(indices: Int[Tensor, "n k"], squares: Float[Tensor, "n k"], rank: int, alpha: float) -> Float[Tensor, "n r"]:
    """Features whose inner product is the kernel of label spreading, (I − αS)⁻¹, scaled to one on the diagonal."""
    n, k = indices.shape
    if not k:
        return torch.ones(n, 1)
    values, vectors = leading(affinity(indices, squares), min(rank, n))
    return torch.nn.functional.normalize(vectors / (1 - alpha * values.clamp_max(1)).sqrt())
