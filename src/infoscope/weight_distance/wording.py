"""What is said of distances in sentences. ± is a standard error everywhere; a deviation is called one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infoscope.ensembles.ways import Way
from infoscope.measurement import NATS_PER_BIT
from infoscope.weight_distance.distance import Distances
from infoscope.weight_distance.result import DistanceResult


def sentence(found: Mapping[str, DistanceResult], chosen: bool) -> str:
    """How far the weights went: first what is compared, then the rest, then which networks exploded.

    `chosen` says that the matched loss is the lowest that all networks came down to.
    """
    text = _of_one(*next(iter(found.items())), chosen) if len(found) == 1 else _of_several(found, chosen)
    return " ".join([text, *_exploded(found)])


def _of_one(task: str, one: DistanceResult, chosen: bool) -> str:
    text = f"Training on {task} carried the weights {_value(one.whole)} far"
    if len(one.whole.names) > 1:
        text += f" (standard deviation {float(one.whole.values.std()):.2g} over {len(one.whole.names)} networks)"
    if one.matched is not None and one.level is not None:
        text += f", and {_value(one.matched)} by the time that its loss was {_level(one.level, chosen, [one])}"
    return f"{text}."


def _of_several(found: Mapping[str, DistanceResult], chosen: bool) -> str:
    ends = _each({task: one.whole for task, one in found.items()})
    matched = {task: one.matched for task, one in found.items() if one.matched is not None}
    level = next((one.level for one in found.values() if one.level is not None), None)
    if level is None or len(matched) < 2:
        return f"Training carried the weights {ends} in equal steps: no training loss is common to these networks."
    at = f"At a training loss of {_level(level, chosen, list(found.values()))}"
    absent = [task for task in found if task not in matched]
    missing = f" (no network came there on {', '.join(absent)})" if absent else ""
    return f"{at}, training had carried the weights {_each(matched)}{missing}; by its end {ends}."


def _level(level: float, chosen: bool, found: Sequence[DistanceResult]) -> str:
    """The matched loss, and how many networks came down to it."""
    there = sum(len(one.matched.names) for one in found if one.matched is not None)
    everyone = sum(len(one.whole.names) for one in found)
    who = f"all {there} networks" if there == everyone else f"{there} of {everyone} networks"
    reached = f"the lowest that {who} came down to" if chosen else f"to which {who} came down"
    return f"{level / NATS_PER_BIT:.3g} bits, {reached}"


def _each(distances: Mapping[str, Distances]) -> str:
    parts = [f"{_value(one)} far on {task}" for task, one in distances.items()]
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _value(distances: Distances) -> str:
    """The mean and its standard error."""
    mean = distances.mean()
    return f"{mean.value:.4g}" + (f" ± {mean.stderr:.2g}" if mean.stderr == mean.stderr else "")


def _exploded(found: Mapping[str, DistanceResult]) -> list[str]:
    """The networks that ended worse than one who knows nothing."""
    worse = [(name, loss) for one in found.values() for name, loss in one.worse.items()]
    if not worse:
        return []
    name, loss = max(worse, key=lambda pair: pair[1])
    text = f"{len(worse)} of them ended worse than one who knows nothing: {name} at {loss / NATS_PER_BIT:.4g} bits."
    return [text]


def choices(one: DistanceResult, model: str) -> str:
    """How networks were trained, who came to the matched loss (bits), and what is to be known of the numbers."""
    parts = [f"{len(one.whole.names)} networks {model}, trained by {ways(one.ways)}{left_out(one.failed)}"]
    parts.extend(one.remarks)
    if one.level is not None and one.matched is None:
        parts.append(f"none came to the matched loss of {one.level / NATS_PER_BIT:.3g} bits")
    elif one.matched is not None and one.level is not None:
        epochs = sorted(one.matched_epochs)
        level = one.level / NATS_PER_BIT
        parts.append(f"{len(epochs)} came to {level:.3g} bits, after {epochs[0]} to {epochs[-1]} epochs")
    if one.other_start_nearer:
        nearer = list(one.other_start_nearer.items())
        some = "; ".join(f"{a} ends nearer to the start of {b}" for a, b in nearer[:3])
        parts.append(f"{len(nearer)} networks do not end nearest to their own start: {some}")
    parts.extend(f"alignment: {reason}" for reason in one.unfollowed)
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
