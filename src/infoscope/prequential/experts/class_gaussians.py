"""Each class a Gaussian, its mean and covariance integrated out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular
from scipy.special import gammaln

from infoscope.prequential.experts.columns import components, ranked, standard
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise
from infoscope.prequential.memory import DOUBLE, of_refitted
from infoscope.prequential.mixture import Experts


@dataclass(frozen=True)
class ClassGaussians:
    """Bayes' rule on classes whose inputs are Gaussian: quadratic and linear discriminants, and naive Bayes.

    Under a normal-inverse-Wishart prior the next input of a class is a multivariate Student's t (DeGroot 1970, ch. 9).
    Mean: that of all inputs, worth `doubt` examples; covariance: that within classes so far, worth `pooled` examples
    beyond the fewest, for each of `pooled` (an infinite one is shared: a linear discriminant). The experts of naive
    Bayes take each column by itself. `powers` of the densities are experts of their own: densities of many columns
    are surer than they ought to be.
    """

    doubt: float = 0.2
    pooled: tuple[float, ...] = (3.0, 30.0, 1e6)
    powers: tuple[float, ...] = (0.5, 1.0)
    most: int = 64
    first: int = 4
    growth: float = 1.1

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        table, scores = (components(columns(x), self.most) for columns in (standard, ranked))
        edge = table.shape[1]

        def predict(past: np.ndarray, y: np.ndarray, new: np.ndarray, classes: int) -> np.ndarray:
            logs = [densities(past[:, :edge], y, new[:, :edge], classes, pooled, self.doubt) for pooled in self.pooled]
            logs += [self._naive(past[:, part], y, new[:, part], classes) for part in (slice(edge), slice(edge, None))]
            prior = np.bincount(y, minlength=classes) + 0.5
            rows = [power * each + np.log(prior / prior.sum()) for each in logs for power in self.powers]
            return np.stack([row - np.logaddexp.reduce(row, 1, keepdims=True) for row in rows], 1)

        size = (len(self.pooled) + 2) * len(self.powers)
        both = np.concatenate([table, scores], 1)
        yield from refitted(classwise(predict, target), size, both, target, seed, self.first, self.growth)

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns: its copies, and a few covariances."""
        width, classes = min(d, self.most), max(2, target.outputs)
        rows = 4 * (len(self.pooled) + 2) * len(self.powers) * classes
        return DOUBLE * 3 * classes * width**2 + of_refitted(n, d + 2 * width, rows, self.growth)

    def _naive(
        self, past: np.ndarray, y: Int[np.ndarray, " past"], new: np.ndarray, classes: int
    ) -> Float[np.ndarray, "b classes"]:
        logs = np.empty((len(new), classes))
        for c in range(classes):
            own = past[y == c]
            count, mean = len(own), own.sum(0) / (self.doubt + len(own))
            squares = ((own - mean) ** 2).sum(0) + self.doubt * mean**2
            freedom = 2.0 + count
            scale = np.sqrt((2.0 + squares) / freedom * (1 + 1 / (self.doubt + count)))
            z = (new - mean) / scale
            terms = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi) - np.log(scale)
            logs[:, c] = (terms - (freedom + 1) / 2 * np.log1p(z**2 / freedom)).sum(1)
        return logs


def densities(
    past: Float[np.ndarray, "past d"],
    y: Int[np.ndarray, " past"],
    new: Float[np.ndarray, "b d"],
    classes: int,
    pooled: float,
    doubt: float = 0.2,
) -> Float[np.ndarray, "b classes"]:
    """Log densities of new inputs under each class, of which the past is known."""
    width = past.shape[1]
    moments = [_moments(past[y == c], doubt) for c in range(classes)]
    within = np.eye(width) * 3 + sum(scatter for _, _, scatter in moments)
    within = within / (3 + len(y))
    logs = np.empty((len(new), classes))
    for c, (count, mean, scatter) in enumerate(moments):
        freedom = pooled + count + 1
        spread = (pooled * within + scatter) / freedom * (1 + 1 / (doubt + count))
        logs[:, c] = log_student(new - mean, np.linalg.cholesky(spread), freedom)
    return logs


def _moments(own: Float[np.ndarray, "own d"], doubt: float) -> tuple[int, np.ndarray, np.ndarray]:
    count = len(own)
    if not count:
        return 0, np.zeros(own.shape[1]), np.zeros((own.shape[1], own.shape[1]))
    mean = own.sum(0) / (doubt + count)
    centred = own - own.mean(0)
    shift = own.mean(0)
    scatter = centred.T @ centred + doubt * count / (doubt + count) * np.outer(shift, shift)
    return count, mean, scatter


def log_student(
    apart: Float[np.ndarray, "b d"], factor: Float[np.ndarray, "d d"], freedom: float
) -> Float[np.ndarray, " b"]:
    """Log density of a multivariate Student's t at differences from its mean; the scale matrix by its Cholesky factor.

    >>> log_student(np.zeros((1, 1)), np.eye(1), 1.0).round(4).tolist()
    [-1.1447]
    """
    d = apart.shape[1]
    z = solve_triangular(factor, apart.T, lower=True)
    terms = gammaln((freedom + d) / 2) - gammaln(freedom / 2) - 0.5 * d * np.log(freedom * np.pi)
    return terms - np.log(np.diagonal(factor)).sum() - (freedom + d) / 2 * np.log1p((z**2).sum(0) / freedom)
