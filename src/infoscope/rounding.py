"""So many digits of a number as are known."""

from __future__ import annotations

import math


def digits(value: float, stderr: float = math.nan) -> str:
    """A number to the second significant digit of its error, to five significant digits when that is unknown or 0.

    >>> digits(187.04, 3.02), digits(1520.4, 30.1), digits(5969.5), digits(0.975), digits(-3e-9), digits(math.nan)
    ('187.0', '1,520', '5,969.5', '0.975', '-3e-09', '—')
    >>> digits(-0.4, 12.0)
    '0'
    """
    if not math.isfinite(value):
        return "—" if math.isnan(value) else "∞" if value > 0 else "-∞"
    error_known = math.isfinite(stderr) and stderr > 0
    leading = _magnitude(stderr) - 1 if error_known else _magnitude(value) - 4
    if leading < -6 or abs(value) >= 1e15:
        return f"{value:.5g}"
    text = f"{value:z,.{max(0, -leading)}f}"
    return text if error_known or "." not in text else text.rstrip("0").rstrip(".")


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0
