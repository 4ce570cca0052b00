"""A look: a costly step as a value. Its description is its key, so it is never paid for twice."""

from __future__ import annotations

import json
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from infoscope.run import Store, Work, execute, key
from infoscope.run.context import RunContext
from infoscope.run.key import NoStableKey
from infoscope.run.question import Cost


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
    """`step(*args)` gives a `result`; `version` is raised when the same arguments would give another result.

    For a dry run: `kind` is the plural by which it is counted, `seconds` measures how long one takes (a value that is
    equal for looks that take equally long, so that it is called once for all of them), `memory` is how many bytes one
    fills at most (0 where that is not said), and `stand_in` makes at once a value of the form of the result.
    """

    step: Callable[..., T]
    args: tuple[Any, ...]
    result: type[T]
    version: int = 1
    label: str = ""
    kind: str = "looks"
    seconds: Callable[[], float] | None = None
    stand_in: Callable[[], T] | None = None
    memory: int = 0

    @property
    def key(self) -> str:
        """Hash of the step, its version and its arguments; TypeError if an argument has no stable description."""
        return key((self.step, self.version, self.args))


@dataclass(frozen=True)
class Looks(Generic[T]):
    """What a stage of a question needs: these looks, whose results come as a list in their order."""

    looks: tuple[Look[T], ...]

    def take(self, context: RunContext) -> list[T]:
        """Take those that the store lacks."""
        return look(self.looks, context.store, jobs=context.jobs, on_done=context.on_done)

    def units(self) -> Counter[str]:
        """How many of each kind."""
        return Counter(one.kind for one in self.looks)

    def cost(self, context: RunContext) -> Cost:
        """One trial for all looks that take equally long."""
        trials = Counter(one.seconds for one in self.looks if one.seconds is not None)
        return Cost(self.units(), trials=trials, memory=max((one.memory for one in self.looks), default=0))

    def stand_in(self) -> list[T]:
        """A stand-in for each."""
        if missing := [one.label for one in self.looks if one.stand_in is None]:
            raise TypeError(f"the look {missing[0]!r} has no stand-in; give it one, so that a dry run can go on")
        return [one.stand_in() for one in self.looks if one.stand_in is not None]


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
    reasons: dict[str, None] = {}
    for one in looks:
        try:
            keys.append(one.key)
        except TypeError as error:
            keys.append(uuid.uuid4().hex)
            reasons[f"{error.what}; {error.remedy}" if isinstance(error, NoStableKey) else str(error)] = None
    for reason in reasons:  # from this line: Python says the same of the same line once, however many stages come here
        warnings.warn(f"what is computed is not kept for a later run: it rests on {reason}", stacklevel=1)
    return keys


def pack(tensors: Mapping[str, Tensor], **facts: Any) -> bytes:
    """Tensors and JSON-ready facts in one safetensors file."""
    return save_tensors({k: v.contiguous() for k, v in tensors.items()}, {"facts": json.dumps(facts)})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts that `pack` wrote."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load_tensors(data), json.loads(header["__metadata__"]["facts"])
