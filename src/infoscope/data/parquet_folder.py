"""Folders in the Hub's layout that are parquet files alone, read without its library `datasets`, which takes a while.

Only what that library reads in one way is read here: `train-00000-of-00001.parquet` and the like, whose columns are
images, words, numbers and classes as it has written them down in the file. All else is left to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoscope.unreadable import unreadable

SPLITS = ("train", "validation", "test")
"""In the order in which `datasets` gives them."""

FILE = re.compile(rf"({'|'.join(SPLITS)})-(\d{{5}})-of-(\d{{5}})\.parquet")


@dataclass(frozen=True)
class Image:
    """A column of encoded pictures; `mode` is that of all of them, where it is known."""

    mode: str | None = None


@dataclass(frozen=True)
class ClassLabel:
    """A column of classes by their number."""

    names: Sequence[str]


@dataclass(frozen=True)
class Value:
    """A column of words or numbers."""

    dtype: str


Feature = Image | ClassLabel | Value


@dataclass(frozen=True)
class ParquetSplit:
    """The rows of one split; a column is read when it is asked for."""

    files: tuple[Path, ...]
    features: Mapping[str, Feature]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, column: str) -> list[Any]:
        return [value for file in self.files for value in _read(file, [column])[column].to_pylist()]

    def to_pandas(self) -> Any:
        """All columns as a pandas frame."""
        import pandas

        return pandas.concat([_read(file, list(self.features)).to_pandas() for file in self.files], ignore_index=True)


def splits(folder: str | Path) -> dict[str, ParquetSplit] | None:
    """The splits of such a folder; None for any other, and where there is no pyarrow."""
    place = Path(folder)
    names = {name: FILE.fullmatch(name) for name in sorted(p.name for p in place.iterdir())} if place.is_dir() else {}
    if not names or not all(names.values()):
        return None
    found: dict[str, ParquetSplit] = {}
    for split in SPLITS:
        own = [match for match in names.values() if match is not None and match[1] == split]
        if [(int(match[2]), int(match[3])) for match in own] != [(i, len(own)) for i in range(len(own))]:
            return None
        if not own:
            continue
        if (whole := _split(tuple(place / match[0] for match in own))) is None:
            return None
        found[split] = whole
    return found


def _split(files: tuple[Path, ...]) -> ParquetSplit | None:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        return None
    try:
        held = [ParquetFile(file) for file in files]
    except (OSError, ValueError):  # `datasets` says what is wrong with it
        return None
    told = [_features(file.schema_arrow) for file in held]
    if told[0] is None or any(other != told[0] for other in told):
        return None
    return ParquetSplit(files, told[0], sum(file.metadata.num_rows for file in held))


def _features(schema: Any) -> dict[str, Feature] | None:
    """What `datasets` has written down of every column, None where one is of another kind."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: _feature(told[name]) for name in schema.names}
    except (ValueError, KeyError, TypeError):
        return None
    return found if len(found) == len(schema.names) == len(told) else None


def _feature(told: Mapping[str, Any]) -> Feature:
    own = dict(told)
    return {"Image": Image, "ClassLabel": ClassLabel, "Value": Value}[own.pop("_type")](**own)


def _read(file: Path, columns: list[str]) -> Any:
    from pyarrow.parquet import ParquetFile

    with unreadable(file, "parquet file", "download it again"):
        return ParquetFile(file).read(columns)
