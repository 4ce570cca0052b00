"""Wrong class labels, by what all other examples say of each.

What is said of example i is made into π_i ∝ exp(Σ_k β_k m_ik), β ≥ 0, for the *true* class; the label that was given is
the true one through a channel T(given | true). Three accounts of the labels are fitted by expectation and maximisation
and held against each other in bits: no noise (T is the identity); noise that strikes every class alike; and a channel
of its own for every class (Natarajan et al. 2013; Patrini et al. 2017), drawn towards the second by a Dirichlet prior
whose strength is chosen by its evidence. The rate costs ½ log2 n bits; a channel of its own what the evidence of the
expected counts lacks of their likelihood (Cheeseman & Stutz 1996), and it is left out where it has most labels wrong:
that is no list of errors but a nature that is less clear than the regressions have it. That no label is wrong is one
end of the second, and widens the interval of the count where it is as short; in P it has no share. Then

    P(wrong) = 1 − π(given) T(given | given) / Σ_c π(c) T(given | c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import gammaln

from infoscope.model_information.mislabelled.suspicion import Account, Suspicion, groups, together, undecided

ROUNDS, AGAIN = 15, 4
"""Of expectation and maximisation, and of those that begin where the fit to all ended."""

STEPS = 8
"""Of L-BFGS in a round."""

RIDGE = 0.01
"""Times β², nats."""

PRIOR = (1.0, 20.0)
"""Counts of wrong and right labels that are seen beforehand."""

STRENGTHS = (30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)
"""Counts that the prior of a class's channel is worth."""

MOST = 20_000_000
"""Numbers that β is fitted on; with more, on some of the examples."""

FEW = 50
"""Classes up to which each may have a channel of its own."""

LEAST = 1e-12
"""A caller's probability of 0 is taken for this."""

Evidence = Float[np.ndarray, "n classes k"]
"""What speaks for each class, in k ways."""


def of_regressions(
    means: Float[np.ndarray, "kernels n classes"], variances: Float[np.ndarray, "kernels n"], y: Int[np.ndarray, " n"]
) -> Suspicion:
    """From the leave-one-out means and variances of several kernels: each is read as m and as m / √v."""
    read = np.concatenate([means, means / np.sqrt(variances)[:, :, None]])
    scale = np.sqrt(np.square(read, dtype=np.float64).mean((1, 2)))
    return suspicion(np.moveaxis(read, 0, -1) / np.where(scale > 0, scale, 1), y)


def of_probabilities(p: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"]) -> Suspicion:
    """From the caller's own out-of-sample probabilities, whose temperature is fitted."""
    return suspicion(np.log(np.maximum(p, LEAST))[:, :, None], y)


def suspicion(x: Evidence, y: Int[np.ndarray, " n"]) -> Suspicion:
    """Which labels `y` are wrong.

    >>> x = np.log(np.full((100, 2), 0.01) + 0.98 * np.eye(2)[np.arange(100) % 2])[:, :, None]
    >>> y = np.arange(100) % 2
    >>> y[[3, 40]] = 0, 1
    >>> found = suspicion(x, y)
    >>> np.argsort(-found.wrong)[:2].tolist(), found.suggested[[3, 40]].tolist()
    ([3, 40], [1, 0])
    """
    n, classes = len(y), x.shape[1]
    some = np.arange(n)[:: -(-x.size // MOST)]
    fits = [_fit(x[some], y[some], kind) for kind in (_none, _alike, *([_own] if classes <= FEW else []))]
    bits = [_bits(fit, x[some], y[some]) for fit in fits]
    keep = undecided(bits)
    keep[1] |= keep[0]  # that no label is wrong is never said alone: what the second finds may hide behind the first
    kept = [(fit, b) for fit, b, stays in zip(fits, bits, keep, strict=True) if stays]
    accounts, shares = [], []
    for fit, b in kept:
        share = fit.shares(x, y)
        without = [_fit(x[some][rows], y[some][rows], fit.channel, fit).wrong(x, y) for rows in groups(len(some))]
        account = Account(ACCOUNTS[fit.channel], fit.channel is not _none, b, _wrong(share, y), np.stack(without))
        accounts.append(account)
        shares.append(share)
    other = np.mean(shares, axis=0)
    other[np.arange(n), y] = -1
    best, _ = min(kept, key=lambda one: one[1])
    against = int((best.log_p(x).argmax(1) != y).sum())
    return together(accounts, other.argmax(1), best.costs(x, y), against)


Counts = Float[np.ndarray, "classes classes"]
"""How often each true class was given as each, or how probably."""

Channel = Callable[[Counts], Counts]


def _none(counts: Counts) -> Counts:
    return np.eye(len(counts))


def _alike(counts: Counts) -> Counts:
    classes = len(counts)
    rate = (PRIOR[0] + counts.sum() - np.trace(counts)) / (counts.sum() + sum(PRIOR))
    return np.where(np.eye(classes) > 0, 1 - rate, rate / max(classes - 1, 1))


def _own(counts: Counts) -> Counts:
    found = counts + _own_prior(counts)
    return found / found.sum(1, keepdims=True)


def _evidence(counts: Counts, prior: Counts) -> float:
    """Log of the probability of counts under a Dirichlet prior, row by row."""
    rows = gammaln(prior.sum(1)) - gammaln((prior + counts).sum(1)) + (gammaln(prior + counts) - gammaln(prior)).sum(1)
    return float(rows.sum())


def _own_prior(counts: Counts) -> Counts:
    alike = _alike(counts)
    return max((s * alike for s in STRENGTHS), key=lambda prior: _evidence(counts, prior))


ACCOUNTS: dict[Channel, str] = {
    _none: "no label is wrong",
    _alike: "noise strikes every class alike",
    _own: "every class has a noise of its own",
}
"""How each channel is told."""


@dataclass(frozen=True, eq=False)
class _Fit:
    channel: Channel
    slopes: Float[np.ndarray, " k"]
    given: Counts
    bits: float

    def log_p(self, x: Evidence) -> Float[np.ndarray, "n classes"]:
        return _log_softmax(x @ self.slopes)

    def joint(self, x: Evidence, y: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n classes"]:
        with np.errstate(divide="ignore"):
            return self.log_p(x) + np.log(self.given[:, y]).T

    def shares(self, x: Evidence, y: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n classes"]:
        """The posterior of the true class."""
        return np.exp(_log_softmax(self.joint(x, y)))

    def wrong(self, x: Evidence, y: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return _wrong(self.shares(x, y), y)

    def costs(self, x: Evidence, y: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return -self.log_p(x)[np.arange(len(y)), y] / np.log(2)


def _bits(fit: _Fit, x: Evidence, y: Int[np.ndarray, " n"]) -> float:
    """What the labels cost by this account, its channel included."""
    if fit.channel is _none:
        return fit.bits
    rate = 0.5 * np.log2(len(y))
    if fit.channel is _alike:
        return fit.bits + rate
    counts = _counts(fit.shares(x, y), y)
    if np.trace(counts) < len(y) / 2:
        return np.inf
    unlike = (counts * np.log(fit.given)).sum() - _evidence(counts, _own_prior(counts))
    return fit.bits + rate + float(unlike) / np.log(2)


def _counts(shares: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"]) -> Counts:
    counts = np.zeros((shares.shape[1], shares.shape[1]))
    np.add.at(counts.T, y, shares)
    return counts


def _fit(x: Evidence, y: Int[np.ndarray, " n"], channel: Channel, start: _Fit | None = None) -> _Fit:
    n, classes, k = x.shape
    slopes = np.full(k, 3.0 / k) if start is None else start.slopes
    given = channel(0.95 * n * np.eye(classes) + 0.05 * n / classes) if start is None else start.given
    fit = _Fit(channel, slopes, given, np.inf)
    for _ in range(ROUNDS if start is None else AGAIN):
        shares = fit.shares(x, y)
        fit = _Fit(channel, _slopes(x, shares, fit.slopes), channel(_counts(shares, y)), np.inf)
    bits = -np.logaddexp.reduce(fit.joint(x, y), axis=1).sum() / np.log(2)
    return _Fit(channel, fit.slopes, fit.given, float(bits))


def _slopes(
    x: Evidence, shares: Float[np.ndarray, "n classes"], slopes: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """β ≥ 0 that make the true classes most probable, as far as they are known."""
    flat = x.reshape(-1, x.shape[2])

    def loss(b: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = _log_softmax(x @ b)
        gradient = (np.exp(log_p) - shares).ravel() @ flat
        return float(-(shares * log_p).sum() + RIDGE * (b @ b)), gradient + 2 * RIDGE * b

    options = {"maxiter": STEPS}
    return minimize(loss, slopes, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(slopes), options=options).x


def _wrong(shares: Float[np.ndarray, "n classes"], y: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The share of all other classes, summed so that what is nearly sure is told apart."""
    others = shares.copy()
    others[np.arange(len(y)), y] = 0
    return others.sum(1)


def _log_softmax(z: Float[np.ndarray, "n classes"]) -> Float[np.ndarray, "n classes"]:
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))
