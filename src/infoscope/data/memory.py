"""Values kept in memory up to a number of bytes; the one that was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Memory(Generic[T]):
    """At most `limit` bytes of values, but always the last one; storage that several share counts once.

    `tensors` names the tensors that a value holds in memory.
    """

    limit: int
    tensors: Callable[[T], Iterable[Tensor]]
    _kept: OrderedDict[Hashable, T] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of this key, made if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()  # which may ask for others
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > 1 and self.held > self.limit:
                self._kept.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """Bytes that the kept values hold."""
        storages = (t.untyped_storage() for value in self._kept.values() for t in self.tensors(value))
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
