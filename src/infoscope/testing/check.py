"""A check of a contract: what it is about, what it says when it is broken, and how pytest runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class ContractBroken(AssertionError):
    """Something does not do what it says of itself; the message names the check, and the fact that broke it."""


@dataclass(frozen=True)
class Check:
    """One promise of `subject`. Called, it returns nothing, or raises `ContractBroken`.

    `promise` is the function that tries it, and gives it its name; `slow` ones take more than a few seconds.
    """

    subject: Any
    promise: Callable[[Any], None]
    name: str
    slow: bool = False

    def __call__(self) -> None:
        """Try whether the promise is kept."""
        try:
            self.promise(self.subject)
        except ContractBroken as broken:
            raise ContractBroken(f"{self.subject!r} breaks {self.name!r}: {broken}") from None
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ContractBroken(f"{self.subject!r} breaks {self.name!r}: it raised {what}") from error


def require(holds: bool, fact: str) -> None:
    """`ContractBroken` with this fact, unless it holds."""
    if not holds:
        raise ContractBroken(fact)


def cases(checks: Mapping[str, list[Check]], slow: Any = ()) -> Any:
    """The checks of several subjects as a decorator that makes each of them one pytest case."""
    import pytest

    return pytest.mark.parametrize(
        "check",
        [
            pytest.param(check, id=f"{name}-{check.name}", marks=slow if check.slow else ())
            for name, each in checks.items()
            for check in each
        ],
    )
