"""PAC-Bayes bounds: the price of the weights divided by the number of examples, as a bound on the risk.

With probability 1 − δ over the draw of n examples, for all posteriors q at once: from the risk r = E_q r_n(w) on these
examples (a mean of losses between 0 and 1), K = KL(q‖p) in nats and a prior p that does not depend on them, a bound on
the risk E_q R(w) on new examples. `kl_bound` is the one that is reported; it is the tightest of those that hold
without a parameter, and the others, which are smooth, are what one trains by.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

from infoscope.weight_information.certificate.kl_inverse import DIGITS, kl_inverse, rounded_up


def kl_bound(risk: float, kl: float, n: int, delta: float) -> float:
    """kl⁻¹(r | (K + log(2√n/δ))/n), rounded up: Langford & Seeger 2001, with the constant of Maurer 2004, Theorem 5.

    >>> kl_bound(0.02, 3000, 30000, 0.025), kl_bound(0.028, 5144, 55000, 0.025)
    (0.15112..., 0.16065...)
    """
    return kl_inverse(risk, complexity(risk, kl, n, delta))


def mcallester_bound(risk: float, kl: float, n: int, delta: float) -> float:
    """R + √(c/2), c = (K + log(2√n/δ))/n: McAllester 1999, by Pinsker's inequality from `kl_bound`.

    >>> round(mcallester_bound(0.02, 3000, 30000, 0.025), 6)
    0.243962
    """
    return risk + math.sqrt(complexity(risk, kl, n, delta) / 2)


def quadratic_bound(risk: float, kl: float, n: int, delta: float) -> float:
    """(√(r + c/2) + √(c/2))²: Rivasplata et al. 2019, by kl(q‖p) ≥ (p − q)²/2p; tight for small risks.

    >>> round(quadratic_bound(0.02, 3000, 30000, 0.025), 6)
    0.238962
    """
    half = complexity(risk, kl, n, delta) / 2
    return (math.sqrt(risk + half) + math.sqrt(half)) ** 2


def lambda_bound(risk: float, kl: float, n: int, delta: float, parameter: float | None = None) -> float:
    """(r + c/λ)/(1 − λ/2): Thiemann et al. 2017, Theorem 3; for all λ in (0, 2) at once, so that λ costs nothing.

    Without a `parameter` it is the best one, and the bound is then `quadratic_bound`.
    """
    c = complexity(risk, kl, n, delta)
    best = 2 / (math.sqrt(2 * risk / c + 1) + 1)
    at = best if parameter is None else _between("λ", parameter, 0, 2)
    return (risk + c / at) / (1 - at / 2)


def tolstikhin_seldin_bound(risk: float, kl: float, n: int, delta: float) -> float:
    """R + √(2rc) + 2c: Tolstikhin & Seldin 2013, eq. (3)."""
    c = complexity(risk, kl, n, delta)
    return risk + math.sqrt(2 * risk * c) + 2 * c


def catoni_bound(risk: float, kl: float, n: int, delta: float, parameter: float) -> float:
    """(1 − exp(−βr − (K + log 1/δ)/n)) / (1 − e^−β): Catoni 2007, Theorem 1.2.6, for a β > 0 chosen beforehand.

    Of many β the best may be taken if each has its share of δ (`Ledger.spend(…, choices=…)`); the least over all β is
    kl⁻¹(r | (K + log 1/δ)/n). It holds for martingales too, r being the mean of losses given what came before: each
    factor (1 − b_i (1 − e^−β)) of their product is convex in its logarithm.
    """
    beta = _between("β", parameter, 0, math.inf)
    _check(risk, kl, n, delta)
    return math.expm1(-beta * risk - (kl - math.log(delta)) / n) / math.expm1(-beta)


def linear_bound(risk: float, kl: float, n: int, delta: float, parameter: float) -> float:
    """(r + λ (K + log 1/δ)/n) / (1 − 1/2λ): McAllester 2013, Theorem 2, for a λ > ½ chosen beforehand.

    The slides' "L_test ≤ (L_D + β KL)/(1 − 1/2β)" is this bound for losses in [0, 1], with the 1/n before KL and the
    log 1/δ left out; without these it bounds nothing. It is never below `catoni_bound` at β = 1/λ.
    """
    at = _between("λ", parameter, 0.5, math.inf)
    _check(risk, kl, n, delta)
    return (risk + at * (kl - math.log(delta)) / n) / (1 - 1 / (2 * at))


Bound = Callable[[float, float, int, float], float]

PARAMETER_FREE: dict[str, Bound] = {
    "kl": kl_bound,
    "quadratic": quadratic_bound,
    "lambda": lambda_bound,
    "McAllester": mcallester_bound,
    "Tolstikhin-Seldin": tolstikhin_seldin_bound,
}
"""Those that need no choice, at the same δ: the first is never above the others."""

WITH_PARAMETER: dict[str, Callable[[float, float, int, float, float], float]] = {
    "Catoni": catoni_bound,
    "linear": linear_bound,
}
"""Those whose parameter is chosen before the examples are seen, or paid for by a union bound."""


def complexity(risk: float, kl: float, n: int, delta: float) -> float:
    """C = (K + log(2√n/δ))/n, nats an example, rounded up."""
    _check(risk, kl, n, delta)
    if math.isinf(kl):
        return math.inf
    with localcontext() as context:
        context.prec = DIGITS
        return rounded_up((Decimal(kl) + (2 * Decimal(n).sqrt() / Decimal(delta)).ln()) / n)


def _check(risk: float, kl: float, n: int, delta: float) -> None:
    if not 0 <= risk <= 1:
        raise ValueError(f"the risk is {risk}; a PAC-Bayes bound takes a mean of losses between 0 and 1")
    if not kl >= 0:
        raise ValueError(f"KL(q‖p) is {kl}; it is 0 or more")
    if n < 1:
        raise ValueError(f"n is {n}; a certificate needs an example")
    if not 0 < delta < 1:
        raise ValueError(f"δ is {delta}; the probability that a certificate fails lies between 0 and 1")


def _between(name: str, value: float, low: float, high: float) -> float:
    if not low < value < high:
        raise ValueError(f"{name} is {value}; this bound holds between {low:g} and {high:g}")
    return value
