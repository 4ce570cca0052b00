"""What the labels of tables cost by the default code, and by what anybody would try first: bits and CPU seconds.

Each baseline is refitted as its prefix grows and mixed over its settings (`baselines.py`); all rows run in one thread,
on the same inputs in the same order. Results are merged into results/tables.json, from which results/tables.md is
written.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from baselines import CLASSIFIERS, REGRESSORS, Baseline, bits_of_classes, bits_of_labels, bits_of_numbers
from infoscope import Kernel, Labels, Mixed, Real, Task
from infoscope.data.task import coding_order
from infoscope.prequential.encode import encode
from infoscope.training.isolation import threaded
from ledger import RESULTS, circumstances, merge, table, told
from table_sets import FILES, NUMBERS, SETS, SEVERAL, several_of, task_of

NUMBER = " as a number"
ROWS = (*SETS, *FILES, *SEVERAL, *(name + NUMBER for name in NUMBERS))


def main() -> None:
    options = _options()
    for name in options.only or ROWS:
        if name not in SETS and options.data is None:
            print(f"{name}: left out; give --data, the folder that holds `tables`")
            continue
        task = read(name, options.data)
        known = merge(options.out / "tables.json", {}, ROWS).get(name) if options.ours else None
        with threaded(1):
            result = measure(task, SETS[name]().oracle if name in SETS else None, known)
        result["circumstances"] = circumstances(f"python benchmarks/tables.py --only {name!r}")
        print(name, {key: value for key, value in result.items() if key != "circumstances"}, flush=True)
        keep(options.out, {name: result})
    print(keep(options.out, {}))


def read(name: str, folder: Path | None) -> Task:
    """A row's task: of classes, of several labels, or of numbers."""
    if name in SEVERAL and folder is not None:
        return several_of(name, folder)
    if not name.endswith(NUMBER):
        return task_of(name, folder)
    return Task.from_dataset(str(folder / "tables" / f"{name.removesuffix(NUMBER)}.csv"), target=Real)


def measure(task: Task, oracle: float | None, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Bits and CPU seconds of all codes, in the order of seed 0; the baselines' as `known`, where they are."""
    order = coding_order(len(task), 0)
    x, y = task.array.numpy()[order], task.y.numpy()[order]
    costs, seconds = {}, {}
    for name, coder in (("mixed", Mixed()), ("kernel", Kernel())):
        start = time.process_time()
        costs[name] = encode(task, coder, None, 0).total / math.log(2)
        seconds[name] = time.process_time() - start
    real = isinstance(task.target, Real)
    for name, baseline in (REGRESSORS if real else CLASSIFIERS).items():
        if known is not None:
            costs[name], seconds[name] = known["bits"][name], known["seconds"][name]
            continue
        start = time.process_time()
        costs[name], seconds[name] = bits_of(baseline, x, y, task), time.process_time() - start
    uniform = float(np.sum(task.target.uniform(task.y)) / math.log(2))
    return {"examples": len(task), "uniform": uniform, "oracle": oracle, "bits": costs, "seconds": seconds}


def bits_of(baseline: Baseline, x: np.ndarray, y: np.ndarray, task: Task) -> float:
    """What a baseline pays for the targets of this task."""
    match task.target:
        case Real():
            return bits_of_numbers(baseline, x, y, task.target)
        case Labels():
            return bits_of_labels(baseline, x, y)
        case _:
            return bits_of_classes(baseline, x, y, task.classes)


def keep(folder: Path, rows: Mapping[str, Any]) -> str:
    """The tables of all results, these put in; both files are written."""
    results = merge(folder / "tables.json", rows, ROWS)
    baselines = {"classes": CLASSIFIERS, "labels": CLASSIFIERS, "numbers": REGRESSORS}
    found = {kind: {name: each for name, each in results.items() if _kind(name) == kind} for kind in baselines}
    parts = [_table(part, baselines[kind]) for kind, part in found.items() if part]
    text = "\n\n".join(parts)
    (folder / "tables.md").write_text(f"{text}\n\n{told(results)}\n")
    return text


def _kind(name: str) -> str:
    return "numbers" if name.endswith(NUMBER) else "labels" if name in SEVERAL else "classes"


def _table(results: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    header = ("row", "examples", "uniform", "oracle", "mixed", "kernel", *baselines, "mixed / best", "s")
    rows = [_cells(name, result, list(baselines)) for name, result in results.items()]
    shares = [_share(result, baselines) for result in results.values()]
    mean = math.exp(fmean(math.log(share) for share in shares))
    return (
        f"{table(header, rows)}\n\nGeometric mean of mixed / best of the others: {mean:.3f}; at most {max(shares):.3f}."
    )


def _cells(name: str, result: Mapping[str, Any], baselines: Sequence[str]) -> list[str]:
    oracle = "" if result["oracle"] is None else f"{result['oracle']:.0f}"
    bits = [f"{result['bits'][key]:.0f}" for key in ("mixed", "kernel", *baselines)]
    share, seconds = _share(result, baselines), result["seconds"]["mixed"]
    return [name, f"{result['examples']}", f"{result['uniform']:.0f}", oracle, *bits, f"{share:.3f}", f"{seconds:.1f}"]


def _share(result: Mapping[str, Any], baselines: Any) -> float:
    return result["bits"]["mixed"] / min(result["bits"][name] for name in baselines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="this row; may be repeated")
    parser.add_argument("--ours", action="store_true", help="measure the baselines of a row only where none are kept")
    parser.add_argument("--data", type=Path, help="the folder that holds `tables` with the real ones")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
