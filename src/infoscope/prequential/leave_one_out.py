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

from infoscope.data.inputs import Inputs, count, select
from infoscope.data.targets import Classes, Labels, Real
from infoscope.data.task import Task, coding_order
from infoscope.data.texts import Texts
from infoscope.prequential.experts.family import ExampleTarget
from infoscope.prequential.experts.processes import Processes
from infoscope.prequential.experts.text import WordProcesses
from infoscope.prequential.features import is_images, is_words
from infoscope.prequential.frozen import checked, frozen
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.kernel import Kernel, of_examples
from infoscope.prequential.mixed import LIKE, MANY
from infoscope.prequential.rows import whole
from infoscope.run.look import pack, unpack
from infoscope.run.progress import report
from infoscope.training.isolation import isolated

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
    >>> mean.round(decimals=9).abs().ravel().tolist(), variance.round(decimals=9).tolist()
    ([0.0, 0.0], [2.0, 2.0])
    """
    return (_whole if regression.whole else _projected)(whole(regression.kernel), regression.noise, y.double())


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


def limits(x: Inputs, target: ExampleTarget) -> tuple[int, int]:
    """Examples up to which these kernels are whole, and landmarks on which they are projected beyond."""
    near = is_images(x) or isinstance(x, Mapping | Texts) or is_words(x) or target.outputs > MANY
    preset = NEAR if near else COLUMNS
    return preset.exact, preset.landmarks


@dataclasses.dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Of every kernel what all others say of each example, in the task's order: targets in standard units.

    `means` (kernels, n, width) of onehot(y) − 1/C, of labels − ½, or of standard numbers, NaN where a label is masked;
    `variances` (kernels, n) in units of the noise.
    """

    means: Float[np.ndarray, "kernels n width"]
    variances: Float[np.ndarray, "kernels n"]

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        return pack({"means": torch.from_numpy(self.means), "variances": torch.from_numpy(self.variances)})

    @classmethod
    def from_bytes(cls, data: bytes) -> LeaveOneOut:
        """What `to_bytes` wrote."""
        tensors, _ = unpack(data)
        return cls(tensors["means"].numpy(), tensors["variances"].numpy())

    @classmethod
    def of_nobody(cls, task: Task) -> LeaveOneOut:
        """What one says who knows nothing: for a dry run."""
        return cls(np.zeros((1, len(task), task.target.outputs)), np.ones((1, len(task))))


def leave_one_out(task: Task, features: Any = None, seed: int = 0) -> LeaveOneOut:
    """Every kernel of `regressions` and every example left out in turn; `seed` draws dictionaries and landmarks."""
    index = torch.from_numpy(coding_order(len(task), seed))  # the order in which an array of features gives its rows
    x, y, target = select(task.x, index), task.y[index], of_examples(task.target)
    targets = _targets(y, target)
    means, variances = [], []
    with isolated(seed, threads=1), torch.no_grad():
        found = regressions(x, target, features, seed)
        for done, each in enumerate(found):
            mean, variance = _left_out_of(each, targets)
            means.append(torch.empty_like(mean).index_copy_(0, index, mean).float().numpy())
            variances.append(torch.empty_like(variance).index_copy_(0, index, variance).float().numpy())
            report(done, KERNELS)
    return LeaveOneOut(np.stack(means), np.stack(variances))


KERNELS = 30
"""About as many as there are at most, for the progress bar."""


def _targets(y: Tensor, target: ExampleTarget) -> Float[Tensor, "n width"]:
    match target:
        case Classes():
            return torch.nn.functional.one_hot(y.long(), target.outputs).double() - 1 / target.outputs
        case Labels():
            return torch.where(y >= 0, y.double() - 0.5, torch.nan)
        case Real():
            return target.standard(y.double())


def _left_out_of(regression: Regression, y: Float[Tensor, "n width"]) -> LeftOut:
    """The same, each column from the rows that have it; the variances are those of all rows."""
    complete = ~y.isnan().any(0)
    mean = torch.full_like(y, torch.nan)
    known, variance = left_out(regression, y[:, complete] if complete.any() else y[:, :1].nan_to_num())
    if complete.any():
        mean[:, complete] = known
    for j in (~complete).nonzero().ravel().tolist():
        rows = (~y[:, j].isnan()).nonzero().ravel()
        kernel = whole(regression.kernel)[rows]
        kernel = kernel[:, rows] if regression.whole else kernel
        mean[rows, j] = left_out(dataclasses.replace(regression, kernel=kernel), y[rows, j : j + 1])[0][:, 0]
    return mean, variance
