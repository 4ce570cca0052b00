"""Every number that a method of the table takes: what makes no sense is refused, with the option's name."""

from __future__ import annotations

import dataclasses

import pytest

from infoscope.mi.methods import METHODS

OPTIONS = [
    (name, field.name)
    for name, method in METHODS.items()
    for field in dataclasses.fields(method)
    if isinstance(getattr(method, field.name), int | float) and not isinstance(getattr(method, field.name), bool)
]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_number_that_makes_no_sense_is_refused(name, option, wrong):
    with pytest.raises(ValueError, match=option):
        dataclasses.replace(METHODS[name], **{option: wrong})
