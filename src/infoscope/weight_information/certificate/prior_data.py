"""A prior may depend on data, but not on those of the certificate: what both share is refused, or left out."""

from __future__ import annotations

from dataclasses import dataclass

from infoscope.data.partition import without_overlap
from infoscope.data.task import Task


@dataclass(frozen=True)
class Unseen:
    """Examples for a certificate that a prior has not seen, and in words what they stand for."""

    task: Task
    notes: tuple[str, ...]


def unseen_by_prior(certificate: Task, *seen: Task) -> Unseen:
    """The certificate's examples, none of which is among those that the prior was made from.

    The same example on both sides is a mistake and a ValueError. An example that merely equals one of the prior's is
    left out: the rest are independent draws of what equals none of them, and the certificate is of that.
    """
    task, dropped = without_overlap(certificate, *seen)
    if not dropped:
        return Unseen(task, ())
    return Unseen(task, (f"{dropped} examples equal to the prior's were left out; the certificate is of unequal ones",))
