"""A look: a costly step as a value. Its description is its key, so it is never paid for twice."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from infoscope.run import Store, Work, execute, key


class Keepable(Protocol):
    """A frozen value that can be written to bytes and read back without loss."""

    def to_bytes(self) -> bytes:
        """This value as bytes."""
        ...

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The value that `to_bytes` wrote."""
        ...


T = TypeVar("T", bound=Keepable)


@dataclass(frozen=True)
class Look(Generic[T]):
    """`step(*args)` gives a `result`; `version` is raised when the same arguments would give another result."""

    step: Callable[..., T]
    args: tuple[Any, ...]
    result: type[T]
    version: int = 1
    label: str = ""

    @property
    def key(self) -> str:
        """Hash of the step, its version and its arguments; TypeError if an argument has no stable description."""
        return key((self.step, self.version, self.args))


def look(
    looks: Sequence[Look[T]],
    store: Store | None = None,
    *,
    jobs: int = 1,
    on_done: Callable[[Work], None] | None = None,
) -> list[T]:
    """The results of these looks, in order; those in the store are read, the others are taken and kept at once.

    Each runs on one thread, the fastest for networks of the size that one machine trains by the dozen, and the only
    count at which results repeat bit for bit.
    """
    works = [
        Work(one_key, _taken, (one.step, one.args), one.label) for one_key, one in zip(_keys(looks), looks, strict=True)
    ]
    done = execute(works, store or Store(None), jobs=jobs, threads=1, on_done=on_done)
    return [one.result.from_bytes(done[work.key]) for one, work in zip(looks, works, strict=True)]


def _taken(step: Callable[..., Keepable], args: tuple[Any, ...]) -> bytes:
    return step(*args).to_bytes()


def _keys(looks: Sequence[Look[Any]]) -> list[str]:
    """The keys of these looks; what has no stable description gets one of its own, and a warning for all."""
    keys: list[str] = []
    reasons: list[str] = []
    for one in looks:
        try:
            keys.append(one.key)
        except TypeError as error:
            keys.append(uuid.uuid4().hex)
            reasons.append(f"{one.label or one.step.__name__} is not kept for a later run: {error}")
    if reasons:
        warnings.warn(f"{reasons[0]}" + f" (and {len(reasons) - 1} more)" * (len(reasons) > 1), stacklevel=3)
    return keys


def pack(tensors: Mapping[str, Tensor], **facts: Any) -> bytes:
    """Tensors and JSON-ready facts in one safetensors file."""
    return save_tensors({k: v.contiguous() for k, v in tensors.items()}, {"facts": json.dumps(facts)})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `pack` wrote."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load_tensors(data), json.loads(header["__metadata__"]["facts"])
