from __future__ import annotations

from infoscope.measurement import Measurement, Receipt
from infoscope.model_information.distillation.answer import _told
from infoscope.model_information.wording import sentences
from infoscope.record import Record, Row


def test_what_rounds_to_nothing_has_no_sign():
    nothing = Measurement("L(M,D)", -0.002, 0.4, receipt=Receipt("", n=10))
    assert "Training put 0.00 ± 0.58 bits about cells" in sentences(Record.of([Row({"task": "cells"}, nothing)]))
    assert _told(nothing) == "0.00 ± 0.58 bits"
