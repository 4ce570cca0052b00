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
from infoscope.prequential.rows import Rows, in_parts, sample

BY_ROWS = 1 << 16
"""Points up to which the nearest are sought among all, and beyond which among the nearest `CANDIDATES` or so."""

CANDIDATES, CELL = 16_000, 1000
"""How many are looked at, in whole cells of about so many points."""

FILTERED = 1 << 26
"""Entries of the eigenvectors that are filtered together, so that they and what is made of them stay below a GiB."""

Edges = tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]
"""Every point's neighbours and their squared distances, nearest first."""


def nearest(squares: Float[Tensor, "n m"], k: int, start: int = 0) -> Edges:
    """The k nearest others of points start, start + 1, …, whose squared distances from all are given; nearest first."""
    own = torch.arange(len(squares), device=squares.device)
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


def neighbours(f: Float[Tensor, "n d"], k: int) -> Edges:
    """The k nearest others of every point, or of many points nearly: what is spread along them costs n, not n²."""
    return nearest_by_rows(f, k) if len(f) <= BY_ROWS else nearest_by_cells(f, k)


def nearest_by_cells(f: Float[Tensor, "n d"], k: int, candidates: int = CANDIDATES, cell: int = CELL) -> Edges:
    """The nearest others among the points of a cell and of those about it, at least `candidates` in all.

    Cells are the Voronoi cells of some points moved to the means of theirs, as an inverted file has them (Jégou, Douze
    & Schmid 2011). With one cell this is `nearest_by_rows`.
    """
    centres = _centres(f, max(1, len(f) // cell))
    of = torch.cat([squared_distances(rows, centres).argmin(1) for rows in f.split(1000)])
    order = torch.argsort(of, stable=True).split(of.bincount(minlength=len(centres)).tolist())
    cells = [list(members.split(max(k + 1, candidates // 2))) for members in order]  # a crowd is taken in parts
    indices = torch.empty(len(f), min(k, len(f) - 1), dtype=torch.int64, device=f.device)
    squares = f.new_empty(indices.shape)
    about = torch.argsort(squared_distances(centres, centres), dim=1, stable=True).tolist()
    for own, near in ((own, near) for cell, near in zip(cells, about, strict=True) for own in cell):
        others = _filled(cells, near, own, max(k + 1, candidates))
        among = f[others]
        for start in range(0, len(own), 1000):
            rows = own[start : start + 1000]
            found, squares[rows] = nearest(squared_distances(f[rows], among), indices.shape[1], start)
            indices[rows] = others[found]
    return indices, squares


def _centres(f: Float[Tensor, "n d"], cells: int, rounds: int = 4) -> Float[Tensor, "cells d"]:
    """Points, evenly spaced among all, moved to the means of those that are nearest to them."""
    some = sample(f)
    centres = some[torch.arange(cells, device=f.device) * len(some) // cells]
    for _ in range(rounds):
        near = torch.nn.functional.one_hot(squared_distances(some, centres).argmin(1), cells).to(f)
        sizes = near.sum(0)[:, None]
        centres = torch.where(sizes > 0, near.T @ some / sizes, centres)
    return centres


def _filled(cells: list[list[Tensor]], near: list[int], own: Tensor, least: int) -> Int[Tensor, " others"]:
    """A cell's points first, then those of the cells about it until there are enough."""
    found, size = [own], len(own)
    for members in (members for cell in near for members in cells[cell]):
        if size >= least:
            break
        if members is not own and len(members):
            found.append(members)
            size += len(members)
    return torch.cat(found)


def leading_components(f: Rows, rank: int, generator: torch.Generator) -> Float[Tensor, "n rank"]:
    """Principal components by a randomised range finder (Halko, Martinsson & Tropp 2011); distances hardly change.

    Of very many rows the axes are those of a `sample`.
    """
    some = sample(f)
    mean = some.mean(0)
    some = some - mean
    basis = torch.randn(f.shape[1], min(rank, f.shape[1]), generator=generator).to(some.device)
    for _ in range(3):
        basis = torch.linalg.qr(some.T @ (some @ basis))[0]
    if len(some) == len(f):
        return some @ basis
    return in_parts(f, lambda rows: (rows - mean) @ basis, basis.shape[1])


def affinity(indices: Int[Tensor, "n k"], squares: Float[Tensor, "n k"]) -> sp.csr_array:
    """The normalised symmetric affinity S, each edge weighed in the local scale of its two ends.

    An edge weighs `exp(−d²_ij / (s_i s_j))` with s_i the distance to the middle neighbour (Zelnik-Manor & Perona 2004).
    """
    n, k = indices.shape
    indices, squares = indices.cpu(), squares.cpu()
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
        for columns in basis.split(max(1, FILTERED // len(basis)), 1):
            columns.copy_(torch.from_numpy(_filtered(single, columns.numpy(), degree)))
        basis = torch.linalg.qr(basis)[0]
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
        return squares.new_ones(n, 1)
    values, vectors = leading(affinity(indices, squares), min(rank, n))
    return torch.nn.functional.normalize(vectors / (1 - alpha * values.clamp_max(1)).sqrt()).to(squares.device)
