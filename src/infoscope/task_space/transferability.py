"""What others ask of features before anything is trained on them: LEEP, LogME, H-score; larger is better."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def leep(probabilities: Float[Tensor, "n source"], y: Int[Tensor, " n"]) -> float:
    """LEEP, nats a label, at most 0: the mean of log Σ_z P̂(y|z) θ(z|x) (Nguyen et al. 2020, eq. 2).

    θ is what a network says of its own classes z, and P̂(y|z) the empirical share of the label y among them.

    >>> sure = torch.eye(2)[[0, 0, 1]]
    >>> leep(sure, torch.tensor([1, 1, 0])), round(leep(torch.full((2, 3), 1 / 3), torch.tensor([0, 1])), 6)
    (0.0, -0.693147)
    """
    theta = probabilities.double()
    joint = F.one_hot(y.long()).double().T @ theta
    mass = joint.sum(0)
    given = joint / torch.where(mass > 0, mass, 1)
    return float((theta @ given.T)[torch.arange(len(y)), y.long()].log().mean())


def h_score(features: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> float:
    """tr(Cov(f)⁺ Cov(E[f|y])), dimensionless, from 0 to the number of classes less one (Bao et al. 2019, def. 2).

    The pseudo-inverse leaves out directions in which nothing varies.

    >>> round(h_score(torch.eye(3)[[0, 1, 2, 0, 1, 2]], torch.tensor([0, 1, 2, 0, 1, 2])), 6)
    2.0
    """
    f = features.double() - features.double().mean(0)
    classes = F.one_hot(y.long()).double()
    sizes = classes.sum(0)
    means = (classes.T @ f) / torch.where(sizes > 0, sizes, 1)[:, None]
    between = means.T @ (means * sizes[:, None])
    return float(torch.trace(torch.linalg.pinv(f.T @ f, rtol=1e-10, hermitian=True) @ between))


def log_me(features: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> float:
    """LogME, nats an example and class: log ∫ N(1[y=c] | F w, 1/β) N(w | 0, 1/α) dw / n, the mean over classes c.

    α and β are those of the largest evidence (You et al. 2021, algorithm 1), found from the singular values of F.
    """
    f = features.double()
    u, s, _ = torch.linalg.svd(f, full_matrices=False)
    present = y.unique()
    return sum(_evidence(u, s, (y == c).double()) for c in present) / len(present)


def _evidence(u: Tensor, s: Tensor, t: Tensor) -> float:
    """The largest evidence for one regression, a share an example; a fixed point of MacKay's updates."""
    n, squares = len(t), s.square()
    z = (u.T @ t).square()
    rest = max(float(t @ t - z.sum()), 0.0)
    alpha, beta = 1.0, 1.0
    for _ in range(1000):
        shrunk = alpha + beta * squares
        gamma = float((beta * squares / shrunk).sum())
        length = float((beta**2 * squares * z / shrunk.square()).sum())
        residual = float((alpha**2 * z / shrunk.square()).sum()) + rest
        before, alpha, beta = alpha / beta, gamma / max(length, 1e-300), (n - gamma) / max(residual, 1e-300)
        alpha, beta = min(alpha, 1e12), min(beta, 1e12)
        if abs(alpha / beta - before) < 1e-8 * before:
            break
    shrunk = alpha + beta * squares
    length = float((beta**2 * squares * z / shrunk.square()).sum())
    residual = float((alpha**2 * z / shrunk.square()).sum()) + rest
    whole = n * math.log(beta) - beta * residual - alpha * length - n * math.log(2 * math.pi)
    whole += float((math.log(alpha) - shrunk.log()).sum())
    return whole / (2 * n)
