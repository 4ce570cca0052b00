"""How invariant and how disentangled a representation is: information about a nuisance, and total correlation.

For a nuisance N that is independent of the label, I(Z;N) ≤ I(Z;X) − I(Z;Y): what a representation holds beyond the
label is all that it can tell of nuisances. Where Z is sufficient, I(Z;Y) = I(X;Y), this is the theorem of Achille &
Soatto (2018): what is minimal is invariant, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.data.task import Task
from infoscope.measurement import Bound, Measurement, Receipt, Status, mean_and_stderr
from infoscope.mi.numerics.normal_scores import normal_scores
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import Coder, encode
from infoscope.prequential.loss_curve import LossCurve

FEWEST = 40
"""Examples, below which a probe has learned nothing when it is asked."""

_ROUNDING = 1e-9


def nuisance_information(
    z: Any, n: Any, coder: Coder = ClosedForm(), *, seeds: Sequence[int] = (0,), strict: bool = True
) -> Measurement:
    """I(Z;N) of a representation (m, d) about a known nuisance (m,), whole numbers; nats, a lower bound.

    Values of N are predicted one by one from Z by a probe that has seen those before, without a network to train; from
    the half on their cost is set against their entropy: I(Z;N) ≥ H(N) − E[−log p(n | z, those before)]. H(N) is that of
    the frequencies, which errs downward and keeps the side. The error is over examples and, of several, over orders.

    >>> n = torch.arange(200) % 2
    >>> z = torch.stack([n * 2.0 - 1.0, torch.sin(torch.arange(200.0))], 1)
    >>> found = nuisance_information(z, n)
    >>> 0.9 < found.bits <= 1.0
    True
    """
    points, values = torch.as_tensor(np.asarray(z)).float().flatten(1), torch.as_tensor(np.asarray(n)).long()
    if len(points) != len(values) or values.ndim != 1:
        raise ValueError(f"z has {len(points)} examples and n shape {tuple(values.shape)}; give one value an example")
    if len(values) < FEWEST:
        raise ValueError(f"{len(values)} examples are too few for a probe to learn from; give {FEWEST} or more")
    known, codes = values.unique(return_inverse=True)
    task = Task.from_arrays(points, codes, alphabet=[str(int(v)) for v in known], name="nuisance", as_is=True)
    saved = {seed: saved_after_half(encode(task, coder, None, seed), codes) for seed in seeds}
    value, over_orders = mean_and_stderr([float(terms.mean()) for terms in saved.values()])
    first = next(iter(saved.values()))
    over_examples = float(first.std(ddof=1)) / math.sqrt(len(first))
    stderr = over_examples if math.isnan(over_orders) else math.hypot(over_examples, over_orders)
    status = frozenset({Status.TOO_FEW_SAMPLES} if len(values) < 20 * len(known) else ())
    receipt = Receipt(
        f"{type(coder).__name__}, the second half", task.fingerprint[:16], coder=repr(coder), n=len(values),
        seeds=tuple(seeds), over="examples and orders", version=__version__, device="cpu",
    )  # fmt: skip
    replicates = {seed: float(terms.mean()) for seed, terms in saved.items()}
    found = Measurement("I(Z;N)", value, stderr, "nat", Bound.LOWER, status, replicates, receipt)
    return found.checked(strict)


def saved_after_half(curve: LossCurve, codes: Tensor) -> Float[np.ndarray, " m"]:
    """What each label of the second half costs less than by the frequencies in that half, nats."""
    half = len(curve) // 2
    said = codes.numpy()[curve.index[half:]]
    share = np.bincount(said) / len(said)
    return -np.log(share[said]) - curve.nats[half:]


def gaussian_total_correlation(covariance: Float[Tensor, "d d"]) -> float:
    """TC(Z) = KL(p(z) ‖ Π p(z_j)) of a Gaussian, nats: −½ log det of its correlations. Exact.

    >>> round(gaussian_total_correlation(torch.tensor([[1.0, 0.6], [0.6, 1.0]])), 6)
    0.223144
    """
    c = covariance.double()
    scale = c.diagonal().sqrt()
    if c.ndim != 2 or c.shape[0] != c.shape[1] or not bool((scale > 0).all()):
        raise ValueError(f"the covariance has shape {tuple(c.shape)} or a variance of 0; give (d, d), all above 0")
    sign, log = torch.linalg.slogdet(c / torch.outer(scale, scale))
    if sign <= 0:
        raise ValueError("the covariance is singular: a unit is a sum of others, and TC is infinite; leave it out")
    return -0.5 * float(log)


def dependence(z: Float[Tensor, "n d"]) -> float:
    """TC of the Gaussian copula of a sample, nats: −½ log det of the correlations of normal scores.

    Each unit goes through the increasing map that makes it Gaussian, which leaves TC as it is; of all distributions
    with these correlations the Gaussian has the least, so it bounds TC(Z) from below, as n grows. Of n examples it is
    too high by about d (d − 1)/4n, which is taken off. Units that never vary are left out; NaN where two are the same.

    >>> draws = torch.Generator().manual_seed(0)
    >>> z = torch.randn(4000, 2, generator=draws) @ torch.tensor([[1.0, 0.6], [0.0, 0.8]])
    >>> abs(dependence(z.exp()) - 0.2231) < 0.03
    True
    """
    scores = normal_scores(z.detach().cpu().double().numpy())
    n, d = scores.shape
    if d < 2:
        return 0.0
    correlations = np.corrcoef(scores.T)
    if n <= d or np.abs(np.triu(correlations, 1)).max() > 1 - _ROUNDING:
        return math.nan
    sign, log = np.linalg.slogdet(correlations)
    return -0.5 * float(log) - d * (d - 1) / (4 * n) if sign > 0 else math.nan
