"""What each weight did for the loss on its way: the path integral of synaptic intelligence."""

from __future__ import annotations

import torch
from torch import Tensor

from infoscope.training.fit import Moment
from infoscope.training.learner import Weights
from infoscope.training.penalties import Anchored


class PathIntegral:
    """Observes a training: w_j = −Σ_steps g_j Δθ_j, by which each weight lowered the loss (Zenke et al. 2017, eq. 3).

    g is the gradient of the loss alone: that of the `anchors`, by which the training is penalised, is taken off.
    `start` are the weights with which it begins.
    """

    def __init__(self, start: Weights, anchors: tuple[Anchored, ...] = ()) -> None:
        self.before = {name: t.clone() for name, t in start.items()}
        self.start, self.anchors = start, anchors
        self.sums: dict[str, Tensor] = {}

    def observe(self, moment: Moment) -> None:
        """Add one step."""
        for name, p in moment.network.named_parameters():
            if not p.requires_grad or p.grad is None:
                continue
            now, before = p.detach().cpu().clone(), self.before[name]
            gradient = p.grad.detach().cpu() - self._pull(name, before)
            step = -(gradient * (now - before))
            self.sums[name] = step if name not in self.sums else self.sums[name] + step
            self.before[name] = now

    def importance(self, damping: float) -> Weights:
        """max(0, w_j) / ((Δθ_j)² + damping), Δθ_j the whole way of a weight (eq. 5)."""
        return {
            name: w.clamp(min=0) / ((self.before[name] - self.start[name]).square() + damping)
            for name, w in self.sums.items()
        }

    def _pull(self, name: str, at: Tensor) -> Tensor:
        pulls = [a.importance[name] * (at - a.weights[name]) for a in self.anchors if name in a.importance]
        return torch.stack(pulls).sum(0) if pulls else torch.zeros_like(at)
