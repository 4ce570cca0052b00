"""Kernel matrices: likeness from distance, centring, and projection on a few landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.prequential.rows import Made, Rows, held, sample


def squared_distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared Euclidean distances, at least zero.

    >>> squared_distances(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[25.]])
    """
    squares = torch.addmm(a.square().sum(1, keepdim=True) + b.square().sum(1), a, b.T, alpha=-2)
    return squares.clamp_min_(0)


def to_landmarks(
    f: Float[Tensor, "n d"], most: int, generator: torch.Generator
) -> tuple[Float[Tensor, "m d"], Float[Tensor, "n m"], Float[Tensor, "m m"]]:
    """At most so many random rows, and squared distances to and among them, in units of the median among them."""
    some, among, scale = _standing(f, most, generator)
    return some, squared_distances(f, some).div_(scale), among


def _standing(f: Rows, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random rows that stand for all, the squared distances among them in units of their median, and that median."""
    some = f[torch.randperm(len(f), generator=generator)[:most]]
    among = squared_distances(some, some)
    scale = median(among)
    return some, among.div_(scale), scale


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Random rows that stand for all: squared distances to and among them, in units of the median among them."""

    squares: Made
    among: Float[Tensor, "m m"]

    @classmethod
    def drawn(cls, f: Rows, most: int, generator: torch.Generator) -> Landmarks:
        """At most so many of the rows of f, as `to_landmarks` draws them."""
        some, among, scale = _standing(f, most, generator)
        return cls(Made((len(f), len(some)), lambda rows: squared_distances(f[rows], some).div_(scale)), among)

    def features(self, kind: Callable[[Tensor], Tensor]) -> Rows:
        """Features whose inner products are the projection of the kernel that `kind` makes of squared distances.

        Of many rows they are made block by block, see `infoscope.prequential.rows`.
        """
        factor = root(kind(self.among)).to(self.among.dtype)
        return held(Made(self.squares.shape, lambda rows: _onto(kind(self.squares[rows]), factor)))


def gaussian(squares: Tensor) -> Tensor:
    """The Gaussian kernel exp(−d²/2) of squared distances d², for labels that change smoothly."""
    return squares.mul(-0.5).exp_()


def exponential(squares: Tensor) -> Tensor:
    """The exponential kernel exp(−d) of squared distances d², for labels that change abruptly."""
    return squares.sqrt().neg_().exp_()


def median(squares: Tensor) -> Tensor:
    """The median of the entries (of about a million of them), one if that is zero."""
    return unless_zero(squares.flatten()[:: max(1, squares.numel() // 1_000_003)].median())


def unless_zero(scale: Tensor) -> Tensor:
    """A scale to divide by: itself, or one if it is zero."""
    return torch.where(scale > 1e-12, scale, torch.ones_like(scale))


def centred(k: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """The kernel of the features less their mean over all inputs, its diagonal one on average; in place.

    Unlike inputs then count against each other, so what resembles nothing seen so far is expected to bring a new class
    (centring: Schölkopf, Smola & Müller 1998, "Nonlinear component analysis as a kernel eigenvalue problem").

    >>> centred(torch.eye(2))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    mean = k.mean(1)
    k.sub_(mean).sub_((mean - mean.mean())[:, None])
    return k.div_(unless_zero(k.diagonal().mean()))


def centred_features(phi: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Features whose inner products are the `centred` kernel; in place."""
    phi.sub_(phi.mean(0))
    return phi.div_(unless_zero(torch.linalg.vector_norm(phi, dim=1).square().mean()).sqrt())


def centred_rows(phi: Rows) -> Rows:
    """The same of rows that may be too many to hold, by the mean and the scale of a `sample` of them."""
    some = sample(phi)
    if len(some) == len(phi):
        return centred_features(some)
    mean = some.mean(0)
    scale = unless_zero(torch.linalg.vector_norm(some.sub_(mean), dim=1).square().mean()).sqrt()
    return Made((len(phi), phi.shape[1]), lambda rows: (phi[rows] - mean).div_(scale))


def nystrom(cross: Float[Tensor, "n m"], among: Float[Tensor, "m m"], jitter: float = 1e-4) -> Float[Tensor, "n m"]:
    """Features whose inner products are the kernel's projection on m landmarks (Williams & Seeger 2001).

    Φ = K_nm L⁻ᵀ with L Lᵀ = K_mm + jitter. `cross`, K_nm, is overwritten.
    """
    return _onto(cross, root(among, jitter).to(cross.dtype))


def root(among: Float[Tensor, "m m"], jitter: float = 1e-4) -> Float[Tensor, "m m"]:
    """L with L Lᵀ = K_mm + jitter, in double precision."""
    wide = among.double()
    wide.diagonal().add_(jitter)
    return torch.linalg.cholesky(wide)


def _onto(cross: Float[Tensor, "n m"], factor: Float[Tensor, "m m"]) -> Float[Tensor, "n m"]:
    for rows in cross.split(4096):
        rows.copy_(torch.linalg.solve_triangular(factor, rows.T, upper=False).T)
    return cross


def with_constant(phi: Float[Tensor, "n m"]) -> Float[Tensor, "n m+1"]:
    """The features and a one: the kernel plus 1, for targets whose mean is not known."""
    return torch.cat([phi, phi.new_ones(len(phi), 1)], 1)
