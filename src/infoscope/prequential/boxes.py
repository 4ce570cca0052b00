"""Objects in images, sent without looking at the images: how many there are, which, and where, by adaptive counts."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from jaxtyping import Float

from infoscope.data.targets import Boxes
from infoscope.prequential.mixture import Mixture


def code(target: Boxes, shape: tuple[int, ...]) -> Generator[Float[np.ndarray, " symbols"], int, None]:
    """The probabilities of the next symbol: for each image the number of objects, then class and place of each.

    Every kind of symbol has its own mixture of a uniform and a Krichevsky–Trofimov expert. Coordinates, of which most
    values never occur, also have counts in eight steps, even within a step.
    """
    images, room = shape
    count, kind = _Kind(room + 1), _Kind(len(target.alphabet))
    coordinates = [_Kind(target.bins) for _ in range(4)]
    for _ in range(images):
        objects = yield from count.send()
        for _ in range(objects):
            for each in (kind, *coordinates):
                yield from each.send()


class _Kind:
    """One kind of symbol: its mixture, and its counts in a few steps."""

    def __init__(self, size: int, steps: int = 8) -> None:
        self.mixed = Mixture(1, size)
        self.step = np.arange(size) * min(steps, size) // size
        self.sizes = np.bincount(self.step)
        self.counts = np.full(len(self.sizes), 0.5)

    def send(self) -> Generator[np.ndarray, int, int]:
        smooth = self.counts / self.counts.sum() / self.sizes
        symbol = yield self.mixed.predict(np.log(smooth[self.step])[None])
        self.mixed.learn(symbol)
        self.counts[self.step[symbol]] += 1
        return symbol
