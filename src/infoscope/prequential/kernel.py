"""The model-free code: labels predicted from the inputs' likeness alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from infoscope.data.inputs import Inputs, count, to
from infoscope.data.targets import Boxes, Classes, Labels, Real, Target, Tokens
from infoscope.options import at_least, share
from infoscope.prequential.committee import side_by_side
from infoscope.prequential.devices import place_of
from infoscope.prequential.features import Patches, columns_of, feature_rows, filled_by
from infoscope.prequential.frozen import checked, frozen
from infoscope.prequential.gaussian_process import Regression
from infoscope.prequential.gram import (
    Landmarks,
    centred,
    centred_features,
    centred_rows,
    exponential,
    gaussian,
    median,
    squared_distances,
    with_constant,
)
from infoscope.prequential.graph import Edges, leading_components, nearest, neighbours, spread
from infoscope.prequential.language import Contexts, ids_of
from infoscope.prequential.memory import (
    DOUBLE,
    check_fits,
    of_blocks,
    of_graph,
    of_projection,
    of_ridge,
    of_whole,
)
from infoscope.prequential.mixture import Experts
from infoscope.prequential.readouts import by_example, in_blocks, readout
from infoscope.prequential.rows import Rows, changed, whole


@dataclass(frozen=True)
class Kernel:
    """Regress the labels on the inputs, which both sides know whole, and read probabilities off mean and variance.

    Three kernels: a Gaussian and an exponential one of the `features`' distance, in units of its median, and the
    spreading of labels along the graph of nearest neighbours, which has learned from the unlabelled inputs and serves
    while labels are few. The first and the last are `centred`, and so expect new classes of unlike inputs; the second,
    which is not, learns how frequent the classes are. Targets are onehot(y) − 1/C; with m_i and v_i the mean and
    variance that Gaussian-process regression with noise λ predicts, every (slope β, power α) of `readouts` makes an
    expert, p ∝ exp(β m / v^(α/2)).

    Up to `exact` examples the kernels are whole: n³ time, 4 n² bytes each. Beyond, they are projected on `landmarks`
    random inputs: n landmarks² time, 4 n landmarks bytes each, and neighbours are sought among leading `components`.
    By default the change is where both take the same time.

    Labels are regressed each by itself. For numbers, all kernels have a constant added and two `real_noises`, and there
    is a Bayesian linear regression on the features, slopes N(0, 1/d), constant N(0, 1). Tokens are predicted from their
    own past by `contexts`. Boxes are sent by counts alone: nothing here looks at the image.

    With `features`, a frozen network or array, come the same experts on what it says of the inputs: what it knows
    itself is not counted, see `infoscope.prequential.frozen`.

    For noisy labels, `noisy` are further noises of the spreading, and `soft` further readouts (`OfClasses`).

    One preset serves all data. It says the more, the more the features' distance tells; where the labels turn on a
    detail of the inputs, a trained network says it in fewer bits.

    >>> code = Kernel().experts(torch.eye(3), Classes(("a", "b")))
    >>> next(code).shape
    (9, 2)
    """

    patches: Patches = Patches()
    noises: tuple[float, float, float] = (0.03, 0.02, 0.1)
    readouts: tuple[tuple[float, float], ...] = ((8.0, 1.0), (6.0, 0.0), (12.0, 0.0))
    neighbours: int = 8
    rank: int = 200
    alpha: float = 0.995
    exact: int = 16_000
    landmarks: int = 5000
    components: int = 100
    block: int = 1000
    threads: int = 1
    real_noises: tuple[float, ...] = (0.1, 1.0)
    noisy: tuple[float, ...] = ()
    soft: tuple[float, ...] = ()
    contexts: Contexts = Contexts()
    features: Any = None
    needs_network: ClassVar[bool] = False
    follows_inputs: ClassVar[bool] = True
    version: ClassVar[int] = 2
    takes: ClassVar[tuple[type[Target], ...]] = (Classes, Labels, Real, Tokens, Boxes)

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", frozen(self.features))
        for name in ("neighbours", "rank", "landmarks", "components", "block", "threads"):
            at_least(self, name, 1)
        at_least(self, "exact", 0)
        share(self, "alpha")
        if min(*self.noises, *self.real_noises, *self.noisy, *self.soft, *(slope for slope, _ in self.readouts)) <= 0:
            raise ValueError(f"{self}: noises and slopes are above 0")

    def experts(self, x: Inputs, target: Target, seed: int = 0, network: nn.Module | None = None) -> Experts:
        """What is predicted of the next example, which is then sent; `seed` draws the dictionary and the landmarks.

        Tokens are predicted from those before them alone (`Contexts`).
        """
        if isinstance(target, Tokens):
            yield from self.contexts.experts(tuple(ids_of(x).shape), target.vocabulary)
            return
        own = self._of_inputs(x, target, seed)
        if self.features is None:
            yield from own
            return
        table = checked(self.features(to(x, "cpu"), seed), count(x)).to(place_of(x))
        yield from side_by_side([own, self._of_inputs(table, target, seed)])

    def _of_inputs(self, x: Inputs, target: Target, seed: int) -> Experts:
        n = count(x)
        size = self.block if n <= self.exact else 2 * self.block
        told = f"Kernel: {n:,} examples of {target}"
        check_fits(
            self.bytes_filled(x, target), told, "send fewer (examples=…), or declare only the classes that occur"
        )
        read = readout(of_examples(target), self.readouts, self.soft)
        yield from in_blocks(
            lambda: (each.blocks(target.outputs, size) for each in self.regressions(x, target, seed)),
            n, size, lambda _, blocks: by_example(blocks, read), seed, self.threads, place_of(x),
        )  # fmt: skip

    def bytes_filled(self, x: Inputs, target: Target) -> int:
        """How many bytes it fills at most, beside the inputs.

        Their features, the kernels or the features of these in single precision, the graph, what was learned, and for a
        block its factors, means, errors and targets in double. Tokens and boxes fill next to nothing.
        """
        if isinstance(target, Tokens | Boxes):
            return 0
        n, real, width = count(x), isinstance(target, Real), target.outputs
        d = columns_of(x, self.patches)
        near, kernels = 2 * (len(self.real_noises) if real else 1), 1 + (real or len(self.noisy))
        size = min(n, self.block if n <= self.exact else 2 * self.block)
        filled = filled_by(x, self.patches) + of_graph(n, self.components, self.neighbours, self.rank)
        filled += of_blocks(near + kernels, size, width) + DOUBLE * 60 * width
        filled += kernels * of_ridge(n, min(n, max(self.rank, d if real else 0)) + 1, width)
        if n <= self.exact:
            return filled + of_whole(n, 6 if real else 3, near, width)
        m = min(n, self.landmarks)
        return filled + of_projection(n, m, d, size, 2 + 2 * real) + near * of_ridge(n, m + 1, width)

    def regressions(self, x: Inputs, target: Target, seed: int) -> Iterator[Regression]:
        """The kernels, each with its noise."""
        f, real = feature_rows(x, self.patches, seed), isinstance(target, Real)
        if len(f) <= self.exact:
            near, edges = self._whole(whole(f), real)
        else:
            near, edges = self._projected(f, real, torch.Generator().manual_seed(seed))
        yield from near
        phi = centred_features(spread(*edges, self.rank, self.alpha))
        if not real:
            yield from (Regression(phi, noise, whole=False) for noise in (self.noises[2], *self.noisy))
            return
        columns = f.shape[1]
        for each in (phi, changed(f, lambda rows: rows / columns**0.5, columns)):
            yield Regression(changed(each, with_constant, each.shape[1] + 1), 1.0, whole=False)

    def _whole(self, f: Float[Tensor, "n d"], real: bool) -> tuple[list[Regression], Edges]:
        squares = squared_distances(f, f)
        edges = nearest(squares, self.neighbours)
        squares /= median(squares)
        kernels = centred(gaussian(squares)), squares.sqrt_().neg_().exp_()  # `exponential`, in place
        if real:
            pairs = [(k + 1, noise) for k in kernels for noise in self.real_noises]
        else:
            pairs = list(zip(kernels, self.noises, strict=False))
        return [Regression(k, noise) for k, noise in pairs], edges

    def _projected(self, f: Rows, real: bool, generator: torch.Generator) -> tuple[list[Regression], Edges]:
        edges = neighbours(leading_components(f, self.components, generator), self.neighbours)
        landmarks = Landmarks.drawn(f, self.landmarks, generator)
        both = centred_rows(landmarks.features(gaussian)), landmarks.features(exponential)
        if real:
            both = tuple(changed(phi, with_constant, phi.shape[1] + 1) for phi in both)
            pairs = [(phi, noise) for phi in both for noise in self.real_noises]
        else:
            pairs = list(zip(both, self.noises, strict=False))
        return [Regression(phi, noise, whole=False) for phi, noise in pairs], edges


def of_examples(target: Target) -> Classes | Labels | Real:
    """A target that is predicted an example at a time; a ValueError for the others."""
    if isinstance(target, Classes | Labels | Real):
        return target
    raise ValueError(f"{target} are not predicted from the likeness of inputs")
