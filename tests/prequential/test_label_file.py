from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infoscope.data.task import Task
from infoscope.model_information.codelength import loss_curves
from infoscope.models import MLP
from infoscope.prequential import range_coder
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import MAGIC, read_header, read_labels, write_labels
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 12), st.floats(0.01, 5))
@settings(max_examples=60, deadline=None)
def test_any_labels_come_back_within_32_bits_of_their_code_length(seed, n, classes, spread):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, spread), n) * 0.999 + 0.001 / classes
    y = np.array([rng.choice(classes, p=row / row.sum()) for row in p])
    payload = range_coder.encode(y, p)
    assert 8 * len(payload) <= -np.log2(p[np.arange(n), y]).sum() + 32
    assert np.array_equal(range_coder.decode(payload, fixed(p), n), y)


def fixed(p):
    """A code whose predictions do not depend on the labels."""
    for row in p:  # noqa: UP028 - an array has no `send`
        yield row


@pytest.fixture(scope="module")
def task() -> Task:
    return Task.from_dataset("digits")[:300]


@pytest.fixture(scope="module")
def written(task, tmp_path_factory):
    (curve,) = loss_curves(task, Kernel(), replicates=1, keep_first=True)
    return write_labels(tmp_path_factory.mktemp("bits") / "labels.bits", task, curve, coder="kernel"), curve


def test_labels_come_back_from_the_inputs_alone(task, written):
    file, curve = written
    decoded = read_labels(file.path, task.x, Kernel())
    assert np.array_equal(decoded.labels, task.y.numpy())
    assert np.array_equal(decoded.index, np.arange(300))
    assert file.payload_bits <= curve.total / np.log(2) + 32


def test_a_network_s_own_code_decodes_too(task, tmp_path):
    learner, coder = Learner(MLP((16,))), Replay(floor=32)
    (curve,) = loss_curves(task, coder, model=learner, replicates=1, seed=4, examples=80, keep_first=True)
    file = write_labels(tmp_path / "a.bits", task, curve, coder="replay(floor=32)", model="mlp")
    decoded = read_labels(file.path, task.x, coder, learner)
    assert np.array_equal(decoded.labels, task.y.numpy()[decoded.index])
    assert len(decoded.labels) == 80


def test_other_inputs_versions_and_cut_files_are_refused(task, written, tmp_path):
    path = written[0].path
    with pytest.raises(ValueError, match="other inputs"):
        read_labels(path, task.x + 1, Kernel())
    with pytest.raises(ValueError, match="300 inputs; these are 299"):
        read_labels(path, task.x[:299], Kernel())
    data = path.read_bytes()
    (tmp_path / "cut").write_bytes(data[:-3])
    with pytest.raises(ValueError, match="cut short"):
        read_header(tmp_path / "cut")
    (tmp_path / "text").write_bytes(b"hello\n")
    with pytest.raises(ValueError, match="not a label file"):
        read_header(tmp_path / "text")
    with pytest.raises(ValueError, match="cannot be read"):
        read_header(tmp_path / "nothing")
    line, payload = data[len(MAGIC) :].split(b"\n", 1)
    header = json.loads(line)
    header["versions"]["torch"] = "1.0"
    (tmp_path / "old").write_bytes(MAGIC + json.dumps(header).encode() + b"\n" + payload)
    with pytest.raises(ValueError, match=r"torch 1\.0"):
        read_labels(tmp_path / "old", task.x, Kernel())


def test_a_damaged_payload_is_noticed(task, written, tmp_path):
    data = bytearray(written[0].path.read_bytes())
    data[-4] ^= 0xFF
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(ValueError, match=r"check|payload cannot come"):
        read_labels(tmp_path / "bad", task.x, Kernel())


def test_a_curve_without_predictions_cannot_be_written(task, written, tmp_path):
    with pytest.raises(ValueError, match="did not keep"):
        write_labels(tmp_path / "a", task, dataclasses.replace(written[1], p=None), coder="kernel")


def test_the_header_says_what_it_should(task, written):
    header, payload = read_header(written[0].path)
    assert (header.inputs, header.alphabet, header.order) == (task.input_fingerprint, task.alphabet, 0)
    assert len(payload) == header.payload_bytes
    assert header.threads == 1
    assert torch.__version__ in header.versions.values()
