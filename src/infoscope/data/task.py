"""Named examples with inputs and a target: what a network is asked to learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped
from torch import Tensor

from infoscope.data import cache, content, kept, parts, readers
from infoscope.data.inputs import Array, Inputs, as_inputs, count, one_array, select, shape_of
from infoscope.data.memory import Memory
from infoscope.data.origin import Origin, derive
from infoscope.data.raw import Raw, Reading
from infoscope.data.target_values import as_values, recounted, target_of
from infoscope.data.targets import Boxes, Classes, Labels, Real, Target, Tokens


@dataclass(frozen=True, eq=False)
class Task:
    """Inputs `x`, what is to be said of each (`y`), the `target` that says what it may be, and how it was made.

    `x` is one array (float32 vectors (n, d), images (n, channels, height, width), anything else as it was given) or a
    mapping of arrays, in memory or mapped from disk; `infoscope.data.inputs` handles all of these alike, `array` is
    the one tensor of those who need one. `y` is what `target` takes: `Classes`, `Labels`, `Real`, `Tokens` or `Boxes`.
    `labels`, `classes` and `alphabet` are for one class an example and say so of others.

    `ids` tells every example apart by where it came from, through slices, unions and corruptions, so that an example
    that was trained on is recognised among those to be coded. `notes` tell what was guessed when the arrays were read.
    A task travels to another process by its origin, not by its content, unless its arrays were replaced since.

    >>> task = Task.from_arrays(np.zeros((4, 2)), [0, 1, 1, 0], alphabet=["no", "yes", "unseen"])
    >>> len(task), task.classes, task[:2].y.tolist()
    (4, 3, [0, 1])
    """

    name: str
    x: Inputs
    y: Tensor
    target: Target
    ids: Int[np.ndarray, " n"]
    origin: Origin
    splits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        *,
        alphabet: Sequence[str] | None = None,
        target: Target | type[Target] | None = None,
        name: str = "arrays",
        splits: Mapping[str, tuple[int, int]] | None = None,
        as_is: bool = False,
    ) -> Task:
        """A task from anything that numpy or torch reads as arrays.

        `x` becomes float32: (n,), (n, d), (n, h, w) for grey images, or images with channels first or last; bytes are
        divided by 255. With `as_is`, for `Tokens`, and in a mapping of arrays by name, types and axes are kept. A
        numpy map of a file stays on disk.

        `y` is what `target` takes. `alphabet` declares `Classes`; a class such as `Real` declares the kind and leaves
        its fields to be found; without both the target is guessed by the rule of
        `infoscope.data.target_values.target_of`: words and whole numbers are classes, numbers with fractions real.
        """
        if alphabet is not None and target is not None:
            raise TypeError("from_arrays() takes alphabet=… or target=…, not both")
        target = target if alphabet is None else Classes(tuple(map(str, alphabet)))
        return from_raw(Raw(x, y, splits=splits or {}, as_is=as_is), name, target)

    @classmethod
    def from_dataset(cls, name: str | PurePath, **options: Any) -> Task:
        """A task by name, `name:split` for one of its splits, `name:classes=0,1` or `name:rows=0..900` for a part.

        `digits` and its kin, a name on the Hub, a folder (Hub layout, images in a folder a class, Pascal VOC,
        `save_to_disk`, text files), or a file: `.npz`, `.npy`, `.safetensors`, `.csv`, `.parquet`, `.txt` …
        Options: `classes` declares the alphabet 0 … classes − 1 where the source names none, `target` what is to be
        said; the others are those of `infoscope.data.raw.Reading`.
        """
        source, part = readers.source_and_split(str(name))
        if part and (":" in source and not Path(source).exists()):
            return cls.from_dataset(source, **options)[part]
        task = derive(load, source=source, **{"classes": None, "size": None} | options)
        return task[part] if part else task

    @classmethod
    def of(
        cls,
        data: Any,
        y: Any = None,
        *,
        name: str = "",
        target: Target | type[Target] | None = None,
        as_is: bool = False,
        **options: Any,
    ) -> Task:
        """A task of whatever holds examples.

        A name, file or folder as for `from_dataset`; arrays with `y`, or a pair or mapping of both (scipy's sparse
        matrices become dense); a pandas frame; a `datasets.Dataset` or `DatasetDict`; a map-style torch `Dataset` or
        a `DataLoader` of one; a scikit-learn `Bunch`. `options` are those of `infoscope.data.raw.Reading`. With
        `as_is` arrays keep their types and axes, as sequences (n, length, d) must.

        >>> Task.of({"x": np.zeros((3, 2)), "y": ["cat", "dog", "cat"]}).alphabet
        ('cat', 'dog')
        """
        if isinstance(data, Task):
            return data
        if isinstance(data, str | PurePath):
            return cls.from_dataset(data, target=target, **options)
        title = name or type(data).__name__
        raw = readers.of(data if y is None else (data, y), title, Reading(**options))
        return from_raw(dataclasses.replace(raw, as_is=raw.as_is or as_is), title, target)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def array(self) -> Shaped[Tensor, "n ..."]:
        """`x` as one tensor in memory; a ValueError where inputs go by name."""
        return one_array(self.x, self.name)

    @property
    def alphabet(self) -> tuple[str, ...]:
        """Names of the classes."""
        if isinstance(self.target, Classes | Boxes):
            return self.target.alphabet
        raise ValueError(f"{self.name!r} has {_WHAT[type(self.target)]}, which have no alphabet; see its target")

    @property
    def classes(self) -> int:
        """Size of the declared alphabet."""
        return len(self.alphabet)

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """`y`, checked to hold one label an example."""
        if isinstance(self.target, Classes):
            return self.y
        raise ValueError(
            f"{self.name!r} has {_WHAT[type(self.target)]}, {tuple(self.y.shape)}, not one label an example; take data "
            "with one class an example"
        )

    @property
    def shape(self) -> Any:
        """Shape of one example, a tuple; a mapping of tuples where inputs go by name. Factories of networks take it."""
        return shape_of(self.x)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content: inputs, `y` and target, in this order."""
        return content.digest(self.x, self.y, self.target)

    @cached_property
    def input_fingerprint(self) -> str:
        """Hash of the inputs alone: what somebody without labels can check."""
        return content.digest_of_inputs(self.x)

    @cached_property
    def label_entropy(self) -> float:
        """H(Y) of the empirical label frequencies, in nats: what a label costs one who sees no input."""
        p = np.bincount(self.labels.numpy(), minlength=self.classes) / max(len(self), 1)
        return float(-(p[p > 0] * np.log(p[p > 0])).sum()) + 0.0

    @cached_property
    def content_hashes(self) -> Int[np.ndarray, " n"]:
        """A 64-bit hash of every example's input, to find equal examples under different ids."""
        return content.hashes(self.x)

    def __getitem__(self, which: str | slice | Sequence[int] | np.ndarray | Tensor) -> Task:
        """A split or a part by name, a slice, or the examples at these indices, in this order.

        Parts are `classes=0,1`, which keeps the alphabet and the splits, `rows=0..900`, and `rows=FILE`.
        """
        if isinstance(which, str) and parts.is_part(which):
            return self._part(which)
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

    def _part(self, which: str) -> Task:
        if which.startswith("rows="):
            part = self[parts.rows_of(which, len(self), self.name)]
        else:
            part = derive(of_classes, self, classes=parts.classes_of(which, self.alphabet, self.name))
        return dataclasses.replace(part, name=f"{self.name}:{which}")

    def shuffled(self, seed: int) -> Task:
        """The same examples in a random order: the coding order of this seed."""
        return derive(shuffle, self, seed=seed)

    def corrupted(self, corruption: Callable[..., Task], seed: int = 0) -> Task:
        """This task under a corruption (`MissingPixels(0.1)`, `Massart(0.1)` …)."""
        return derive(corruption, self, seed=seed)

    def _repr_html_(self) -> str:
        """What it holds, for a notebook; no example is read."""
        said = f", {len(self.target.alphabet)} in all" if isinstance(self.target, Classes | Boxes) else ""
        facts = {
            "examples": f"{len(self):,}",
            "an example": str(self.shape),
            "target": f"{_WHAT[type(self.target)]}{said}",
            "splits": ", ".join(f"{name} ({stop - start:,})" for name, (start, stop) in self.splits.items()),
            "notes": "; ".join(self.notes),
        }
        rows = "".join(f"<tr><th>{what}</th><td>{escape(told)}</td></tr>" for what, told in facts.items() if told)
        return f"<table><caption>{escape(self.name)}</caption>{rows}</table>"

    def __reduce__(self) -> tuple[Callable[..., Task], tuple[Any, ...]]:
        if not self.origin.rests_on(arrays) and self.origin.tells(self):
            return _renamed, (self.origin, self.name)
        mapped = kept.keep(self.fingerprint, self.x, self.y, self.ids)
        facts = (self.fingerprint, self.name, self.target, self.origin, tuple(self.splits.items()), self.notes, mapped)
        return _restored, facts

    def __describe__(self) -> tuple[str, str]:
        return ("Task", self.fingerprint)


_WHAT: dict[type[Target], str] = {
    Classes: "one class an example",
    Labels: "several labels at once",
    Real: "real numbers",
    Tokens: "sequences of tokens",
    Boxes: "boxes of objects",
}


def from_raw(raw: Raw, name: str, target: Target | type[Target] | None = None) -> Task:
    """A task of what a source holds, under the target that was asked for, else the source's own, else a guess."""
    if raw.y is None:
        raise ValueError(f"{name}: has no labels (an array or column named 'y' or 'label'); name them so")
    own, y, notes = raw.target, raw.y, raw.notes
    if isinstance(target, type):
        own = own if isinstance(own, target) else None
    elif target is not None:
        own, y = target, recounted(y, own, target, name)
    if own is None:
        own, y, guessed = target_of(y, name, target if isinstance(target, type) else None)
        notes = (*notes, *guessed)
    x, values = as_inputs(raw.x, name, as_is=raw.as_is or isinstance(own, Tokens)), as_values(y, own, name)
    if count(x) != len(values):
        raise ValueError(f"{name}: x has {count(x)} rows and y has {len(values)}; they must match")
    words = own.alphabet if isinstance(own, Classes | Boxes) else own.names if isinstance(own, Labels) else ()
    if len(set(words)) != len(words):
        raise ValueError(f"{name}: the alphabet names a class twice; class names must differ")
    known = content.digest(x, values, own)
    origin = Origin(arrays, (("content", known),))
    return Task(name, x, values, own, content.ids(known, len(values)), origin, dict(raw.splits), notes)


def load(
    *, source: str, classes: int | None = None, target: Target | type[Target] | None = None, **options: Any
) -> Task:
    """All examples of a source; see `Task.from_dataset`."""
    raw = readers.declared(readers.read(source, Reading(**options)), source, classes)
    title = Path(source).stem or Path(source).resolve().name if Path(source).exists() else source
    return from_raw(raw, title, target)


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


def of_classes(task: Task, classes: tuple[int, ...]) -> Task:
    """The examples of these classes, in their splits; the alphabet stays."""
    rows = parts.kept(task.labels, classes)
    places = {name: np.searchsorted(rows, ends).tolist() for name, ends in task.splits.items()}
    return dataclasses.replace(
        _rows(task, rows), splits={name: (start, stop) for name, (start, stop) in places.items()}
    )


def shuffle(task: Task, seed: int) -> Task:
    """All examples in the order that `seed` draws."""
    return _rows(task, coding_order(len(task), seed))


def coding_order(n: int, seed: int) -> Int[np.ndarray, " n"]:
    """The permutation in which `seed` sends n labels; one who has only the inputs draws the same."""
    return np.random.default_rng(seed).permutation(n)


def _rows(task: Task, rows: Any) -> Task:
    return dataclasses.replace(task, x=select(task.x, rows), y=task.y[rows], ids=task.ids[rows], splits={})


def arrays(content: str) -> Task:
    """Arrays that a caller gave: known by their content, which only a process that holds them can give again."""
    raise ValueError(f"the arrays {content} came from a caller's memory and cannot be made again from their name")


def _held(task: Task) -> Iterator[Tensor]:
    """The tensors that a task holds in memory."""
    x = [task.x] if isinstance(task.x, Array) else task.x.values()
    return (t for t in (task.y, *x) if isinstance(t, Tensor))


REMADE = Memory[Task](limit=1 << 28, tensors=_held)
"""Tasks that this process made again for another: 256 MiB of them."""


def remake(origin: Origin) -> Task:
    """The task of this origin, made again, unless it is still in memory."""
    return REMADE.get(origin, lambda: _made(origin))


def _made(origin: Origin) -> Task:
    made = origin.step(*map(remake, origin.parents), **dict(origin.arguments))
    return dataclasses.replace(made, origin=origin.of(made))


def _renamed(origin: Origin, name: str) -> Task:
    """A task made again, by the name that its owner gave it."""
    made = remake(origin)
    return made if made.name == name else dataclasses.replace(made, name=name)


def _restored(*facts: Any) -> Task:
    return REMADE.get(facts, lambda: _restore(*facts))


def _restore(
    key: str,
    name: str,
    target: Target,
    origin: Origin,
    splits: tuple[tuple[str, tuple[int, int]], ...],
    notes: tuple[str, ...],
    mapped: tuple[str, ...],
) -> Task:
    """A task whose arrays another process kept in the cache."""
    found = kept.read(key, mapped)
    if found is None:
        raise ValueError(f"{name!r}: its arrays are no longer in {cache.folder()}; make the task again")
    x, y, ids = found
    return Task(name, x, y, target, ids, origin, dict(splits), notes)
