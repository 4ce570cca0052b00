"""Classical multidimensional scaling: many networks as a picture of points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope import __version__
from infoscope.ensembles.stacked_weights import ChosenParameters, Parameters, StackedWeights, blocks, check, choose
from infoscope.measurement import Measurement, Receipt, Status

ROUNDING, ROUNDING_IN_FLOAT32 = 1e-9, 1e-5
"""Eigenvalues below 0 by more than this share of the largest are no rounding."""

_COLUMNS = 4096


@dataclass(frozen=True)
class Picture:
    """Points in a few dimensions, centred, whose distances are near those of the n things they stand for.

    `eigenvalues` are all that were computed, largest first; `explained` is the share of Σ|λ| that the dimensions of
    the picture hold.
    """

    points: Float[Tensor, "n m"]
    eigenvalues: Float[Tensor, " k"]
    explained: float
    receipt: Receipt
    rounding: float = ROUNDING

    @property
    def negative(self) -> Float[Tensor, " negative"]:
        """Eigenvalues below 0 by more than rounding: no points in any Euclidean space have these distances."""
        return self.eigenvalues[self.eigenvalues < -self.rounding * self.eigenvalues.abs().max()]

    @property
    def warning(self) -> str:
        """What deceives about this picture, empty when nothing does."""
        if not len(self.negative):
            return ""
        return (
            f"{len(self.negative)} negative eigenvalues, the least {float(self.negative.min()):.4g}: "
            "the distances are not Euclidean, and the picture shows what part of them is"
        )

    @property
    def status(self) -> frozenset[Status]:
        """NOT_EUCLIDEAN where there are negative eigenvalues."""
        return frozenset({Status.NOT_EUCLIDEAN}) if len(self.negative) else frozenset()

    def share(self) -> Measurement:
        """What share of Σ|λ| the picture holds, dimensionless."""
        return Measurement("MDS explained", self.explained, unit="1", status=self.status, receipt=self.receipt)

    def radii(self) -> tuple[Measurement, Measurement]:
        """Mean and standard deviation (n − 1) of the points' distances from their centre, dimensionless.

        Independent networks scale to a normal cloud, not to a sphere: their radii spread by 52 % of the mean in two
        dimensions and by 42 % in three. (Yang et al. print 1.28 ± 0.007 for Figure 1a; Algorithm 1 can't give that.)
        The mean's standard error is over the points; they share axes and centre, so it is a little too small.
        """
        radii = self.points.square().sum(1).sqrt()
        deviation = float(radii.std())
        stderr = deviation / math.sqrt(len(radii))
        return (
            Measurement("MDS radius", float(radii.mean()), stderr, "1", status=self.status, receipt=self.receipt),
            Measurement("sd MDS radius", deviation, unit="1", status=self.status, receipt=self.receipt),
        )


def classical_mds(*stacks: StackedWeights, dimensions: int = 2, parameters: Parameters = None) -> Picture:
    """A picture of stacked networks, those of all `stacks` together, by classical scaling (Torgerson 1952).

    Algorithm 1 of "The distance between the weights of the neural network is meaningful", where B = −½ J D² J of
    Euclidean distances is the Gram matrix of the centred weights, from which it is computed: float32 products of
    blocks of parameters, added up in float64 (float64 throughout for float64 weights). For more than 5000 networks
    take `landmark_mds`, which needs no n × n matrix.

    >>> corners = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0], [4.0, 3.0]])
    >>> picture = classical_mds({"w": corners})
    >>> [round(v, 6) for v in picture.eigenvalues.tolist()[:2]], round(picture.explained, 6)
    ([16.0, 9.0], 1.0)
    """
    chosen = ready(stacks, parameters)
    receipt = Receipt(
        "classical MDS",
        model=chosen.model,
        n=sum(len(w[chosen.names[0]]) for w in stacks),
        notes=(chosen.note,),
        version=__version__,
    )
    return picture(centred_gram(stacks, chosen), dimensions, receipt, ROUNDING_IN_FLOAT32)


def mds_of_distances(distances: Float[Tensor, "n n"], *, dimensions: int = 2) -> Picture:
    """A picture of things of which only the distances are known (not squared), by Algorithm 1 as printed.

    Distances on a star of three arms, 1 from the middle and 2 from tip to tip, fit no Euclidean space:

    >>> d = torch.tensor([[0.0, 1, 1, 1], [1, 0, 2, 2], [1, 2, 0, 2], [1, 2, 2, 0]])
    >>> star = mds_of_distances(d)
    >>> [round(v, 6) + 0.0 for v in star.eigenvalues.tolist()]
    [2.0, 2.0, 0.0, -0.25]
    >>> star.warning.partition(":")[0]
    '1 negative eigenvalues, the least -0.25'
    """
    d = distances.double()
    if d.ndim != 2 or d.shape[0] != d.shape[1] or len(d) < 2:
        raise ValueError(f"distances have shape {tuple(d.shape)}; give those of n ≥ 2 things as an n × n matrix")
    if not torch.isfinite(d).all() or bool((d < 0).any()):
        raise ValueError("some distances are negative or not finite; leave out the things they belong to")
    if not torch.allclose(d, d.T) or bool(d.diagonal().any()):
        raise ValueError("the distances are not symmetric with a diagonal of 0; average d_ij and d_ji first")
    squares = d.square()
    return picture(
        -0.5 * centred(squares), dimensions, Receipt("classical MDS of distances", n=len(d), version=__version__)
    )


def picture(gram: Float[Tensor, "n n"], dimensions: int, receipt: Receipt, rounding: float = ROUNDING) -> Picture:
    """The leading eigenvectors of a centred Gram matrix, each as long as the root of its eigenvalue."""
    if not 1 <= dimensions < len(gram):
        raise ValueError(f"{len(gram)} points in {dimensions} dimensions; ask for 1 to {len(gram) - 1}")
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)[:, :dimensions]
    axes = upright(vectors)
    points = axes * values[:dimensions].clamp(min=0).sqrt()
    total = float(values.abs().sum())
    explained = float(values[:dimensions].clamp(min=0).sum()) / total if total else math.nan
    shown = Picture(points, values, explained, receipt, rounding)
    return replace(shown, receipt=replace(receipt, notes=(*receipt.notes, shown.warning))) if shown.warning else shown


def upright(vectors: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Eigenvectors with their largest entry positive: the same picture on every machine, where signs are free."""
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return vectors * torch.where(largest < 0, -1.0, 1.0)


def ready(stacks: tuple[StackedWeights, ...], parameters: Parameters) -> ChosenParameters:
    """The parameters of these stacks, after a check that they belong together and are finite."""
    if not stacks:
        raise ValueError("no networks to show; give one or more mappings of stacked weights")
    chosen = choose(stacks[0], parameters)
    for weights in stacks:
        missing = next((k for k in chosen.names if k not in weights), None)
        if missing is not None or weights[chosen.names[0]].shape[1:] != stacks[0][chosen.names[0]].shape[1:]:
            raise ValueError(f"stacks differ in {missing or chosen.names[0]}; show networks of one architecture")
        count = len(weights[chosen.names[0]])
        check({"weights": weights}, chosen, [str(i) for i in range(count)])
    if sum(len(w[chosen.names[0]]) for w in stacks) < 2:
        raise ValueError("a picture needs 2 networks or more, and there is 1; train more of them")
    return chosen


def centred_gram(stacks: tuple[StackedWeights, ...], chosen: ChosenParameters) -> Float[Tensor, "n n"]:
    """⟨w_i − w̄, w_j − w̄⟩ of all members of all stacks, float64, on the CPU."""
    members = sum(len(w[chosen.names[0]]) for w in stacks)
    total = torch.zeros((), dtype=torch.float64)
    for parts in blocks(stacks, chosen.names, 8 * members * _COLUMNS):
        x = torch.cat([part.to(parts[0].device) for part in parts])
        # Terms of a product about the mean are small: float32 then loses nothing that the weights had.
        x = (x if x.dtype == torch.float64 else x.float()) - x.mean(0, dtype=torch.float64).to(x.dtype)
        total = total + (x @ x.T).double().cpu()
    return centred(total)


def centred(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    """J G J with J = I − 11ᵀ/n, of a symmetric G."""
    rows = gram.mean(0)
    return gram - rows - rows[:, None] + rows.mean()
