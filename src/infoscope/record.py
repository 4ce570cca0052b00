"""An ordered table of measurements and where they stand: epoch, layer, task, model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoscope.measurement import Bound, Measurement, Receipt, Status
from infoscope.table_file import write_table
from infoscope.unreadable import listed

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

Coordinate = str | int | float | bool | None


@dataclass(frozen=True)
class Row:
    """One measurement at its coordinates."""

    coordinates: Mapping[str, Coordinate]
    measurement: Measurement


class Record:
    """Measurements in the order in which they were made.

    With a `path`, every row is a line of JSON that is on disk before `append` returns; opening the same path again
    reads what an interrupted run left, without a last line that was torn.

    >>> record = Record()
    >>> record.append(Measurement("L(y|x)", 2.0), task="digits", order=0)
    >>> [(row.coordinates["task"], row.measurement.value) for row in record]
    [('digits', 2.0)]
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self._rows: list[Row] = list(_read(self.path)) if self.path is not None and self.path.exists() else []

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Record:
        """A record in memory of these rows."""
        record = cls()
        record._rows.extend(rows)
        return record

    def append(self, measurement: Measurement, **coordinates: Coordinate) -> None:
        """Add one measurement at its coordinates."""
        if self.path is not None:
            line = json.dumps({"coordinates": coordinates, "measurement": measurement.to_json()}, allow_nan=False)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                # A torn last line of a crashed writer must not swallow this one.
                if file.tell() and not _ends_with_newline(file):
                    file.write(b"\n")
                file.write(line.encode() + b"\n")
        self._rows.append(Row(coordinates, measurement))

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, **coordinates: Coordinate) -> list[Measurement]:
        """The measurements at these coordinates, in order."""
        wanted = coordinates.items()
        return [row.measurement for row in self if wanted <= row.coordinates.items()]

    def dicts(self) -> list[dict[str, Any]]:
        """One flat JSON-ready dictionary a row: its coordinates, then the measurement in bits."""
        return [{**row.coordinates, **row.measurement.as_dict()} for row in self]

    def to_pandas(self) -> pandas.DataFrame:
        """The table as a pandas data frame, values in bits."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("a data frame needs pandas: pip install 'infoscope[frame]'") from error
        return pandas.DataFrame(self._flat())

    def export(self, path: str | Path) -> Path:
        """Write the table to a `.csv` or `.parquet` file, values in bits, the columns of `to_pandas`; the path."""
        return write_table(self._flat(), Path(path))

    def plot(self, x: str | None = None) -> list[Axes]:
        """A picture for a notebook, with matplotlib: a panel a quantity, curves along the coordinate `x`.

        Without `x` it is the numeric coordinate with the most values (epoch). Texts (layer, task) name the curves,
        other numbers (seed) are averaged over.
        """
        from infoscope.record_plot import plot

        return plot([(row.coordinates, row.measurement) for row in self], x)

    def _flat(self) -> list[dict[str, Any]]:
        """A row of plain columns each."""
        return [
            {k: v for k, v in row.items() if k not in ("receipt", "replicates")} | {"method": row["receipt"]["method"]}
            for row in self.dicts()
        ]

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        names = list(dict.fromkeys(name for row in self for name in row.coordinates))
        head = "".join(f"<th>{escape(name)}</th>" for name in [*names, "measurement"])
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{escape(str(row.coordinates.get(name, '')))}</td>" for name in names)
            + f"<td>{row.measurement._repr_html_()}</td></tr>"
            for row in self
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def load(run: str | Path) -> pandas.DataFrame:
    """The table of a saved run (its directory, or its `record.jsonl`) as a data frame, values in bits."""
    return saved(run).to_pandas()


def saved(run: str | Path) -> Record:
    """The table of a saved run: its directory, or a table in it such as `record.jsonl`."""
    path = Path(run)
    if path.is_dir():
        # Until a run is whole, its rows stand in the partial table.
        path = next(
            (p for p in (path / "record.jsonl", path / "record.partial.jsonl") if p.exists()), path / "record.jsonl"
        )
    if not path.is_file():
        raise ValueError(f"{run}: has no record.jsonl; give the run directory that a command named")
    return Record(path)


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def _read(path: Path) -> Iterator[Row]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    for number, line in enumerate(lines, start=1):
        try:
            held = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a line torn by a crash
        if why := _flaw(held):
            raise ValueError(f"{path}, line {number}: is no row of a record: {why}; delete the line")
        yield Row(held["coordinates"], Measurement.from_json(held["measurement"]))


_Number = float | int | None
_RECEIPT = {field.name: str for field in dataclasses.fields(Receipt)} | {
    "n": int, "threads": int, "seeds": list, "notes": list,
}  # fmt: skip
_MEASUREMENT = {
    "quantity": str, "value": _Number, "stderr": _Number, "unit": str, "bound": str, "status": list,
    "replicates": dict, "receipt": dict,
}  # fmt: skip


def _flaw(held: Any) -> str:
    """Why this is not what `append` wrote, as far as `Measurement.from_json` looks at it; empty where it is."""
    if not isinstance(held, dict) or not all(isinstance(held.get(k), dict) for k in ("coordinates", "measurement")):
        return "it lacks coordinates or a measurement"
    if not all(isinstance(value, Coordinate) for value in held["coordinates"].values()):
        return "a coordinate is neither a word nor a number"
    told = held["measurement"]
    if flaw := _flaw_of_fields(told, _MEASUREMENT, _MEASUREMENT):
        return flaw
    if flaw := _flaw_of_fields(told["receipt"], _RECEIPT, ("method", "seeds", "notes")):
        return flaw
    if unknown := told["receipt"].keys() - _RECEIPT.keys():
        return f"its receipt has {listed(unknown, 3)}, which this version does not know: take a newer infoscope"
    return _flaw_of_words(told)


def _flaw_of_fields(held: dict[str, Any], kinds: dict[str, Any], needed: Iterable[str]) -> str:
    """A field that is missing, unknown, or of another kind."""
    wrong = [name for name in needed if name not in held]
    wrong += [name for name, value in held.items() if name in kinds and not isinstance(value, kinds[name])]
    return f"its {listed(wrong, 3)} is missing or of another kind" if wrong else ""


def _flaw_of_words(told: dict[str, Any]) -> str:
    if told["unit"] not in ("nat", "1") or told["bound"] not in [bound.value for bound in Bound]:
        return f"its unit {told['unit'][:20]!r} or its bound {told['bound'][:20]!r} is unknown"
    if odd := [name for name in told["status"] if not isinstance(name, str) or name not in Status.__members__]:
        return f"it has the status {listed(odd, 3)}, which this version does not know: take a newer infoscope"
    numbers = {"value": told["value"], "stderr": told["stderr"], **told["replicates"]}
    if odd := [name for name, value in numbers.items() if not _is_number(value)]:
        return f"its {listed(odd, 3)} is no number"
    if odd := [seed for seed in told["replicates"] if not _is_whole(seed)]:
        return f"its replicate {listed(odd, 3)} is no seed"
    return ""


def _is_number(value: object) -> bool:
    """None for an unknown one; a whole number must be one of a float's."""
    return isinstance(value, _Number) and not (isinstance(value, int) and abs(value) > 1e300)


def _is_whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal() and len(word) < 20
