"""Tables: CSV and Parquet files and pandas frames, one row an example, one column to be predicted.

What becomes of the other columns, so that every network and coder takes them as float32 (n, d):

- **numbers** are standardised to mean 0 and deviation 1 over all rows; where one is missing it is 0, the mean, and a
  column of its own says 1;
- **words** of at most 50 kinds, and booleans, become one column a kind, 1 where it is this one, kinds in sorted order
  (a missing one is a kind of its own, the last); one with more kinds is text, hashed into 1,024 columns
  (`infoscope.data.text.hashed_words`), and where it is the only column the examples are `Texts`, which can be read;
- a missing value is an empty cell, `?`, or what pandas reads as one (`NA`, `nan`, `null` …).

The column to be predicted is the one that was asked for, else `label`, `y` or `target`, else the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from infoscope.data.raw import Raw, Reading
from infoscope.data.text import hashed_words
from infoscope.data.texts import Texts

LABELS = ("label", "labels", "y", "target")
"""Names of a column to be predicted."""

KINDS = 50
"""A column with more different words than this is text."""


def read(path: Path, reading: Reading) -> Raw:
    """A `.csv`, `.tsv`, `.parquet`, `.feather`, `.json` or `.jsonl` file of one table."""
    pandas = _pandas(str(path))
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        match path.suffix:
            case ".csv" | ".tsv":
                frame = pandas.read_csv(
                    path, sep="\t" if path.suffix == ".tsv" else ",", na_values=["?"], skipinitialspace=True
                )
            case ".json" | ".jsonl":
                frame = pandas.read_json(path, lines=path.suffix == ".jsonl")
            case _:
                frame = pandas.read_feather(path) if path.suffix == ".feather" else pandas.read_parquet(path)
    except ImportError as error:
        raise ValueError(f"{path}: {path.suffix} files need pyarrow: pip install 'infoscope[data]'") from error
    except Exception as error:  # pandas and its engines raise dozens of kinds
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise ValueError(f"{path}: cannot be read as a table ({first}); is its first line a header?") from error
    return from_frame(frame, str(path), reading)


def from_frame(frame: Any, source: str, reading: Reading, splits: Mapping[str, tuple[int, int]] | None = None) -> Raw:
    """A pandas frame, whose index is left out."""
    asked = reading.label
    if not reading.labels and asked is not None and asked not in frame.columns:
        name = None  # a decoder's table may have lost the column that is to come back
    else:
        name = label_column(list(frame.columns), source, asked)
    others = [column for column in frame.columns if column != name]
    if not len(frame) or not others:
        raise ValueError(f"{source}: has {len(frame)} rows and {len(others)} columns beside {name!r}; nothing to learn")
    y = _target(frame[name], f"{source}: {name!r}") if reading.labels else None
    notes = (f"the column {name!r} is predicted", *doubts(frame[others]))
    x = _texts(frame[others[0]]) if len(others) == 1 else None
    return Raw(features(frame[others], source) if x is None else x, y, splits=splits or {}, notes=notes)


def doubts(frame: Any) -> tuple[str, ...]:
    """What a person may want to know of columns: what is missing, and which a few words keep from being numbers."""
    from pandas import to_numeric

    told = []
    for name in frame.columns:
        column = frame[name]
        if missing := int(column.isna().sum()):
            told.append(f"{name!r} is missing in {missing} of {len(column)} rows")
        if column.dtype.kind in "iufbmMc":
            continue
        present = column.dropna().astype(str)
        read: Any = to_numeric(present, errors="coerce")
        numbers = read.notna()
        if len(present) / 2 < numbers.sum() < len(present):
            odd = present[~numbers].iloc[0]
            told.append(
                f"{name!r} is taken for words, as {int((~numbers).sum())} of its {len(present)} cells are no numbers, "
                f"the first {odd[:20]!r}; leave these empty to have numbers"
            )
    return tuple(told)


def features(frame: Any, source: str) -> Float[np.ndarray, "n columns"]:
    """All columns of a pandas frame as numbers."""
    columns = [_column(frame[name], f"{source}: {name!r}") for name in frame.columns]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _texts(column: Any) -> Texts | None:
    """The texts of a column that holds them."""
    if column.dtype.kind in "iufbmMc":
        return None
    words = np.where(column.isna().to_numpy(), "", column.astype(str).to_numpy(dtype=object)).astype(str)
    return Texts.of(words.tolist()) if len(np.unique(words)) > KINDS else None


def label_column(names: list[Any], source: str, asked: str | None) -> Any:
    """The name of the column to be predicted."""
    if asked is None:
        return next((name for name in LABELS if name in names), names[-1] if names else None)
    if asked not in names:
        raise ValueError(f"{source}: has no column {asked!r}; it has: {', '.join(map(str, names))}")
    return asked


def _column(column: Any, where: str) -> Float[np.ndarray, "n columns"]:
    missing = column.isna().to_numpy()
    if column.dtype.kind in "iuf":
        return _numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), missing, where)
    if column.dtype.kind in "mMc":
        raise ValueError(f"{where} holds {column.dtype}; turn it into numbers, or leave it out")
    words = np.where(missing, "", column.astype(str).to_numpy(dtype=object)).astype(str)
    kinds = np.unique(words[~missing])
    if len(kinds) > KINDS:
        return hashed_words(words)
    found = words[:, None] == kinds
    return np.column_stack([found & ~missing[:, None], missing] if missing.any() else [found]).astype(np.float64)


def _numbers(values: np.ndarray, missing: np.ndarray, where: str) -> Float[np.ndarray, "n columns"]:
    present = values[~missing]
    if not np.isfinite(present).all():
        raise ValueError(f"{where} has {int((~np.isfinite(present)).sum())} infinite values; drop or fix them")
    mean, deviation = (present.mean(), present.std()) if len(present) else (0.0, 1.0)
    standard = (np.where(missing, mean, values) - mean) / (deviation if deviation > 0 else 1)
    return np.column_stack([standard, missing] if missing.any() else [standard])


def _target(column: Any, where: str) -> np.ndarray:
    missing = column.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"{where}, which is to be predicted, is missing in {int(missing.sum())} of {len(column)} rows, the first "
            f"is row {int(missing.argmax())}; drop these rows"
        )
    if column.dtype.kind in "iufb":
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=object).astype(str)


def _pandas(source: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ValueError(f"{source}: tables need pandas: pip install 'infoscope[frame]'") from error
    return pandas
