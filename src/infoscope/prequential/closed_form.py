"""The code of labels given features: everything about them that has a closed form, nothing that must be trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Inputs
from infoscope.data.targets import Classes, Labels, Real, Target
from infoscope.options import at_least
from infoscope.prequential.committee import together
from infoscope.prequential.experts.class_gaussians import ClassGaussians
from infoscope.prequential.experts.family import ExampleTarget
from infoscope.prequential.experts.few_columns import FewColumns
from infoscope.prequential.features import features, is_words
from infoscope.prequential.gaussian_process import Blocks, exact, projected
from infoscope.prequential.gram import (
    centred,
    centred_features,
    exponential,
    gaussian,
    median,
    nystrom,
    squared_distances,
    to_landmarks,
    unless_zero,
    with_constant,
)
from infoscope.prequential.graph import nearest_by_rows, spread
from infoscope.prequential.kernel import of_examples
from infoscope.prequential.mixture import Experts
from infoscope.prequential.readouts import by_example, in_blocks, readout
from infoscope.training.isolation import isolated

FEW = 50
"""Classes up to which each is a Gaussian."""

Grid = tuple[tuple[float, float], ...]
"""Pairs of a power or a width, and a noise."""


@dataclass(frozen=True)
class ClosedForm:
    """Labels regressed on the inputs' numbers as they are: what a probe of frozen features needs.

    With F = U S Vᵀ the centred inputs, `rank` components at most:

    - linear regression on U S^p for each (power p, noise) of `linear`: p = 1 takes directions as they come, p = 0 all
      alike (whitened), as in least squares and the linear discriminant;
    - Gaussian and exponential kernels of each (width, noise), widths in units of the median distance, and the spreading
      of labels along the graph of nearest neighbours, as in `Kernel`;
    - classes that are Gaussian in the `few` leading components (`ClassGaussians`);
    - the columns that have told most so far, as if there were no others (`FewColumns`).

    A `Committee` makes them into one. All but the last see distances and angles alone: to rotate the inputs, shift them
    or scale them together changes no number but by rounding. In place of the last there may then be a loss of as much
    as the axes had told. Columns of unlike units should be standardised first.

    Up to `exact` examples kernels are whole; beyond, they are projected on `landmarks`.

    >>> code = ClosedForm().experts(torch.eye(3), Classes(("a", "b")))
    >>> next(code).shape[1]
    2
    """

    linear: Grid = ((1.0, 0.03), (1.0, 0.3), (0.5, 0.03), (0.5, 0.3), (0.5, 3.0), (0.0, 0.3), (0.0, 3.0))
    gaussians: Grid = ((1.0, 0.03), (1.0, 0.3))
    exponentials: Grid = ((1.0, 0.02), (1.0, 0.3))
    spreading: float = 0.1
    readouts: Grid = ((8.0, 1.0), (6.0, 0.0), (12.0, 0.0), (3.0, 0.0))
    soft: tuple[float, ...] = (0.1, 0.3)
    few: int = 64
    rank: int = 1000
    neighbours: int = 8
    alpha: float = 0.995
    exact: int = 2500
    landmarks: int = 1000
    block: int = 500
    needs_network: ClassVar[bool] = False
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real)

    def __post_init__(self) -> None:
        for name in ("few", "rank", "neighbours", "landmarks", "block"):
            at_least(self, name, 1)
        at_least(self, "exact", 0)

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next example, which is then sent; `seed` draws the landmarks."""
        known, table = of_examples(target), as_table(x)
        with isolated(seed, threads=1):
            components = principal(table, self.rank)
        families = [self._processes(table, components, known, seed)]
        varies = bool((table != table[:1]).any())
        if varies and not isinstance(known, Real) and known.outputs <= FEW:
            few = components[:, : self.few].numpy()
            families.append(ClassGaussians(most=self.few, growth=1.2).experts(few, known, seed))
        if varies:
            families.append(FewColumns().experts(table.numpy(), known, seed))
        yield from together(families, known)

    def _processes(
        self, table: Float[Tensor, "n d"], components: Float[Tensor, "n r"], target: ExampleTarget, seed: int
    ) -> Experts:
        read = readout(target, self.readouts, self.soft)
        learners = partial(self._learners, table.float(), components, target, seed)
        yield from in_blocks(learners, len(table), self.block, lambda _, blocks: by_example(blocks, read), seed)

    def _learners(
        self, table: Float[Tensor, "n d"], components: Float[Tensor, "n r"], target: ExampleTarget, seed: int
    ) -> Iterator[Blocks]:
        real, width, size = isinstance(target, Real), target.outputs, self.block
        for power, noise in self.linear:
            phi = powered(components, power).float()
            yield projected(with_constant(phi) if real else phi, noise, width, size)
        yield from (self._whole if len(table) <= self.exact else self._projected)(table, real, width, seed)
        edges = nearest_by_rows(components[:, :100].float(), self.neighbours)
        phi = centred_features(spread(*edges, 200, self.alpha))
        yield projected(with_constant(phi) if real else phi, self.spreading, width, size)

    def _whole(self, table: Float[Tensor, "n d"], real: bool, width: int, seed: int) -> Iterator[Blocks]:
        squares = squared_distances(table, table)
        squares /= median(squares)
        for scale, noise in self.gaussians:
            kernel = gaussian(squares / scale**2)
            yield exact(kernel + 1 if real else centred(kernel), noise, width, self.block)
        for scale, noise in self.exponentials:
            kernel = exponential(squares / scale**2)
            yield exact(kernel + 1 if real else kernel, noise, width, self.block)

    def _projected(self, table: Float[Tensor, "n d"], real: bool, width: int, seed: int) -> Iterator[Blocks]:
        _, squares, among = to_landmarks(table, self.landmarks, torch.Generator().manual_seed(seed))
        for kind, grid in ((gaussian, self.gaussians), (exponential, self.exponentials)):
            for scale, noise in grid:
                phi = nystrom(kind(squares / scale**2), kind(among / scale**2))
                if real:
                    phi = with_constant(phi)
                elif kind is gaussian:
                    phi = centred_features(phi)
                yield projected(phi, noise, width, self.block)


def as_table(x: Inputs) -> Float[Tensor, "n d"]:
    """The numbers of every example in a row, centred and scaled together to mean square length 1 a row; float64.

    Of inputs by name all side by side; of words by their number how often each occurs.
    """
    parts = x.values() if isinstance(x, Mapping) else [x]
    rows = [features(each) if is_words(each) else each[:].detach().cpu().flatten(1) for each in parts]
    table = torch.cat([each.double() for each in rows], 1)
    if bad := int((~table.isfinite()).any(1).sum()):
        raise ValueError(f"x has {bad} of {len(table)} examples with NaN or infinite entries; drop or fix them")
    table = table - table.mean(0)
    return table / unless_zero(table.square().sum(1).mean().sqrt())


def principal(table: Float[Tensor, "n d"], most: int) -> Float[Tensor, "n r"]:
    """The leading principal components U S of a centred table, those that are nothing but rounding left out."""
    n, d = table.shape
    gram = table.T @ table if d <= n else table @ table.T
    values, vectors = torch.linalg.eigh(gram)
    kept = (values > 1e-10 * values[-1].clamp_min(1e-300)).nonzero()[-most:].flatten().flip(0)
    if not len(kept):
        return table[:, :1]
    return table @ vectors[:, kept] if d <= n else vectors[:, kept] * values[kept].sqrt()


def powered(components: Float[Tensor, "n r"], power: float) -> Float[Tensor, "n r"]:
    """U S^p from U S, of mean square length 1 a row.

    >>> powered(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 0.0).round(decimals=4).tolist()[0]
    [1.0, 0.0]
    """
    lengths = torch.linalg.vector_norm(components, dim=0)
    phi = components * unless_zero_each(lengths) ** (power - 1)
    return phi / unless_zero(phi.square().sum(1).mean().sqrt())


def unless_zero_each(scales: Float[Tensor, " r"]) -> Float[Tensor, " r"]:
    """Scales to divide by: themselves, or one where they are zero."""
    return torch.where(scales > 1e-12, scales, torch.ones_like(scales))
