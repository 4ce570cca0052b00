"""`infoscope export`: the table of a run for other programs."""

from __future__ import annotations

import json as json_
from pathlib import Path

from infoscope.record import saved


def export(run: Path, out: Path, json: bool) -> None:
    """Write the table to `out`, and say how long it is."""
    record = saved(run)
    path = record.export(out)
    rows = f"{len(record):,} row{'s' * (len(record) != 1)}"
    print(json_.dumps({"rows": len(record), "file": str(path)}) if json else f"{rows}: {path}")
