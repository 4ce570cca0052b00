from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest

DRY = """
import sys
from infoscope.cli import run
run(["difficulty", sys.argv[1], "--replicates", "2", "--jobs", "1", "--dry-run"])
print(sorted({"datasets", "torch._dynamo", "sklearn"} & set(sys.modules)))
"""


def test_a_dry_run_loads_neither_the_hub_s_library_nor_torch_s_compiler(tmp_path):
    """A folder in the Hub's layout, a convolutional network, its training and both kinds of codes."""
    image, parquet = pytest.importorskip("PIL.Image"), pytest.importorskip("pyarrow.parquet")
    import pyarrow

    draws, folder = np.random.default_rng(0), tmp_path / "pictures"
    folder.mkdir()
    features = {"image": {"mode": "L", "_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, n in (("train", 40), ("test", 20)):
        rows = []
        for picture in draws.integers(0, 255, (n, 16, 16), dtype=np.uint8):
            image.fromarray(picture).save(file := io.BytesIO(), "png")
            rows.append({"bytes": file.getvalue(), "path": None})
        table = pyarrow.table({"image": rows, "label": [i % 2 for i in range(n)]}).replace_schema_metadata(told)
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    done = subprocess.run(
        [sys.executable, "-c", DRY, str(folder)], capture_output=True, text=True, check=True,
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), "INFOSCOPE_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert "6 codes, 2 trainings and 2 predictions" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
