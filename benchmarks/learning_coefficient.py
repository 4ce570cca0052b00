"""Learning coefficients that are known exactly, by our chains and by two peers' SGLD: error and gradients.

    pip download devinterp==2.0.1 canonical-interp==0.1.5 --no-deps -d PEER
    cd PEER && unzip 'devinterp-*.whl' && unzip 'canonical_interp-*.whl'
    python benchmarks/learning_coefficient.py --peer PEER

The same loss, prior N(0, 1) and inverse temperature b = n/log n, n = 10^6, for all. Ours turn no knob: a whole ladder
from the prior, which gives F, KL and λ at every b, and four chains at b alone that start at the truth, as the peers' do
and as `infoscope learning-coefficient` does for larger networks. The peers have a step size to choose; each is told.
canonical-interp's prior is a pull of the same strength towards the truth. A gradient is that of one chain on all data.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from time import process_time
from typing import Any

import torch

from infoscope.weight_information.chains import Path as Way
from infoscope.weight_information.gaussian import isotropic
from infoscope.weight_information.learning_coefficients.reduced_rank import (
    learning_coefficient,
    reduced_rank_loss,
    reduced_rank_truth,
)
from infoscope.weight_information.tempering import Tempered, climb, stay, temper
from ledger import RESULTS, circumstances, merge, table, told

SHAPES = ((5, 5, 3, 1), (5, 5, 3, 0), (4, 8, 3, 1), (3, 4, 8, 1), (10, 10, 5, 3))
B = 1e6 / math.log(1e6)
STEP_SIZES = (1e-7, 1e-6, 1e-5)
PEERS = ("devinterp", "canonical-interp")


def ladder_from_prior(shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """λ_E at b by chains that exchange along a ladder, gradients and CPU seconds."""
    begin, draws, path = process_time(), torch.Generator().manual_seed(0), way(shape)
    ladder = climb(path, [B], draws)
    if ladder is None:
        raise SystemExit(f"no ladder leads to b = {B:g} for {shape}")
    return found(temper(path, *ladder, [B], draws), begin)


def chains_at_b(shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """The same by four chains of 2000 steps at b alone, from the truth."""
    begin, draws, path = process_time(), torch.Generator().manual_seed(0), way(shape)
    ladder = stay(path, reduced_rank_truth(*shape), [B], draws, 4)
    return found(temper(path, *ladder, [B], draws, 2000), begin)


def way(shape: tuple[int, int, int, int]) -> Way:
    """From N(0, 1) to the loss of this regression."""
    prior = isotropic(torch.zeros_like(reduced_rank_truth(*shape)), 1.0)
    return Way(prior, reduced_rank_loss(*shape))


def found(run: Tempered, begin: float) -> dict[str, Any]:
    """What is told of a run."""
    value = B * float(run.last.work[:, -1].mean())
    return {"lambda": value, "gradients": run.gradients, "seconds": process_time() - begin}


def theirs(name: str, shape: tuple[int, int, int, int], lr: float, peer: Path) -> dict[str, Any]:
    """The same by a peer's SGLD with this step size, four chains of 20,000 steps."""
    code = Path(__file__).parent / "peers" / f"{name.replace('-', '_')}_code.py"
    command = [sys.executable, code, *map(str, shape), "--b", str(B), "--lr", str(lr), "--steps", "20000"]
    environment = os.environ | {"PYTHONPATH": str(peer)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = [str(shape) for shape in SHAPES]
    for shape in SHAPES:
        runs = {"a ladder": ladder_from_prior(shape), "chains at b": chains_at_b(shape)}
        runs |= {f"{name}, ε = {lr:g}": theirs(name, shape, lr, given.peer) for name in PEERS for lr in STEP_SIZES}
        truth, multiplicity = learning_coefficient(*shape)
        row = {"truth": truth, "m": multiplicity, "runs": runs}
        row["circumstances"] = circumstances("python benchmarks/learning_coefficient.py --peer PEER")
        kept = merge(given.out / "learning_coefficient.json", {str(shape): row}, names)
        write(given.out / "learning_coefficient.md", kept)
        print(shape, row, flush=True)


def write(file: Path, rows: dict[str, Any]) -> None:
    """The table as Markdown."""
    first = next(iter(rows.values()))["runs"]
    header = ("inputs, outputs, hidden, rank", "λ", *(f"{name} ({_cost(rows, name)})" for name in first))
    lines = [
        (name, f"{row['truth']:g}" + (", m = 2" if row["m"] == 2 else ""),
         *(_cell(one, row["truth"]) for one in row["runs"].values()))
        for name, row in rows.items()
    ]  # fmt: skip
    file.write_text(f"{(__doc__ or '').strip()}\n\n{table(header, lines)}\n\n{told(rows)}\n")


def _cost(rows: dict[str, Any], name: str) -> str:
    """Gradients and seconds of a row, on average."""
    runs = [row["runs"][name] for row in rows.values()]
    gradients, seconds = (sum(run[what] for run in runs) / len(runs) for what in ("gradients", "seconds"))
    return f"{gradients:,.0f} gradients, {seconds:.1f} CPU s"


def _cell(found: dict[str, Any], truth: float) -> str:
    return f"{found['lambda']:.2f} ({found['lambda'] / truth - 1:+.1%})"


if __name__ == "__main__":
    main()
