"""Named labelled examples with a declared label alphabet: what a network is asked to learn."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from infoscope.data import cache
from infoscope.data.targets import Classes


@dataclass(frozen=True)
class Origin:
    """How a task was made: a step (an importable function), its arguments, and the tasks that it took."""

    step: Callable[..., Task]
    arguments: tuple[tuple[str, Any], ...] = ()
    parents: tuple[Origin, ...] = ()

    def rests_on(self, step: Callable[..., Task]) -> bool:
        """Whether this step was taken anywhere on the way."""
        return self.step is step or any(parent.rests_on(step) for parent in self.parents)

    def __str__(self) -> str:
        words = [*(str(p) for p in self.parents), *(f"{k}={_brief(v)}" for k, v in self.arguments)]
        return f"{self.step.__name__}({', '.join(words)})"


@dataclass(frozen=True, eq=False)
class Task:
    """Examples `x`, labels `y`, the `alphabet` that the labels are drawn from, and how it was made.

    `x` is float32, (n, d) or (n, channels, height, width); `y` counts into `alphabet`, or holds the boxes of objects
    (see `infoscope.data.boxes`); ask for `labels` where it must be one an example. `ids` tells every example apart by
    where it came from, through slices, unions and corruptions, so that an example that was trained on is recognised
    among those to be coded. A task travels to another process by its origin, not by its content.

    >>> task = Task.from_arrays(torch.zeros(4, 2), [0, 1, 1, 0], alphabet=["no", "yes", "unseen"])
    >>> len(task), task.classes, task[:2].y.tolist()
    (4, 3, [0, 1])
    """

    name: str
    x: Float[Tensor, "n ..."]
    y: Int[Tensor, " n"] | Float[Tensor, "n k 5"]
    alphabet: tuple[str, ...]
    ids: Int[np.ndarray, " n"]
    origin: Origin
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        *,
        alphabet: Sequence[str] | None = None,
        name: str = "arrays",
        splits: Mapping[str, tuple[int, int]] | None = None,
    ) -> Task:
        """A task from anything that numpy or torch reads as arrays.

        `x` is (n,), (n, d), (n, h, w) for grey images, or images with channels first or last; bytes are divided by
        255. `y` holds integers. Without `alphabet` the classes are 0 … max(y): declare it if a class may be missing.
        """
        inputs, labels = as_inputs(x, name), _as_labels(y, name)
        words = tuple(map(str, alphabet)) if alphabet is not None else _alphabet_of(labels)
        _check(inputs, labels, words, name)
        return from_content(name, inputs, labels, words, splits)

    @classmethod
    def from_dataset(cls, name: str, **options: Any) -> Task:
        """A task by name: `digits` and its kin, a Hub name, a local folder in Hub or VOC layout, or an `.npz` file."""
        from infoscope.data.datasets import from_dataset

        return from_dataset(name, **options)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def target(self) -> Classes:
        """What is to be said of an example."""
        return Classes(self.alphabet)

    @property
    def classes(self) -> int:
        """Size of the declared alphabet."""
        return len(self.alphabet)

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """`y`, checked to hold one label an example."""
        if self.y.ndim != 1:
            raise ValueError(
                f"{self.name!r} has boxes of objects, {tuple(self.y.shape)}, not one label an example; take data with "
                "one class an image"
            )
        return self.y

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.x.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: inputs, labels and alphabet, in this order."""
        return _digest(self.x, self.y, self.alphabet)

    @cached_property
    def input_fingerprint(self) -> str:
        """Hash of the inputs alone: what somebody without labels can check."""
        return digest_of_inputs(self.x)

    @cached_property
    def label_entropy(self) -> float:
        """H(Y) of the empirical label frequencies, in nats: what a label costs one who sees no input."""
        p = np.bincount(self.labels.numpy(), minlength=self.classes) / max(len(self), 1)
        return float(-(p[p > 0] * np.log(p[p > 0])).sum()) + 0.0

    @cached_property
    def content_hashes(self) -> np.ndarray:
        """A 64-bit hash of every example's input, to find equal examples under different ids."""
        rows = np.ascontiguousarray(self.x.flatten(1).numpy()).view(np.uint8)
        return np.array([_hash64(row.tobytes()) for row in rows], dtype=np.int64)

    def __getitem__(self, which: str | slice | Sequence[int] | np.ndarray | Tensor) -> Task:
        """A split by name, a slice, or the examples at these indices, in this order."""
        if isinstance(which, str):
            if which not in self.splits:
                have = ", ".join(self.splits) or "none"
                raise ValueError(f"{self.name!r} has no split {which!r}; it has: {have}")
            return derive(split, self, which=which)
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            return derive(slice_, self, start=start, stop=stop, stride=step)
        indices = np.asarray(which)
        if indices.dtype.kind not in "iu" and len(indices):
            raise TypeError(f"{self.name!r} is indexed by a split's name, a slice or integers, not {indices.dtype}")
        return derive(take, self, indices=tuple(indices.astype(int).tolist()))

    def shuffled(self, seed: int) -> Task:
        """The same examples in a random order: the coding order of this seed."""
        return derive(shuffle, self, seed=seed)

    def corrupted(self, corruption: Callable[..., Task], seed: int = 0) -> Task:
        """This task under a corruption (`MissingPixels(0.1)`, `Massart(0.1)` …)."""
        return derive(corruption, self, seed=seed)

    def like(self, other: Task) -> Task:
        """This task with `other`'s image size, channels and alphabet, so that one network can meet both."""
        from infoscope.data.combine import like

        return derive(like, self, name=other.name, shape=other.shape, alphabet=other.alphabet)

    def __reduce__(self) -> tuple[Callable[..., Task], tuple[Any, ...]]:
        if not self.origin.rests_on(arrays):
            return _renamed, (self.origin, self.name)
        cache.keep(self.fingerprint, x=self.x.numpy(), y=self.y.numpy(), ids=self.ids)
        return _restore, (self.fingerprint, self.name, self.alphabet, self.origin, tuple(self.splits.items()))

    def __describe__(self) -> tuple[str, str]:
        return ("Task", self.fingerprint)


def from_content(
    name: str, x: Tensor, y: Tensor, alphabet: tuple[str, ...], splits: Mapping[str, tuple[int, int]] | None = None
) -> Task:
    """A task of checked arrays, which are known by their content."""
    content = _digest(x, y, alphabet)
    origin = Origin(arrays, (("content", content),))
    return Task(name, x, y, alphabet, _ids(content, len(y)), origin, dict(splits or {}))


def derive(step: Callable[..., Task], /, *parents: Task, **arguments: Any) -> Task:
    """`step(*parents, **arguments)`, with its origin written on it."""
    made = step(*parents, **arguments)
    return dataclasses.replace(made, origin=Origin(step, tuple(arguments.items()), tuple(p.origin for p in parents)))


@lru_cache(maxsize=32)
def remake(origin: Origin) -> Task:
    """The task of this origin, made again (once a process)."""
    made = origin.step(*map(remake, origin.parents), **dict(origin.arguments))
    return dataclasses.replace(made, origin=origin)


def _renamed(origin: Origin, name: str) -> Task:
    """A task made again, by the name that its owner gave it."""
    made = remake(origin)
    return made if made.name == name else dataclasses.replace(made, name=name)


def split(task: Task, which: str) -> Task:
    """The examples of one named split."""
    start, stop = task.splits[which]
    return dataclasses.replace(slice_(task, start, stop), name=f"{task.name}:{which}")


def slice_(task: Task, start: int, stop: int, stride: int = 1) -> Task:
    """Every `stride`-th example from `start` to before `stop`."""
    rows = slice(start, stop, stride) if stride > 0 else np.arange(start, stop, stride)
    return _rows(task, rows)


def take(task: Task, indices: tuple[int, ...]) -> Task:
    """The examples at these indices, in this order."""
    rows = np.array(indices, dtype=np.int64)
    if len(rows) and not (-len(task) <= rows.min() and rows.max() < len(task)):
        raise IndexError(f"{task.name!r} has {len(task)} examples; indices run from {rows.min()} to {rows.max()}")
    return _rows(task, rows)


def shuffle(task: Task, seed: int) -> Task:
    """All examples in the order that `seed` draws."""
    return _rows(task, coding_order(len(task), seed))


def coding_order(n: int, seed: int) -> Int[np.ndarray, " n"]:
    """The permutation in which `seed` sends n labels; one who has only the inputs draws the same."""
    return np.random.default_rng(seed).permutation(n)


def union(*tasks: Task, disjoint: bool = False) -> Task:
    """All examples of several tasks of one input shape.

    Classes of one name are one class; with `disjoint=True` every task keeps its own classes apart.

    >>> a, b = (Task.from_arrays(torch.zeros(2, 3), [0, 1], name=name) for name in "ab")
    >>> union(a, b).classes, union(a, b, disjoint=True).alphabet
    (2, ('a:0', 'a:1', 'b:0', 'b:1'))
    """
    if not tasks:
        raise TypeError("union() takes at least one task")
    return derive(_union, *tasks, disjoint=disjoint)


def _union(*tasks: Task, disjoint: bool) -> Task:
    shapes = {task.shape for task in tasks}
    if len(shapes) > 1:
        named = ", ".join(f"{t.name!r} {t.shape}" for t in tasks)
        raise ValueError(f"a union takes examples of one shape: {named}; bring them together with task.like(other)")
    words = [tuple(f"{t.name}:{w}" if disjoint else w for w in t.alphabet) for t in tasks]
    alphabet = tuple(dict.fromkeys(w for ws in words for w in ws))
    place = {w: i for i, w in enumerate(alphabet)}
    labels = [torch.tensor([place[w] for w in ws])[t.labels] for t, ws in zip(tasks, words, strict=True)]
    return Task(
        "+".join(t.name for t in tasks),
        torch.cat([t.x for t in tasks]),
        torch.cat(labels),
        alphabet,
        np.concatenate([t.ids for t in tasks]),
        tasks[0].origin,
    )


def _rows(task: Task, rows: Any) -> Task:
    return dataclasses.replace(task, x=task.x[rows], y=task.y[rows], ids=task.ids[rows], splits={})


def as_inputs(x: Any, name: str = "x") -> Float[Tensor, "n ..."]:
    """Inputs as float32 vectors or channels-first images; a clear ValueError for anything else."""
    raw = x if isinstance(x, Tensor) else torch.as_tensor(np.ascontiguousarray(_numeric(x, name)))
    if raw.ndim not in (1, 2, 3, 4) or 0 in raw.shape:
        raise ValueError(
            f"{name}: x has shape {tuple(raw.shape)}; give (n, d) vectors or (n, channels, height, width) images, n ≥ 1"
        )
    data = (raw.float() / 255 if raw.dtype == torch.uint8 else raw.float()).detach().cpu()
    if data.ndim in (1, 3):
        data = data.unsqueeze(1)  # a single feature, or grey images without a channel axis
    if data.ndim == 4 and data.shape[1] not in (1, 3, 4) and data.shape[3] in (1, 3, 4):
        data = data.permute(0, 3, 1, 2)
    bad = ~torch.isfinite(data.reshape(len(data), -1)).all(1)
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(
            f"{name}: x has {int(bad.sum())} of {len(data)} rows with NaN or infinity, the first is row {first}; "
            "drop or fix them"
        )
    return data.contiguous()


def _numeric(x: Any, name: str) -> np.ndarray:
    array = np.asarray(x)
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name}: x holds {array.dtype}, not numbers; turn it into numeric features first")
    return array


def _as_labels(y: Any, name: str) -> Int[Tensor, " n"]:
    raw = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1:
        raise ValueError(f"{name}: y has shape {raw.shape}; give one integer label an example")
    if raw.dtype.kind == "f" and np.isfinite(raw).all() and (raw == raw.round()).all():
        raw = raw.astype(np.int64)
    if raw.dtype.kind not in "bui":
        what = "NaN or fractions" if raw.dtype.kind == "f" else str(raw.dtype)
        raise ValueError(f"{name}: y holds {what}; labels are integers that count into the alphabet")
    return torch.as_tensor(raw.astype(np.int64))


def _alphabet_of(y: Tensor) -> tuple[str, ...]:
    return tuple(str(c) for c in range(int(y.max()) + 1)) if len(y) else ()


def _check(x: Tensor, y: Tensor, alphabet: tuple[str, ...], name: str) -> None:
    if len(x) != len(y):
        raise ValueError(f"{name}: x has {len(x)} rows and y has {len(y)}; they must match")
    outside = (y < 0) | (y >= len(alphabet))
    if outside.any():
        first = int(outside.nonzero()[0])
        raise ValueError(
            f"{name}: {int(outside.sum())} of {len(y)} labels lie outside the alphabet of {len(alphabet)} classes, "
            f"the first is {int(y[first])} in row {first}; declare a larger alphabet or fix the labels"
        )
    if len(set(alphabet)) != len(alphabet):
        raise ValueError(f"{name}: the alphabet names a class twice; class names must differ")


def _digest(x: Tensor, y: Tensor, alphabet: tuple[str, ...]) -> str:
    h = hashlib.blake2b(digest_of_inputs(x).encode(), digest_size=16)
    h.update(np.ascontiguousarray(y.numpy()).data)
    h.update("\0".join(alphabet).encode())
    return h.hexdigest()


def digest_of_inputs(x: Tensor) -> str:
    """Hash of the shape and the bytes of inputs."""
    h = hashlib.blake2b(repr(tuple(x.shape)).encode(), digest_size=16)
    h.update(np.ascontiguousarray(x.numpy()).data)
    return h.hexdigest()


def _ids(source: str, n: int) -> np.ndarray:
    """64-bit ids: 31 bits of the source's hash, then the row."""
    high = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=4).digest(), "big") >> 1
    return (np.int64(high) << np.int64(32)) + np.arange(n, dtype=np.int64)


def _hash64(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


def _brief(value: Any) -> str:
    text = repr(value)
    return (
        text if len(text) <= 60 else f"<{type(value).__name__} of {len(value)}>" if hasattr(value, "__len__") else text
    )


def arrays(content: str) -> Task:
    """Arrays that a caller gave: known by their content, which only a process that holds them can give again."""
    raise ValueError(f"the arrays {content} came from a caller's memory and cannot be made again from their name")


@lru_cache(maxsize=32)
def _restore(
    key: str, name: str, alphabet: tuple[str, ...], origin: Origin, splits: tuple[tuple[str, tuple[int, int]], ...]
) -> Task:
    """A task whose arrays another process kept in the cache."""
    kept = cache.read(key)
    if kept is None:
        raise ValueError(f"{name!r}: its arrays are no longer in {cache.folder()}; make the task again")
    x, y = torch.from_numpy(kept["x"]), torch.from_numpy(kept["y"])
    return Task(name, x, y, alphabet, kept["ids"], origin, dict(splits))
