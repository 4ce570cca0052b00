from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from infoscope.measurement import Measurement, Status
from infoscope.record import Record
from infoscope.report import write_html
from infoscope.report.side_by_side import side_by_side

VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Elements, their attributes and text; fails on a tag that closes another one."""

    def __init__(self, path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def tags(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]


def test_the_page_stands_on_its_own(tmp_path, record, figures):
    page = Page(write_html(tmp_path / "deep" / "report.html", record, title="Digits", figures=figures))
    links = [a[k] for _, a in page.elements for k in ("src", "href", "action", "poster", "srcset") if k in a]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "url(" not in "".join(page.texts["style"])
    assert "@import" not in "".join(page.texts["style"])
    policy = next(a["content"] for a in page.tags("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_the_page_is_semantic(tmp_path, record, figures):
    facts, terms = {"command": "infoscope difficulty digits"}, {"L(y|x)": "codelength"}
    path = write_html(tmp_path / "r.html", record, title="T", lead="L.", figures=figures, facts=facts, glossary=terms)
    page = Page(path)
    assert page.tags("html") == [{"lang": "en"}]
    assert page.texts["h1"] == ["T"]
    assert page.texts["h2"] == ["The numbers", "Figures", "How it was made", "Terms"]
    assert {a["scope"] for a in page.tags("th")} == {"row", "col"}
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.tags("a")} <= set(ids)
    assert {a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a} <= set(ids)


def test_every_number_and_warning_stands_in_the_markup(tmp_path, record):
    text = write_html(tmp_path / "r.html", record, title="T").read_text()
    for shown in (
        ">187.0</data>",
        "± <data",
        "upper bound",
        ">exact<",
        "0.1041",
        "one replicate: unknown",
        ">1,797<",
        ">prequential codelength<",
    ):
        assert shown in text
    assert f"<b>Not converged:</b> {Status.NOT_CONVERGED.value}." in text
    assert "± is one standard error, over orders." in text
    for receipt in ("replay code — L(y|x)", "<dd>0 to 2</dd>", "<dd>0.1.0</dd>"):
        assert receipt in text


def test_each_row_says_what_its_error_is_over_when_they_differ(tmp_path, record):
    from infoscope.measurement import Measurement, Receipt

    record.append(Measurement("I(X;T)", 1.0, 0.1, receipt=Receipt("KSG", over="a jackknife")))
    text = write_html(tmp_path / "r.html", record, title="T").read_text()
    assert text.count("over orders</span>") == 3
    assert text.count("over a jackknife</span>") == 1


def test_the_record_can_be_read_back(hostile_report, hostile):
    page = Page(hostile_report)
    data = [text for text in page.texts["script"] if text.startswith('{"measurements"')]
    rows = json.loads(data[0])["measurements"]
    assert [row.get("task") for row in rows] == [hostile] * 5 + [None]


def test_a_hostile_name_opens_no_element(hostile_report):
    page = Page(hostile_report)
    assert page.tags("img") == []
    kinds = [a.get("type", a.get("id")) for a in page.tags("script")]
    assert kinds == ["application/json", "application/json", None, None]
    assert all("onerror" not in a for _, a in page.elements)
    assert all(a["href"].startswith("#") for a in page.tags("a"))
    assert "bold" not in page.texts["b"]


def test_no_script_carries_what_would_end_it():
    for name in ("vendor/plotly-cartesian.min.js", "assets/report.js"):
        script = files("infoscope.report").joinpath(name).read_text(encoding="utf-8").lower()
        assert not re.search(r"</script|<!--|<script", script)


def test_a_report_without_figures_carries_no_plotting_library(tmp_path, record):
    assert write_html(tmp_path / "r.html", record, title="T").stat().st_size < 100_000


def test_an_empty_record_says_so(tmp_path):
    assert "No measurement was made." in write_html(tmp_path / "r.html", Record(), title="T").read_text()


def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path, record, monkeypatch):
    path = write_html(tmp_path / "r.html", record, title="old")

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_html(path, record, title="new")
    assert "<h1>old</h1>" in path.read_text()
    assert os.listdir(tmp_path) == ["r.html"]


def test_the_same_report_is_the_same_file(tmp_path, record, figures):
    a, b = (write_html(tmp_path / n, record, title="T", figures=figures).read_bytes() for n in ("a.html", "b.html"))
    assert a == b


def test_importing_the_report_imports_nothing_heavy():
    code = "import sys, infoscope.report as r; print({'torch', 'rich', 'numpy', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def _themes() -> dict[str, dict[str, str]]:
    style = files("infoscope.report").joinpath("assets/report.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    return {
        name: dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for name, block in zip(("light", "dark", "print"), blocks, strict=True)
    }


def _contrast(a: str, b: str) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_contrast_meets_wcag_aa(theme):
    c = _themes()[theme]
    text = [(c[a], c[b]) for a in ("ink", "soft", "accent") for b in ("paper", "faint")]
    assert all(_contrast(a, b) >= 4.5 for a, b in [*text, (c["warned"], c["warned-paper"])])
    assert all(_contrast(c[f"c{i}"], c["paper"]) >= 3 for i in range(7))


def test_tasks_that_share_quantities_stand_side_by_side():
    record = Record()
    for i, task in enumerate(("clean", "<b>noisy</b>")):
        for layer in (None, "fc1"):
            replicates = {0: 1.0 + i, 1: 1.2 + i}
            record.append(Measurement.from_replicates("d(w0,w)", replicates, unit="1"), task=task, layer=layer)
    record.append(Measurement("QMCM", 3.0, unit="1"), task="clean", layer=None)
    text = side_by_side(record)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", text)]
    assert rows == [
        ["layer", "Quantity", "clean", "&lt;b&gt;noisy&lt;/b&gt;"],
        ["", "d(w0,w)", "1.10 ± 0.10", "2.10 ± 0.10"],
        ["fc1", "d(w0,w)", "1.10 ± 0.10", "2.10 ± 0.10"],
    ]
    record.append(Measurement("d(w0,w)", 9.0, unit="1"), task="clean", layer=None)
    assert side_by_side(record) == ""  # no longer one number a task
    assert side_by_side(Record.of(row for row in record if row.coordinates["task"] == "clean")) == ""
