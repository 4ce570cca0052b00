"""What was found, in sentences."""

from __future__ import annotations

from infoscope.measurement import Measurement, Status
from infoscope.record import Record


def sentences(record: Record) -> str:
    """The result in one plain sentence a task, as sure as its measurements are."""
    by_task: dict[str, dict[str, Measurement]] = {}
    for row in record:
        by_task.setdefault(str(row.coordinates["task"]), {})[row.measurement.quantity] = row.measurement
    return " ".join(_sentence(task, rows) for task, rows in by_task.items())


def _sentence(task: str, rows: dict[str, Measurement]) -> str:
    parts = []
    if "L(y|x)" in rows:
        parts.append(_of_labels(task, rows["L(y|x)"], rows["n log C"]))
    if "L(M,D)" in rows:
        parts.append(_of_network(task, rows["L(M,D)"], rows))
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _of_labels(task: str, length: Measurement, uniform: Measurement) -> str:
    n = length.receipt.n
    labels = f"the {n:,} labels of {task}" if n != 1 else f"the one label of {task}"
    if Status.WORSE_THAN_UNIFORM in length.status:
        return (
            f"{labels} cost {length.with_error()} bits, no less than the {uniform.bits:,.0f} of one who knows nothing"
        )
    if not n:
        return f"no labels of {task} were sent"
    each = f"{length.bits / n:.2f} instead of {uniform.bits / n:.2f} a label"
    return f"{labels} can be sent in {length.with_error()} bits instead of {uniform.bits:,.0f}, {each}"


def _of_network(task: str, known: Measurement, rows: dict[str, Measurement]) -> str:
    n = known.receipt.n
    if not n:
        return f"no example of {task} was coded, so nothing is known of the network"
    new = "which nobody could check to be new to it" if Status.UNVERIFIED_SPLIT in known.status else "new to it"
    return (
        f"training put {known.with_error()} bits about {task} into the network, measured on {n:,} examples {new}"
        f"{_how_well(rows)}"
    )


def _how_well(rows: dict[str, Measurement]) -> str:
    """The measure that is usual for the target, in brackets."""
    for name in ("accuracy", "micro-accuracy"):
        if name in rows:
            return f" ({name} {rows[name].with_error()})"
    if "R²" in rows:
        return f" (R² {rows['R²'].with_error()})"
    return f" ({rows['loss a token'].with_error()} bits a token)" if "loss a token" in rows else ""
