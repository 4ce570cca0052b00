"""The default code of labels: experts of several kinds, chosen by what the inputs are, in one mixture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from infoscope.data.inputs import Array, Inputs, count, to
from infoscope.data.targets import Boxes, Classes, Labels, Real, Target, Tokens
from infoscope.data.texts import Texts
from infoscope.prequential.committee import noisy, together
from infoscope.prequential.experts.boosting import Boosting
from infoscope.prequential.experts.class_gaussians import ClassGaussians
from infoscope.prequential.experts.family import ExampleTarget, Family
from infoscope.prequential.experts.forest import Forest
from infoscope.prequential.experts.logistic import LogisticRegression
from infoscope.prequential.experts.processes import Processes
from infoscope.prequential.experts.relevance import Relevance
from infoscope.prequential.experts.text import WordProcesses, WordRegression
from infoscope.prequential.features import Patches, is_images, is_words
from infoscope.prequential.frozen import Given, checked, frozen
from infoscope.prequential.kernel import Kernel, of_examples
from infoscope.prequential.memory import check_fits
from infoscope.prequential.mixture import Experts

FEW, MANY = 50, 500
"""Classes up to which all experts of tables serve, and beyond which there is `Kernel` alone."""

NAMES = 8
"""Labels at once up to which all serve: each of them is fitted by itself."""

LIKE = 2500
"""Rows of a table up to which `Kernel` is among its experts: beyond, it takes longer than all others."""

WIDE = 300
"""Columns beyond which a table is not boosted, and a tree's split is sought among fewer of them."""


ASSUMED = 2048
"""Columns that features are reckoned to have before a network has made them."""


@dataclass(frozen=True)
class Mixed:
    """Experts of other kinds in one mixture: whatever predicts these labels best, at the price of finding out.

    Which experts there are follows from the inputs alone, never from a label:

    - **images** (n, channels, height, width): Gaussian processes on patches and label spreading, as `Kernel`, which
      at the noises `noisy`, by the readouts `soft` and through a channel serves noisy labels too;
    - **texts**: n-grams by Gaussian processes and logistic regression, and `Kernel` on hashed words;
    - **tables** (n, d): Gaussian processes over a grid of widths and noises, logistic regression, class Gaussians,
      forests, boosting, Gaussian processes on what has mattered so far (`infoscope.prequential.experts`), and up to
      2,500 rows `Kernel`.

    The families are made into a few by a `Committee` (classes) or a regression (numbers), and these are mixed, so that
    L ≤ the best expert's + log E and a few bits for each hand-over. With `features`, a frozen network or array, come
    experts on what it says of the inputs: what it knows itself is not counted, see `infoscope.prequential.frozen`.

    With more than 50 classes or 8 labels at once there are fewer of them; with more than 500, for inputs by name, for
    words as whole numbers, for tokens and for boxes `Kernel` alone.
    """

    features: Any = None
    noisy: tuple[float, ...] = (1.0, 10.0)
    soft: tuple[float, ...] = (0.1, 0.3)
    patches: ClassVar[Patches] = Patches()
    needs_network: ClassVar[bool] = False
    follows_inputs: ClassVar[bool] = True
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real, Tokens, Boxes)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", frozen(self.features))

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next example, which is then sent."""
        if isinstance(target, Tokens | Boxes):
            yield from Kernel().experts(x, target, seed)
            return
        known = of_examples(target)
        told = f"Mixed: {count(x):,} examples of {target}"
        check_fits(self.bytes_filled(x, target), told, "send fewer (examples=…), or take the coder kernel")
        families = self._families(x, known, seed)
        if self.features is not None:
            table = checked(self.features(to(x, "cpu"), seed), count(x)).numpy().astype(np.float64)
            families += [family.experts(table, known, seed) for family in _without_trees(known)]
        yield from together(families, known)

    def bytes_filled(self, x: Inputs, target: Target) -> int:
        """How many bytes all families fill at most, side by side; features of a network are `ASSUMED` to be so many."""
        if isinstance(target, Tokens | Boxes):
            return 0
        n, known = count(x), of_examples(target)
        filled = 0
        if self.features is not None:
            d = self.features.values.shape[1] if isinstance(self.features, Given) else ASSUMED
            filled += sum(family.memory(n, d, known) for family in _without_trees(known))
        if isinstance(x, Mapping) or _by_kernel_alone(x, known):
            return filled + Kernel().bytes_filled(x, target)
        if is_images(x):
            return filled + self._kernel_of_images(known).bytes_filled(x, target)
        if isinstance(x, Texts):
            return filled + Kernel().bytes_filled(x, target) + WordProcesses().memory(x.words(), known)
        d = math.prod(x.shape[1:])
        filled += Kernel().bytes_filled(x, target) if n <= LIKE else 0
        return filled + sum(family.memory(n, d, known) for family in _of_tables(d, known))

    def _families(self, x: Inputs, target: ExampleTarget, seed: int) -> list[Experts]:
        if isinstance(x, Mapping) or _by_kernel_alone(x, target):
            return [Kernel().experts(x, target, seed)]
        if is_images(x):
            return [self._of_images(x, target, seed)]
        if isinstance(x, Texts):
            texts = x.words()
            families = [WordProcesses(), *([] if isinstance(target, Real) else [WordRegression()])]
            return [Kernel().experts(x, target, seed), *(family.experts(texts, target, seed) for family in families)]
        return self._of_vectors(x[:], target, seed)

    def _of_images(self, x: Inputs, target: ExampleTarget, seed: int) -> Experts:
        kernel = self._kernel_of_images(target)
        if not isinstance(target, Classes):
            return kernel.experts(x, target, seed)
        own = len(kernel.noises) * len(kernel.readouts)
        sure = own + len(kernel.noisy) * len(kernel.readouts)
        return noisy(kernel.experts(x, target, seed), own, sure)

    def _kernel_of_images(self, target: ExampleTarget) -> Kernel:
        if isinstance(target, Classes):
            return Kernel(self.patches, noisy=self.noisy, soft=self.soft)
        return Kernel(self.patches)

    def _of_vectors(self, x: Tensor, target: ExampleTarget, seed: int) -> list[Experts]:
        table = x.detach().cpu().numpy().reshape(len(x), -1).astype(np.float64)
        families = [family.experts(table, target, seed) for family in _of_tables(table.shape[1], target)]
        return [Kernel().experts(x, target, seed), *families] if len(x) <= LIKE else families


def _by_kernel_alone(x: Array, target: ExampleTarget) -> bool:
    return target.outputs > MANY or is_words(x)


def _of_tables(columns: int, target: ExampleTarget) -> list[Family]:
    trees: list[Family] = [Forest(features=min(0.4, WIDE / 3 / max(1, columns)))]
    if columns <= WIDE and not _many(target):
        trees += [Boosting()] if isinstance(target, Real) else [Boosting(), Relevance()]
    return [*_without_trees(target), *trees]


def _without_trees(target: ExampleTarget) -> list[Family]:
    """What tables and features have in common; those whose work grows with the square of the classes for few alone."""
    if isinstance(target, Real) or _many(target):
        return [Processes()]
    return [Processes(), LogisticRegression(), ClassGaussians()]


def _many(target: ExampleTarget) -> bool:
    return target.outputs > (NAMES if isinstance(target, Labels) else FEW)
