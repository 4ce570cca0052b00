"""What labels cost under each coder, and how long the coding takes, with preqtorch beside: bits and CPU seconds.

One thread, and coding alone: reading data, importing and a first small coding are not counted. Every row can be
measured alone; results are merged into results/codelength.json, from which results/codelength.md is written.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from infoscope import Learner, Massart, Task
from infoscope.prequential.encode import encode
from infoscope.training.isolation import threaded
from ledger import RESULTS, circumstances, merge, table, told
from peer import Preqtorch
from rows import PEERS, ROWS, Row

LUCK, MARGIN = -20, 15  # bits: what a code of random labels may gain, and lose beyond log2 of its experts
MIXED_IN = 4  # experts that the mixture adds to a coder's own


def main() -> None:
    options = _options()
    chosen = options.only or [name for name, row in ROWS.items() if options.full or not row.long]
    tasks = {}
    for name in chosen:
        row = ROWS[name]
        if row.data != "digits" and options.data is None:
            print(f"{name}: left out; give --data, the folder that holds {row.data} in the Hub's layout")
            continue
        if row.data not in tasks:
            tasks[row.data] = load(row.data, options.data)
        print(name, flush=True)
        with threaded(1):
            result = measure(row, tasks[row.data], options.orders or row.orders, options.examples)
            result["circumstances"] = circumstances(_command(name, options))
        keep(options.out, {name: result})
    print(keep(options.out, {}))


def load(data: str, folder: Path | None) -> Task:
    """The digits, or the training examples of a data set in the folder."""
    if folder is None or data == "digits":
        return Task.from_dataset(data)
    return Task.from_dataset(str(folder / data))["train"]


def measure(row: Row, task: Task, orders: int, examples: int | None) -> dict[str, Any]:
    """Bits and CPU seconds of a row's labels in each order, and their means."""
    task = task[: min(n for n in (examples, row.examples, len(task)) if n)]
    if not isinstance(row.coder, Preqtorch):
        once(row, task[:24], 0)  # warms up, as preqtorch does in its own process
    runs, known = [], []
    for seed in range(orders):
        wrong = 1.0 if row.random else row.noise
        coded = task.corrupted(Massart(wrong), seed) if wrong else task
        runs.append(once(row, coded, seed))
        known.append(noise_bits(row.noise, int((coded.y != task.y).sum()), len(task), task.classes))
        print("  order {}: {:.1f} bits, {:.1f} s".format(seed, *runs[-1]), flush=True)
    bits, seconds = (list(each) for each in zip(*runs, strict=True))
    return {
        "bits": fmean(bits),
        "cpu_seconds": fmean(seconds),
        "examples": len(task),
        "orders": orders,
        "complete": orders >= row.orders and examples is None,
        "uniform_bits": len(task) * math.log2(task.classes),
        "noise_bits": fmean(known),
        "experts": experts(row, task),
        "coder": f"{row.coder!r}" + (f" of {row.network!r}" if row.network else ""),
        "bits_each": bits,
        "cpu_seconds_each": seconds,
    }


def noise_bits(share: float, wrong: int, n: int, classes: int) -> float:
    """What n labels, so many of which are wrong, cost one who knows the right classes and the noise.

    >>> round(noise_bits(2 / 9, 200, 1000, 10) / 1000, 5)
    1.35591
    """
    if not share:
        return 0.0
    p = share * (classes - 1) / classes  # a label that is drawn anew may be the right one
    return -wrong * math.log2(p / (classes - 1)) - (n - wrong) * math.log2(1 - p)


def once(row: Row, task: Task, seed: int) -> tuple[float, float]:
    """Bits and CPU seconds of one order."""
    if isinstance(row.coder, Preqtorch):
        return row.coder(task, seed)
    start = time.process_time()
    curve = encode(task, row.coder, _learner(row), seed)
    return curve.total / math.log(2), time.process_time() - start


def experts(row: Row, task: Task) -> int | None:
    """How many predictions are mixed; the peer has one."""
    if isinstance(row.coder, Preqtorch):
        return None
    learner = _learner(row)
    network = learner.network(task.shape, task.classes, 0) if learner else None
    return len(next(row.coder.experts(task[:24].x, task.target, 0, network))) + MIXED_IN


def keep(folder: Path, rows: Mapping[str, Any]) -> str:
    """The tables of all results, these put in; both files are written."""
    results = merge(folder / "codelength.json", rows, ROWS)
    text = "\n\n".join(tables(results))
    (folder / "codelength.md").write_text(f"{text}\n\n{told(results)}\n")
    return text


def tables(results: Mapping[str, Any]) -> list[str]:
    """One table of codes beside the peer and what is to be reached, one of random labels."""
    header = ("row", "examples", "orders", "bits", "above the noise", "sd", "CPU s", "peer's bits / bits",
              "peer's s / s", "bits to reach", "s to reach", "reached")  # fmt: skip
    codes = [_code_cells(name, result, results) for name, result in results.items() if not ROWS[name].random]
    noise = [_noise_cells(name, result) for name, result in results.items() if ROWS[name].random]
    narrow = ("random labels", "examples", "seeds", "least excess, bits", "greatest", "allowed", "within", "CPU s")
    return [table(head, rows) for head, rows in ((header, codes), (narrow, noise)) if rows]


def _code_cells(name: str, result: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    row, peer = ROWS[name], results.get(PEERS.get(ROWS[name].data, ""))
    if peer is not None and peer["examples"] != result["examples"]:
        peer = None
    spread = f"{stdev(result['bits_each']):.1f}" if result["orders"] > 1 else ""
    noise = result.get("noise_bits", 0.0)
    above = f"{result['bits'] - noise:.1f}" if noise else ""
    beside = [f"{_ratio(peer, result, k):.2f}" if peer else "" for k in ("bits_each", "cpu_seconds_each")]
    aims = [(row.bits, result["bits"]), (row.seconds, result["cpu_seconds"])]
    to_reach = ["" if most is None else f"≤ {most:g}" for most, _ in aims]
    return [
        name, f"{result['examples']}", f"{result['orders']}", f"{result['bits']:.1f}", above, spread,
        f"{result['cpu_seconds']:.1f}", *beside, *to_reach, _verdict(aims) if result["complete"] else "",
    ]  # fmt: skip


def _ratio(peer: Mapping[str, Any], result: Mapping[str, Any], key: str) -> float:
    """Peer's mean by ours, over the orders that both have coded."""
    common = min(peer["orders"], result["orders"])
    return fmean(peer[key][:common]) / fmean(result[key][:common])


def _verdict(aims: list[tuple[float | None, float]]) -> str:
    """In words, for bits and seconds apart.

    >>> _verdict([(190, 180.0), (3, 4.0)])
    'bits yes, s no'
    """
    words = [
        f"{unit} {'yes' if value <= most else 'no'}"
        for unit, (most, value) in zip(("bits", "s"), aims, strict=True)
        if most
    ]
    return ", ".join(words)


def _noise_cells(name: str, result: Mapping[str, Any]) -> list[str]:
    excess = [bits - result["uniform_bits"] for bits in result["bits_each"]]
    most = MARGIN + math.log2(result["experts"])
    within = all(LUCK <= e <= most for e in excess)
    return [
        name, f"{result['examples']}", f"{result['orders']}", f"{min(excess):.1f}", f"{max(excess):.1f}",
        f"{LUCK} to {most:.1f}", "yes" if within else "no", f"{result['cpu_seconds']:.1f}",
    ]  # fmt: skip


def _learner(row: Row) -> Learner | None:
    return Learner(row.network) if row.network else None


def _command(name: str, options: argparse.Namespace) -> str:
    """The command that measures this row alone; the data's place is the user's own."""
    words = ["python benchmarks/codelength.py --only", name]
    words += ["--data DIR"] if ROWS[name].data != "digits" else []
    words += [f"--{k} {v}" for k in ("orders", "examples") if (v := getattr(options, k))]
    return " ".join(words)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="this row; may be repeated")
    parser.add_argument("--full", action="store_true", help="all rows, the long ones too")
    parser.add_argument("--data", type=Path, help="the folder that holds `mnist` in the Hub's parquet layout")
    parser.add_argument("--orders", type=int, help="so many orders in place of each row's own, for a trial")
    parser.add_argument("--examples", type=int, help="at most so many examples, for a trial")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
