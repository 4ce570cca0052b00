from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from infoscope.data.combine import like, union
from infoscope.data.corruption import Massart, MissingPixels, ShuffledLabels
from infoscope.data.inputs import as_inputs, count, each, floats, pieces, select, shape_of, take
from infoscope.data.partition import partition
from infoscope.data.targets import Tokens
from infoscope.data.task import Task

IDS = np.arange(24).reshape(8, 3)
MASK = np.arange(24).reshape(8, 3) % 4 > 0


@pytest.fixture
def tokens() -> Task:
    return Task.from_arrays({"input_ids": IDS, "mask": MASK}, [0, 1] * 4, splits={"train": (0, 6), "test": (6, 8)})


def test_bytes_become_floats_a_block_at_a_time_to_the_bit(monkeypatch):
    every = torch.arange(256).to(torch.uint8).repeat(3)
    images = every.reshape(4, 8, 8, 3).permute(0, 3, 1, 2)  # channels last
    monkeypatch.setattr("infoscope.data.inputs.PIECE", 200)
    for x in (every, images):
        assert torch.equal(floats(x), x.float() / 255)
        assert floats(x).is_contiguous()


def test_fingerprints_and_ids_of_arrays_of_floats_are_those_of_every_receipt():
    """Written by the version that knew nothing but float32 and classes."""
    digits = Task.from_dataset("digits")
    assert digits.fingerprint == "8bd25ccf8bbd4ad2c149a06e8eba7539"
    assert digits.input_fingerprint == "5a4452d43f3b6cd16a62680860420ba7"
    assert (digits.ids[0], digits.ids[-1]) == (4120630712279760896, 4120630712279762692)
    assert np.bitwise_xor.reduce(digits.content_hashes) == -3611247314858472389
    noisy = digits.corrupted(Massart(0.1), 2)
    assert noisy.fingerprint == "7da2976668deda62da803601eb80e6de"
    images = Task.from_arrays(np.arange(24, dtype=np.uint8).reshape(4, 3, 2), [0, 1, 2, 1], alphabet="abcd")
    assert (images.fingerprint, images.ids[0]) == ("b3f7dce60c6a670f058a9ed954faf4fc", 2862532957606772736)
    column = Task.from_arrays(np.arange(8.0) / 3, [0, 1] * 4)
    assert (column.fingerprint, column.ids[0]) == ("32225d52e8867919df3945bdeffb39ca", 4438898006640558080)


def test_fingerprints_of_boxes_too(shared_data):
    task = Task.from_dataset(shared_data("voc_animals"), size=32)
    assert task.fingerprint == "fee86d12b909af5dddebc94a9bee5a2c"


def test_a_mapping_keeps_types_and_axes(tokens):
    assert tokens.shape == {"input_ids": (3,), "mask": (3,)}
    assert {name: t.dtype for name, t in tokens.x.items()} == {"input_ids": torch.int64, "mask": torch.bool}
    assert len(tokens["test"]) == count(tokens["test"].x) == 2
    shuffled = tokens.shuffled(1)
    order = np.random.default_rng(1).permutation(8)
    assert torch.equal(shuffled.x["input_ids"], torch.from_numpy(IDS[order]))
    assert torch.equal(shuffled.x["mask"], torch.from_numpy(MASK[order]))
    with pytest.raises(ValueError, match=r"has inputs by name \(input_ids, mask\)"):
        _ = tokens.array


def test_every_array_type_and_name_of_a_mapping_counts_in_the_fingerprint(tokens):
    def fingerprint(**x):
        return Task.from_arrays(x, [0, 1] * 4).fingerprint

    same = fingerprint(mask=MASK, input_ids=IDS)
    assert same == tokens.fingerprint
    others = [
        fingerprint(input_ids=IDS, mask=~MASK),
        fingerprint(input_ids=IDS + 1, mask=MASK),
        fingerprint(input_ids=IDS.astype(np.int32), mask=MASK),
        fingerprint(ids=IDS, mask=MASK),
        fingerprint(input_ids=IDS),
    ]
    assert len({same, *others}) == 6


def test_content_hashes_see_every_array_of_an_example():
    ids, mask = np.array([[1, 2], [1, 2], [1, 2]]), np.array([[1, 1], [1, 1], [1, 0]])
    hashes = Task.from_arrays({"ids": ids, "mask": mask}, [0, 1, 0]).content_hashes
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_mapping_is_cut_in_three_united_corrupted_and_sent(tokens, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path))
    parts = partition(tokens)
    assert sorted([*parts.train.ids, *parts.validation.ids, *parts.coded.ids]) == sorted(tokens.ids)
    both = union(tokens["test"], tokens["train"])
    assert torch.equal(both.x["mask"], torch.from_numpy(np.concatenate([MASK[6:], MASK[:6]])))
    assert tokens.corrupted(Massart(0.5)).x is tokens.x
    with pytest.raises(ValueError, match="needs images"):
        tokens.corrupted(MissingPixels(0.1))
    with pytest.raises(ValueError, match="only images are scaled"):
        like(tokens, Task.from_arrays(np.zeros((2, 3)), [0, 1]))
    renamed = pickle.loads(pickle.dumps(like(tokens["test"], union(tokens, tokens, disjoint=False))))
    assert torch.equal(renamed.x["mask"], tokens["test"].x["mask"])
    back = pickle.loads(pickle.dumps(tokens[1:5]))
    assert (back.fingerprint, back.shape) == (tokens[1:5].fingerprint, tokens.shape)


def test_tokens_are_inputs_of_integers_that_nothing_reinterprets():
    task = Task.from_arrays(IDS, IDS, target=Tokens(24))
    assert (task.x.dtype, task.shape) == (torch.int64, (3,))
    with pytest.raises(ValueError, match="their own inputs"):
        task.corrupted(ShuffledLabels())
    with pytest.raises(ValueError, match="not one label an example"):
        task.corrupted(Massart(0.1))


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    [
        (np.zeros((2, 5, 6, 3), np.uint8), (5, 6, 3), torch.uint8),
        (np.zeros((2, 4, 5), np.int16), (4, 5), torch.int16),
        (np.zeros((2, 3, 4, 5, 6), np.float64), (3, 4, 5, 6), torch.float64),
        (torch.zeros(2, dtype=torch.bfloat16), (), torch.float32),
    ],
)
def test_as_is_keeps_what_it_is_given(x, shape, dtype):
    task = Task.from_arrays(x, [0, 1], as_is=True)
    assert (task.shape, task.x.dtype) == (shape, dtype)
    assert len(set(task.content_hashes)) == 1


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}, r"unlike numbers of rows \(a 2, b 3\)"),
        ({}, "a mapping of nothing"),
        ({1: np.zeros(2)}, "give arrays by name"),
        ({"a": np.array([[0.0], [np.nan]])}, r"x\['a'\] has 1 of 2 rows with NaN or infinity, the first is row 1"),
        ({"a": np.array(["x", "y"])}, "not numbers"),
        (np.zeros((2, 1), complex), "not numbers"),
        (np.zeros((2, 3, 4, 5, 6)), "say as_is=True"),
    ],
)
def test_inputs_that_cannot_be_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        as_inputs(x)


def test_sparse_matrices_become_dense():
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 2.0, 3.0])
    assert torch.equal(as_inputs(sparse.csr_matrix(dense)), torch.from_numpy(dense).float())
    with pytest.raises(ValueError, match=r"sparse, \(1000000, 1000000\), and too large to be made dense"):
        as_inputs(sparse.csr_matrix((10**6, 10**6)))


def test_a_read_only_array_is_copied_rather_than_written_to():
    x = np.zeros((2, 2), np.float32)
    x.flags.writeable = False
    Task.from_arrays(x, [0, 1]).x.add_(1)
    assert (x == 0).all()


def test_every_array_is_handled_alike():
    x = {"a": torch.arange(5), "b": torch.arange(10.0).reshape(5, 2)}
    assert shape_of(x) == {"a": (), "b": (2,)}
    assert take(x, [1])["b"].tolist() == select(x, [1])["b"].tolist() == [[2, 3]]
    assert [len(part["a"]) for part in pieces(x, 2)] == [2, 2, 1]
    assert each(x, len) == {"a": 5, "b": 5}


def test_tasks_of_one_target_unite_and_others_do_not():
    x = np.zeros((2, 2))
    real, other = Task.from_arrays(x, [0.5, 1.0]), Task.from_arrays(x, [0.5, 2.0])
    assert union(real, real).y.tolist() == [[0.5], [1.0]] * 2
    with pytest.raises(ValueError, match="a union takes tasks of one target"):
        union(real, other)
