"""Effective information in activations: what the noise of the weights leaves of the input, by a Gaussian channel."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.measurement import Bound, Measurement, Receipt, Status, mean_and_stderr

WELL = 1e-8
"""Of a unit's own noise: where more than this is independent of all other units', Cholesky's factor is exact enough."""

SILENT = 1e-13
"""Of the loudest direction's noise, for each unit: what is below is rounding, and the direction has no noise."""

LEAK = 1e-16
"""Of the signal's power: what is below, in a direction without noise, is rounding."""


def signal_to_noise(noise: Float[Tensor, "n z z"], signal: Float[Tensor, "n z x"]) -> Float[Tensor, "n k"]:
    """Eigenvalues of Σ_z⁻¹ S Sᵀ for each of n inputs, the largest first, k = min(z, x) of them; 0 or above.

    `noise` is Σ_z, the covariance of a layer's z activations under the noise of the weights; S = ∂f Cov(x)^½ is what
    the inputs around each example do to them. Units that neither hears (a dead ReLU) drop out. Infinite where the
    signal has a direction that the noise leaves alone, whatever its size. Invertible linear maps of the activations
    leave the eigenvalues as they are.

    >>> signal_to_noise(torch.diag(torch.tensor([1.0, 4.0, 0.0]))[None], torch.tensor([[[3.0], [0.0], [0.0]]]))
    tensor([[9.]], dtype=torch.float64)
    """
    found = torch.zeros(len(noise), min(signal.shape[1:]), dtype=torch.float64)
    for i, (one, through) in enumerate(zip(noise.double(), signal.double(), strict=True)):
        values = _spectrum(one, through)
        found[i, : len(values)] = values
    return found


def _spectrum(noise: Float[Tensor, "z z"], signal: Float[Tensor, "z x"]) -> Float[Tensor, " k"]:
    loud = noise.diagonal() > 0
    if bool(signal[~loud].any()):
        return torch.full((1,), math.inf, dtype=torch.float64)
    noise, signal = noise[loud][:, loud], signal[loud]
    scale = noise.diagonal().rsqrt()
    white = _whitened(scale[:, None] * noise * scale, scale[:, None] * signal)
    if white is None:
        return torch.full((1,), math.inf, dtype=torch.float64)
    gram = white.T @ white if white.shape[0] > white.shape[1] else white @ white.T
    return torch.linalg.eigvalsh(gram).flip(0).clamp(min=0) if gram.numel() else gram.new_zeros(0)


def _whitened(noise: Float[Tensor, "z z"], signal: Float[Tensor, "z x"]) -> Float[Tensor, "d x"] | None:
    """The signal in units of the noise, of which every unit has 1; None where it has a direction without noise."""
    root, failed = torch.linalg.cholesky_ex(noise)
    if not int(failed) and (not len(root) or float(root.diagonal().amin()) ** 2 > WELL):
        return torch.linalg.solve_triangular(root, signal, upper=False)
    values, vectors = torch.linalg.eigh(noise)
    heard = values > SILENT * len(values) * float(values[-1])
    along = vectors.T @ signal
    if float(along[~heard].square().sum()) > LEAK * float(signal.square().sum()):
        return None
    return along[heard] / values[heard].sqrt()[:, None]


def channel_information(ratios: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """½ log det(I + Σ_z⁻¹ ∂f Cov(x) ∂fᵀ) = ½ Σ log(1 + ρ), nats, from the eigenvalues ρ of each input.

    >>> channel_information(torch.tensor([[3.0, 0.0]])).div(math.log(2)).item()
    1.0
    """
    return 0.5 * ratios.double().log1p().sum(1)


def determinant_form(ratios: Float[Tensor, "n k"], inputs: int) -> Float[Tensor, " n"]:
    """½ log det(Cov(x) ∂fᵀ Σ_z⁻¹ ∂f) = ½ Σ log ρ over all `inputs` dimensions of x, nats: the first-order formula.

    H(x) − ½ log((2πe)^k / |∂fᵀ Σ_z⁻¹ ∂f|) for Gaussian inputs, with the ½ that the slides lack. What
    `channel_information` comes to where every ρ is large; never above it, and −∞ where the rank of ∂f is below the
    dimension of x, as of every layer that is narrower than the input.

    >>> determinant_form(torch.tensor([[8.0, 2.0]]), 2).div(math.log(2)).item()
    2.0
    >>> determinant_form(torch.tensor([[8.0, 2.0]]), 3).item()
    -inf
    """
    if ratios.shape[1] < inputs:
        return torch.full((len(ratios),), -math.inf, dtype=torch.float64)
    return 0.5 * ratios.double().log().sum(1)


def effective_information(
    channels: Mapping[int, Float[Tensor, "_n _k"]], receipt: Receipt = Receipt("local Gaussian channel")
) -> Measurement:
    """I_eff(x; z) = E_x ½ log det(I + Σ_z⁻¹ ∂f Cov(x) ∂fᵀ), nats, of one layer of networks by their seeds.

    What a layer's activations tell of the input while the weights that lead to it are drawn from their posterior,
    Σ_z = J Σ_w Jᵀ with Σ_w = β (H + β/λ² I)⁻¹: both the layer and its noise to first order around each input (Achille,
    Paolini & Soatto 2019). The error is over networks, of one network over its inputs. NaN with the status INFINITE
    where an input has a direction that no noise reaches.

    >>> effective_information({0: torch.tensor([[3.0], [15.0]])}).bits
    1.5
    """
    nats = {seed: channel_information(ratios) for seed, ratios in channels.items()}
    if any(bool(one.isinf().any()) for one in nats.values()):
        status = frozenset({Status.INFINITE})
        return Measurement("I_eff", math.nan, bound=Bound.NONE, status=status, receipt=receipt)
    means = {seed: float(one.mean()) for seed, one in nats.items()}
    if len(means) > 1:
        return Measurement.from_replicates("I_eff", means, receipt=receipt)
    (only,) = nats.values()
    mean, error = mean_and_stderr(only.tolist())
    return Measurement("I_eff", mean, error, replicates=means, receipt=receipt)
