"""Gaussian-process regression as a sequence of predictions, each from the targets before it.

For K + λ1 = L Lᵀ in coding order and targets Y, the prediction for i is m_i = Σ_{j<i} L_ij E_j with variance
v_i = L_ii², where E_i = (Y_i − m_i) / L_ii (Rasmussen & Williams 2006, ch. 2 and A.4). The closed form
m_i = Y_i − L_ii E_i is the same number, but its last bit depends on Y_i; so a code that must be decoded substitutes
forward, row by row. The rows come in blocks: what the past says about a block is one matrix product.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.prequential.rows import Rows, many, parts, whole

Block = tuple[Float[np.ndarray, "b b"], Float[np.ndarray, "b classes"]]
Blocks = Generator[Block, Float[np.ndarray, "b classes"], None]
"""Yields, for the next block, the Cholesky factor of its covariance (noise included) and its mean, both given the past;
is then sent the block's targets."""


STRIP = 1000
"""Columns of A that are added to at a time."""


@dataclass(frozen=True, eq=False)
class Regression:
    """Regression with noise λ on a kernel: `whole`, (n, n), or by features (n, m), whose inner products it is.

    Features may be `Rows` that are made block by block. All is computed where these lie.
    """

    kernel: Rows
    noise: float
    whole: bool = True

    def blocks(self, width: int, size: int) -> Blocks:
        """Its predictions of `width` targets in blocks of `size`; a whole kernel is overwritten."""
        if self.whole:
            return exact(whole(self.kernel), self.noise, width, size)
        return projected(self.kernel, self.noise, width, size)


def exact(k: Float[Tensor, "n n"], noise: float, width: int, size: int) -> Blocks:
    """The whole kernel, factored once, in blocks of `size`; n³/3 operations. The kernel is overwritten."""
    k.diagonal().add_(noise)
    factor = torch.linalg.cholesky(k, out=k)
    errors = k.new_zeros(len(k), width)
    for start in range(0, len(k), size):
        rows = factor[start : start + size]
        own = rows[:, start : start + len(rows)]
        mean = rows[:, :start] @ errors[:start]
        targets = yield on_host(own), on_host(mean)
        rest = torch.from_numpy(targets).to(mean) - mean
        errors[start : start + len(rows)] = torch.linalg.solve_triangular(own, rest, upper=False)


class Ridge:
    """The regression on m features, as examples come in: A = ΦᵀΦ + λ1 and ΦᵀY over the past.

    `sums` is the precision of these and of A's factor. A sum over n examples in single precision errs by about n / 10⁷,
    which must stay below λ; what A⁻¹ is multiplied with may well be in single precision.
    """

    def __init__(
        self,
        m: int,
        width: int,
        noise: float,
        sums: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.noise = noise
        self.a = torch.eye(m, dtype=sums, device=device) * noise
        self.b = torch.zeros(m, width, dtype=sums, device=device)

    def block(self, rows: Float[Tensor, "b m"]) -> Block:
        """The next examples' mean, Φ A⁻¹ ΦᵀY, and the factor of their covariance, λ Φ A⁻¹ Φᵀ + λ1."""
        factor = torch.linalg.cholesky(self.a)
        weights = torch.linalg.solve_triangular(factor, self.b, upper=False).to(rows.dtype)
        reach = torch.linalg.solve_triangular(factor.to(rows.dtype), rows.T, upper=False)
        covariance = self.noise * (reach.T @ reach)
        covariance.diagonal().add_(self.noise)
        return on_host(torch.linalg.cholesky(covariance)), on_host(reach.T @ weights)

    def learn(self, rows: Float[Tensor, "b m"], targets: Float[Tensor, "b classes"]) -> None:
        """Add examples to the past; of A the lower triangle, which is all that is factored, where that is worth it."""
        self.b.addmm_(rows.T.to(self.b), targets.to(self.b))
        if rows.dtype == self.a.dtype:
            self.a.addmm_(rows.T, rows)
            return
        wide = rows.to(self.a)
        for start in range(0, len(self.a), STRIP):
            strip = slice(start, start + STRIP)
            self.a[start:, strip].addmm_(wide[:, start:].T, wide[:, strip])


def projected(phi: Rows, noise: float, width: int, size: int) -> Blocks:
    """The kernel ΦΦᵀ by its features, in blocks of `size`; n m² operations.

    Of many examples the sums are kept in double precision.
    """
    ridge = None
    for rows in parts(phi, size):
        if ridge is None:
            sums = torch.float64 if many(len(phi)) else rows.dtype
            ridge = Ridge(phi.shape[1], width, noise, sums, rows.device)
        targets = yield ridge.block(rows)
        ridge.learn(rows, torch.from_numpy(targets))


def on_host(found: Tensor) -> np.ndarray:
    """In double precision where labels are sent one by one: the only way back from a device."""
    return found.cpu().double().numpy()


def substitute(
    factors: Float[np.ndarray, "k b b"], means: Float[np.ndarray, "k b classes"]
) -> Generator[Float[np.ndarray, "k classes"], Float[np.ndarray, " classes"], None]:
    """Within a block, for k kernels at once: yields the mean of the next example, and is sent its target."""
    errors = np.zeros_like(means)
    for i in range(means.shape[1]):
        # not a BLAS product, whose rounding may depend on how many threads it finds
        mean = means[:, i] + np.einsum("kj,kjc->kc", factors[:, i, :i], errors[:, :i])
        target = yield mean
        errors[:, i] = (target - mean) / factors[:, i, i, None]
