"""The relative entropy of two coins, and its inverse, which is rounded up: a certificate must not err downwards."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

DIGITS = 50
"""Decimal digits in which the last step of every certificate is checked."""


def binary_kl(q: float, p: float) -> float:
    """kl(q‖p) = q log(q/p) + (1 − q) log((1 − q)/(1 − p)), nats: of a coin of bias q relative to one of bias p.

    >>> binary_kl(0.5, 0.25)
    0.14384103622589045
    """
    if q == p:
        return 0.0
    if p in (0.0, 1.0):
        return math.inf
    # In terms of the difference, where it is small: what cancels is then the difference, no longer the logarithms.
    d = p - q
    ones = 0.0 if q == 0 else q * (math.log1p(d / q) if d < q else math.log(p) - math.log(q))
    if q == 1:
        return -ones
    zeros = math.log1p(-d / (1 - q)) if 2 * d < 1 - q else math.log((1 - p) / (1 - q))
    return -ones - (1 - q) * zeros


def kl_inverse(q: float, c: float) -> float:
    """kl⁻¹(q | c) = max {p : kl(q‖p) ≤ c}, rounded up: the next double or so above the true value, never below it.

    Bisected in doubles; whether the end suffices is decided in 50 decimal digits, since the logarithms' last bits
    leave it open (an inverse that stops where doubles do is too low in half of the cases).

    >>> kl_inverse(0.0, 0.1) >= -math.expm1(-0.1), kl_inverse(0.3, 0.0), kl_inverse(0.02, math.inf)
    (True, 0.3, 1.0)
    """
    if not 0 <= q <= 1:
        raise ValueError(f"the first coin's bias is {q}; a risk lies between 0 and 1")
    if not c >= 0:
        raise ValueError(f"kl⁻¹(q | {c}): the relative entropy allowed is 0 or more")
    low, high = q, 1.0
    if c == 0 or q == 1:
        return q
    while (middle := low + (high - low) / 2) not in (low, high):
        low, high = (low, middle) if binary_kl(q, middle) >= c else (middle, high)
    high = low
    while not _reaches(q, high, c):
        high = math.nextafter(high, 2.0)
    return high


def _reaches(q: float, p: float, c: float) -> bool:
    """Whether kl(q‖p) ≥ c, in 50 digits."""
    if p >= 1:
        return True
    with localcontext() as context:
        context.prec = DIGITS
        a, b = Decimal(q), Decimal(p)
        first = a * (a / b).ln() if a else Decimal(0)
        return first + (1 - a) * ((1 - a) / (1 - b)).ln() >= Decimal(c)


def rounded_up(value: Decimal) -> float:
    """The least double that is not below."""
    near = float(value)
    return near if Decimal(near) >= value else math.nextafter(near, math.inf)
