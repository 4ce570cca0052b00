"""What many labels cost: bits, CPU seconds and the most memory held, of one order by `Kernel`, in one thread.

    python benchmarks/scale.py --data DIR --n 60000 [--set mnist | cifar10] [--device cuda]

Up to a set's own training examples these are sent. Of MNIST there may be more: its 60,000 are gone through again and
again, from the second time on each turned, sheared, scaled and moved a little at random (up to 15°, 10 %, 10 % and two
pixels), and mapped from a file. Such are no new handwriting, and cost less than as many new digits: what is measured is
time and memory. Every n runs in a process of its own, as memory is the most that a process ever held.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from infoscope import Classes, Task
from infoscope.prequential.encode import encode
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.rows import many
from infoscope.training.isolation import threaded
from ledger import RESULTS, circumstances, merge, table, told

GIB, HOUR = 2**30, 3600
ASKED = 1_000_000


def more(task: Task, n: int, folder: Path, seed: int = 0) -> Task:
    """So many examples, those beyond the task's own moved about at random, in a file of bytes that is mapped."""
    file, labels = folder / "images.npy", task.y.numpy()[np.arange(n) % len(task)]
    images = np.lib.format.open_memmap(file, "w+", np.uint8, (n, *task.x.shape[1:]))
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, n, 2000):
        places = torch.arange(start, min(n, start + 2000))
        x = task.x[places % len(task)]
        images[start : start + len(x)] = (255 * (x if start < len(task) else moved(x, generator))).round().byte()
    images.flush()
    return Task.from_arrays(np.load(file, mmap_mode="r"), labels, target=task.target)


def moved(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image under an affine map of its own."""
    angle, shear, scale, across, down = (
        reach * (2 * torch.rand(len(x), generator=generator) - 1)
        for reach in (math.radians(15), 0.1, 0.1, 4 / x.shape[3], 4 / x.shape[2])
    )
    cos, sin = angle.cos() * (1 + scale), angle.sin() * (1 + scale)
    maps = torch.stack([cos, shear - sin, across, sin, cos, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)


def measure(task: Task, n: int, device: str) -> dict[str, Any]:
    """One order of n labels."""
    with tempfile.TemporaryDirectory() as folder, threaded(1):
        coded = task[:n] if n <= len(task) else more(task, n, Path(folder))
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        curve = encode(coded, Kernel(), None, 0, device=device)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bits = curve.total / math.log(2)
    return {"n": n, "bits": bits, "cpu_seconds": seconds, "gib": peak * 1024 / GIB, "gib_before": before * 1024 / GIB}


def foretold(rows: list[dict[str, Any]]) -> str:
    """The straight line through the seconds of MNIST's streamed rows; what it says of a million that was not run."""
    streamed = [row for row in rows if row["set"] == "mnist" and row["device"] == "cpu" and many(row["n"])]
    if len(streamed) < 2:
        return ""
    each, start = np.polyfit([row["n"] for row in streamed], [row["cpu_seconds"] for row in streamed], 1)
    used = ", ".join(f"{row['n']:,}" for row in streamed)
    line = f"The line through MNIST's {used} is {start:.0f} + {1e3 * each:.2f} n/1000 CPU s."
    if any(row["n"] >= ASKED for row in streamed):
        return line
    digits = torch.zeros(1, 1, 28, 28).expand(ASKED, 1, 28, 28)
    said = Kernel().bytes_filled(digits, Classes(tuple("0123456789"))) / GIB
    return (
        f"{line} A million would take {(start + each * ASKED) / HOUR:.1f} hours in one thread, and `Kernel` says "
        f"beforehand that it fills at most {said:.1f} GiB: a forecast, no measurement."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds mnist and cifar10")
    parser.add_argument("--set", default="mnist", choices=("mnist", "cifar10"))
    parser.add_argument("--n", type=int, action="append", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--alone", action="store_true", help="in this process, the row as JSON")
    given = parser.parse_args()
    if given.alone:
        task = Task.from_dataset(str(given.data / given.set))["train"]
        print(json.dumps(measure(task, given.n[0], given.device)))
        return
    for n in given.n:
        words = ["--data", str(given.data), "--set", given.set, "--n", str(n), "--device", given.device]
        done = subprocess.run([sys.executable, __file__, *words, "--alone"], capture_output=True, text=True, check=True)
        here = circumstances(f"python benchmarks/scale.py --data DIR --set {given.set} --n {n}")
        row = json.loads(done.stdout) | {"set": given.set, "device": given.device, "circumstances": here}
        keep(given.out, {f"{given.set} {n} {given.device}": row})
    print(keep(given.out, {}))


def keep(folder: Path, rows: dict[str, Any]) -> str:
    """All rows as a table, these put in."""
    file = folder / "scale.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    order = sorted({**known, **rows}.items(), key=lambda item: (item[1]["set"], item[1]["device"], item[1]["n"]))
    kept = merge(file, rows, [name for name, _ in order])
    cells = [
        [name.split()[0], f"{row['n']}", row["device"], f"{row['bits']:.0f}", f"{row['cpu_seconds']:.0f}",
         f"{1e3 * row['cpu_seconds'] / row['n']:.2f}", f"{row['gib']:.2f}", f"{row['gib_before']:.2f}"]
        for name, row in kept.items()
    ]  # fmt: skip
    header = ["data", "labels", "device", "bits", "CPU s", "ms a label", "most GiB", "GiB before"]
    text = "\n\n".join(part for part in (table(header, cells), foretold(list(kept.values())), told(kept)) if part)
    file.with_suffix(".md").write_text(f"{text}\n")
    return text


if __name__ == "__main__":
    main()
