"""The exact model of learning random labels: a gate, and behind it a table that memorises."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class GateAndMemoriser:
    """N random labels of |Y| classes; with prior probability ρ a table answers, drawn evenly, else all classes equally.

    The least of E_q L + β KL(q‖p) over all q memorises with probability m(β): below β = 1 it pays to store labels
    (N log|Y| nats bought for N log|Y| nats of loss), above it does not, the more sharply the more labels there are.

    >>> model = GateAndMemoriser(10, 0.5, 2)
    >>> round(model.memorised(0.9), 6), round(model.memorised(1.1), 6)
    (0.683556, 0.34748)
    """

    labels: int
    rho: float
    classes: int

    def __post_init__(self) -> None:
        if self.labels < 1 or self.classes < 2 or not 0 < self.rho < 1:
            raise ValueError(f"{self}: 1 label or more, 2 classes or more, ρ between 0 and 1")

    @property
    def entropy(self) -> float:
        """N log|Y|, nats."""
        return self.labels * math.log(self.classes)

    def memorised(self, beta: float) -> float:
        """m(β) = ρ / (ρ + (1 − ρ) |Y|^(N (1 − 1/β)))."""
        return math.exp(self._log_memorised(beta))

    def expected_loss(self, beta: float) -> float:
        """E_q L = (1 − m) N log|Y|, nats."""
        return -math.expm1(self._log_memorised(beta)) * self.entropy

    def complexity(self, beta: float) -> float:
        """C_β = −β log(ρ |Y|^−N + (1 − ρ) |Y|^(−N/β)), nats: the least of E_q L + β KL(q‖p) over all q."""
        table, chance = math.log(self.rho) - self.entropy, math.log1p(-self.rho) - self.entropy / beta
        return -beta * _log_sum(table, chance)

    def kl(self, beta: float) -> float:
        """KL(q*‖p) = dC/dβ, nats: m (log m/ρ + N log|Y|) + (1 − m) log (1 − m)/(1 − ρ)."""
        return (self.complexity(beta) - self.expected_loss(beta)) / beta

    def _log_memorised(self, beta: float) -> float:
        if not beta > 0:
            raise ValueError(f"β is {beta}; it is above 0")
        table, chance = math.log(self.rho) - self.entropy, math.log1p(-self.rho) - self.entropy / beta
        return table - _log_sum(table, chance)


def _log_sum(a: float, b: float) -> float:
    """Log(e^a + e^b)."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
