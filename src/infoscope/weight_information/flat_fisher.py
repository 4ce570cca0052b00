"""A Fisher information of ones: what a dry run goes on with."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from infoscope.observation.fisher_diagonal import FisherDiagonal
from infoscope.weight_information.fisher import Fisher, FisherFacts


def flat_fisher(shapes: Mapping[str, tuple[int, ...]], n: int) -> Fisher:
    """The diagonal of the identity for parameters of these shapes, without any computation."""
    ones = {name: torch.ones(shape, dtype=torch.float64) for name, shape in shapes.items()}
    traces = {name: t.sum().view(1, 1) for name, t in ones.items()}
    batches = torch.tensor([n], dtype=torch.float64)
    diagonal = FisherDiagonal(ones, ones, traces, batches, 0, dict.fromkeys(shapes, "none"))
    return Fisher(FisherFacts("Diagonal", "none", 0, 0, n, "", "", "float64", "none", "cpu"), diagonal)
