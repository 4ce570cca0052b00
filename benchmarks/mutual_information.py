"""How far estimates of mutual information lie from known truths, how honest their errors are, and what they cost.

Every cell (estimator, setting, n, seed) is kept in results/mutual_information.json as soon as it is measured, and is
not measured again while the estimator's own description stays the same; results/mutual_information.md has the tables.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from infoscope.mi import KSG, METHODS, mutual_information
from infoscope.mi.estimate import default
from infoscope.mi.method import Method
from infoscope.mi.sample import as_points, read
from infoscope.training.isolation import threaded
from ledger import RESULTS, circumstances, merge, table, told
from network_settings import NETWORKS
from settings import BMI, Known
from unseen_settings import UNSEEN

SETTINGS: dict[str, Known] = BMI | NETWORKS | UNSEEN

OPTIONS = {"ksg-3": KSG(3)}
"""Rows beside those of the table: an estimator with other options, for comparison with the literature."""

SIZES = (5000, 1000, 500)
PUBLISHED_KSG = 0.233
"""KSG's mean absolute error, nat, over the 40 settings at n = 5000 in the literature (Czyż et al. 2023)."""

GOAL = 0.5
"""Share of it that the default's is to stay under."""


LOW = 3.0
"""Nats below which the errors over settings that nothing was chosen on are counted, and what is asked of them by n."""

UNSEEN_GOAL = {5000: 0.04, 500: 0.10}


def main() -> None:
    options = _options()
    if options.check:
        check()
        return
    for row, cells in wanted(options):
        for setting, seed in cells:
            keep(options.out, row, setting, seed, options)
    print(write(options.out))


def wanted(options: argparse.Namespace) -> Iterator[tuple[tuple[str, int], list[tuple[str, int]]]]:
    """The rows (estimator, n) and which (setting, seed) each of them lacks."""
    results = _read(options.out)
    for n in options.n or SIZES:
        for name in options.only or estimators():
            row = results.get(f"{name} n={n}", {})
            done = row.get("cells", {}) if row.get("method") == described(name) and not options.again else {}
            yield (
                (name, n),
                [
                    (setting, seed)
                    for seed in range(options.seeds)
                    for setting in options.setting or SETTINGS
                    if able(estimators()[name], SETTINGS[setting]) and str(seed) not in done.get(setting, {})
                ],
            )


def estimators() -> dict[str, Method | None]:
    """By name: the default, which is what `mutual_information` chooses when none is named; and every row of the table
    that is for one of the settings and is not the default itself.
    """
    rows: dict[str, Method] = METHODS | OPTIONS
    others = {name: each for name, each in rows.items() if each not in defaults()}
    return {"default": None} | {n: each for n, each in others.items() if any(able(each, s) for s in SETTINGS.values())}


def defaults() -> list[Method]:
    """The default's choice for each pair of kinds."""
    few, labels = np.zeros((4, 1)), np.arange(4) % 2
    points, classes = as_points(few, "x"), read(labels, "y")
    return [default(points, points), default(points, classes), default(classes, classes)]


def able(method: Method | None, known: Known) -> bool:
    """Whether an estimator is for this setting, by what it takes and claims."""
    if method is None:
        return True
    claims = method.claims
    if claims.estimates != "information":  # between labels, which are their own cells, it is the same
        return claims.estimates == "cells" and known.kind == "labels-labels" and "labels-labels" in method.takes
    kinds = {"points-points"} if known.kind == "points-points" else {"points-labels"}
    kinds |= {"labels-labels"} if known.kind == "labels-labels" else set()
    return bool(kinds & set(method.takes)) and known.dims <= (claims.dims or known.dims)


def keep(folder: Path, row: tuple[str, int], setting: str, seed: int, options: argparse.Namespace) -> None:
    """Measure a cell and put it into its row; a row of an estimator that has changed begins anew."""
    name, n = row
    key = f"{name} n={n}"
    with threaded(1):
        cell = measure(name, setting, n, seed)
    print(f"{key} {setting} {seed}: {cell}", flush=True)
    whole = _read(folder).get(key, {})
    if whole.get("method") != described(name):
        whole = {"method": described(name), "cells": {}}
    whole["cells"].setdefault(setting, {})[str(seed)] = cell
    command = f"python benchmarks/mutual_information.py --only {name} --n {n} --seeds {options.seeds}"
    whole["circumstances"] = circumstances(command)
    merge(folder / "mutual_information.json", {key: whole}, _order())


def measure(name: str, setting: str, n: int, seed: int) -> dict[str, Any]:
    """Error, reported standard error and CPU seconds of one estimate; or the estimator's refusal."""
    known = SETTINGS[setting]
    x, y = known.sample(n, np.random.default_rng([seed, zlib.crc32(setting.encode())]))
    method = estimators()[name]
    if method and known.kind == "labels-labels" and "labels-labels" not in method.takes:
        x = x.astype(np.float64)
    start = time.process_time()
    try:
        found = mutual_information(x, y, method, seed=seed, strict=False)
    except ValueError as refusal:
        return {"refused": str(refusal)}
    return {
        "error": round(found.value - known.information, 6),
        "stderr": None if math.isnan(found.stderr) else round(found.stderr, 6),
        "cpu_seconds": round(time.process_time() - start, 3),
        "status": sorted(status.name for status in found.status),
    }


def described(name: str) -> str:
    """What the estimator is, with its parameters; the default's choice for each pair of kinds."""
    method = estimators()[name]
    return "; ".join(map(repr, defaults() if method is None else [method]))


def write(folder: Path) -> str:
    """The tables, also written to mutual_information.md."""
    results = _read(folder)
    text = "\n\n".join(tables(results))
    (folder / "mutual_information.md").write_text(f"{text}\n\n{told(results)}\n")
    return text


def tables(results: Mapping[str, Any]) -> list[str]:
    """Whole suites first, then every setting's mean error."""
    parts = [words for words in (_verdict(results), *(_unseen(results, n) for n in UNSEEN_GOAL)) if words]
    suites = (
        ("the 40 settings of BMI", BMI),
        ("layers of networks", NETWORKS),
        ("settings that no constant was chosen on", UNSEEN),
    )
    for title, suite in suites:
        rows = [cells for key, row in results.items() if (cells := _suite_cells(key, row, suite, results))]
        header = ("estimator", "n", "settings", "seeds", "mean absolute error, nat", "KSG's here", "bias",
                  "largest error", "covered", "CPU s")  # fmt: skip
        if rows:
            parts.append(f"Over {title}:\n\n{table(header, rows)}")
    parts += [_each(results, n) for n in SIZES if any(key.endswith(f" n={n}") for key in results)]
    return parts


def _verdict(results: Mapping[str, Any]) -> str:
    """In words, once the default has answered at all 40 settings."""
    found = [_absolute(cells) for s in BMI if (cells := answers(results.get("default n=5000", {}), s))]
    if len(found) < len(BMI):
        return ""
    most = GOAL * PUBLISHED_KSG
    return (
        f"The default's mean absolute error over the 40 settings at n = 5000 is {fmean(found):.3f} nat, "
        f"to reach ≤ {most:.4f} (half of KSG's published {PUBLISHED_KSG}): {'yes' if fmean(found) <= most else 'no'}"
    )


def _unseen(results: Mapping[str, Any], n: int) -> str:
    """What is asked over the settings that nothing was chosen on, in words, once the default and KSG have answered."""
    rows = [results.get(f"{name} n={n}", {}) for name in ("default", "ksg")]
    cells = {s: answers(rows[0], s) for s in UNSEEN}
    if not all(cells.values()):
        return ""
    low = [s for s, known in UNSEEN.items() if known.information < LOW]
    within = fmean(
        abs(c["error"]) <= 2 * c["stderr"] for each in cells.values() for c in each if c["stderr"] is not None
    )
    shared = {s: other for s in UNSEEN if (other := answers(rows[1], s))}
    mine, theirs = (fmean(_absolute(each[s]) for s in shared) for each in (cells, shared)) if shared else (1.0, 0.0)
    return (
        f"Over {len(UNSEEN)} settings that no constant was chosen on, at n = {n}: the default's mean absolute error is "
        f"{fmean(_absolute(cells[s]) for s in low):.3f} nat over the {len(low)} below {LOW:g} nats, to reach "
        f"≤ {UNSEEN_GOAL[n]:.2f}; {within:.0%} of all truths lie within two standard errors, to reach 90 %; KSG's "
        f"error is {theirs / mine:.1f} times the default's over the {len(shared)} that it takes, to reach 2"
    )


def _suite_cells(
    key: str, row: Mapping[str, Any], suite: Mapping[str, Known], results: Mapping[str, Any]
) -> list[str] | None:
    name, n = key.split(" n=")
    found = {s: values for s in suite if (values := answers(row, s))}
    if not found:
        return None
    cells = [cell for values in found.values() for cell in values]
    ksg = results.get(f"ksg n={n}", {})
    shared = {s: other for s in found if (other := answers(ksg, s))}
    beside = fmean(_absolute(other) for other in shared.values()) if len(shared) == len(found) else None
    within = [abs(cell["error"]) <= 2 * cell["stderr"] for cell in cells if cell["stderr"] is not None]
    worst = max(found, key=lambda s: _absolute(found[s]))
    return [
        name, n, f"{len(found)}", f"{max(map(len, found.values()))}",
        f"{fmean(map(_absolute, found.values())):.3f}",
        "" if beside is None else f"{beside:.3f}",
        f"{fmean(fmean(cell['error'] for cell in values) for values in found.values()):+.3f}",
        f"{fmean(cell['error'] for cell in found[worst]):+.3f} (`{worst}`)",
        f"{fmean(within):.0%} of {len(within)}" if within else "",
        f"{fmean(cell['cpu_seconds'] for cell in cells):.2f}",
    ]  # fmt: skip


def _each(results: Mapping[str, Any], n: int) -> str:
    """Mean error of every estimator at every setting."""
    names = [name for name in estimators() if f"{name} n={n}" in results]
    rows = []
    for setting, known in SETTINGS.items():
        each = [answers(results[f"{name} n={n}"], setting) for name in names]
        if any(each):
            errors = [f"{fmean(cell['error'] for cell in cells):+.3f}" if cells else "" for cells in each]
            rows.append([f"`{setting}`", f"{known.information:.4f}", *errors])
    return f"Mean error at n = {n}, nat:\n\n{table(('setting', 'truth', *names), rows)}"


def answers(row: Mapping[str, Any], setting: str) -> list[dict[str, Any]]:
    """The cells of a setting, refusals left out."""
    return [cell for cell in row.get("cells", {}).get(setting, {}).values() if "error" in cell]


def _absolute(cells: Sequence[Mapping[str, Any]]) -> float:
    return fmean(abs(cell["error"]) for cell in cells)


def _read(folder: Path) -> dict[str, Any]:
    file = folder / "mutual_information.json"
    return json.loads(file.read_text()) if file.exists() else {}


def _order() -> list[str]:
    return [f"{name} n={n}" for n in SIZES for name in estimators()]


def check(pairs: int = 100_000) -> None:
    """Every truth of the 40 against its mean log-ratio over a sample, and every warp against the way back."""
    for name, known in BMI.items():
        x, y = known.base.sample(pairs, np.random.default_rng(0))
        ratios = known.base.log_ratio(x, y)
        error = float(ratios.std()) / math.sqrt(pairs)
        off = float(ratios.mean()) - known.information
        again = known.unwarped(*known.sample(pairs, np.random.default_rng(0)))
        astray = max(float(np.abs(a - b).max()) for a, b in zip(again, (x, y), strict=True))
        print(f"{name}: {known.information:.6f} nat, a sample {off:+.4f} ± {error:.4f}, back within {astray:.0e}")
        if abs(off) > 4 * error + 1e-9 or astray > 1e-6:
            raise SystemExit(f"{name}: the closed form and the sample differ")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(estimators()), help="this estimator; may be repeated")
    parser.add_argument("--setting", action="append", choices=list(SETTINGS), help="this setting; may be repeated")
    parser.add_argument("--n", action="append", type=int, choices=SIZES, help="this sample size; may be repeated")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0, 1 …: so many samples of every setting")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--check", action="store_true", help="check truths and warps, and measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
