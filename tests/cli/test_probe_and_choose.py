from __future__ import annotations

import json

import numpy as np


def test_probe_ranks_the_layers_of_a_file(infoscope, tmp_path):
    draws = np.random.default_rng(0)
    y = draws.integers(2, size=80)
    np.savez(tmp_path / "layers.npz", noise=draws.normal(size=(80, 4)), label=np.eye(2)[y])
    np.save(tmp_path / "labels.npy", y)
    done = infoscope("probe", "layers.npz", "labels.npy", "--replicates", 1, "--json")
    rows = json.loads(done.stdout)["measurements"]
    own = {row["layer"]: row["value"] for row in rows if row["quantity"] == "L(y|x)" and row["control"] == "none"}
    assert own["label"] < 15 < 60 < own["noise"]
    shares = {row["layer"]: row["value"] for row in rows if row["quantity"] == "P(best)"}
    assert shares["label"] > 0.99


def test_choose_takes_networks_behind_the_data(infoscope):
    words = "--frozen", "--examples", 30, "--replicates", 1
    done = infoscope("choose", "iris", "mlp", "mlp(widths=(4,))", *words)
    assert "Which network to start from for the 30 labels of iris is open: mlp" in " ".join(done.stdout.split())
    told = infoscope("choose", "iris", "mlp", "mlp(widths=(4,))", *words, "--dry-run").stdout
    assert "3 codes" in told
