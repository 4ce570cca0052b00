"""Every Python block of the README and the docs runs, one after another in one namespace a page, as a reader would."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import infoscope
from infoscope.mi import KSG

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if "```python" in page.read_text()]


OTHERS = ("lightning", "transformers")
"""Packages of other people that a block may need and that the tests don't install."""


def make_network():
    layers = {"flat": nn.Flatten(), "fc1": nn.Linear(64, 32), "act1": nn.ReLU(), "fc2": nn.Linear(32, 10)}
    return nn.Sequential(OrderedDict(layers))


def train_one_epoch(network):
    """A loop of one's own; here it moves the weights a little."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.01)


@pytest.fixture
def namespace() -> dict[str, Any]:
    """What a reader has before he reads: data, a network, predictions of his own."""
    digits = infoscope.Task.from_dataset("digits")[:600]
    draws = np.random.default_rng(0)
    a = draws.normal(size=(500, 1))
    return {
        "x": digits.x,
        "y": digits.y,
        "p": np.full((600, 10), 0.1),
        "a": a,
        "b": a + draws.normal(size=(500, 1)),
        "make_network": make_network,
        "network": make_network(),
        "Mine": KSG,
        "train_one_epoch": train_one_epoch,
        "learner": infoscope.Learner(make_network, infoscope.Recipe(epochs=2, patience=None)),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, namespace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        try:
            exec(compile(block, str(page), "exec"), namespace)
        except ModuleNotFoundError as error:
            if error.name not in OTHERS:
                raise
