"""I(w;D) between two sides, from networks that were trained on data sets drawn from one pool: pure estimates.

D is how often each of n examples was drawn, n draws with replacement. Any decoder of D bounds I(w;D) from below (Barber
& Agakov 2003), any prior from above; neither assumes how weights depend on data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from scipy.special import gammaln
from scipy.stats import binom
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Bound, Measurement, Receipt, Status, mean_and_stderr
from infoscope.weight_information.gaussian import Axes, Posterior

FLATTER = tuple(2.0 ** (k / 2) for k in range(-8, 13))
"""What a decoder may divide its scores by."""


def resampling_entropy(n: int) -> float:
    """H(D), nats: of how often each of n examples comes in n draws with replacement. I(w;D) is never above.

    >>> round(resampling_entropy(2), 6)  # 1/4, 1/2, 1/4
    1.039721
    """
    counts = range(n + 1)
    repeated = sum(float(binom.pmf(c, n, 1 / n)) * float(gammaln(c + 1)) for c in counts)
    return n * math.log(n) - float(gammaln(n + 1)) + n * repeated


def decoded_information(losses: Float[Tensor, "sets draws n"], counts: Int[Tensor, "sets n"]) -> Measurement:
    """A lower bound of I(w;D), nats: what a decoder that sees the pool's losses under w saves in sending D.

    It takes each of the n draws for example i with probability r_i ∝ exp(z_i/τ), z_i how far the loss of i lies below
    its mean over networks of other data sets, in nats or in their standard deviations; which, and τ, are chosen on the
    others too. I(w;D) ≥ E Σ_i c_i log(n r_i), whatever the decoder. The standard error is over data sets.

    >>> counts = torch.tensor([[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]])
    >>> found = decoded_information(-100.0 * counts[:, None].double(), counts)
    >>> round(found.value, 3), round(4 * math.log(4), 3)
    (5.545, 5.545)
    """
    sets = len(losses)
    if sets < 4:
        raise ValueError(f"there are {sets} data sets; a decoder learns from others, so take 4 or more")
    found: dict[int, float] = {}
    for j in range(sets):
        others = [k for k in range(sets) if k != j]
        # Each of the others is scored without j and without itself: nothing of j chooses j's decoder.
        tried = torch.stack([_saved(losses, counts, k, [i for i in others if i != k]) for k in others]).mean(0)
        found[j] = float(_saved(losses, counts, j, others).flatten()[int(tried.argmax())])
    value, stderr = mean_and_stderr(found.values())
    receipt = Receipt("decoder of losses", n=losses.shape[2], over="data sets", version=__version__)
    return Measurement("I(w;D)", value, stderr, bound=Bound.LOWER, replicates=found, receipt=receipt)


def _saved(losses: Tensor, counts: Tensor, one: int, others: Sequence[int]) -> Float[Tensor, "2 temperatures"]:
    """Nats saved in sending D of one network, for every decoder."""
    known = losses[list(others)].flatten(0, 1)
    below = known.mean(0) - losses[one]
    spread = known.std(0)
    standard = torch.where(spread > 0, below / spread.where(spread > 0, 1.0), 0.0)
    scores = torch.stack([below, standard])[:, None] / torch.tensor(FLATTER, dtype=below.dtype)[:, None, None]
    share = scores.log_softmax(-1) + math.log(below.shape[1])
    return (share * counts[one]).sum(-1).mean(-1)


def prior_information(posteriors: Sequence[Sequence[Posterior]]) -> Measurement:
    """An upper bound of I(w;D), nats: E KL(q(w|D)‖p), p a Gaussian learned from the posteriors of other data sets.

    A row of posteriors for each data set, of networks with other seeds: E KL over them is never below that of their
    average. E KL(q‖p) = I(w;D) + KL(p̄‖p) for every p. The covariance of p is the mean of theirs and how their means
    differ, the latter shrunk towards a multiple of the former as far as they are few against the weights that it
    correlates. The standard error is over data sets.
    """
    _check_several(posteriors)
    means = torch.stack([torch.stack([q.mean for q in row]) for row in posteriors])
    spreads = [sum(_spread(q) for q in row) for row in posteriors]
    every, keep = torch.as_tensor(sum(spreads)), torch.ones(len(means), dtype=torch.bool)
    found: dict[int, float] = {}
    for j, row in enumerate(posteriors):
        keep[j] = False
        others = means[keep].flatten(0, 1)
        noise = (every - spreads[j]) / len(others)
        found[j] = mean_and_stderr(_surprise(q, others, noise) for q in row)[0]
        keep[j] = True
    value, stderr = mean_and_stderr(found.values())
    receipt = Receipt("prior of other data sets", n=len(found), over="data sets", version=__version__)
    return Measurement("I(w;D)", value, stderr, bound=Bound.UPPER, replicates=found, receipt=receipt)


def _surprise(q: Posterior, means: Float[Tensor, "networks d"], noise: Tensor) -> float:
    """KL(q‖p), nats; `noise` are the other networks' mean variances, or their mean covariance."""
    middle, several, d = means.mean(0), len(means), means.shape[1]
    if noise.ndim == 1:
        moved, away, own = (means - middle) / noise.sqrt(), (q.mean - middle) / noise.sqrt(), q.variances / noise
        between, kept = moved.square().sum(0) / (several - 1), several / (several + 1)
        total = 1 + (1 + 1 / several) * (kept * between + (1 - kept) * between.mean())
        return 0.5 * float((own / total + away.square() / total - 1 + total.log() - own.log()).sum())
    root = torch.linalg.cholesky(noise)
    moved, away = _in_units(root, (means - middle).T).T, _in_units(root, (q.mean - middle)[:, None])[:, 0]
    between, kept, one = moved.T @ moved / (several - 1), several / (several + d), torch.eye(d, dtype=noise.dtype)
    total = one + (1 + 1 / several) * (kept * between + (1 - kept) * between.trace() / d * one)
    factor = torch.linalg.cholesky(total)
    own = _in_units(factor, _in_units(root, q.basis.back(q.variances.sqrt().diag()).T))
    logs = 2 * float(factor.diagonal().log().sum() + root.diagonal().log().sum()) - float(q.variances.log().sum())
    return 0.5 * (float(own.square().sum()) + float(_in_units(factor, away[:, None]).square().sum()) - d + logs)


def _in_units(root: Float[Tensor, "d d"], columns: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """Columns in units of a covariance whose Cholesky factor is `root`."""
    return torch.linalg.solve_triangular(root, columns, upper=False)


def gaussian_information(posteriors: Sequence[Sequence[Posterior]]) -> Measurement:
    """I(w;D), nats, if weights were Gaussian: ½ log det(Σ̄ + W + B) / det(Σ̄ + W).

    A row of posteriors for each data set. Σ̄ is the mean of their covariances, W how their means differ between seeds
    of one data set, B between data sets (unbiased, as an analysis of variance has it). What `shannon_information` has
    by implicit differentiation is here counted. Void where data sets are fewer than ten a weight (TOO_FEW_SAMPLES):
    neither B nor W has a rank above their number. The standard error is a jackknife over data sets.
    """
    _check_several(posteriors)
    every = [q for row in posteriors for q in row]
    means = torch.stack([torch.stack([q.mean for q in row]) for row in posteriors])
    sets, d = len(means), means.shape[2]
    moved = _whitened(means - means.mean((0, 1)), every)
    value = _channel(moved)
    left_out = [_channel(moved[[k for k in range(sets) if k != j]]) for j in range(sets)]
    middle = sum(left_out) / sets
    stderr = math.sqrt((sets - 1) / sets * sum((one - middle) ** 2 for one in left_out))
    status = frozenset({Status.TOO_FEW_SAMPLES}) if sets < _A_WEIGHT * d else frozenset[Status]()
    receipt = Receipt("Gaussian weights", n=sets, over="data sets", version=__version__)
    return Measurement("I(w;D)", value, stderr, status=status, receipt=receipt)


_A_WEIGHT = 10


def _whitened(moved: Float[Tensor, "sets seeds d"], every: Sequence[Posterior]) -> Float[Tensor, "sets seeds r"]:
    """Deviations in units of the mean noise, in as many coordinates as they span."""
    noise = torch.as_tensor(sum(_spread(q) for q in every) / len(every))
    if isinstance(every[0].basis, Axes):
        white = moved / noise.sqrt()
    else:
        white = _in_units(torch.linalg.cholesky(noise), moved.flatten(0, 1).T).T.reshape(moved.shape)
    flat = white.flatten(0, 1)
    return torch.linalg.qr(flat.T).R.T.reshape(*moved.shape[:2], -1) if flat.shape[1] > len(flat) else white


def _channel(moved: Float[Tensor, "sets seeds r"]) -> float:
    """½ log det(I + W + B) − ½ log det(I + W) from deviations in units of the noise."""
    sets, seeds, r = moved.shape
    middles, one = moved.mean(1), torch.eye(r, dtype=moved.dtype)
    apart = (moved - middles[:, None]).flatten(0, 1)
    within = apart.T @ apart / (sets * (seeds - 1)) if seeds > 1 else torch.zeros_like(one)
    away = middles - middles.mean(0)
    total = away.T @ away / (sets - 1) + within * (seeds - 1) / seeds
    return 0.5 * float(torch.logdet(one + total) - torch.logdet(one + within))


def _spread(q: Posterior) -> Tensor:
    """Its variances, or its covariance where they stand in a basis."""
    if isinstance(q.basis, Axes):
        return q.variances
    turned = q.basis.back(q.variances.sqrt().diag())
    return turned.T @ turned


def _check_several(posteriors: Sequence[Sequence[Posterior]]) -> None:
    if len(posteriors) < 3:
        raise ValueError(f"there are posteriors of {len(posteriors)} data sets; take 3 or more")
