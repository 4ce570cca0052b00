"""Numbers at a declared resolution, sent as digits: distributions over bins, mixed.

A number costs −log [F(y + δ/2) − F(y − δ/2)] under a predicted distribution F, the end bins taking its tails. So it
decodes, and costs are never negative, as densities at repeated values would be. Digits are the chain rule: the highest
first, each given those before it, so that a sum over digits is the cost of the bin, however many bins there are.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import log_ndtr, stdtr
from torch import Tensor

from infoscope.data.targets import Real
from infoscope.prequential.mixture import Experts, Posterior, probabilities

FORGET = (1.0, 0.95)
"""What a count of past errors is multiplied by, a number later: a scale that stays, and one that drifts."""

Students = Float[np.ndarray, "students 3"]
"""Mean, scale and degrees of freedom of each; infinite ones are a Gaussian's."""


def mixture(experts: Experts, target: Real, mask: Bool[np.ndarray, "n dim"]) -> Generator[np.ndarray, int, None]:
    """The code of numbers: yields the probabilities of the next digit.

    `experts` yields means and deviations (experts, dim, 2) of an example in standard units and is sent its numbers. The
    scale of its errors is learned (`Scales`). To these come the reference R (`Reference`) and the uniform code.
    """
    found = next(experts)
    places = [_Number(len(found), target) for _ in range(mask.shape[1])]
    for _ in mask:
        numbers = np.empty(len(places))
        for j, place in enumerate(places):
            bin_ = yield from place.send(found[:, j])
            numbers[j] = (float(target.value(np.array(bin_))) - target.centre) / target.scale
            place.learn(float(numbers[j]))
        try:
            found = experts.send(numbers)
        except StopIteration:
            return


class _Number:
    """All that predicts one of an example's numbers."""

    def __init__(self, experts: int, target: Real) -> None:
        self.target, self.reference, self.scales = target, Reference(), Scales(experts)
        size = 2 * experts * len(FORGET) + 2  # Student and Gaussian, R and uniform
        self.switching, self.bayes = Posterior(size, share=0.3), Posterior(size + 1)

    def send(self, found: Float[np.ndarray, "experts 2"]) -> Generator[np.ndarray, int, int]:
        """Yield the probabilities of each digit; returns the bin."""
        students = np.concatenate([self.reference.student(), self.scales.students(found)])
        block = range(self.target.bins)
        for place in reversed(range(self.target.digits)):
            parts = split(block, self.target.base**place)
            rows = np.concatenate([_uniform(parts), log_shares(students, parts, self.target)])
            rows = np.concatenate([rows, self.switching.predict(rows)[None]])
            digit = yield probabilities(self.bayes.predict(rows))
            for learner in (self.switching, self.bayes):
                learner.condition(digit)
            block = parts[digit]
        for learner in (self.switching, self.bayes):
            learner.hand_over()
        return block.start

    def learn(self, number: float) -> None:
        self.reference.learn(number)
        self.scales.learn(number)


class Reference:
    """R: the mean and the scale of the numbers so far, no input; normal-inverse-gamma (0, 1, 1, 1) in standard units.

    After n numbers, Student's t with 2 + n degrees of freedom, mean Σz / (1 + n) (DeGroot 1970, ch. 9).

    >>> Reference().student().tolist()
    [[0.0, 1.4142135623730951, 2.0]]
    """

    def __init__(self) -> None:
        self.count, self.mean, self.shape, self.rate = 1.0, 0.0, 1.0, 1.0

    def student(self) -> Students:
        """What it predicts of the next number."""
        scale = (self.rate / self.shape * (self.count + 1) / self.count) ** 0.5
        return np.array([[self.mean, scale, 2 * self.shape]])

    def learn(self, number: float) -> None:
        """Bayes' rule."""
        self.shape += 0.5
        self.rate += 0.5 * (number - self.mean) ** 2 * self.count / (self.count + 1)
        self.mean += (number - self.mean) / (self.count + 1)
        self.count += 1


class Scales:
    """The scale of each expert's errors, in units of the deviation it names: inverse gamma (1, 1), with forgetting.

    Each expert is read as a Student's t and as a Gaussian of the same scale.
    """

    def __init__(self, experts: int) -> None:
        self.forget = np.array(FORGET)
        self.shape, self.rate = np.ones(len(FORGET)), np.ones((experts, len(FORGET)))
        self.found = np.empty((experts, 2))

    def students(self, found: Float[np.ndarray, "experts 2"]) -> Students:
        """What they predict of the next number."""
        self.found = found
        mean = np.repeat(found[:, :1], len(FORGET), 1)
        scale = found[:, 1:] * np.sqrt(self.rate / self.shape)
        freedom = np.broadcast_to(2 * self.shape, mean.shape)
        both = [np.stack([mean, scale, f], -1).reshape(-1, 3) for f in (freedom, np.full_like(mean, np.inf))]
        return np.concatenate(both)

    def learn(self, number: float) -> None:
        """Bayes' rule, after the past has lost a part of its weight."""
        error = (number - self.found[:, :1]) / self.found[:, 1:]
        self.shape = 1 + self.forget * (self.shape - 1) + 0.5
        self.rate = 1 + self.forget * (self.rate - 1) + 0.5 * error**2


def split(block: range, width: int) -> list[range]:
    """The parts of a block of bins that a digit tells apart; the last may be shorter.

    >>> split(range(64, 101), 16)
    [range(64, 80), range(80, 96), range(96, 101)]
    """
    return [range(start, min(start + width, block.stop)) for start in range(block.start, block.stop, width)]


def log_shares(students: Students, parts: list[range], target: Real) -> Float[np.ndarray, "students parts"]:
    """Log of the share that each part has of the mass of all, under every expert."""
    edges = np.array([parts[0].start, *(part.stop for part in parts)]) - 0.5
    z = (target.low + target.resolution * edges - target.centre) / target.scale
    z[edges < 0], z[edges > target.bins - 1] = -np.inf, np.inf
    logs = log_masses(students, z)
    whole = np.logaddexp.reduce(logs, axis=1, keepdims=True)
    return np.where(np.isfinite(whole), logs - np.where(np.isfinite(whole), whole, 0.0), _uniform(parts))


def log_masses(students: Students, edges: Float[np.ndarray, " edges"]) -> Float[np.ndarray, "students parts"]:
    """Log [F(b) − F(a)] between neighbouring edges, from the nearer tail, so that nothing far out is lost.

    >>> np.exp(log_masses(np.array([[0.0, 1.0, np.inf]]), np.array([-np.inf, 0.0, np.inf])))
    array([[0.5, 0.5]])
    """
    mean, scale, freedom = students[:, :1], students[:, 1:2], students[:, 2:]
    z = (edges - mean) / scale
    low, high = z[:, :-1], z[:, 1:]
    upper = low + high > 0  # a part on the upper side is that between its mirror images
    low, high = np.where(upper, -high, low), np.where(upper, -low, high)
    small, large = log_cdf(low, freedom), log_cdf(high, freedom)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(large > small, large + np.log1p(-np.exp(small - large)), -np.inf)


def log_cdf(z: Float[np.ndarray, "students k"], freedom: Float[np.ndarray, "students 1"]) -> np.ndarray:
    """Log of the distribution function of Student's t, Gaussian where there are infinitely many degrees of freedom."""
    gaussian = np.isinf(freedom[:, 0])
    logs = np.empty_like(z)
    logs[gaussian] = log_ndtr(z[gaussian])
    with np.errstate(divide="ignore"):
        logs[~gaussian] = np.log(stdtr(freedom[~gaussian], z[~gaussian]))
    return logs


def _uniform(parts: list[range]) -> Float[np.ndarray, "1 parts"]:
    sizes = np.array([len(part) for part in parts], dtype=float)
    return np.log(sizes / sizes.sum())[None]


def reference(target: Real, y: Float[Tensor, "n dim"]) -> Float[np.ndarray, " n"]:
    """What `Reference` alone pays for each example, nats: R_δ, against which "saved" is nearly free of the resolution.

    >>> import torch
    >>> target = Real(resolution=0.1, low=-20.0, high=20.0, centre=0.0, scale=1.0)
    >>> nats = reference(target, torch.tensor([[0.5], [-1.2], [0.3], [2.0]]))
    >>> print((nats.sum() / np.log(2)).round(6))
    24.335232
    """
    numbers, bins = target.standard(y.double()).numpy(), target.bin(y)
    nats = np.zeros(len(y))
    for column, places in zip(numbers.T, bins.T, strict=True):
        rule = Reference()
        for i, number in enumerate(column):
            nats[i] -= log_mass_of(rule.student(), int(places[i]), target)[0]
            rule.learn(float(number))
    return nats


def log_mass_of(students: Students, bin_: int, target: Real) -> Float[np.ndarray, " students"]:
    """Log p of one bin."""
    edges = np.array([-np.inf if bin_ == 0 else bin_ - 0.5, np.inf if bin_ == target.bins - 1 else bin_ + 0.5])
    z = (target.low + target.resolution * edges - target.centre) / target.scale
    return log_masses(students, z)[:, 0]
