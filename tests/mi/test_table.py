"""Adding an estimator is two edits: its file, and its import and row in `mi/methods.py`. All else follows."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import infoscope.mi
from infoscope.cli import listing
from infoscope.method_text import method_of
from infoscope.mi import METHODS, methods, mutual_information
from infoscope.mi.method import Method
from infoscope.testing import checks_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


FILE = '''
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from infoscope.mi.method import Claims, Finding
from infoscope.mi.sample import Side


@dataclass(frozen=True)
class Toy:
    """Correlation of the first columns, as if all else were noise."""

    power: float = 2.0

    takes: ClassVar[tuple[str, ...]] = ("points-points",)
    subsampled: ClassVar[bool] = False
    claims = Claims(assumes="normal", ceiling=False, dims=2)

    def estimate(self, x: Side, y: Side, seed: int) -> Finding:
        rho = np.corrcoef(x.values[:, 0], y.values[:, 0])[0, 1]
        return Finding(-math.log1p(-(abs(rho) ** self.power)) / 2, abs(rho) / math.sqrt(len(x)))
'''


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A copy of the table with a toy in it: the two edits."""
    rows = Path(methods.__file__).read_text(encoding="utf-8")
    rows = rows.replace("\n\nMETHODS", "\nfrom house_of_toys.toy import Toy as Toy\n\nMETHODS")
    rows = rows.rstrip().removesuffix("}") + '    "toy": Toy(),\n}\n'
    house = tmp_path / "house_of_toys"
    house.mkdir()
    for name, text in {"__init__": "", "toy": FILE, "methods": rows}.items():
        (house / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("house_of_toys.methods")
    monkeypatch.setitem(listing.TABLES, "estimators", ("an estimator", "house_of_toys.methods:METHODS"))
    monkeypatch.setattr(methods, "METHODS", module.METHODS)
    yield module.METHODS
    for name in [name for name in sys.modules if name.startswith("house_of_toys")]:
        del sys.modules[name]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("benchmark_of_mi", BENCHMARKS / "mutual_information.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_a_row_is_listed_explained_and_read_from_the_command_line(table):
    assert "Correlation of the first columns" in listing._tables()["estimators"]["toy"]
    assert listing.explain("toy").startswith("toy (an estimator): Correlation")
    assert method_of("toy(power=3.0)", table).power == 3.0


def test_a_row_is_offered_where_another_does_not_take_the_data(table):
    with pytest.raises(ValueError, match=r"use one of .*\btoy\b"):
        mutual_information(np.arange(9.0), np.arange(9.0) ** 2, table["ross"])


def test_a_row_has_its_contract(table):
    assert {"nothing_shared_gives_nothing", "meets_closed_forms"} <= {check.name for check in checks_of(table["toy"])}


def test_a_row_has_its_row_in_the_benchmark(table, benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "METHODS", table)
    assert benchmark.estimators()["toy"] == table["toy"]
    assert benchmark.described("toy") == "Toy(power=2.0)"
    able = {name for name, setting in benchmark.SETTINGS.items() if benchmark.able(table["toy"], setting)}
    assert "1v1-normal-0.75" in able
    assert not able & {"multinormal-dense-2-2-0.5", "bpsk-1", "integer-3"}


def test_the_benchmark_measures_what_is_for_its_settings(benchmark):
    rows = benchmark.estimators()
    assert {"ksg", "lnn", "ross", "probe", "copula", "quantised", "default", "ksg-3"} <= set(rows)
    assert not {"idnns", "kde-upper", "noisy", "largest"} & set(rows)  # other quantities, and the default itself


@pytest.mark.parametrize("name", METHODS)
def test_what_the_table_imports_the_package_offers(name):
    method = METHODS[name]
    assert isinstance(method, Method)
    assert getattr(infoscope.mi, type(method).__name__) is type(method)
    assert type(method).__name__ in infoscope.mi.__all__
