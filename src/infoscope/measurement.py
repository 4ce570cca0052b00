"""The narrow waist of the library: every public quantity is a `Measurement`.

A value is kept in nats (or is dimensionless) and is printed in bits. It carries its standard error, the side on which
it may err, the ways in which it may deceive, its replicates, and a receipt from which it can be made again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from html import escape
from typing import Any, Literal

from infoscope.rounding import digits

NATS_PER_BIT = math.log(2.0)
_ROUNDING = 1e-13  # of a value

Unit = Literal["nat", "1"]


class Bound(Enum):
    """The side on which a value stands to what it estimates."""

    LOWER = "lower"
    UPPER = "upper"
    EXACT = "exact"
    NONE = "none"

    def __neg__(self) -> Bound:
        return {Bound.LOWER: Bound.UPPER, Bound.UPPER: Bound.LOWER}.get(self, self)

    def __add__(self, other: Bound) -> Bound:
        if self is Bound.EXACT:
            return other
        return self if other in (self, Bound.EXACT) else Bound.NONE


class Status(Enum):
    """Every way in which a number can deceive; the value is the advice."""

    SATURATED = "within 5 % of the most this estimator can report: take more samples or a larger batch"
    WORSE_THAN_UNIFORM = "the code is longer than one that knows nothing: the model does not fit these data"
    TOO_FEW_SAMPLES = "too few samples for this estimate: take more, or read it as a sign only"
    TIES = "repeated values where the estimator assumes none: use an estimator for discrete or mixed data"
    INFINITE = "the true value is infinite, as something continuous comes through without noise: add noise, or bin"
    NOT_CONVERGED = "training stopped before the loss settled: train longer, by Recipe(epochs=3000) or --epochs 3000"
    OVERFIT = "the held-out loss rose while the training loss fell: stop earlier or take more data"
    NOT_DETERMINISTIC = "the same input gave two answers: switch off dropout or fix the noise"
    UNVERIFIED_SPLIT = "nobody could check that the examples coded were not trained on: name the training data"
    INCOMPARABLE = "more than one of data, model and coder differs between the two sides: vary one at a time"
    NEGATIVE = "below 0 by over three of its errors, and information is never below 0: this method fails on these data"
    INSIGNIFICANT = "no more than shuffled labels give: take more samples, or read it as none found"
    BIASED = "values were rejected for what they were, which moves the mean: read the plain mean beside it"
    OUT_OF_RANGE = "values beyond the range of the bins fell together: take uniform(range='layer'), which covers them"
    NOT_EUCLIDEAN = "negative eigenvalues: no points have these distances, the picture shows what part of them fits"
    NO_RATIO = "the denominator is within three of its errors of nothing, so there is no ratio: code or train on more"
    NOT_REACHABLE = "the target is probably beyond all that this comes to: ask for less, or try more"
    UNBOUNDED = "the 95 % interval of this ratio has no end, as the denominator may be nothing: take more replicates"
    VACUOUS = "this certificate promises no more than guessing does: take more examples, or a prior that knows more"
    NOT_AT_A_MINIMUM = "the weights are no minimum of the loss, which this rests on: train on, and ask again"
    NOT_MIXED = "the chains have not come together, so that their mean depends on where they began: take more steps"
    NOT_QUADRATIC = "prediction and measurement part: the loss is no parabola this far out: read what was measured"
    NOT_LINEAR = "noise as drawn is another than its linear form, so the channel is another: take a lower beta"
    CONFLICT = "over two errors below nothing: what the network knows stands against this task, which costs it more"
    STILL_RISING = (
        "no plateau of the network's own, so a lower bound: take harder tasks, more replicates or a smaller network"
    )
    DATA_PROCESSING_VIOLATED = "a later layer shows more than an earlier one, which cannot be: the estimate is off"


@dataclass(frozen=True)
class Receipt:
    """What a measurement was made from: enough to make it again.

    `data`, `model` and `coder` are fingerprints (a coder's is its settings); `over` says what the standard error is
    taken over; `notes` are the choices that were made for the caller and the examples that were left out, in words;
    `path` is the way of computing that was chosen by timing: bits repeat within it.
    """

    method: str
    data: str = ""
    model: str = ""
    coder: str = ""
    n: int = 0
    seeds: tuple[int, ...] = ()
    over: str = ""
    notes: tuple[str, ...] = ()
    version: str = ""
    device: str = ""
    threads: int = 0
    path: str = ""


class UnreliableMeasurement(ValueError):
    """A measurement that carries a status; it is kept in `measurement`, and `strict=False` returns it instead."""

    def __init__(self, measurement: Measurement) -> None:
        self.measurement = measurement
        advice = "; ".join(f"{s.name}: {s.value}" for s in sorted_status(measurement.status))
        super().__init__(
            f"{measurement} — {advice}. It is kept as the exception's `measurement`; strict=False returns it."
        )


@dataclass(frozen=True)
class Measurement:
    """A number with its unit, error, side, warnings and origin. Never clipped, never rounded, never made absolute.

    `value` and `stderr` are in nats when `unit` is `"nat"`; `stderr` is NaN when unknown. `replicates` maps the seed
    of each replicate to its value.

    >>> a = Measurement.from_replicates("L(y|x)", {0: 3.0, 1: 5.0}, bound=Bound.UPPER)
    >>> b = Measurement.from_replicates("L(y|x)", {0: 2.0, 1: 4.0}, bound=Bound.UPPER)
    >>> (a - b).value, (a - b).stderr, (a - b).bound.name  # paired: the spread over seeds cancels
    (1.0, 0.0, 'NONE')
    """

    quantity: str
    value: float
    stderr: float = math.nan
    unit: Unit = "nat"
    bound: Bound = Bound.NONE
    status: frozenset[Status] = frozenset()
    replicates: Mapping[int, float] = field(default_factory=dict)
    receipt: Receipt = field(default_factory=lambda: Receipt(method=""))

    @classmethod
    def from_replicates(cls, quantity: str, replicates: Mapping[int, float], **rest: Any) -> Measurement:
        """Mean over replicates; its standard error is that of the mean, NaN for a single replicate."""
        mean, stderr = mean_and_stderr(replicates.values())
        return cls(quantity, mean, stderr, replicates=dict(replicates), **rest)

    @property
    def bits(self) -> float:
        """The value in bits (TypeError for a dimensionless one)."""
        return self.value / self._nats("bits")

    @property
    def stderr_bits(self) -> float:
        """The standard error in bits."""
        return self.stderr / self._nats("stderr_bits")

    def _nats(self, name: str) -> float:
        if self.unit != "nat":
            raise TypeError(f"{self.quantity} is dimensionless and has no .{name}; read .value")
        return NATS_PER_BIT

    def checked(self, strict: bool = True) -> Measurement:
        """This measurement, or `UnreliableMeasurement` if it carries a status and `strict` is true."""
        if strict and self.status:
            raise UnreliableMeasurement(self)
        return self

    def named(self, quantity: str) -> Measurement:
        """The same number under another name."""
        return dataclasses.replace(self, quantity=quantity)

    @property
    def printed(self) -> float:
        """The value in the unit in which it is printed: bits, or as it is when dimensionless."""
        return self.value / (NATS_PER_BIT if self.unit == "nat" else 1.0)

    @property
    def printed_error(self) -> float:
        """The standard error in this unit; 0 where replicates are equal but for the last digits of a double."""
        rounding = self.stderr <= _ROUNDING * abs(self.value)
        return 0.0 if rounding else self.stderr / (NATS_PER_BIT if self.unit == "nat" else 1.0)

    def __float__(self) -> float:
        """The value in the unit in which it is printed.

        >>> float(Measurement("I(X;Y)", math.log(8))), f"{Measurement('I(X;Y)', math.log(8)):.2f}"
        (3.0, '3.00')
        """
        return self.printed

    def __format__(self, spec: str) -> str:
        return format(self.printed, spec) if spec else str(self)

    def __lt__(self, other: object) -> bool:
        return self.printed < _number(other, self)

    def __le__(self, other: object) -> bool:
        return self.printed <= _number(other, self)

    def __gt__(self, other: object) -> bool:
        return self.printed > _number(other, self)

    def __ge__(self, other: object) -> bool:
        return self.printed >= _number(other, self)

    def __mul__(self, factor: float) -> Measurement:
        """So many times the number; a negative factor turns its side.

        >>> (Measurement("L(y|x)", 2.0, 0.5, bound=Bound.UPPER) * -2).bound.name
        'LOWER'
        """
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            return NotImplemented
        return dataclasses.replace(
            self,
            quantity=f"{factor:g} · {self.quantity}",
            value=factor * self.value,
            stderr=abs(factor) * self.stderr,
            bound=-self.bound if factor < 0 else self.bound,
            replicates={seed: factor * v for seed, v in self.replicates.items()},
        )

    __rmul__ = __mul__

    def __radd__(self, other: object) -> Measurement:
        """`sum` begins with 0.

        >>> sum([Measurement("L", 1.0), Measurement("L", 2.0)]).value
        3.0
        """
        return self if other == 0 and not isinstance(other, Measurement) else NotImplemented

    def _repr_html_(self) -> str:
        """One line for a notebook, its warnings below."""
        advice = "".join(f"<br><small>{escape(s.name)}: {escape(s.value)}</small>" for s in sorted_status(self.status))
        return f"<span>{escape(str(self))}</span>{advice}"

    def __neg__(self) -> Measurement:
        negated = {seed: -v for seed, v in self.replicates.items()}
        return dataclasses.replace(
            self, quantity=f"−{self.quantity}", value=-self.value, bound=-self.bound, replicates=negated
        )

    def __add__(self, other: Measurement) -> Measurement:
        return self._combine(other, +1)

    def __sub__(self, other: Measurement) -> Measurement:
        return self._combine(other, -1)

    def __truediv__(self, other: Measurement) -> Measurement:
        """The ratio, dimensionless, without a side; its error is a paired jackknife, or first order if unpaired."""
        self._same_unit(other)
        value = self.value / other.value if other.value else math.nan
        seeds = _paired_seeds(self, other)
        stderr = (
            _jackknife_ratio([(self.replicates[s], other.replicates[s]) for s in seeds])
            if seeds
            else math.hypot(self.stderr, value * other.stderr) / abs(other.value or math.nan)
        )
        ratios = {s: self.replicates[s] / other.replicates[s] for s in seeds if other.replicates[s]}
        return Measurement(
            f"({self.quantity}) / ({other.quantity})",
            value,
            stderr,
            "1",
            Bound.NONE,
            self._joint_status(other),
            ratios,
            _joint_receipt(self.receipt, other.receipt, "/", bool(seeds)),
        )

    def _combine(self, other: Measurement, sign: int) -> Measurement:
        self._same_unit(other)
        symbol = "+" if sign > 0 else "−"
        seeds = _paired_seeds(self, other)
        replicates = {s: self.replicates[s] + sign * other.replicates[s] for s in seeds}
        value = self.value + sign * other.value
        stderr = mean_and_stderr(replicates.values())[1] if seeds else math.hypot(self.stderr, other.stderr)
        status = self._joint_status(other) if sign < 0 else self.status | other.status
        return Measurement(
            f"{self.quantity} {symbol} {other.quantity}",
            value,
            stderr,
            self.unit,
            self.bound + (other.bound if sign > 0 else -other.bound),
            status,
            replicates,
            _joint_receipt(self.receipt, other.receipt, symbol, bool(seeds)),
        )

    def _same_unit(self, other: object) -> None:
        if not isinstance(other, Measurement):
            raise TypeError(f"{self.quantity} combines with a Measurement only, not with {type(other).__name__}")
        if self.unit != other.unit:
            raise TypeError(
                f"{self.quantity} is in {self.unit!r} and {other.quantity} in {other.unit!r}; they do not combine"
            )

    def _joint_status(self, other: Measurement) -> frozenset[Status]:
        a, b = self.receipt, other.receipt
        varying = sum(bool(x and y and x != y) for x, y in ((a.data, b.data), (a.model, b.model), (a.coder, b.coder)))
        extra = {Status.INCOMPARABLE} if varying > 1 else set()
        return self.status | other.status | extra

    def with_error(self) -> str:
        """The value and its standard error, where it is known, for a sentence; in bits, if not dimensionless.

        >>> [Measurement("S", value * NATS_PER_BIT, 2 * NATS_PER_BIT).with_error() for value in (1234.5, -0.4)]
        ['1,234.5 ± 2.0', '-0.4 ± 2.0']
        >>> Measurement("accuracy", 0.9, 0.0123, unit="1").with_error(), Measurement("n", 1797.0, unit="1").with_error()
        ('0.900 ± 0.012', '1,797')
        """
        value, stderr = self.printed, self.printed_error
        return digits(value, stderr) + ("" if math.isnan(stderr) else f" ± {digits(stderr, stderr)}")

    def __str__(self) -> str:
        unit = " bit" if self.unit == "nat" else ""
        side = {Bound.LOWER: " (lower bound)", Bound.UPPER: " (upper bound)"}.get(self.bound, "")
        flags = "".join(f" [{s.name}]" for s in sorted_status(self.status))
        return f"{self.quantity} = {self.with_error()}{unit}{side}{flags}"

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary in bits, for people and programs; unknown numbers are None, never NaN."""
        scale = NATS_PER_BIT if self.unit == "nat" else 1.0
        return {
            "quantity": self.quantity,
            "value": finite_or_none(self.value / scale),
            "unit": "bit" if self.unit == "nat" else "1",
            "stderr": finite_or_none(self.stderr / scale),
            "bound": self.bound.value,
            "status": sorted(s.name for s in self.status),
            "n": self.receipt.n,
            "replicates": {str(s): finite_or_none(v / scale) for s, v in self.replicates.items()},
            "receipt": dataclasses.asdict(self.receipt),
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary in nats that `from_json` reads back without loss."""
        return {
            **self.as_dict(),
            "unit": self.unit,
            "value": finite_or_none(self.value),
            "stderr": finite_or_none(self.stderr),
            "replicates": {str(s): finite_or_none(v) for s, v in self.replicates.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measurement:
        """The measurement that `to_json` wrote."""
        receipt = dict(row["receipt"])
        receipt |= {"seeds": tuple(receipt["seeds"]), "notes": tuple(receipt["notes"])}
        return cls(
            row["quantity"],
            _nan_if_none(row["value"]),
            _nan_if_none(row["stderr"]),
            row["unit"],
            Bound(row["bound"]),
            frozenset(Status[name] for name in row["status"]),
            {int(s): _nan_if_none(v) for s, v in row["replicates"].items()},
            Receipt(**receipt),
        )


def sorted_status(status: Iterable[Status]) -> list[Status]:
    """By name."""
    return sorted(status, key=lambda s: s.name)


def _number(other: object, one: Measurement) -> float:
    """What a measurement is compared with: another of its unit, or a number in the unit that is printed."""
    if isinstance(other, Measurement):
        one._same_unit(other)
        return other.printed
    if isinstance(other, int | float):
        return float(other)
    raise TypeError(f"{one.quantity} is compared with a measurement or a number, not with {type(other).__name__}")


def mean_and_stderr(values: Iterable[float]) -> tuple[float, float]:
    """Mean and the standard error of the mean, which is NaN for fewer than two values.

    >>> mean_and_stderr([1.0, 3.0])
    (2.0, 1.0)
    """
    x = list(values)
    mean = math.fsum(x) / len(x) if x else math.nan
    if len(x) < 2:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x))


def finite_or_none(value: float) -> float | None:
    """JSON has no NaN and no infinity: None stands for both."""
    return value if math.isfinite(value) else None


def _nan_if_none(value: float | None) -> float:
    return math.nan if value is None else value


def _paired_seeds(a: Measurement, b: Measurement) -> list[int]:
    """The common seeds if both were replicated over exactly these, else none."""
    return list(a.replicates) if a.replicates and set(a.replicates) == set(b.replicates) else []


def _jackknife_ratio(pairs: list[tuple[float, float]]) -> float:
    """Standard error of Σa/Σb with one pair left out at a time."""
    n = len(pairs)
    if n < 2:
        return math.nan
    total_a, total_b = math.fsum(a for a, _ in pairs), math.fsum(b for _, b in pairs)
    if any(total_b == b for _, b in pairs):
        return math.nan
    left_out = [(total_a - a) / (total_b - b) for a, b in pairs]
    mean = math.fsum(left_out) / n
    return math.sqrt((n - 1) / n * math.fsum((r - mean) ** 2 for r in left_out))


def _joint_receipt(a: Receipt, b: Receipt, symbol: str, paired: bool) -> Receipt:
    def both(x: str, y: str) -> str:
        return x if x == y or not y else y if not x else f"{x} {symbol} {y}"

    return Receipt(
        method=both(a.method, b.method),
        data=both(a.data, b.data),
        model=both(a.model, b.model),
        coder=both(a.coder, b.coder),
        n=min(a.n, b.n) if a.n and b.n else max(a.n, b.n),
        seeds=a.seeds if a.seeds == b.seeds else a.seeds + b.seeds,
        over=both(a.over, b.over) + (", paired" if paired and "paired" not in a.over else ""),
        notes=tuple(dict.fromkeys(a.notes + b.notes)),
        version=both(a.version, b.version),
        device=both(a.device, b.device),
        threads=max(a.threads, b.threads),
        path=both(a.path, b.path),
    )
