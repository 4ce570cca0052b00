"""QMCM, the quasi Monte Carlo method of the weight-distance paper, as printed and with its bias beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.measurement import Measurement, Receipt, Status, mean_and_stderr

Draw = Callable[[int, np.random.Generator], Float[np.ndarray, " n"]]
"""Draws so many distances."""


class ThresholdNotMet(ValueError):
    """However many samples are replaced, the coefficient of variation stays above the threshold."""


@dataclass(frozen=True)
class SubsetScale:
    """What Algorithm 2 puts out, and the mean of the same sample before any of it was rejected.

    `variation` is the c_v of that first sample; `biased` says that samples were rejected, so that `printed` is the
    mean of what was left near where the sample happened to be dense, not of the distances.
    """

    printed: Measurement
    unbiased: Measurement
    variation: float
    rejected: int

    @property
    def biased(self) -> bool:
        """Whether any sample was rejected."""
        return self.rejected > 0


@dataclass(frozen=True)
class QMCM:
    """Algorithm 2 of "The distance between the weights of the neural network is meaningful", as printed.

    Take n = `samples` of the distances. While their coefficient of variation exceeds t = `threshold`, replace the one
    farthest from the mean by a new sample. Put out the mean. The rejection biases it: of Exp(1), whose mean is 1, it
    makes 0.01 to 0.28 (20 seeds). None of the paper's Table 2 can have needed it: its largest c_v is 23.4 %.

    >>> steady = QMCM().estimate(lambda n, draws: draws.uniform(0.9, 1.1, n))
    >>> steady.rejected, steady.printed.value == steady.unbiased.value
    (0, True)
    """

    threshold: float = 0.3
    samples: int = 200
    most: int = 1_000_000

    def __post_init__(self):
        if self.samples < 2:
            raise ValueError(f"samples is {self.samples}; a coefficient of variation needs 2 or more")
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}; it must be above 0, or the loop never ends")

    def estimate(self, distances: Draw | Sequence[float] | Tensor | np.ndarray, *, seed: int = 0) -> SubsetScale:
        """The output for distances that are drawn by a function, or drawn from those given (the first n of them once).

        `ThresholdNotMet` after `most` replacements: the threshold is then too small for this distribution.
        """
        draws = np.random.default_rng(seed)
        draw = distances if callable(distances) else _from_values(np.asarray(distances, float), self.samples)
        values = np.array(draw(self.samples, draws), float)
        first, variation = values.copy(), _variation(values)
        rejected, fresh = 0, np.empty(0)
        while _variation(values) > self.threshold:
            if rejected == self.most:
                raise ThresholdNotMet(
                    f"c_v is {_variation(values):.3g} after {self.most} replacements; raise the threshold of "
                    f"{self.threshold:g}, or take the mean, which needs no threshold"
                )
            if not len(fresh):
                fresh = np.array(draw(self.samples, draws), float)
            values[np.abs(values - values.mean()).argmax()], fresh = fresh[0], fresh[1:]
            rejected += 1
        return self._result(first, values, variation, rejected, seed)

    def _result(self, first: np.ndarray, values: np.ndarray, variation: float, rejected: int, seed: int) -> SubsetScale:
        bias = f"{rejected} samples rejected for being far from the mean: biased towards where they are dense"
        notes = (bias,) if rejected else ()
        receipt = Receipt(
            repr(self), n=self.samples, seeds=(seed,), over="distances drawn", notes=notes, version=__version__
        )
        status = frozenset({Status.BIASED}) if rejected else frozenset()
        mean, stderr = mean_and_stderr(first.tolist())
        # A rejected sample has no error to speak of: what is left was chosen for lying close together.
        printed = Measurement(
            "QMCM",
            mean_and_stderr(values.tolist())[0],
            math.nan if rejected else stderr,
            "1",
            status=status,
            receipt=receipt,
        )
        return SubsetScale(printed, Measurement("d(w0,w)", mean, stderr, "1", receipt=receipt), variation, rejected)


def _from_values(values: np.ndarray, samples: int) -> Draw:
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("distances are one finite number a network; leave out networks that diverged")
    if len(values) < samples:
        raise ValueError(f"{len(values)} distances and {samples} samples; give QMCM(samples={len(values)}) or fewer")
    return lambda n, draws: draws.permutation(values)[:n]


def _variation(values: np.ndarray) -> float:
    deviation = float(values.std(ddof=1))
    mean = float(values.mean())
    return 0.0 if deviation == 0 else deviation / mean if mean else math.inf
