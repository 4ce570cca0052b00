"""What is kept of networks that were trained only to see how far they go: distances, not weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from infoscope.ensembles.population import Member, padded
from infoscope.ensembles.ways import Way
from infoscope.run.tensor_paths import Path, below, pack_paths, unpack_paths


@dataclass(frozen=True, eq=False)
class MemberDistances:
    """Numbers of E trained networks, float64, one a network in each tensor.

    `whole` is the distance from initial to final weights, `layers` by layer name; `curve` that from the weights after
    so many epochs to the final ones; `l2` and `js` those between initial and final predictions; `aligned`, `balanced`
    and `both` after symmetries were taken out. None where it was not asked for, or does not exist. `to_starts`
    (E, starts) are distances from each final to every initial network, where those differ. `losses` (E, epochs), nats,
    and `moved`, the distance from the initial weights, are those of each epoch. `unfollowed` says what alignment left
    in its place, `remarks` where networks were trained otherwise than was planned.
    """

    names: tuple[str, ...]
    seeds: tuple[int, ...]
    whole: Float[Tensor, " members"]
    losses: Float[Tensor, "members epochs"]
    moved: Float[Tensor, "members epochs"]
    to_starts: Float[Tensor, "members starts"]
    layers: Mapping[str, Float[Tensor, " members"]] = field(default_factory=dict)
    curve: Mapping[int, Float[Tensor, " members"]] = field(default_factory=dict)
    l2: Float[Tensor, " members"] | None = None
    js: Float[Tensor, " members"] | None = None
    aligned: Float[Tensor, " members"] | None = None
    balanced: Float[Tensor, " members"] | None = None
    both: Float[Tensor, " members"] | None = None
    note: str = ""
    ways: tuple[Way, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    unfollowed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """As one safetensors file."""
        tensors = _tensors(self) | {(name,): getattr(self, name) for name in _BY_EPOCH}
        facts = {name: getattr(self, name) for name in ("names", "seeds", "note", *_TEXTS)}
        ways = [dataclasses.astuple(way) for way in self.ways]
        return pack_paths(tensors, **facts, failed=dict(self.failed), ways=ways)

    @classmethod
    def from_bytes(cls, data: bytes) -> MemberDistances:
        """The value that `to_bytes` wrote."""
        tensors, facts = unpack_paths(data)
        names, seeds, ways = tuple(facts["names"]), tuple(facts["seeds"]), tuple(Way(*way) for way in facts["ways"])
        rest = {name: tensors.pop((name,)) for name in _BY_EPOCH} | {name: tuple(facts[name]) for name in _TEXTS}
        return cls(names, seeds, note=facts["note"], ways=ways, failed=facts["failed"], **rest, **_fields(tensors))


_SINGLE = ("whole", "to_starts", "l2", "js", "aligned", "balanced", "both")
_BY_EPOCH, _TEXTS = ("losses", "moved"), ("unfollowed", "remarks")
_NESTED = ("layers", "curve")


def joined(parts: Sequence[MemberDistances]) -> MemberDistances:
    """All networks of all parts, in order of the parts; a ValueError if every one of them failed."""
    failed = {name: why for part in parts for name, why in part.failed.items()}
    full = [part for part in parts if part.names]
    if not full:
        raise ValueError(f"all {len(failed)} networks failed: {next(iter(failed))}: {next(iter(failed.values()))}")
    each = [_tensors(part) for part in full]
    return replace(
        full[0],
        names=tuple(name for part in full for name in part.names),
        seeds=tuple(seed for part in full for seed in part.seeds),
        losses=padded([row for part in full for row in part.losses]),
        moved=padded([row for part in full for row in part.moved]),
        ways=tuple(dict.fromkeys(way for part in full for way in part.ways)),
        failed=failed,
        unfollowed=tuple(dict.fromkeys(reason for part in full for reason in part.unfollowed)),
        remarks=tuple(dict.fromkeys(remark for part in full for remark in part.remarks)),
        **_fields({path: torch.cat([tensors[path] for tensors in each]) for path in each[0]}),
    )


def _tensors(found: MemberDistances) -> dict[Path, Tensor]:
    """All tensors with one row a network but the losses, by field, and by what that is a mapping of."""
    tensors: dict[Path, Tensor] = {(name,): t for name in _SINGLE if (t := getattr(found, name)) is not None}
    return tensors | {(name, k): t for name in _NESTED for k, t in getattr(found, name).items()}


def _fields(tensors: Mapping[Path, Tensor]) -> dict[str, Any]:
    """The fields that `_tensors` laid out."""
    return below(tensors) | {name: below(tensors, name) for name in _NESTED}


def stand_in(members: Sequence[Member]) -> MemberDistances:
    """Distances of 1 for networks that were not trained: what a dry run goes on with."""
    n = len(members)
    return MemberDistances(
        names=tuple(member.called for member in members),
        seeds=tuple(member.seed for member in members),
        whole=torch.ones(n, dtype=torch.float64),
        losses=torch.ones(n, 1),
        moved=torch.ones(n, 1, dtype=torch.float64),
        to_starts=torch.empty(n, 0, dtype=torch.float64),
    )
