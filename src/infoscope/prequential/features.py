"""Features of the inputs alone, which sender and receiver both own, and so cost nothing to code with.

Images: whitened patches against a dictionary learned by spherical k-means, rectified and pooled (Coates & Ng 2012,
"Learning feature representations with K-means"), of images as they are and, where they lie on a background, `Upright`.
Vectors: standardised columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.data.inputs import Array, Inputs, count
from infoscope.prequential.rows import AT_ONCE, HELD, Made, Rows, changed, held, in_parts, many, parts, sample, whole
from infoscope.prequential.upright import Upright, set_off

SMALLEST_IMAGE = 5  # an image with a shorter side has no patches worth learning and is read as a vector
CHUNK = 2**20  # entries of a map that are made at once, so that they stay in cache
WORDS = 2048  # columns that whole numbers are counted in
SET_OFF = 0.3  # beyond which images are brought upright, too
COMPONENTS = 300  # of the features of images that are brought upright
POWER = 0.75  # of their deviations
MEASURED = 3000  # images that the components are found by
LARGEST_IMAGE = 40  # an image with a longer side is first averaged down to this size


@dataclass(frozen=True)
class Patches:
    """Patch features of images: a convolution with a learned dictionary, both signs, pooled under overlapping tents.

    Args:
        filters: atoms of the dictionary; each gives two maps, one for either sign.
        threshold: an atom answers only beyond this many standard units.
        whitening: added to the patches' eigenvalues, whose mean is one, before they are divided out.
        contrast: added to a patch's variance, in units of the data's, before it is divided out.
        overlap: how far a pooling tent reaches into its neighbours, in cells.
        sample: patches that the dictionary is learned from.
        rounds: rounds of k-means.
    """

    filters: int = 96
    threshold: float = 1.0
    whitening: float = 0.3
    contrast: float = 0.1
    overlap: float = 0.75
    sample: int = 100_000
    rounds: int = 10

    def __call__(self, x: Float[Tensor, "n c h w"], seed: int = 0) -> Float[Tensor, "n features"]:
        """The features of every image, float32, at least zero."""
        x = standardised(x)
        change, _ = self.learned(x, seed)
        return change(x)

    def learned(self, x: Rows, seed: int = 0) -> tuple[Callable[[Tensor], Tensor], int]:
        """What makes features of standardised images, once the dictionary is learned from these; and how many."""
        size, cells = layout(min(x.shape[2:]))
        filters, offsets = self._dictionary(x, size, torch.Generator().manual_seed(seed))
        rows, columns = (tents(side - size + 1, cells, self.overlap) for side in x.shape[2:])
        pooling = torch.kron(rows, columns)
        step = max(1, CHUNK // (pooling.shape[1] * len(offsets)))

        def change(part: Tensor) -> Tensor:
            on = [each.to(part.device) for each in (filters, offsets, pooling)]
            return torch.cat([self._pooled(part[i : i + step], size, *on) for i in range(0, len(part), step)])

        return change, 2 * len(pooling) * len(offsets)

    def _pooled(self, x: Tensor, size: int, filters: Tensor, offsets: Tensor, pooling: Tensor) -> Tensor:
        answer = F.softshrink(normalised_patches(x, size, self.contrast) @ filters - offsets, self.threshold)
        signed = pooling @ answer
        either = pooling @ answer.abs_()
        return torch.cat([either + signed, either - signed], dim=2).flatten(1).div_(2).clamp_min_(0).sqrt_()

    def images(self, x: Rows) -> int:
        """How many images the dictionary is learned from at most."""
        size, _ = layout(min(x.shape[2:]))
        return max(1, self.sample // ((x.shape[2] - size + 1) * (x.shape[3] - size + 1)))

    def _dictionary(self, x: Rows, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Filters and offsets that whiten a patch and compare it with every atom, in one product; found on the CPU."""
        some = torch.randperm(len(x), generator=generator)[: self.images(x)]
        patches = normalised_patches(x[some].cpu(), size, self.contrast).flatten(0, 1)
        patches = patches[patches.square().mean(1) > 0.1]
        if not len(patches):
            patches = torch.ones(1, x.shape[1] * size * size)
        centre = patches.mean(0)
        centred = (patches - centre).double()
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(patches))
        whitener = ((vectors / (values.clamp_min(0) + self.whitening).sqrt()) @ vectors.T).float()
        atoms = spherical_kmeans((patches - centre) @ whitener, self.filters, self.rounds, generator)
        filters = whitener @ atoms.T
        return filters, centre @ filters


def layout(side: int) -> tuple[int, int]:
    """Side of a patch in pixels, and pooling cells along a side, for images of a given side.

    >>> layout(8), layout(28), layout(32)
    ((3, 3), (6, 4), (6, 4))
    """
    return round(2 + side / 8), 3 if side < 24 else 4


def standardised(x: Tensor) -> Tensor:
    """All entries shifted and scaled together to mean 0, variance 1; a constant becomes zero.

    >>> standardised(torch.tensor([1.0, 3.0]))
    tensor([-1.,  1.])
    """
    centred = x - x.mean()
    spread = centred.square().mean().sqrt()
    return centred / spread if spread > 0 else centred


def normalised_patches(x: Float[Tensor, "n c h w"], size: int, contrast: float) -> Float[Tensor, "n places pixels"]:
    """Every patch of every image, each with mean 0 and, in units of √(variance + contrast), scale 1."""
    patches = F.unfold(x, size).transpose(1, 2)
    variance, mean = torch.var_mean(patches, dim=2, correction=0, keepdim=True)
    return (patches - mean) / (variance + contrast).sqrt()


def spherical_kmeans(z: Float[Tensor, "n d"], k: int, rounds: int, generator: torch.Generator) -> Float[Tensor, "k d"]:
    """Unit vectors that stand for the directions of z; an atom that stands for none is drawn anew."""
    z = F.normalize(z)
    atoms = z[torch.randint(len(z), (k,), generator=generator)]
    for _ in range(rounds):
        sums = torch.zeros_like(atoms).index_add_(0, (z @ atoms.T).argmax(1), z)
        fresh = z[torch.randint(len(z), (k,), generator=generator)]
        atoms = F.normalize(torch.where(sums.norm(dim=1, keepdim=True) > 0, sums, fresh))
    return atoms


def tents(places: int, cells: int, overlap: float) -> Float[Tensor, "cells places"]:
    """Pooling weights: each cell averages the places under its tent, which reaches `overlap` beyond the cell's edge.

    >>> tents(2, 1, 0.5)
    tensor([[0.5000, 0.5000]])
    """
    width = places / cells
    place, centre = torch.arange(places) + 0.5, (torch.arange(cells)[:, None] + 0.5) * width
    weight = (1 - (place - centre).abs() / (width * (0.5 + overlap))).clamp_min(0)
    return weight / weight.sum(1, keepdim=True)


def features(x: Inputs, patches: Patches | None = None, seed: int = 0) -> Float[Tensor, "n features"]:
    """What the kernel compares: patch features of images (n, c, h, w), standardised columns of vectors (n, d).

    Whole numbers (n, length) are words whose order does not matter: how often each occurs, hashed into `WORDS` columns.
    Of inputs by name, all features side by side.
    """
    if isinstance(x, Mapping):
        return torch.cat([features(each, patches, seed) for each in x.values()], 1)
    given = x[:].detach()
    if is_words(given):
        return _columns(_bag(given))
    given, patches = _prepared(given), patches or Patches()
    if not is_images(given):
        return _columns(given)
    if set_off(given) <= SET_OFF:
        return patches(given, seed)
    both = _both_ways(Made(tuple(given.shape), lambda rows: given[rows]), patches, seed)
    return in_parts(both, lambda part: part, both.shape[1])


def learn_patches(x: Float[Tensor, "n c h w"], patches: Patches, seed: int = 0) -> int:
    """Learn the dictionaries that `features` learns of so few images, and do no more: a trial takes its time.

    From how many of them it is done at most.
    """
    given = _prepared(x)
    views = [given] if set_off(given) <= SET_OFF else [given, Upright.of(given)(given)]
    for view in views:
        patches.learned(standardised(view), seed)
    return patches.images(given)


def feature_rows(x: Inputs, patches: Patches | None = None, seed: int = 0) -> Rows:
    """The same, of many examples made block by block: neither these nor what they are made from are held whole.

    Then means and deviations are sums in double precision.
    """
    if not many(count(x)):
        return features(x, patches, seed)
    return held(_made(x, patches or Patches(), seed), HELD)


def columns_of(x: Inputs, patches: Patches) -> int:
    """How many features an example has, at most."""
    if isinstance(x, Mapping):
        return sum(columns_of(one, patches) for one in x.values())
    if is_images(x):
        _, cells = layout(min(*x.shape[2:], LARGEST_IMAGE))
        return 2 * patches.filters * cells**2
    return WORDS if is_words(x) else math.prod(x.shape[1:])


def filled_by(x: Inputs, patches: Patches) -> int:
    """Bytes that they fill at most while they are made: themselves, the dictionary's patches, and what they come from.

    Of many the features are held only up to `HELD`, and the inputs a block at a time.
    """
    if isinstance(x, Mapping):
        return sum(filled_by(one, patches) for one in x.values())
    n, d, entries = len(x), columns_of(x, patches), math.prod(x.shape[1:])
    learned = 0
    if is_images(x):
        size, _ = layout(min(*x.shape[2:], LARGEST_IMAGE))
        learned = patches.sample * (32 * x.shape[1] * size**2 + 5 * patches.filters) + 32 * CHUNK
        learned += 24 * min(n, MEASURED) * d + 32 * min(n, AT_ONCE) * entries  # where images are brought upright, too
    if not many(n):
        return learned + 4 * n * (2 * d + (8 if is_words(x) else 3) * entries)
    return learned + (4 * n * d if 4 * n * d <= HELD else 0) + 4 * AT_ONCE * (2 * d + 4 * entries)


def _made(x: Inputs, patches: Patches, seed: int) -> Rows:
    if isinstance(x, Mapping):
        each = [_made(one, patches, seed) for one in x.values()]
        width = sum(one.shape[1] for one in each)
        return Made((count(x), width), lambda rows: torch.cat([one[rows] for one in each], 1))
    if is_words(x):
        width = 1 + max(int(part.remainder(WORDS).max()) for part in x.split(AT_ONCE))
        return _standard(Made((len(x), width), lambda rows: _bag(x[rows].detach(), width)), by_column=True)
    shape = _prepared(x[:1].detach()).shape[1:]
    given = Made((len(x), *shape), lambda rows: _prepared(x[rows].detach()))
    if len(shape) == 1:
        return _standard(given, by_column=True)
    return _both_ways(given, patches, seed) if set_off(sample(given)) > SET_OFF else _patched(given, patches, seed)


def _patched(given: Made, patches: Patches, seed: int) -> Made:
    images = _standard(given, by_column=False)
    change, width = patches.learned(images, seed)
    return Made((len(given), width), lambda rows: change(images[rows]))


def _both_ways(given: Made, patches: Patches, seed: int) -> Rows:
    """Patch features of images as they are and `Upright`, each of length one for every image; `tempered`."""
    upright = Upright.of(sample(given))
    turned = Made(given.shape, lambda rows: upright(given[rows]))
    views = [_patched(each, patches, seed) for each in (given, turned)]
    width = sum(view.shape[1] for view in views)
    return tempered(Made((len(given), width), lambda rows: torch.cat([F.normalize(v[rows]) for v in views], 1)), seed)


def tempered(f: Rows, seed: int = 0) -> Rows:
    """The leading principal components U S of features as U S^`POWER`, their entries' mean square one.

    So no direction in which the inputs vary most outweighs all others; what is left out is noise for the most part. The
    components are those of some rows, found by a randomised range finder (Halko, Martinsson & Tropp 2011).

    >>> phi = tempered(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> round((phi[0].norm() / phi[2].norm()).item(), 3) == round(3**POWER, 3)
    True
    """
    generator, few = torch.Generator().manual_seed(seed), len(f) <= MEASURED
    some = whole(f) if few else f[torch.randperm(len(f), generator=generator)[:MEASURED]]
    mean = some.mean(0)
    turn = _turn((some - mean).cpu(), generator).to(mean.device)
    return (some - mean) @ turn if few else changed(f, lambda rows: (rows - mean) @ turn, turn.shape[1])


def _turn(f: Float[Tensor, "n d"], generator: torch.Generator) -> Float[Tensor, "d components"]:
    """What turns centred features into their tempered components."""
    basis = torch.randn(f.shape[1], min(COMPONENTS + 20, *f.shape), generator=generator)
    for _ in range(2):
        basis = torch.linalg.qr(f.T @ (f @ basis))[0]
    within = (f @ basis).double()
    values, vectors = torch.linalg.eigh(within.T @ within / len(f))
    kept = (values > max(1e-8 * float(values[-1]), 1e-12)).nonzero()[-COMPONENTS:].flatten().flip(0)
    if not len(kept):
        return torch.zeros(f.shape[1], 1)
    turn = vectors[:, kept] * values[kept] ** ((POWER - 1) / 2)
    return basis @ (turn * (len(kept) / (values[kept] ** POWER).sum()).sqrt()).float()


def _standard(x: Made, by_column: bool) -> Made:
    """Shifted and scaled to mean 0 and variance 1, each column by itself or all entries together."""
    over, size = (0, len(x)) if by_column else (None, math.prod(x.shape))
    mean = torch.stack([part.sum(over, dtype=torch.float64) for part in parts(x)]).sum(0) / size
    squares = torch.stack([(part.double() - mean).square().sum(over) for part in parts(x)]).sum(0) / size
    spread = torch.where(squares > 0, squares.sqrt(), 1).float()
    mean = mean.float()
    return Made(x.shape, lambda rows: (x[rows] - mean).div_(spread))


def _prepared(given: Tensor) -> Float[Tensor, "n ..."]:
    """Images no larger than is looked at, vectors as such; a ValueError for what is no number."""
    given = given.float()
    if bad := int((~torch.isfinite(given.flatten(1))).any(1).sum()):
        raise ValueError(f"x has {bad} of {len(given)} examples with NaN or infinite entries; drop or fix them")
    if not is_images(given):
        return given.flatten(1)
    if max(given.shape[2:]) > LARGEST_IMAGE:
        sides = min(given.shape[2], LARGEST_IMAGE), min(given.shape[3], LARGEST_IMAGE)
        given = F.adaptive_avg_pool2d(given, sides)
    return given


def is_words(x: Array) -> bool:
    """Whether these are words by their number, (n, length)."""
    return x.ndim == 2 and x.dtype in (torch.int16, torch.int32, torch.int64)


def is_images(x: Inputs) -> bool:
    """Whether these are images with patches worth learning."""
    return isinstance(x, Array) and x.ndim == 4 and min(x.shape[2:]) >= SMALLEST_IMAGE


def _columns(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    centred = x - x.mean(0)
    spread = centred.square().mean(0).sqrt()
    return centred / torch.where(spread > 0, spread, 1)


def _bag(words: Int[Tensor, "n length"], width: int | None = None) -> Float[Tensor, "n words"]:
    """Square roots of how often each word occurs."""
    used = words.remainder(WORDS).long()
    ones = torch.ones(used.shape, device=used.device)
    counts = ones.new_zeros(len(words), width or int(used.max()) + 1).scatter_add_(1, used, ones)
    return counts.sqrt()
