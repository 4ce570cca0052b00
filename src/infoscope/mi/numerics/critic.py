"""The look behind neural bounds: a critic f(x, y) learns log p(x,y)/p(x)p(y) by telling true pairs from others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from infoscope.data.task import Task
from infoscope.run import Store
from infoscope.run.look import Look, look, pack, unpack
from infoscope.training.fit import Diverged as Diverged
from infoscope.training.fit import fit
from infoscope.training.learner import Learner
from infoscope.training.recipe import Adam, Recipe

SMALLEST = 1e-6
"""Contrastive losses below this count as this: the logit that stands for a loss is finite."""

LARGEST = 6.0
"""The learned part of the log-ratio stays between ± this: a few wild scores would govern a mean of exponentials."""

CLOSE = 0.999
"""Correlations above this ask for double precision."""

BYTES_A_PAIR = 160
"""Memory that a bound takes for each score: some arrays of doubles, four times over for the rest of the process."""

SMALLEST_BLOCK = 100
"""Pairs that a bound is taken on at least, whatever memory there is."""

VALIDATION = 0.2
"""Share of the training pairs that says when to stop."""


@dataclass(frozen=True)
class Critic:
    """How a critic is built and trained: f(x, y) = g(x)·h(y), g and h networks of these widths, on normal scores."""

    widths: tuple[int, ...] = (64, 64)
    features: int = 32
    recipe: Recipe = Recipe(Adam(1e-3, weight_decay=0.3), batch=256, epochs=300, patience=10)


@dataclass(frozen=True, eq=False)
class Known:
    """A part of the log-ratio that need not be learned: that of normal variables u = aᵀx, v = bᵀy, correlated by ρ."""

    a: Float[np.ndarray, "dx r"]
    b: Float[np.ndarray, "dy r"]
    rho: Float[np.ndarray, " r"]

    @property
    def precision(self) -> torch.dtype:
        """What its scores are computed in: beside 1/(1 − ρ²) single precision has no digits left."""
        return torch.float64 if self.rho.max(initial=0) > CLOSE else torch.float32


@dataclass(frozen=True, eq=False)
class Scores:
    """What a trained critic says of held-out pairs, in factors: g(x), h(y), the known part's aᵀx, bᵀy and ρ.

    `converged` says whether training settled.
    """

    factors: Mapping[str, Tensor]
    converged: bool

    @property
    def all(self) -> Float[np.ndarray, "n n"]:
        """f(x_i, y_j)."""
        learned = LARGEST * torch.tanh(self.factors["g"] @ self.factors["h"].T / LARGEST)
        return (self._known + learned).double().numpy()

    @property
    def known(self) -> Float[np.ndarray, "n n"]:
        """The known part of f alone."""
        return self._known.double().numpy()

    @property
    def _known(self) -> Tensor:
        return normal_log_ratio(*(self.factors[name] for name in ("u", "v", "rho")))

    def rows(self, some: slice) -> Scores:
        """The scores of these pairs alone."""
        kept = {name: part if name == "rho" else part[some] for name, part in self.factors.items()}
        return Scores(kept, self.converged)

    def blocks(self, memory: float) -> list[Scores]:
        """As few parts of equal size as keep a bound on each of them within so many bytes."""
        n = len(self.factors["g"])
        parts = math.ceil(n / max(SMALLEST_BLOCK, math.sqrt(memory / BYTES_A_PAIR)))
        ends = [n * i // parts for i in range(parts + 1)]
        return [self.rows(slice(a, b)) for a, b in pairwise(ends)]

    def to_bytes(self) -> bytes:
        """This value as bytes."""
        return pack(self.factors, converged=self.converged)

    @classmethod
    def from_bytes(cls, data: bytes) -> Scores:
        """The value that `to_bytes` wrote."""
        factors, facts = unpack(data)
        return cls(factors, facts["converged"])


@dataclass(frozen=True, eq=False)
class Network:
    """Factory of the network for rows [x, y], x of `dx` columns."""

    dx: int
    critic: Critic
    known: Known

    def __call__(self, shape: tuple[int, ...], classes: int) -> Contrast:
        """The network, with f at its known part."""
        return Contrast(self.dx, shape[0] - self.dx, self.critic, self.known)


class Contrast(nn.Module):
    """Logits of two classes for rows [x, y], whose cross-entropy with class 1 is the contrastive loss of the batch.

    The loss of row i is −½(log softmax_j f(x_i, y_j) + log softmax_j f(x_j, y_i)) at j = i: InfoNCE in both
    directions, which leaves f no freedom but a constant. Since ℓ = log(1 + e^z) for z = log(e^ℓ − 1), logits (z, 0)
    make it a loss that the one training loop knows.
    """

    def __init__(self, dx: int, dy: int, critic: Critic, known: Known) -> None:
        super().__init__()
        self.dx = dx
        self.g, self.h = _tower(dx, critic), _tower(dy, critic)
        last = self.h[-1]
        if isinstance(last, nn.Linear):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.a, self.b, self.rho = (
            nn.Buffer(torch.as_tensor(part, dtype=known.precision)) for part in (known.a, known.b, known.rho)
        )

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """f(x_i, y_j) of all pairs."""
        known = normal_log_ratio(*self._canonical(x, y), self.rho)
        return known + LARGEST * torch.tanh(self.g(x) @ self.h(y).T / LARGEST)

    def factors(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What the scores are made of: see `Scores`."""
        u, v = self._canonical(x, y)
        return {"g": self.g(x), "h": self.h(y), "u": u, "v": v, "rho": self.rho}

    def _canonical(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.to(self.a.dtype) @ self.a, y.to(self.b.dtype) @ self.b

    def forward(self, rows: Tensor) -> Tensor:
        """Two logits a row."""
        f = self.scores(rows[:, : self.dx], rows[:, self.dx :])
        loss = -0.5 * (f.log_softmax(1).diagonal() + f.log_softmax(0).diagonal())
        # Above 20 the two sides agree to nine digits, and e^ℓ would overflow further on.
        z = torch.where(loss > 20, loss, loss.clamp(SMALLEST, 20).expm1().log())
        return torch.stack([z, torch.zeros_like(z)], 1)


def normal_log_ratio(u: Tensor, v: Tensor, rho: Tensor) -> Tensor:
    """Σ_r −½ log(1 − ρ²) − (ρ²(u² + v²) − 2ρuv) / 2(1 − ρ²) of all pairs."""
    rest = 1 - rho**2
    squares = rho**2 / (2 * rest)
    own = (u**2 @ squares)[:, None] + v**2 @ squares
    return (u * (rho / rest)) @ v.T - own - 0.5 * rest.log().sum()


class _WithNorm(nn.Module):
    """Appends ‖x‖²/d: dependence of scales, as in heavy tails, is then linear in the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x.square().mean(1, keepdim=True)], 1)


def _tower(d: int, critic: Critic) -> nn.Sequential:
    layers: list[nn.Module] = [_WithNorm()]
    d += 1
    for width in critic.widths:
        layers += [nn.Linear(d, width), nn.SiLU()]
        d = width
    return nn.Sequential(*layers, nn.Linear(d, critic.features))


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a critic is to learn: the pairs, the rows to train on and those to score, and the part that is known."""

    x: Float[np.ndarray, "n dx"]
    y: Float[np.ndarray, "n dy"]
    train: Int[np.ndarray, " t"]
    scored: Int[np.ndarray, " s"]
    critic: Critic
    seed: int
    known: Known | None = None


def learn(lesson: Lesson, store: Store | None = None) -> Scores:
    """Scores by a critic that has learned, from the store if it has them."""
    return trained(lesson) if store is None else look([Look(trained, (lesson,), Scores, label="critic")], store)[0]


def trained(lesson: Lesson) -> Scores:
    """Train a critic and look at the pairs to score: all that is costly and random about a neural bound."""
    x, y, critic, seed = lesson.x, lesson.y, lesson.critic, lesson.seed
    known = lesson.known or Known(np.zeros((x.shape[1], 0)), np.zeros((y.shape[1], 0)), np.zeros(0))
    learner = Learner(Network(x.shape[1], critic, known), critic.recipe)
    validation, training = (_pairs(x[rows], y[rows]) for rows in divided(lesson.train))
    fitted = fit(learner, training, validation, seed=seed)
    network = learner.starting_from(fitted.weights).network(training.shape, training.classes, seed)
    assert isinstance(network, Contrast)  # what the factory gives
    with torch.no_grad():
        a, b = (torch.as_tensor(side[lesson.scored], dtype=torch.float32) for side in (x, y))
        return Scores(network.factors(a, b), fitted.converged)


def divided(train: Int[np.ndarray, " t"]) -> list[Int[np.ndarray, " _part"]]:
    """The rows that say when to stop, and those that are learned from."""
    return np.split(train, [max(1, round(VALIDATION * len(train)))])


def _pairs(x: Float[np.ndarray, "n dx"], y: Float[np.ndarray, "n dy"]) -> Task:
    """True pairs as a task of rows [x, y], all of class 1."""
    return Task.from_arrays(np.hstack([x, y]), np.ones(len(x), dtype=np.int64), alphabet=("product", "joint"))
