"""What is said of distances in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infoscope.ensembles.ways import Way
from infoscope.weight_distance.result import DistanceResult


def sentence(task: str, one: DistanceResult) -> str:
    """How far the weights went, at equal steps and at equal loss."""
    text = f"Training on {task} carried the weights {one.whole.mean().value:.4g} far"
    if len(one.whole.names) > 1:
        text += f" (± {float(one.whole.values.std()):.2g} over {len(one.whole.names)} networks)"
    if one.matched is not None:
        text += f", and {one.matched.mean().value:.4g} by the time the loss was matched"
    return f"{text}."


def choices(one: DistanceResult, model: str, level: float | None) -> str:
    """How networks were trained, who came to the matched loss (bits), and what is to be known of the numbers."""
    parts = [f"{len(one.whole.names)} networks {model}, trained by {ways(one.ways)}{left_out(one.failed)}"]
    if level is not None and one.matched is None:
        parts.append(f"none came to the matched loss of {level:.3g} bits")
    elif one.matched is not None:
        epochs = sorted(one.matched_epochs)
        parts.append(f"{len(epochs)} came to {level:.3g} bits, after {epochs[0]} to {epochs[-1]} epochs")
    if one.other_start_nearer:
        nearer = list(one.other_start_nearer.items())
        some = "; ".join(f"{a} ends nearer to the start of {b}" for a, b in nearer[:3])
        parts.append(f"{len(nearer)} networks do not end nearest to their own start: {some}")
    parts.extend(f"QMCM: {note}" for m in one.as_printed() for note in m.receipt.notes)
    return "; ".join(parts)


def ways(used: Sequence[Way]) -> str:
    """The ways in which networks were computed."""
    return ", ".join(map(str, used))


def left_out(failed: Mapping[str, str]) -> str:
    """How many networks failed, with the reason of one."""
    if not failed:
        return ""
    name, why = next(iter(failed.items()))
    return f"; {len(failed)} left out, such as {name}: {why}"
