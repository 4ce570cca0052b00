"""`infoscope distillation` as a user calls it."""

from __future__ import annotations

import json


def test_one_row_a_teacher_share_and_reading(infoscope):
    coder = "replay(last_layer=None, replays=1, start=50)"
    words = ("distillation", "digits", "--teacher", "mlp", "--alpha", "0.1", "--alpha", "0.5", "--coder", coder,
             "--train", 40, "--k", 20, "--replicates", 1, "--epochs", 3, "--jobs", 1, "--json")  # fmt: skip
    rows = json.loads(infoscope(*words).stdout)["measurements"]
    gains = [(r["alpha"], r["reading"], r["teacher"]) for r in rows if r["quantity"] == "I(distilled)"]
    assert gains == [(alpha, reading, "mlp") for alpha in (0.1, 0.5) for reading in ("synced", "fresh")]
