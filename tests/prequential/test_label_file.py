from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infoscope.data.targets import Boxes, Labels, Real, Tokens
from infoscope.data.task import Task
from infoscope.model_information.codelength import loss_curves
from infoscope.models import MLP, SmallCNN
from infoscope.prequential.encode import encode
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import FIRST, MAGIC, read_header, read_labels, write_labels
from infoscope.prequential.language import known
from infoscope.prequential.range_coder import Compressor, Decompressor
from infoscope.prequential.replay import Replay
from infoscope.training.learner import Learner


@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 12), st.floats(0.01, 5))
@settings(max_examples=60, deadline=None)
def test_any_labels_come_back_within_32_bits_of_their_code_length(seed, n, classes, spread):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, spread), n) * 0.999 + 0.001 / classes
    y = np.array([rng.choice(classes, p=row / row.sum()) for row in p])
    payload = compressed(y, p)
    assert 8 * len(payload) <= -np.log2(p[np.arange(n), y]).sum() + 32
    decompressor = Decompressor(payload)
    assert [decompressor.get(row) for row in p] == y.tolist()


def compressed(y, p) -> bytes:
    compressor = Compressor()
    for symbol, row in zip(y, p, strict=True):
        compressor.put(int(symbol), row)
    return compressor.finish()


def test_an_alphabet_too_large_for_fixed_point_is_written_in_two_digits():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(50_257, 0.1), 200)
    p = 0.999 * p + 0.001 / p.shape[1]
    y = np.array([rng.choice(len(row), p=row / row.sum()) for row in p])
    payload = compressed(y, p)
    assert 8 * len(payload) <= -np.log2(p[np.arange(200), y]).sum() + 32
    decompressor = Decompressor(payload)
    assert [decompressor.get(row) for row in p] == y.tolist()


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
    learner, coder = Learner(MLP((16,))), Replay(start=32)
    (curve,) = loss_curves(task, coder, model=learner, replicates=1, seed=4, examples=80, keep_first=True)
    file = write_labels(tmp_path / "a.bits", task, curve, coder="replay(start=32)", model="mlp")
    decoded = read_labels(file.path, task.x, coder, learner)
    assert np.array_equal(decoded.labels, task.y.numpy()[decoded.index])
    assert len(decoded.labels) == 80


def test_images_that_are_learned_a_little_moved_decode(tmp_path):
    draws = torch.Generator().manual_seed(0)
    y = torch.randint(3, (50,), generator=draws)
    images = Task.from_arrays(torch.randn(50, 1, 14, 14, generator=draws) + y[:, None, None, None], y)
    learner, coder = Learner(SmallCNN((4, 4, 4), 8)), Replay(start=200, replays=2)
    (curve,) = loss_curves(images, coder, model=learner, replicates=1, keep_first=True)
    file = write_labels(tmp_path / "a.bits", images, curve, coder="replay(start=200,replays=2)", model="cnn")
    decoded = read_labels(file.path, images.x, coder, learner)
    assert np.array_equal(decoded.labels, y.numpy()[decoded.index])
    assert curve.total < curve.uniform


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
        write_labels(tmp_path / "a", task, dataclasses.replace(written[1], payload=None), coder="kernel")


def test_the_header_says_what_it_should(task, written):
    header, payload = read_header(written[0].path)
    assert (header.inputs, header.alphabet, header.order) == (task.input_fingerprint, task.alphabet, 0)
    assert len(payload) == header.payload_bytes
    assert header.threads == 1
    assert torch.__version__ in header.versions.values()


def of_every_target():
    """A small task of each target, its coder, and the network of one."""
    draws = np.random.default_rng(0)
    x = draws.standard_normal((40, 4)).astype(np.float32)
    labels = np.where(draws.random((40, 3)) < 0.8, (x[:, :3] > 0).astype(int), -1)
    numbers = np.clip((x[:, :1] + 0.3 * draws.standard_normal((40, 1))).round(3), -4, 4)
    tokens = torch.tensor(draws.integers(0, 5, (8, 6)))
    tokens[2, 3:] = -100
    ids = torch.nn.functional.pad(tokens[:, :-1].clamp(min=0), (1, 0))
    boxes = torch.tensor([-1.0, 0, 0, 0, 0]).repeat(10, 2, 1)
    boxes[::2, 0] = torch.tensor([1, 0.5, 0.5, 0.25, 0.75])
    multi = Task.from_arrays(x, labels, target=Labels(("a", "b", "c")))
    real = Task.from_arrays(x, numbers, target=Real(0.001, -4.0, 4.0))
    text = Task.from_arrays(ids, tokens, target=Tokens(5))
    images = Task.from_arrays(torch.rand(10, 1, 8, 8), boxes, target=Boxes(("cat", "dog"), 1 / 8))
    replay = Replay(start=16, replays=1)
    return {
        "labels, kernel": (multi, Kernel(), None),
        "labels, replay": (multi, replay, Learner(MLP((8,)))),
        "real, kernel": (real, Kernel(), None),
        "real, replay": (real, replay, Learner(MLP((8,)))),
        "real, entk": (real, NTK(), Learner(MLP((8,)))),
        "tokens, kernel": (text, Kernel(), None),
        "tokens, replay": (text, replay, Learner(lambda: torch.nn.Embedding(5, 5))),
        "boxes, kernel": (images, Kernel(), None),
    }


@pytest.mark.parametrize("case", of_every_target())
def test_every_target_comes_back_from_the_inputs_alone(case, tmp_path):
    task, coder, learner = of_every_target()[case]
    curve = encode(task, coder, learner, 3, keep=True)
    file = write_labels(tmp_path / "a.bits", task, curve, coder="c")
    assert file.payload_bits <= curve.total / np.log(2) + 32
    inputs = known(task.x, task.target.mask(task.y)) if isinstance(task.target, Tokens) else task.x
    decoded = read_labels(file.path, inputs, coder, learner)
    assert decoded.header.target == task.target
    np.testing.assert_allclose(decoded.labels, task.y.numpy(), atol=1e-9)


def test_a_part_of_the_sequences_needs_no_other_inputs(tmp_path):
    task, coder, _ = of_every_target()["tokens, kernel"]
    file = write_labels(tmp_path / "a.bits", task, encode(task, coder, None, 0, 3, keep=True), coder="kernel")
    decoded = read_labels(file.path, torch.zeros_like(task.x), coder)
    np.testing.assert_array_equal(decoded.labels, task.y.numpy()[decoded.index])
    assert len(decoded.labels) == 3


def test_a_file_of_the_first_form_is_read(task, written, tmp_path):
    file, _ = written
    line, payload = file.path.read_bytes()[len(MAGIC) :].split(b"\n", 1)
    fields = json.loads(line)
    fields["alphabet"] = fields.pop("target")["alphabet"]
    for name in ("shape", "mask"):
        del fields[name]
    fields["versions"]["constriction"] = ""
    (tmp_path / "first").write_bytes(FIRST + json.dumps(fields).encode() + b"\n" + payload)
    assert np.array_equal(read_labels(tmp_path / "first", task.x, Kernel()).labels, task.y.numpy())


def test_a_file_of_a_later_version_says_so(written, tmp_path):
    (tmp_path / "later").write_bytes(written[0].path.read_bytes().replace(b"labels 2", b"labels 3", 1))
    with pytest.raises(ValueError, match="later version"):
        read_header(tmp_path / "later")
