"""A table as a file that other programs read: CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def write_table(rows: Rows, path: Path) -> Path:
    """Write rows, whose columns are all that some row has, to a `.csv` or `.parquet` file; the path.

    A value that a row lacks, or that is unknown, is empty. Lists are joined by spaces; a column of several types is
    text.
    """
    writers = {".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in writers:
        raise ValueError(f"{path}: a table is written as {' or '.join(writers)}; name a file that ends so")
    names = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    writers[path.suffix.lower()](names, [[_plain(row.get(name)) for name in names] for row in rows], path)
    return path


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


def _parquet(names: Sequence[str], rows: Sequence[Sequence[Any]], path: Path) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'infoscope[frame]'; or write a .csv") from error
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    table = {name: _column(values) for name, values in zip(names, columns, strict=True)}
    parquet.write_table(pyarrow.table(table), path)


def _column(values: Sequence[Any]) -> list[Any]:
    """The values; as text where they are of several types that are not all numbers."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        return [None if value is None else str(value) for value in values]
    return [float(value) if value is not None and kinds == {int, float} else value for value in values]
