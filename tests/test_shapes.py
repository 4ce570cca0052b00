"""What `conftest.py` does for all tests: an array whose shape isn't what the signature says is an error."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

import infoscope
from infoscope.mi.numerics.neighbours import count_within, nearest
from infoscope.observation.activations import Activations
from infoscope.prequential.graph import nearest_by_rows
from infoscope.prequential.loss_curve import LossCurve

ROOT = Path(infoscope.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if "\nfrom jaxtyping import" in path.read_text()]
POINTS = np.arange(8.0).reshape(4, 2)


@pytest.mark.parametrize("wrong", [POINTS[:, 0], POINTS.astype(int), torch.from_numpy(POINTS)])
def test_a_wrong_shape_or_kind_of_array_fails(wrong):
    assert nearest(POINTS, 1)[0].shape == (4, 1)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"parameters of infoscope\.mi\.numerics\.neighbours\.nearest"):
        nearest(wrong, 1)


def test_axes_of_one_name_have_one_length():
    with pytest.raises(jaxtyping.TypeCheckError, match=r"'radius'[\s\S]*\nn=4"):
        count_within(POINTS, np.ones(3))


def test_what_is_given_back_is_checked(monkeypatch):
    monkeypatch.setattr(torch, "cat", lambda parts: parts[0].T)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"return value of infoscope\.prequential\.graph"):
        nearest_by_rows(torch.arange(10.0)[:, None], 2)


def test_fields_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError, match=r"parameters of .*LossCurve[\s\S]*'margin'"):
        LossCurve(np.zeros(3), np.ones(3, dtype=bool), np.zeros(4), np.arange(3), 2)


def test_every_item_of_a_collection_is_checked():
    Activations({"first": torch.zeros(5, 3), "second": torch.zeros(5, 2)})
    for wrong in (torch.zeros(4, 2), torch.zeros(5), torch.zeros(5, 2).long()):
        with pytest.raises(jaxtyping.TypeCheckError, match=r"parameters of .*Activations"):
            Activations({"first": torch.zeros(5, 3), "second": wrong, "third": torch.zeros(5, 2)})


def test_functions_that_refuse_shapes_themselves_can_be_given_any(any_shape):
    with pytest.raises(ValueError, match="not enough values to unpack"):
        nearest(POINTS[:, 0], 1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shape_can_be_read(path):
    """What can't be read would not be checked, without a word."""
    names = vars(importlib.import_module(".".join(("infoscope", *path.relative_to(ROOT).with_suffix("").parts))))
    for node in ast.walk(ast.parse(path.read_text())):
        annotation = ast.unparse(getattr(node, "annotation", None) or getattr(node, "returns", None) or ast.Constant(0))
        if re.search(r"\b(Float|Int|Integer|UInt\d*|Bool|Shaped)\[", annotation):
            assert eval(annotation, names) is not None
