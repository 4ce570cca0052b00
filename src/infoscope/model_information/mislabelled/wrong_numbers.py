"""Implausible numbers, by what all other examples say of each.

The means of several kernels, weighed by nonnegative least squares without those far out, predict number i as μ_i; its
error is Student's t with ν degrees of freedom and a scale that grows with the regressions' own deviation and with μ,

    log σ_i = a + b log √v_i + c μ_i,

or, in a share s of the examples, the number has nothing to do with the inputs: it is one of the others', or anything
in their range. Where numbers are coarse beside that error, as grades are, both have the mass of a step. That no number
is so is held against it in bits; a parameter costs ½ log2 n. With the densities f and g,
P(wrong) = s g / ((1 − s) f + s g).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize, nnls
from scipy.special import expit, log_expit
from scipy.stats import gaussian_kde, norm, t

from infoscope.model_information.mislabelled.suspicion import Account, Suspicion, groups, together, undecided

FREEDOMS = (3.0, 5.0, 10.0, 30.0, np.inf)
"""Degrees of freedom that are tried; the last is a Gaussian's."""

PRIOR = (1.0, 20.0)
"""Counts of wrong and right numbers that are seen beforehand."""

FAR = 3.0
"""Deviations beyond which an error no longer counts for the weights of the means."""

COARSE = 0.2
"""Of the errors' deviation, beyond which a step between numbers counts as one."""

LEAST = 1e-12
"""A mass that is smaller is taken for the density times the step."""

MARGIN = 0.1
"""Of their range to either side, within which a wrong number may lie."""


def suspicion(
    means: Float[np.ndarray, "kernels n"],
    variances: Float[np.ndarray, "kernels n"],
    y: Float[np.ndarray, " n"],
    resolution: float,
) -> Suspicion:
    """Which numbers `y` are implausible, from the leave-one-out means and variances of several kernels.

    >>> x = np.linspace(-1, 1, 200)
    >>> y = x + 0.01 * np.sin(99 * x)
    >>> y[50] = 0.9
    >>> int(suspicion(x[None], np.ones((1, 200)), y, 0.01).wrong.argmax())
    50
    """
    n = len(y)
    weights = _weights(means, y)
    mean = weights[:-1] @ means + weights[-1]
    deviation = 0.5 * np.log((weights[:-1] / max(weights[:-1].sum(), 1e-12)) @ variances)
    scale = np.column_stack([np.ones(n), deviation - deviation.mean(), _standard(mean)])
    apart = y - mean
    step = resolution if resolution > COARSE * float(apart.std()) else 0.0
    log_g = _log_anything(y, step)
    fits = [_best(apart, scale, log_g, _Fit(np.inf, (), noisy, step)) for noisy in (False, True)]
    bits = [fit.bits + 0.5 * np.log2(n) * fit.noisy for fit in fits]
    accounts = []
    for fit, b, keep in zip(fits, bits, undecided(bits), strict=True):
        if keep or fit.noisy:
            without = [_again(fit, apart, scale, log_g, rows).wrong(apart, scale, log_g) for rows in groups(n)]
            name = "a share of the numbers is wrong" if fit.noisy else "no number is wrong"
            accounts.append(Account(name, fit.noisy, b, fit.wrong(apart, scale, log_g), np.stack(without)))
    costs = -(fits[1].log_f(apart, scale) + np.log(resolution)) / np.log(2)
    return together(accounts, mean, costs)


@dataclass(frozen=True)
class _Fit:
    """Coefficients of log σ and, where `noisy`, the logit of s as the last."""

    freedom: float
    found: tuple[float, ...]
    noisy: bool
    step: float
    bits: float = np.inf

    def log_f(self, apart: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Log density of a right number, its mean over a step."""
        log_s = scale @ np.array(self.found[:3])
        law: Any = norm() if np.isinf(self.freedom) else t(self.freedom)
        z, half = abs(apart) * np.exp(-log_s), self.step / 2 * np.exp(-log_s)
        log_f = law.logpdf(z) - log_s
        if not self.step:
            return log_f
        mass = law.sf(z - half) - law.sf(z + half)
        return np.where(mass > LEAST, np.log(np.maximum(mass, LEAST) / self.step), log_f)

    def log_odds(self, apart: np.ndarray, scale: np.ndarray, log_g: np.ndarray) -> np.ndarray:
        """Of wrong against right."""
        return self.found[3] + log_g - self.log_f(apart, scale)

    def wrong(self, apart: np.ndarray, scale: np.ndarray, log_g: np.ndarray) -> np.ndarray:
        return expit(self.log_odds(apart, scale, log_g)) if self.noisy else np.zeros(len(apart))

    def nats(self, apart: np.ndarray, scale: np.ndarray, log_g: np.ndarray) -> float:
        log_f = self.log_f(apart, scale)
        if not self.noisy:
            return -float(log_f.sum())
        share = self.found[3]
        return -float(np.logaddexp(log_expit(-share) + log_f, log_expit(share) + log_g).sum())


def _best(apart: np.ndarray, scale: np.ndarray, log_g: np.ndarray, kind: _Fit) -> _Fit:
    """Over the degrees of freedom."""
    start = (float(np.log(1.48 * np.median(abs(apart)) + 1e-9)), 1.0, 0.0, *([-3.0] if kind.noisy else []))
    every = slice(None)
    fits = [_again(replace(kind, freedom=f, found=start), apart, scale, log_g, every) for f in FREEDOMS]
    return min(fits, key=lambda fit: fit.bits)


def _again(
    fit: _Fit, apart: np.ndarray, scale: np.ndarray, log_g: np.ndarray, rows: Bool[np.ndarray, " n"] | slice
) -> _Fit:
    some = apart[rows], scale[rows], log_g[rows]

    def loss(found: np.ndarray) -> float:
        mine = replace(fit, found=tuple(found))
        prior = -PRIOR[0] * log_expit(found[3]) - PRIOR[1] * log_expit(-found[3]) if fit.noisy else 0.0
        return mine.nats(*some) + prior + 0.5 * float(found[1] ** 2 + found[2] ** 2)

    found = tuple(map(float, minimize(loss, np.array(fit.found), method="L-BFGS-B").x))
    return replace(fit, found=found, bits=replace(fit, found=found).nats(*some) / np.log(2))


def _weights(means: Float[np.ndarray, "kernels n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    """Nonnegative weights of the means, and a constant, fitted again without what is far out."""
    inputs = np.column_stack([means.T, np.ones(len(y)), -np.ones(len(y))]).astype(np.float64)
    near, found = np.ones(len(y), dtype=bool), np.empty(0)
    for _ in range(3):
        found = nnls(inputs[near], y[near])[0]
        apart = abs(y - inputs @ found)
        near = apart <= FAR * 1.48 * max(float(np.median(apart)), 1e-12)
    return np.append(found[:-2], found[-2] - found[-1])


def _log_anything(y: Float[np.ndarray, " n"], step: float) -> Float[np.ndarray, " n"]:
    """Log density of a wrong number: half the others' own, half anything in their range."""
    width = max(float(np.ptp(y)), 1e-12)
    return np.log(0.5 * _others(y, step) + 0.5 / (width * (1 + 2 * MARGIN)))


def _others(y: Float[np.ndarray, " n"], step: float) -> Float[np.ndarray, " n"]:
    """Density of the numbers at each, its mean over a step."""
    if not np.ptp(y) > 0:
        return np.ones(len(y))
    if not step:
        return gaussian_kde(y)(y)
    ordered = np.sort(y)
    below, upto = (ordered.searchsorted(y + side * step / 2, "right") for side in (-1, 1))
    return (upto - below) / (len(y) * step)


def _standard(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return (values - values.mean()) / (values.std() or 1.0)
