"""The studies as a wheel installs them: `infoscope study NAME`, from any folder."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from infoscope.cli.source import options_of
from infoscope.cli.study import study_of
from infoscope.studies import STUDIES

ROOT = Path(__file__).resolve().parents[2]
SHARED = str(ROOT.parent / "shared" / "data")

STUDY = {
    "as_if_random": ("--epochs", "3", "--late", "2", "--replicates", "2", "--jobs", "2"),
    "delta_skip": ("--epochs", "3", "--replicates", "2"),
    "images": ("--data", "digits", "--epochs", "1", "--replicates", "2", "--examples", "50"),
    "information_plane_tishby": ("--epochs", "3", "--replicates", "2"),
    "invariance": (
        *("--epochs", "2", "--replicates", "2", "--width", "2", "--betas", "0.1", "1", "10", "--plain", "0", "1"),
        *("--nuisances", "clutter"),
    ),
    "invertibility": ("--epochs", "2", "--replicates", "2"),
    "layer_compression": ("--epochs", "2", "--replicates", "2"),
    "parameter_sweep": ("--epochs", "2", "--replicates", "2", "--what", "bins"),
    "quantised": ("--epochs", "2", "--replicates", "2", "--bits", "2"),
    "weight_distance": ("--what", "experiment1", "--replicates", "3", "--epochs", "1", "--examples", "60"),
    "ablation": (
        *("--data", "digits", "--size", "8", "--widths", "2", "2", "2", "--k", "8", "--train", "40", "--epochs", "1"),
        *("--start", "8", "--replicates", "2"),
    ),
    "difficulty": (
        *("--sets", "digits", "digits", "--examples", "60", "--k", "10", "--coder", "replay(replays=1, start=8)"),
        *("--replicates", "2"),
    ),
    "distillation": ("--train", "40", "--k", "20", "--replicates", "2", "--coder", "replay(replays=1, start=8)"),
    "mislabelled": ("--sets", "wine", "--rates", "0.1"),
    "more_labels": ("--sets", "iris", "--examples", "120", "--replicates", "2"),
    "capacity": (
        *("--sets", "digits", "--alphabets", "2", "3", "4", "--size", "8", "--k", "8", "--train", "40"),
        *("--start", "8", "--memorise", "2", "--replicates", "2"),
    ),
    "renamed_classes": ("--train", "60", "--k", "20", "--replicates", "2", "--epochs", "2"),
    "similarity": ("--data", str(ROOT.parent / "shared" / "data"), "--k", "20", "--digits", "60", "--replicates", "2"),
    "probing": ("--data", SHARED, "--examples", "40", "--train", "60", "--epochs", "1", "--replicates", "1"),
    "forgetting": ("--k", "20", "--train", "40", "--epochs", "2", "--replicates", "2"),
    "certificate": ("--steps", "20", "--draws", "20"),
    "fisher_over_training": (
        *("--data", SHARED, "--train", "100", "--test", "100", "--epochs", "4", "--every", "2", "--replicates", "2"),
    ),
    "critical_period": (
        *("--data", "digits", "--train", "64", "--k", "50", "--epochs", "4", "--lengths", "1", "2", "--window"),
        *("1", "--onsets", "0", "2", "--widths", "2", "2", "2", "--coded", "5", "--replicates", "2"),
    ),
    "transfer": ("--data", SHARED, "--k", "20", "--train", "32", "--epochs", "2", "--replicates", "2"),
    "effective_information": (
        *("--widths", "3", "--epochs", "10", "--batches", "32", "128", "--rates", "0.1", "0.3", "--flow", "1"),
        *("--replicates", "3"),
    ),
    "fisher_shannon": (
        *("--examples", "20", "--replicates", "4", "--networks", "4", "--width", "3", "--until", "2.2"),
        *("--epochs", "10"),
    ),
    "phase_transition": (
        *("--examples", "20", "--width", "2", "--betas", "0.1", "1", "--rounds", "1", "--draws", "2", "--epochs", "1"),
        *("--replicates", "2"),
    ),
    "trade_off": (
        *("--examples", "20", "--width", "2", "--betas", "0.1", "1", "--rounds", "1", "--draws", "2", "--epochs", "1"),
        *("--replicates", "2"),
    ),
    "select_expert": (
        *("--data", SHARED, "--tasks", "3", "--experts", "3", "--examples", "20", "--pairs", "0", "--epochs", "1"),
    ),
    "choosing": ("--data", SHARED, "--examples", "20", "--replicates", "1", "--sets", "office31_webcam"),
}
"""How little of each study of the table runs in seconds."""


@pytest.fixture
def installed(tmp_path):
    """Call `python` in an empty folder, with the studies where the wheel puts them."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    (target,) = build["force-include"].values()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "studies", tmp_path / "site" / target, ignore=ignored)
    (tmp_path / "site" / "infoscope").symlink_to(ROOT / "src" / "infoscope")
    (tmp_path / "elsewhere").mkdir()
    paths = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True
        )

    return call


def test_every_study_of_the_table_has_a_tiny_form_here():
    assert set(STUDIES) == set(STUDY)


def test_a_study_runs_once_and_gives_the_same_page_again(installed, tmp_path):
    words = ("-m", "infoscope", "study", "as_if_random", "--activations", "tanh", *STUDY["as_if_random"])
    first = installed(*words, "--out", "run", "--page", "first.md")
    assert first.returncode == 0, first.stderr
    looks = {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere" / "run" / "units").iterdir()}
    assert installed(*words, "--out", "run", "--page", "second.md").returncode == 0
    assert looks == {path: path.stat().st_mtime_ns for path in looks}
    one, other = ((tmp_path / "elsewhere" / name).read_text(encoding="utf-8") for name in ("first.md", "second.md"))
    assert one == other
    assert "    infoscope study as_if_random --scale small --epochs 3" in one


def test_studies_are_listed_and_others_refused(installed):
    assert set(json.loads(installed("-m", "infoscope", "study", "--json").stdout)["studies"]) == set(STUDIES)
    assert "no study 'nothing'; there are as_if_random" in installed("-m", "infoscope", "study", "nothing").stderr


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_a_frozen_value_whose_paper_names_its_fields(name):
    kind = study_of(name)
    assert kind.__dataclass_params__.frozen
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert set(kind.paper) <= set(fields)
    assert set(options_of(kind.__doc__)[1]) == set(fields)


@pytest.mark.long
@pytest.mark.parametrize("name", STUDY)
def test_a_study_of_the_table_runs(installed, name):
    if SHARED in STUDY[name] and not Path(SHARED).is_dir():
        pytest.skip(f"needs real data in {SHARED}")
    done = installed("-m", "infoscope", "study", name, *STUDY[name])
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr
