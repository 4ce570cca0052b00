"""Where data come from: one table of files by suffix, one of folders by layout, one of objects by library."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoscope.data import embedded, hub, loaders, npz, tables, text, voc
from infoscope.data.inputs import Inputs, as_inputs, select
from infoscope.data.raw import Raw, Reading, scaled
from infoscope.data.sources import EMBEDDED
from infoscope.data.targets import Boxes, Classes, Tokens
from infoscope.data.tokenized import tokenized

FILES: dict[str, Callable[[Path, Reading], Raw]] = {
    ".npz": npz.read_npz,
    ".npy": npz.read_npy,
    ".safetensors": npz.read_safetensors,
    **dict.fromkeys((".csv", ".tsv", ".parquet", ".feather", ".json", ".jsonl"), tables.read),
    **dict.fromkeys(text.SUFFIXES, text.read),
}
"""Files by suffix."""

FOLDERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Reading], Raw]], ...] = (
    (voc.is_voc, voc.read),
    (hub.is_saved, hub.read_saved),
    (text.is_folder_of_text, text.read_folder),
    (Path.is_dir, lambda path, reading: hub.read(str(path), reading)),
)
"""Folders by layout, the first that fits."""

OTHER_FILES = (".arrow", ".pt", ".pkl", ".mat", ".xlsx", ".zip", ".png", ".jpg")
"""Suffixes by which a name is taken for a file's that cannot be read, rather than for a Hub name's."""


def read(source: str, reading: Reading) -> Raw:
    """What is called `source`: an embedded data set, a file, a folder, or a name on the Hub."""
    return tokenized(_read(source, reading), source, reading)


def _read(source: str, reading: Reading) -> Raw:
    path = Path(source)
    if source in EMBEDDED:
        return scaled(embedded.read(source), reading.size, source)
    if path.suffix in FILES and not path.is_dir():
        if not path.is_file():
            raise ValueError(f"{source}: no such file")
        return scaled(FILES[path.suffix](path, reading), reading.size, source)
    for fits, folder in FOLDERS:
        if source and fits(path):
            return folder(path, reading)
    if path.is_file():
        raise ValueError(f"{source}: cannot read {path.suffix} files; give one of {', '.join(FILES)}, or a folder")
    if path.suffix in OTHER_FILES:
        raise ValueError(f"{source}: no such file")
    near = difflib.get_close_matches(source, EMBEDDED, 1) if "/" not in source else []
    if not source or near:
        raise ValueError(f"no data called {source!r}" + (f"; did you mean {near[0]}?" if near else "; give a name"))
    return hub.read(source, reading)


def inputs(name: str, *, size: int | None = None, label: str | None = None) -> Inputs:
    """The inputs of `name`, read without touching a label: what a decoder may see."""
    source, split = source_and_split(name)
    raw = read(source, Reading(size=size, label=label, labels=False))
    if isinstance(raw.target, Boxes | Tokens):
        what = "boxes of objects (VOC layout)" if isinstance(raw.target, Boxes) else "text, whose tokens are both sides"
        raise ValueError(f"{source}: holds {what}, not one label an example")
    found = as_inputs(raw.x, name, as_is=raw.as_is)
    if split is None:
        return found
    if split not in raw.splits:
        raise ValueError(f"{source!r} has no split {split!r}; it has: {', '.join(raw.splits) or 'none'}")
    return select(found, slice(*raw.splits[split]))


def source_and_split(name: str) -> tuple[str, str | None]:
    """`mnist:train` taken apart; a part of a split, `mnist:train:classes=0,1`, is what stands behind the last colon."""
    if Path(name).exists() or ":" not in name:
        return name, None
    source, split = name.rsplit(":", 1)
    return source, split


def declared(raw: Raw, source: str, classes: int | None) -> Raw:
    """The same with the alphabet 0 … classes − 1 where the source names no classes."""
    if classes is None:
        return raw
    named = raw.target.alphabet if isinstance(raw.target, Classes | Boxes) else None
    if named is not None and len(named) != classes:
        raise ValueError(f"{source}: names {len(named)} classes, and {classes} were asked for; leave it out")
    return raw if named else dataclasses.replace(raw, target=Classes(tuple(map(str, range(classes)))))


def of(data: Any, name: str, reading: Reading) -> Raw:
    """Examples in memory, by the library whose object they are."""
    library = next((OBJECTS[lib] for kind in type(data).__mro__ if (lib := _library(kind)) in OBJECTS), None)
    if library is not None:
        return tokenized(library(data, name, reading), name, reading)
    if isinstance(data, Mapping):
        return _by_name(data, name)
    if isinstance(data, tuple | list) and len(data) == 2:
        x, y = data
        return Raw(tables.features(x, name) if hasattr(x, "columns") else x, y)
    raise TypeError(
        f"{name}: a {type(data).__name__} is no data; give a name, a file, a folder, a pair (x, y), a mapping with x "
        f"and y, or an object of {', '.join(sorted(OBJECTS))}"
    )


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _by_name(data: Mapping[str, Any], name: str) -> Raw:
    label = next((key for key in tables.LABELS if key in data), None)
    if label is None or "x" not in data:
        raise ValueError(f"{name}: a mapping needs x and y; it has: {', '.join(map(str, data)) or 'nothing'}")
    return Raw(data["x"], data[label])


def _bunch(data: Any, name: str, reading: Reading) -> Raw:
    """scikit-learn's `Bunch`, with names of classes if its target counts into them."""
    x, y = data["data"], data["target"]
    if hasattr(x, "columns"):
        x = tables.features(x, name)
    names = data.get("target_names")
    if names is None or len(names) < 2 or np.asarray(y).dtype.kind not in "iu":
        return Raw(x, y)
    return Raw(x, y, Classes(tuple(map(str, names))))


OBJECTS: dict[str, Callable[[Any, str, Reading], Raw]] = {
    "pandas": tables.from_frame,
    "datasets": hub.from_loaded,
    "torch": loaders.read,
    "sklearn": _bunch,
}
"""Objects by the library of their class."""
