"""preqtorch as a coder, which runs in its own environment and times itself there.

As a command: all settings of peers/settings.jsonl on the digits in the order of seed 0, and their table, best first.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infoscope import Task
from infoscope.data.task import coding_order
from ledger import RESULTS, table

HERE = Path(__file__).parent / "peers"
PYTHON = HERE / ".venv" / "bin" / "python"


@dataclass(frozen=True)
class Preqtorch:
    """preqtorch with these settings; see `Setting` in peers/preqtorch_code.py."""

    setting: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, task: Task, seed: int) -> tuple[float, float]:
        """Bits and CPU seconds of the task's labels in the order of this seed, the same that our coders send."""
        if not PYTHON.exists():
            raise SystemExit(f"{PYTHON.parent.parent} is missing; `make benchmarks` makes it")
        index = coding_order(len(task), seed)
        with tempfile.TemporaryDirectory() as folder:
            arrays = Path(folder) / "labels.npz"
            np.savez(arrays, x=task.x.numpy()[index], y=task.y.numpy()[index], classes=task.classes)
            command = [PYTHON, HERE / "preqtorch_code.py", arrays, "--seed", str(seed)]
            done = subprocess.run(
                [*command, "--setting", json.dumps(dict(self.setting))],
                stdout=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=True,
            )
        answer = json.loads(done.stdout)
        return answer["bits"], answer["cpu_seconds"]


def main() -> None:
    digits = Task.from_dataset("digits")
    rows = []
    for line in (HERE / "settings.jsonl").read_text().splitlines():
        bits, seconds = Preqtorch(json.loads(line))(digits, 0)
        rows.append((bits, f"{seconds:.1f}", f"`{line}`"))
        print(*rows[-1], flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = table(("bits", "CPU s", "setting"), [(f"{bits:.1f}", *rest) for bits, *rest in sorted(rows)])
    (RESULTS / "preqtorch_settings.md").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
