"""How far training carries a network: distances from initial to final weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.ensembles.stacked_weights import (
    ChosenParameters,
    Parameters,
    StackedWeights,
    TrainedNetworks,
    blocks,
    check,
    choose,
    several,
)
from infoscope.measurement import Measurement, Receipt, Status, Unit, mean_and_stderr
from infoscope.record import Record
from infoscope.training.learner import Weights


@dataclass(frozen=True)
class Distances:
    """One distance a network, float64; `layers` holds those of each layer, `left_out` who has none, and why.

    `status` is what deceives about them all.
    """

    quantity: str
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Float[Tensor, " members"]
    receipt: Receipt
    layers: Mapping[str, Float[Tensor, " members"]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    unit: Unit = "1"
    status: frozenset[Status] = frozenset()

    def mean(self) -> Measurement:
        """Mean over networks, with the standard error of the mean; replicates by seed."""
        return self._mean(self.values)

    def deviation(self) -> Measurement:
        """Standard deviation over networks (n − 1); its error is a jackknife over networks."""
        several(self.names, "a standard deviation")
        left_out = _without_each(self.values)[1]
        value = float(self.values.std())
        return Measurement(
            f"sd {self.quantity}",
            value,
            _jackknife(left_out),
            self.unit,
            status=self.status,
            receipt=self._receipt("networks, jackknife"),
        )

    def variation(self) -> Measurement:
        """Coefficient of variation c_v, the deviation by the mean, dimensionless; its error is a jackknife."""
        several(self.names, "a coefficient of variation")
        means, deviations = _without_each(self.values)
        mean = float(self.values.mean())
        value = float(self.values.std()) / mean if mean else math.nan
        return Measurement(
            f"c_v {self.quantity}",
            value,
            _jackknife(deviations / means),
            "1",
            status=self.status,
            receipt=self._receipt("networks, jackknife"),
        )

    def table(self) -> Record:
        """Mean, deviation and c_v, then the mean of each layer (coordinate `layer`, None for the whole)."""
        record = Record()
        record.append(self.mean(), layer=None)
        if len(self.names) > 1:
            record.append(self.deviation(), layer=None)
            record.append(self.variation(), layer=None)
        for layer, values in self.layers.items():
            record.append(self._mean(values), layer=layer)
        return record

    def _mean(self, values: Tensor) -> Measurement:
        # Members may share a seed (equal starts, other data): then only their place tells them apart.
        keys = self.seeds if len(set(self.seeds)) == len(self.seeds) else range(len(self.seeds))
        replicates = dict(zip(keys, values.tolist(), strict=True))
        return Measurement.from_replicates(
            self.quantity, replicates, unit=self.unit, status=self.status, receipt=self._receipt("networks")
        )

    def _receipt(self, over: str) -> Receipt:
        notes = tuple(f"{name} left out: {why}" for name, why in self.left_out.items())
        return replace(self.receipt, over=over, notes=(*self.receipt.notes, *notes))


def weight_distances(
    population: TrainedNetworks, *, parameters: Parameters = None, fisher: Weights | None = None
) -> Distances:
    """Distance |w − w₀| of each network from its initial to its final weights, dimensionless.

    Euclidean over `parameters` (a network, or names; without them all weights but BatchNorm's running statistics).
    With `fisher`, a diagonal F ≥ 0 (one a parameter, or one for each network), it is √Σ F Δ², whose half square is
    the Kullback–Leibler divergence of the two networks' predictions to second order, in nats. "The distance between
    the weights of the neural network is meaningful", Table 2.

    >>> from infoscope.ensembles.stacked_weights import Networks
    >>> start, end = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 4.0], [6.0, 8.0]])}
    >>> found = weight_distances(Networks(start, end))
    >>> found.values.tolist(), found.mean().value, round(found.variation().value, 4)
    ([5.0, 10.0], 7.5, 0.4714)
    """
    chosen = choose(population.weights, parameters)
    check({"initial weights": population.initial, "final weights": population.weights}, chosen, population.names)
    return distances_between(population.initial, population.weights, chosen, population, fisher)


def distances_between(
    start: StackedWeights,
    end: StackedWeights,
    chosen: ChosenParameters,
    population: TrainedNetworks,
    fisher: Weights | None = None,
) -> Distances:
    """The distances between two stacks of weights of the same networks, already checked."""
    squares = {k: squared_distance(start[k], end[k], _metric(fisher, k, end[k])) for k in chosen.names}
    layers: dict[str, Tensor] = {}
    for k, value in squares.items():
        layer = k.rpartition(".")[0] or k
        layers[layer] = layers.get(layer, 0) + value
    quantity, method = ("d(w0,w)", "Euclidean") if fisher is None else ("d_F(w0,w)", "diagonal Fisher metric")
    receipt = Receipt(
        method,
        model=chosen.model,
        n=len(population.names),
        seeds=tuple(population.seeds),
        notes=(chosen.note,),
        version=__version__,
        device=str(end[chosen.names[0]].device),
    )
    total = torch.stack(list(squares.values())).sum(0).sqrt()
    roots = {k: v.sqrt() for k, v in layers.items()}
    return Distances(quantity, tuple(population.names), tuple(population.seeds), total, receipt, roots)


def squared_distance(a: Tensor, b: Tensor, metric: Tensor | None = None) -> Float[Tensor, " members"]:
    """Σ F (a − b)² of each member in float64, on the CPU; F is 1 without a metric."""
    total = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    stacks = [a, b] if metric is None else [a, b, metric.expand_as(a)]
    for x, y, *f in blocks([{"": values} for values in stacks], [""]):
        square = (x.double() - y.to(x.device).double()).square_()
        total += (square * f[0].to(x.device) if f else square).sum(1)
    return total.cpu()


def gaussian_codelength(distances: Distances, scale: float) -> Measurement:
    """|w − w₀|² / 2λ², nats: the distance as a code length, mean over networks.

    It is the mean term of KL(N(w, s²) ‖ N(w₀, λ²)), the nats paid for moving the centre of a Gaussian posterior away
    from that of a Gaussian prior of deviation λ = `scale` (Hinton & van Camp 1993); the terms of the widths are extra.

    >>> from infoscope.ensembles.stacked_weights import Networks
    >>> found = weight_distances(Networks({"w": torch.zeros(1, 2)}, {"w": torch.tensor([[3.0, 4.0]])}))
    >>> gaussian_codelength(found, scale=0.5).value
    50.0
    """
    if not scale > 0:
        raise ValueError(f"scale is {scale}; the deviation λ of the prior must be above 0")
    if distances.quantity != "d(w0,w)":
        raise ValueError(f"these are {distances.quantity}; a Gaussian code takes Euclidean distances of weights")
    receipt = replace(distances.receipt, coder=f"Gaussian prior about w0, λ = {scale:g}")
    squares = replace(distances, values=distances.values**2 / (2 * scale**2), unit="nat", receipt=receipt)
    return squares.mean().named("|w−w0|²/2λ²")


def _metric(fisher: Weights | None, name: str, weight: Tensor) -> Tensor | None:
    if fisher is None:
        return None
    if name not in fisher:
        raise ValueError(f"the Fisher information lacks {name}; give one entry for each parameter")
    diagonal = fisher[name]
    if diagonal.shape not in (weight.shape, weight.shape[1:]):
        raise ValueError(
            f"the Fisher information of {name} has shape {tuple(diagonal.shape)}; "
            f"it is {tuple(weight.shape[1:])}, or {tuple(weight.shape)} for one a network"
        )
    if not bool((diagonal >= 0).all()):
        raise ValueError(f"the Fisher information of {name} has entries below 0 or NaN; a diagonal Fisher has none")
    return diagonal if diagonal.shape == weight.shape else diagonal[None]


def _without_each(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (n − 1) with one value left out at a time."""
    n = len(values)
    means = (values.sum() - values) / (n - 1)
    # Σ_{j≠i} (v_j − m_i)² = Σ_j (v_j − m)² − (v_i − m)² n / (n − 1)
    about = values - values.mean()
    squares = (about.square().sum() - about.square() * n / (n - 1)).clamp(min=0)
    return means, (squares / (n - 2)).sqrt() if n > 2 else torch.full_like(means, math.nan)


def _jackknife(left_out: Tensor) -> float:
    """Standard error from the values with one network left out at a time."""
    n = len(left_out)
    _, stderr = mean_and_stderr(left_out.tolist())
    return stderr * (n - 1)  # √((n−1)/n Σ(v − v̄)²) = (n − 1) · s/√n
