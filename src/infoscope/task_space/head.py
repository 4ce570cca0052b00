"""A probe's head, fitted to one task on the features of a body that stays as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.targets import Classes, Labels, Real, Target

STEPS = 200


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A linear head; `loss` is its mean on what it was fitted to, nats an example, `converged` whether it settled."""

    weight: Float[Tensor, "outputs d"]
    bias: Float[Tensor, " outputs"]
    loss: float
    converged: bool

    def layer(self) -> nn.Linear:
        """As a layer."""
        found = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        found.load_state_dict({"weight": self.weight.float(), "bias": self.bias.float()})
        return found

    def __call__(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        """Its outputs, float64."""
        return features.double() @ self.weight.T + self.bias


def check_target(target: Target, name: str) -> None:
    """ValueError for a target that no linear head can be fitted to."""
    if not isinstance(target, Classes | Labels | Real):
        raise ValueError(
            f"{name!r} asks for {target}; a task is embedded by a linear head for classes, labels or numbers"
        )


def fit_head(features: Float[Tensor, "n d"], y: Tensor, target: Target) -> FittedHead:
    """The head of least Σ −log p(y|x) + d |W|²/2 on d features that are centred and scaled to mean square 1.

    It is the most probable one under N(0, 1/d), under which outputs have variance 1 however many features there are.
    A convex problem, solved by L-BFGS in double precision: there is nothing to tune and nothing is drawn.

    >>> y = torch.tensor([0, 1])
    >>> fit_head(torch.tensor([[-1.0], [1.0]]), y, Classes(("a", "b"))).weight.sum().abs() < 1e-6
    tensor(True)
    """
    f, mean, scale = standardised(features)
    weight = torch.zeros(target.outputs, f.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(target.outputs, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        return target.loss(f @ weight.T + bias, y)

    def closure() -> Tensor:
        optimizer.zero_grad()
        whole = loss() + f.shape[1] * weight.square().sum() / (2 * len(f))
        whole.backward()
        return whole

    with torch.enable_grad():
        optimizer.step(closure)
        closure()
    slope = max(float(p.grad.abs().max()) for p in (weight, bias) if p.grad is not None)
    own = weight.detach() / scale
    return FittedHead(own, bias.detach() - own @ mean, float(loss().detach()), slope < 1e-4)


def standardised(features: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor, float]:
    """Features less their mean, divided by one scale for all; the mean and the scale. Float64."""
    f = features.detach().double()
    if not bool(f.isfinite().all()):
        raise ValueError(f"features of {len(f)} examples hold NaN or infinity; check the network's weights and inputs")
    mean = f.mean(0)
    scale = float((f - mean).square().mean().sqrt())
    scale = scale if scale > 0 and math.isfinite(scale) else 1.0
    return (f - mean) / scale, mean, scale
