"""What the outputs of a network say of its targets, and the root of the Hessian of what that costs.

The Fisher information of outputs z is the Hessian H = L Lᵀ of the negative log-likelihood, for all of these the same as
its expectation. Every likelihood gives the columns of L one by one, L ε for signs ε, and scores ∂(−log p(y|z))/∂z for
labels that are drawn from p or given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.data.targets import MASKED, Classes, Labels, Real, Target, Tokens


class Likelihood(Protocol):
    """A distribution of targets whose natural parameters a network gives."""

    def columns(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """All columns of L, each of the shape of the outputs."""
        ...

    def sketch(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Tensor:
        """L ε for independent signs ε: E (Lε)(Lε)ᵀ = L Lᵀ."""
        ...

    def sampled(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Tensor:
        """The score of a target drawn from the network's own prediction."""
        ...

    def score(self, z: Tensor, y: Tensor) -> Tensor:
        """The score of the target that is given."""
        ...

    def variance(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The diagonal of H, of the shape of the outputs: the variance of what is predicted; float64."""
        ...


@dataclass(frozen=True)
class Categorical:
    """One class for each row of logits along the last axis: H = diag(p) − ppᵀ. Targets that are `masked` don't count.

    L is the Cholesky factor in closed form, with the mass that is left q_j = Σ_{k>j} p_k as a sum of its own:
    L_jj = √(p_j q_j / (q_j + p_j)), L_kj = −p_k L_jj / q_j for k > j. L ε takes O(C), and nothing in it cancels,
    however sure a network is; 1 − Σ p would.

    >>> z = torch.tensor([[0.0, 0.0, 0.0]])
    >>> sum(torch.outer(c[0], c[0]) for c in Categorical().columns(z, None)).mul(9).round(decimals=4)
    tensor([[ 2., -1., -1.],
            [-1.,  2., -1.],
            [-1., -1.,  2.]])
    """

    masked: int = MASKED

    def columns(self, z: Tensor, y: Tensor | None) -> Iterator[Float[Tensor, "n ... classes"]]:
        """C − 1 columns for each place of an example."""
        root = _root(z)  # n *places classes columns
        places = root.flatten(1, -3) if z.ndim > 2 else root[:, None]
        seen = self._seen(z, y)
        for t in range(places.shape[1]):
            for c in range(z.shape[-1] - 1):
                one = torch.zeros_like(places[..., c])
                one[:, t] = places[:, t, :, c]
                yield (one.view(z.shape) * seen).to(z.dtype)

    def sketch(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Float[Tensor, "n ... classes"]:
        """L ε, one ε for each place."""
        p, q = _masses(z)
        # u / q = √(p / (q (q + p))) ε, where u itself is √(p q / (q + p)) ε.
        ratio = _ratio(p, q).mul_(_signs(z, draws))
        before = _sums_before(ratio)
        found = ratio.mul_(q).addcmul_(p, before, value=-1)
        return (found if y is None else found.mul_(self._seen(z, y))).to(z.dtype)

    def sampled(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Float[Tensor, "n ... classes"]:
        """The probabilities less one for the class ŷ ~ p."""
        p = z.double().softmax(-1)
        drawn = torch.multinomial(p.cpu().flatten(0, -2), 1, generator=draws).view(z.shape[:-1]).to(z.device)
        return (_less_one(p, drawn) * self._seen(z, y)).to(z.dtype)

    def score(self, z: Tensor, y: Tensor) -> Float[Tensor, "n ... classes"]:
        """The probabilities less one for the class y."""
        y = y.to(z.device)
        return (_less_one(z.double().softmax(-1), y.clamp(min=0)) * self._seen(z, y)).to(z.dtype)

    def variance(self, z: Tensor, y: Tensor | None) -> Float[Tensor, "n ... classes"]:
        """The products p (1 − p); 1 − p of the likeliest class is the sum of the others, so that nothing cancels.

        >>> Categorical().variance(torch.tensor([[100.0, 0.0]]), None)[0, 0] > 0
        tensor(True)
        """
        p = z.double().softmax(-1)
        top = p.argmax(-1, keepdim=True)
        others = p.scatter(-1, top, 0.0).sum(-1, keepdim=True)
        return p * (1 - p).scatter(-1, top, others) * self._seen(z, y)

    def _seen(self, z: Tensor, y: Tensor | None) -> Tensor:
        return z.new_ones(()) if y is None else (y != self.masked).to(z.device)[..., None].to(torch.float64)


def _masses(z: Tensor) -> tuple[Tensor, Tensor]:
    """The probabilities, and for each class the sum of those after it."""
    p = z.double().softmax(-1)
    return p, _sums_before(p.flip(-1)).flip(-1)


_FEW = 256  # classes, of which sums are a product with a triangle of ones: ten times as fast as one after the other


def _sums_before(t: Float[Tensor, "... classes"]) -> Float[Tensor, "... classes"]:
    """Along the last axis what stands before each number, added up."""
    if t.shape[-1] <= _FEW:
        return t @ torch.ones(t.shape[-1], t.shape[-1], dtype=t.dtype, device=t.device).triu(1)
    return torch.cat([torch.zeros_like(t[..., :1]), t[..., :-1].cumsum(-1)], -1)


def _ratio(p: Tensor, q: Tensor) -> Tensor:
    """L_jj / q_j, which is 0 where nothing is left."""
    return p.div(q + p).sqrt_().div_(q.sqrt()).masked_fill_(q == 0, 0.0)


def _root(z: Tensor) -> Float[Tensor, "... classes columns"]:
    p, q = _masses(z)
    ratio = _ratio(p, q)
    below = -p[..., :, None] * ratio[..., None, :]
    return torch.diag_embed(ratio * q) + below.tril(-1)


def _less_one(p: Tensor, y: Tensor) -> Tensor:
    return p.scatter_add(-1, y.long()[..., None], -torch.ones_like(p[..., :1]))


def _signs(z: Tensor, draws: torch.Generator) -> Tensor:
    drawn = torch.randint(0, 2, z.shape, generator=draws, dtype=torch.int8)
    return drawn.mul_(2).sub_(1).to(z.device, torch.float64)


@dataclass(frozen=True)
class Independent:
    """Outputs that each speak of a number by itself: H is diagonal, of `curvature(z)`; NaN in targets is masked.

    `draw(z, generator)` draws targets, `mean(z)` is what is expected of them, so that the score is mean − y in the
    natural parameter, as in any generalised linear model with the canonical link.
    """

    name: str
    curvature: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    draw: Callable[[Tensor, torch.Generator], Tensor]

    def columns(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """One column an output."""
        root = self._root(z, y).flatten(1)
        for c in range(root.shape[1]):
            one = torch.zeros_like(root)
            one[:, c] = root[:, c]
            yield one.view(z.shape).to(z.dtype)

    def sketch(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Tensor:
        """√h ε."""
        return (self._root(z, y) * _signs(z, draws)).to(z.dtype)

    def sampled(self, z: Tensor, y: Tensor | None, draws: torch.Generator) -> Tensor:
        """mean(z) − ŷ."""
        wide = z.double()
        return ((self.mean(wide) - self.draw(wide.cpu(), draws).to(z.device)) * self._seen(z, y)).to(z.dtype)

    def score(self, z: Tensor, y: Tensor) -> Tensor:
        """mean(z) − y."""
        given = y.to(z.device).double().nan_to_num()
        return ((self.mean(z.double()) - given) * self._seen(z, y)).to(z.dtype)

    def variance(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The curvature itself."""
        return self.curvature(z.double()) * self._seen(z, y)

    def _root(self, z: Tensor, y: Tensor | None) -> Tensor:
        return self.curvature(z.double()).sqrt() * self._seen(z, y)

    def _seen(self, z: Tensor, y: Tensor | None) -> Tensor:
        return z.new_ones(()) if y is None else (~y.isnan()).to(z.device, torch.float64)


def _one(z: Tensor) -> Tensor:
    return torch.ones_like(z)


def _same(z: Tensor) -> Tensor:
    return z


def _normal(z: Tensor, draws: torch.Generator) -> Tensor:
    return z + torch.randn(z.shape, generator=draws, dtype=z.dtype)


def _bernoulli_variance(z: Tensor) -> Tensor:
    return z.sigmoid() * (-z).sigmoid()


def _bernoulli(z: Tensor, draws: torch.Generator) -> Tensor:
    return torch.bernoulli(z.sigmoid(), generator=draws)


def _poisson(z: Tensor, draws: torch.Generator) -> Tensor:
    return torch.poisson(z.exp(), generator=draws)


GAUSSIAN = Independent("Gaussian", _one, _same, _normal)
"""Squared error ½ |z − y|²: numbers with variance 1 in the units of the outputs."""

BERNOULLI = Independent("Bernoulli", _bernoulli_variance, torch.sigmoid, _bernoulli)
"""Yes or no, from logits: binary cross-entropy."""

POISSON = Independent("Poisson", torch.exp, torch.exp, _poisson)
"""Counts, from the logarithms of their rates."""


def likelihood_of(target: Target) -> Likelihood:
    """The likelihood that a target's loss is; a ValueError for one that is none."""
    match target:
        case Classes() | Tokens():
            return Categorical()
        case Labels():
            return BERNOULLI
        case Real():
            return GAUSSIAN
    raise ValueError(f"the loss of {target} is no likelihood of what the network gives; give a likelihood")


def as_given(target: Target, y: Tensor) -> Tensor:
    """Targets in the units of the outputs, NaN where a label is masked."""
    match target:
        case Real():
            return target.standard(y.double())
        case Labels():
            return torch.where(y < 0, torch.nan, y.double())
    return y
