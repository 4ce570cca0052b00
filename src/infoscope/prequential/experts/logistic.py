"""Bayesian logistic regression on a table's columns, refitted as labels come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from infoscope.prequential.experts.columns import components, ranked, standard
from infoscope.prequential.experts.family import ExampleTarget, refitted
from infoscope.prequential.experts.of_classes import classwise
from infoscope.prequential.memory import DOUBLE, of_refitted
from infoscope.prequential.mixture import Experts

MOST = 500
"""Weights, classes × columns, beyond which the columns are first reduced to their leading components."""


@dataclass(frozen=True)
class LogisticRegression:
    """Softmax regression by Laplace's approximation: a prior N(0, s²/d) on the slopes for each s of `scales`.

    The mode is found by Newton's method from the last one, and what is predicted is softened by how uncertain the
    logits still are: with v the variance of z_c − z_k, p_c ∝ 1 / Σ_k exp(−(z_c − z_k) / √(1 + πv/8)) (MacKay 1992, "The
    evidence framework applied to classification networks"). The mode itself, not softened, is an expert too. Twice: on
    standardised columns, and on ranked ones.
    """

    scales: tuple[float, ...] = (0.5, 2.0, 8.0)
    first: int = 2
    growth: float = 1.12

    def experts(self, x: Float[np.ndarray, "n d"], target: ExampleTarget, seed: int) -> Experts:
        """What they predict of the next example."""
        most = max(8, MOST // max(2, target.outputs) - 1)
        parts = [components(columns(x), most) for columns in (standard, ranked)]
        widths = [part.shape[1] for part in parts]
        if widths[0] == widths[1] and np.array_equal(parts[0], parts[1]):
            parts, widths = parts[:1], widths[:1]
        models = [_Model(i, width, scale) for i, width in enumerate(widths) for scale in self.scales]
        edges = np.cumsum([0, *widths])

        def predict(past: np.ndarray, y: Int[np.ndarray, " past"], new: np.ndarray, classes: int) -> np.ndarray:
            rows = []
            for model in models:
                own = slice(edges[model.part], edges[model.part + 1])
                rows += model.predict(_with_one(past[:, own]), _with_one(new[:, own]), y, classes)
            return np.stack(rows, 1)

        yield from refitted(
            classwise(predict, target), 2 * len(models), np.concatenate(parts, 1), target, seed, self.first, self.growth
        )

    def memory(self, n: int, d: int, target: ExampleTarget) -> int:
        """How many bytes they fill at most for a table of n rows and d columns: its copies, and a few curvatures."""
        classes = max(2, target.outputs)
        width = min(d, max(8, MOST // classes - 1)) + 1
        rows = 4 * len(self.scales) * classes + 4 * classes**2
        return DOUBLE * 6 * (classes * width) ** 2 + of_refitted(n, 2 * d + 2 * width, rows, self.growth)


class _Model:
    """One prior on one part of the columns; keeps its last mode, from which the next is found."""

    def __init__(self, part: int, width: int, scale: float) -> None:
        self.part = part
        self.precision = np.full(width + 1, max(1, width) / scale**2)
        self.precision[-1] = 0.1
        self.modes: dict[int, np.ndarray] = {}

    def predict(self, past: np.ndarray, new: np.ndarray, y: np.ndarray, classes: int) -> list[np.ndarray]:
        weights = self.modes.get(classes, np.zeros((past.shape[1], classes)))
        weights, covariance = mode(past, y, classes, self.precision, weights)
        self.modes[classes] = weights
        z = new @ weights
        return [z - _log_sum(z)[:, None], softened(z, variances(new, covariance, classes))]


def mode(
    x: Float[np.ndarray, "n p"],
    y: Int[np.ndarray, " n"],
    classes: int,
    precision: Float[np.ndarray, " p"],
    weights: Float[np.ndarray, "p classes"],
    steps: int = 12,
) -> tuple[Float[np.ndarray, "p classes"], Float[np.ndarray, "q q"]]:
    """The weights at the mode, and the inverse Hessian there, weights of one class side by side (q = classes · p)."""
    onehot, hessian = (y[:, None] == np.arange(classes)).astype(float), np.eye(0)
    value, p = _objective(x, onehot, precision, weights)
    for _ in range(steps):
        gradient = x.T @ (onehot - p) - precision[:, None] * weights
        hessian = _hessian(x, p, precision)
        step = np.linalg.solve(hessian, gradient.T.ravel()).reshape(classes, -1).T
        for size in (1.0, 0.5, 0.25, 0.1, 0.02):
            better, q = _objective(x, onehot, precision, weights + size * step)
            if better > value:
                break
        else:
            break
        gain, weights, value, p = better - value, weights + size * step, better, q
        if gain < 1e-2:
            break
    return weights, np.linalg.inv(_hessian(x, p, precision))


def _objective(
    x: np.ndarray, onehot: np.ndarray, precision: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    z = x @ weights
    z -= z.max(1, keepdims=True)
    p = np.exp(z)
    total = p.sum(1, keepdims=True)
    p /= total
    fit = (z * onehot).sum() - np.log(total).sum()
    return float(fit - 0.5 * (precision[:, None] * weights**2).sum()), p


def _hessian(x: np.ndarray, p: np.ndarray, precision: np.ndarray) -> Float[np.ndarray, "q q"]:
    width, classes = x.shape[1], p.shape[1]
    hessian = np.zeros((classes, width, classes, width))
    for c in range(classes):
        for k in range(c, classes):
            block = x.T @ (x * (p[:, c] * ((c == k) - p[:, k]))[:, None])
            hessian[c, :, k] = hessian[k, :, c] = block
        hessian[c, :, c] += np.diag(precision)
    return hessian.reshape(classes * width, classes * width)


def variances(
    new: Float[np.ndarray, "b p"], covariance: Float[np.ndarray, "q q"], classes: int
) -> Float[np.ndarray, "b classes classes"]:
    """Of the differences z_c − z_k of an example's logits."""
    width = new.shape[1]
    between = covariance.reshape(classes, width, classes, width)
    s = np.empty((len(new), classes, classes))
    for c in range(classes):
        for k in range(c, classes):
            s[:, c, k] = s[:, k, c] = ((new @ between[c, :, k]) * new).sum(1)
    own = np.einsum("bcc->bc", s)
    return np.maximum(own[:, :, None] + own[:, None, :] - 2 * s, 0)


def softened(
    z: Float[np.ndarray, "b classes"], v: Float[np.ndarray, "b classes classes"]
) -> Float[np.ndarray, "b classes"]:
    """Log-probabilities of logits that are uncertain.

    >>> softened(np.array([[0.0, 2.0]]), np.zeros((1, 2, 2))).round(4).tolist()
    [[-2.1269, -0.1269]]
    """
    apart = (z[:, None, :] - z[:, :, None]) / np.sqrt(1 + np.pi / 8 * v)
    log_p = -_log_sum(apart)
    return log_p - _log_sum(log_p)[:, None]


def _log_sum(a: np.ndarray) -> np.ndarray:
    top = a.max(-1)
    return top + np.log(np.exp(a - top[..., None]).sum(-1))


def _with_one(x: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n q"]:
    return np.concatenate([x, np.ones((len(x), 1))], 1)
