"""Estimates from loss curves: pure functions that neither train nor see a network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.prequential.loss_curve import LossCurve, mean_or_nan

Curves = LossCurve | Sequence[LossCurve]

OVER = "orders and seeds"


def codelength(curves: Curves) -> Measurement:
    """Prequential codelength L(y|x), nats: an upper bound on what the labels cost, given the inputs.

    L(y_1:n | x_1:n) = −Σ_i log p(y_i | x_≤n, y_<i)   (Blier & Ollivier 2018, eq. 2.3).

    Each curve is one replicate: its own coding order and its own draws.

    >>> half = LossCurve.from_probabilities([[0.5, 0.5]] * 8, [0] * 8)
    >>> print(codelength(half))
    L(y|x) = 8 bit (upper bound)
    """
    curves = as_list(curves)
    worse = any(curve.total > curve.uniform * (1 + 1e-9) for curve in curves)
    status = frozenset({Status.WORSE_THAN_UNIFORM}) if worse else frozenset()
    return measured("L(y|x)", curves, lambda curve: curve.total, bound=Bound.UPPER, status=status)


def uniform_codelength(curves: Curves) -> Measurement:
    """What the targets cost one who knows only what may occur, nats: n log C of classes, log 2 a label … Exact."""
    curve = as_list(curves)[0]
    receipt = Receipt("uniform code", data=curve.receipt.data, n=len(curve))
    return Measurement("n log C", curve.uniform, 0.0, bound=Bound.EXACT, receipt=receipt)


def memorisation_included(
    curves: Curves, final_nats: Float[np.ndarray, "curves n"] | Sequence[Float[np.ndarray, " n"]]
) -> Measurement:
    """Eq. (1) of Voita & Titov (2020) under an honest name: what was learned, memorised noise included.

    L_preq(y_1:N | x_1:N) + Σ_i log p_θN(y_i | x_i), where `final_nats` are −log p_θN(y_i) of the same examples under
    the final network. A network that has learned random labels by heart scores high here; `model_information`, which
    codes examples that were not trained on, scores nothing.
    """
    curves = as_list(curves)
    finals = [math.fsum(np.asarray(row, dtype=float).tolist()) for row in final_nats]
    if len(finals) != len(curves):
        raise ValueError(f"{len(curves)} curves and {len(finals)} rows of final code lengths; give one row a curve")
    by_seed = {curve.seed: final for curve, final in zip(curves, finals, strict=True)}
    return measured("L(y|x) − L_final, memorisation included", curves, lambda c: c.total - by_seed[c.seed])


def model_information(initial: Curves, trained: Curves) -> Measurement:
    """Model information L(M, D), nats: eq. (2) of Zhang et al. (2020), from curves that are already there.

    L(M, D) = L_preq,θ_init(y_1:k | x_1:k) − L_preq,θ_N(y_1:k | x_1:k), both on the same k examples, which were not
    trained on, in the same order and with the same draws. A difference of upper bounds: it has no side, may be
    negative, and is never clamped.
    """
    first, second = codelength(initial), codelength(trained)
    if set(first.replicates) != set(second.replicates) or first.receipt.data != second.receipt.data:
        raise ValueError("eq. (2) is a paired difference: give curves of the same examples in the same orders")
    difference = (first - second).named("L(M,D)")
    # An untrained network may well code a little worse than uniform: the terms tell it, the difference stands.
    return dataclasses.replace(difference, status=difference.status - {Status.WORSE_THAN_UNIFORM})


def surplus(curves: Curves, floor: float) -> Measurement:
    """Surplus description length, nats: Σ_i (loss_i − floor)₊ of the mean curve (Whitney et al. 2020, def. 2).

    What is paid above a tolerated loss of `floor` nats an example, on the way there. Losses are means over blocks that
    grow by a quarter of the prefix, as one label's cost is not an expected loss.
    """
    return measured("surplus", as_list(curves), lambda c: float(np.maximum(smooth(c.nats) - floor, 0).sum()))


def sample_complexity(curves: Curves, loss: float) -> Measurement:
    """ε-sample complexity: the smallest prefix after which a label costs at most `loss` nats (Whitney et al. 2020).

    NaN where the curve never gets there. Smoothed like `surplus`.
    """

    def first(curve: LossCurve) -> float:
        below = np.flatnonzero(smooth(curve.nats) <= loss)
        return float(below[0]) if len(below) else math.nan

    return measured("sample complexity", as_list(curves), first, unit="1")


def online_accuracy(curves: Curves) -> Measurement:
    """Fraction of labels that were predicted right before they were seen; of one class an example."""
    return measured("online accuracy", as_list(curves), lambda c: mean_or_nan(of_classes(c.correct)), unit="1")


def online_confidence(curves: Curves) -> Measurement:
    """Mean lead of the most probable class over the second, before the label was seen (eq. 9-11)."""
    return measured("online confidence", as_list(curves), lambda c: mean_or_nan(of_classes(c.margin)), unit="1")


def of_classes(values: np.ndarray | None) -> np.ndarray:
    """What a curve has of one class an example; a ValueError where its targets are others."""
    if values is None:
        raise ValueError("the curve is not of one class an example, so nothing was right or wrong; see its code length")
    return values


def measured(
    quantity: str, curves: Sequence[LossCurve], value: Callable[[LossCurve], float], **rest: object
) -> Measurement:
    """`value` of each curve as replicates by seed, with the receipt of the curves."""
    replicates = {curve.seed: value(curve) for curve in curves}
    if len(replicates) < len(curves):
        raise ValueError("two curves have the same seed; replicates must differ in their seeds")
    return Measurement.from_replicates(quantity, replicates, receipt=_receipt(curves), **rest)


def as_list(curves: Curves) -> list[LossCurve]:
    """One curve or several as a list; a ValueError unless they are about the same number of examples and classes."""
    several = [curves] if isinstance(curves, LossCurve) else list(curves)
    if not several:
        raise ValueError("no loss curves were given; give one or more")
    if len({(len(curve), curve.classes) for curve in several}) > 1:
        raise ValueError("the curves differ in their numbers of examples or classes; give replicates of one code")
    return several


def _receipt(curves: Sequence[LossCurve]) -> Receipt:
    first = curves[0].receipt
    models = dict.fromkeys(curve.receipt.model for curve in curves)
    notes = tuple(dict.fromkeys(note for curve in curves for note in curve.receipt.notes))
    return dataclasses.replace(
        first,
        n=len(curves[0]),
        model=" ".join(models),
        seeds=tuple(curve.seed for curve in curves),
        over=OVER,
        notes=notes,
    )


def smooth(nats: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Each label's cost replaced by the mean of its block; blocks grow by a quarter of the prefix. The sum stays.

    >>> smooth(np.array([4.0, 2.0, 1.0, 3.0])).tolist()
    [3.0, 3.0, 2.0, 2.0]
    """
    if not len(nats):
        return nats
    edges = [0]
    while edges[-1] < len(nats):
        edges.append(min(len(nats), edges[-1] + 2 + edges[-1] // 4))
    sizes = np.diff(edges)
    return np.repeat(np.add.reduceat(nats, edges[:-1]) / sizes, sizes)
