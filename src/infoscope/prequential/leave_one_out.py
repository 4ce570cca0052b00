"""What a regression says of every example when that example's own target is left out: all of them from one inverse.

With A = (K + λ1)⁻¹ the mean and the variance that all others predict for example i are

    μ_i = y_i − [A y]_i / A_ii,    v_i = 1 / A_ii

(Rasmussen & Williams 2006, eq. 5.12). By features, K = Φ Φᵀ, with h_i = φ_iᵀ (ΦᵀΦ + λ1)⁻¹ φ_i and f the fit to all,
the same numbers are μ_i = (f_i − h_i y_i) / (1 − h_i) and v_i = λ / (1 − h_i).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.inputs import Inputs, count
from infoscope.data.targets import Real
from infoscope.data.texts import Texts
from infoscope.prequential.experts.family import ExampleTarget
from infoscope.prequential.experts.processes import Processes
from infoscope.prequential.experts.text import WordProcesses
from infoscope.prequential.features import is_images, is_words
from infoscope.prequential.frozen import checked, frozen
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.mixed import LIKE, MANY

NEAR = Kernel(exact=4000, landmarks=2000)
COLUMNS = Processes()
WORDS = WordProcesses(exact=4000)
NOISIER = 10.0
"""`Kernel` knows one noise a kernel, chosen for clean labels; a kernel is tried at so many times that noise, too."""

ROWS = 4096  # that are multiplied at a time

LeftOut = tuple[Float[Tensor, "n width"], Float[Tensor, " n"]]
"""Means and variances, double."""


def left_out(regression: Regression, y: Float[Tensor, "n width"]) -> LeftOut:
    """What all other examples say of each.

    >>> mean, variance = left_out(Regression(torch.eye(2), 1.0), torch.tensor([[1.0], [3.0]]))
    >>> mean.abs().ravel().tolist(), variance.tolist()
    ([0.0, 0.0], [2.0, 2.0])
    """
    return (_whole if regression.whole else _projected)(regression.kernel, regression.noise, y.double())


def _whole(k: Float[Tensor, "n n"], noise: float, y: Float[Tensor, "n width"]) -> LeftOut:
    a = k.double()
    a = a.clone() if a is k else a
    a.diagonal().add_(noise)
    a = torch.cholesky_inverse(torch.linalg.cholesky(a, out=a))
    own = a.diagonal().clone()
    return y - (a @ y) / own[:, None], 1 / own


def _projected(phi: Float[Tensor, "n m"], noise: float, y: Float[Tensor, "n width"]) -> LeftOut:
    gram = torch.eye(phi.shape[1], dtype=torch.float64) * noise
    right = torch.zeros(phi.shape[1], y.shape[1], dtype=torch.float64)
    for rows, targets in zip(phi.split(ROWS), y.split(ROWS), strict=True):
        wide = rows.double()
        gram.addmm_(wide.T, wide)
        right.addmm_(wide.T, targets)
    factor = torch.linalg.cholesky(gram)
    weights = torch.cholesky_solve(right, factor)
    means, variances = [], []
    for rows, targets in zip(phi.split(ROWS), y.split(ROWS), strict=True):
        wide = rows.double()
        own = torch.linalg.solve_triangular(factor, wide.T, upper=False).square().sum(0)
        means.append((wide @ weights - own[:, None] * targets) / (1 - own)[:, None])
        variances.append(noise / (1 - own))
    return torch.cat(means), torch.cat(variances)


def regressions(x: Inputs, target: ExampleTarget, features: Any = None, seed: int = 0) -> Iterator[Regression]:
    """The kernels that the default code has for such inputs (`Mixed`); up to some thousand examples whole.

    Those that fit no regression of their own, trees and logistic ones, have no such inverse and are not among them.
    """
    real = isinstance(target, Real)
    if is_images(x) or isinstance(x, Mapping | Texts) or is_words(x) or target.outputs > MANY or count(x) <= LIKE:
        for each in NEAR.regressions(x, target, seed):
            yield each
            if not real:
                yield dataclasses.replace(each, noise=NOISIER * each.noise)
    if isinstance(x, Texts):
        yield from WORDS.regressions(x.words(), seed)
    elif not (is_images(x) or isinstance(x, Mapping) or is_words(x) or target.outputs > MANY):
        table = x[:].detach().cpu().numpy().reshape(count(x), -1).astype(np.float64)
        yield from COLUMNS.regressions(table, target, seed)
    if (given := frozen(features)) is not None:
        table = checked(given(x, seed), count(x)).numpy().astype(np.float64)
        yield from COLUMNS.regressions(table, target, seed)
