"""Gaussian posteriors in closed form: information, expected loss and learning coefficient of a quadratic loss.

All of it follows from the eigenvalues h of the curvature H (of the loss summed over examples) and from an isotropic
prior N(m0, λ² I), by s = λ² h/β. Directions in which the loss is flat have s = 0 and cost nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor


class Basis(Protocol):
    """Orthonormal directions of weights, in which a curvature or a covariance is diagonal."""

    def to(self, w: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """Weights as coordinates."""
        ...

    def back(self, z: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """Coordinates as weights."""
        ...


@dataclass(frozen=True)
class Axes:
    """The weights themselves: for a diagonal."""

    def to(self, w: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """As they are."""
        return w

    def back(self, z: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """As they are."""
        return z


@dataclass(frozen=True, eq=False)
class Eigenvectors:
    """The columns of an orthogonal matrix: for a full matrix."""

    vectors: Float[Tensor, "d d"]

    def to(self, w: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """Products with the columns."""
        return w @ self.vectors

    def back(self, z: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """The sum of the columns, each so many times."""
        return z @ self.vectors.T


@dataclass(frozen=True, eq=False)
class KroneckerVectors:
    """Those of a Kronecker product, for a weight (outputs, inputs) in row-major order: KFAC's and EKFAC's basis.

    A side whose factor is diagonal has its axes: None, with how many there are of both in `shape`.
    """

    outputs: Float[Tensor, "o o"] | None
    inputs: Float[Tensor, "i i"] | None
    shape: tuple[int, int]

    @classmethod
    def of(cls, outputs: Float[Tensor, "o o"], inputs: Float[Tensor, "i i"]) -> KroneckerVectors:
        """Of both sides."""
        return cls(outputs, inputs, (len(outputs), len(inputs)))

    def to(self, w: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """U_oᵀ W U_i."""
        w = w.unflatten(-1, self.shape)
        w = w if self.outputs is None else self.outputs.T @ w
        return (w if self.inputs is None else w @ self.inputs).flatten(-2)

    def back(self, z: Float[Tensor, "*draws d"]) -> Float[Tensor, "*draws d"]:
        """U_o Z U_iᵀ."""
        z = z.unflatten(-1, self.shape)
        z = z if self.outputs is None else self.outputs @ z
        return (z if self.inputs is None else z @ self.inputs.T).flatten(-2)


@dataclass(frozen=True, eq=False)
class Curvature:
    """A positive semidefinite matrix as its eigenvalues `h` in a basis: nats a squared unit of weight."""

    h: Float[Tensor, " d"]
    basis: Basis = Axes()

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.h).all()) or bool((self.h < -1e-9 * self.h.abs().amax()).any()):
            raise ValueError(
                "the curvature has eigenvalues below 0, NaN or infinite; take the Fisher or Gauss-Newton matrix"
            )
        object.__setattr__(self, "h", self.h.double().clamp(min=0))  # what rounding left below 0

    @classmethod
    def full(cls, matrix: Float[Tensor, "d d"]) -> Curvature:
        """Of a symmetric matrix.

        >>> Curvature.full(torch.tensor([[2.0, 1.0], [1.0, 2.0]])).h.tolist()
        [1.0, 3.0]
        """
        values, vectors = torch.linalg.eigh(matrix.double())
        return cls(values, Eigenvectors(vectors))

    @classmethod
    def kronecker(cls, outputs: Float[Tensor, "o o"], inputs: Float[Tensor, "i i"]) -> Curvature:
        """Of G ⊗ A, of gradients and inputs (KFAC). EKFAC has other values in the same basis."""
        (g, left), (a, right) = torch.linalg.eigh(outputs.double()), torch.linalg.eigh(inputs.double())
        return cls(torch.outer(g, a).flatten(), KroneckerVectors.of(left, right))


@dataclass(frozen=True, eq=False)
class Posterior:
    """N(mean, Σ), Σ with these variances in a basis."""

    mean: Float[Tensor, " d"]
    variances: Float[Tensor, " d"]
    basis: Basis = Axes()

    @classmethod
    def best(cls, mean: Float[Tensor, " d"], curvature: Curvature, beta: float, variance: float) -> Posterior:
        """Σ* = β (H + β/λ² I)⁻¹, which brings E_q L + β KL(q‖p) down to its least for a quadratic loss.

        1905.12213 has half of it, as its Taylor term lacks the ½. `variance` is λ² of the prior.
        """
        _check_positive(beta=beta, variance=variance)
        return cls(mean, beta / (curvature.h + beta / variance), curvature.basis)

    def kl(self, prior_mean: Float[Tensor, " d"], variance: float) -> float:
        """KL(q‖N(m0, λ² I)), nats: |m − m0|²/2λ² + ½ Σ (v/λ² − 1 − log v/λ²)."""
        _check_positive(variance=variance)
        ratio = self.variances.double() / variance
        distance = float((self.mean.double() - prior_mean.double()).square().sum())
        return distance / (2 * variance) + 0.5 * float((ratio - 1 - ratio.log()).sum())

    def best_prior_variance(self, prior_mean: Float[Tensor, " d"]) -> float:
        """The λ² at which KL is least: (|m − m0|² + tr Σ)/d. Chosen after the data, it costs a union bound."""
        distance = float((self.mean.double() - prior_mean.double()).square().sum())
        return (distance + float(self.variances.double().sum())) / len(self.mean)

    def draw(self, draws: int, generator: torch.Generator) -> Float[Tensor, "draws d"]:
        """Weights from q."""
        noise = torch.randn(draws, len(self.mean), generator=generator, dtype=torch.float64).to(self.variances)
        return self.mean + self.basis.back(self.variances.sqrt() * noise)

    def log_density(self, w: Float[Tensor, "draws d"]) -> Float[Tensor, " draws"]:
        """Log q(w), nats."""
        z = self.basis.to(w - self.mean)
        return -0.5 * ((z.square() / self.variances).sum(1) + (2 * math.pi * self.variances).log().sum())

    def log_density_gradient(self, w: Float[Tensor, "draws d"]) -> Float[Tensor, "draws d"]:
        """∂ log q/∂w = −Σ⁻¹(w − m)."""
        return -self.basis.back(self.basis.to(w - self.mean) / self.variances)


def isotropic(mean: Float[Tensor, " d"], variance: float) -> Posterior:
    """N(mean, λ² I): a prior, centred on 0 or on the weights that training starts from."""
    _check_positive(variance=variance)
    return Posterior(mean, torch.full_like(mean, variance))


@dataclass(frozen=True, eq=False)
class QuadraticCurve:
    """The whole curve over β of a loss L + ½ (w' − w)ᵀ H (w' − w), from one decomposition: the structure function.

    `offset` is w − m0 in the curvature's basis. With `moved` q's mean goes where C is least, else it stays at w. Of a
    network this is the linearised curve: what its loss really is under the noise has to be sampled.
    """

    loss: float
    h: Float[Tensor, " d"]
    offset: Float[Tensor, " d"]
    variance: float
    moved: bool = False

    def __post_init__(self) -> None:
        _check_positive(variance=self.variance)

    def kl(self, beta: float) -> float:
        """KL(q*‖p), nats: |m − m0|²/2λ² + ½ Σ (log(1 + s) − s/(1 + s)), m* − m0 = (w − m0) s/(1 + s) where it moves."""
        s = self._s(beta)
        offset = self.offset * s / (1 + s) if self.moved else self.offset
        spread = 0.5 * float((s.log1p() - s / (1 + s)).sum())
        return float(offset.double().square().sum()) / (2 * self.variance) + spread

    def expected_loss(self, beta: float) -> float:
        """E_q L, nats, if the loss is quadratic: L + (β/2) Σ s/(1 + s), and ½ Σ h (offset/(1 + s))² where it moves."""
        s = self._s(beta)
        shift = 0.5 * float((self.h * (self.offset / (1 + s)).square()).sum()) if self.moved else 0.0
        return self.loss + shift + beta / 2 * float((s / (1 + s)).sum())

    def complexity(self, beta: float) -> float:
        """C = E_q L + β KL, nats: L + β |w − m0|²/2λ² + (β/2) Σ log(1 + s) at a fixed mean. dC/dβ = KL."""
        return self.expected_loss(beta) + beta * self.kl(beta)

    def _s(self, beta: float) -> Tensor:
        _check_positive(beta=beta)
        return self.variance * self.h.double() / beta


def gaussian_learning_coefficients(h: Float[Tensor, " d"], b: float, variance: float) -> tuple[float, float]:
    """(λ_E, λ_H) = (½ Σ s/(1 + s), ½ Σ (s/(1 + s))²), s = λ² h b: of a layer, its own eigenvalues.

    Nats of KL an e-fold of the excess loss; both tend to half the rank. λ_E is the excess loss under q times b, λ_H the
    slope of KL along log b.

    >>> gaussian_learning_coefficients(torch.tensor([1.0, 3.0, 0.0]), 1.0, 1.0)
    (0.625, 0.40625)
    """
    _check_positive(b=b, variance=variance)
    s = variance * b * h.double()
    kept = s / (1 + s)
    return 0.5 * float(kept.sum()), 0.5 * float(kept.square().sum())


def _check_positive(**values: float) -> None:
    names = {"beta": "β", "b": "b", "variance": "the prior's variance λ²"}
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{names[name]} is {value}; it is above 0 and finite")
