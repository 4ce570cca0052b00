from __future__ import annotations

import math

import pytest

from infoscope.figure import Bars, Figure, Line
from infoscope.measurement import NATS_PER_BIT, Bound, Measurement, Receipt, Status
from infoscope.record import Record
from infoscope.report import write_html

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)><b>bold</b><a href='https://example.org'>link</a>"
    " & \"q\" '%{y}' \u2028 <!--"
)


def receipt(method: str, name: str = "digits", over: str = "orders") -> Receipt:
    return Receipt(method, data=name, n=1797, seeds=(0, 1, 2), over=over, version="0.1.0", threads=1)


def make_record(name: str = "digits") -> Record:
    """A difficulty record: all kinds of rows that a report must show."""
    replicates = {seed: bits * NATS_PER_BIT for seed, bits in enumerate((181.8, 187.0, 192.2))}
    warned = frozenset({Status.NOT_CONVERGED, Status.UNVERIFIED_SPLIT})
    record = Record()
    for m in (
        Measurement.from_replicates("L(y|x)", replicates, bound=Bound.UPPER, receipt=receipt("replay code", name)),
        Measurement("n log C", 5969.5 * NATS_PER_BIT, 0.0, bound=Bound.EXACT, receipt=receipt("n log 10", name, "")),
        Measurement(
            "L(M,D)", 1520.4 * NATS_PER_BIT, 30.2 * NATS_PER_BIT, status=warned, receipt=receipt("eq. (2)", name)
        ),
        Measurement("accuracy", 0.975, 0.004, "1", receipt=receipt("held out", name)),
        Measurement("confidence", 0.93, math.nan, "1", receipt=receipt("held out", name)),
    ):
        record.append(m, task=name, order=len(record))
    return record


def make_figures(name: str = "order 0") -> list[Figure]:
    """A long curve with a gap and a band, a short one, and bars."""
    x = range(1, 60_001)
    wave = [math.nan if 20_000 < i < 23_000 else 2 + math.sin(i / 4000) for i in x]
    long = Line(name, x, wave, [v - 0.2 for v in wave], [v + 0.2 for v in wave])
    short = Line("uniform", [1, 100, 10_000], [1.0, 2.0, math.inf], dash=True)
    bars = [Bars(name, ["a", name], [1.0, 2.0], [0.9, 1.8], [1.1, 2.1]), Bars("uniform", ["a", name], [3.0, 3.0])]
    return [
        Figure("Cost " + name, "labels sent", "bits per label", [long, short], log_x=True, caption=name),
        Figure("By task", "task", "bits per label", bars),
    ]


@pytest.fixture
def record() -> Record:
    return make_record()


@pytest.fixture
def figures() -> list[Figure]:
    return make_figures()


@pytest.fixture
def hostile() -> str:
    """A name that is markup, script, template and broken JavaScript at once."""
    return HOSTILE


@pytest.fixture
def hostile_report(tmp_path, hostile):
    """A report in which every text is hostile."""
    texts = {hostile: hostile, "command": hostile, "L(y|x)" + hostile: hostile}
    record = make_record(hostile)
    record.append(Measurement("L(y|x)" + hostile, 1.0, 0.1, receipt=receipt(hostile, hostile, hostile)), **{hostile: 1})
    return write_html(
        tmp_path / "hostile.html",
        record,
        title=hostile,
        lead=hostile,
        figures=make_figures(hostile),
        facts=texts,
        glossary=texts,
    )
