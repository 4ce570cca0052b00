from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from infoscope.data.raw import Reading
from infoscope.data.readers import inputs
from infoscope.data.targets import Tokens
from infoscope.data.task import Task
from infoscope.data.text import from_documents
from infoscope.data.texts import Texts


def said(task) -> bytes:
    return b"".join(bytes(row[row >= 0].tolist()) for row in task.y)


@pytest.fixture
def poem(tmp_path):
    file = tmp_path / "poem.txt"
    file.write_bytes("über\nallen\n\nGipfeln".encode())
    return file


def test_every_byte_is_said_once(poem):
    task = Task.from_dataset(poem, length=8)
    assert (task.target, len(task), task.y.shape) == (Tokens(256), 3, (3, 8))
    assert said(task) == poem.read_bytes()
    assert (task.y[-1] == -100).sum() == 24 - len(poem.read_bytes())


def test_inputs_lie_one_place_behind(poem):
    task = Task.from_dataset(poem, length=8)
    assert task.x[:, 0].tolist() == [0, 0, 0]
    known = task.y[:, :-1] >= 0
    assert (task.x[:, 1:][known] == task.y[:, :-1][known]).all()


def test_a_line_a_document(poem):
    task = Task.from_dataset(poem, lines=True, length=6)
    assert [bytes(row[row >= 0].tolist()).decode() for row in task.y] == ["über\n", "allen\n", "\n", "Gipfel", "n"]


def test_a_folder_of_texts_has_its_files_as_splits(tmp_path):
    for name, text in {"train": "abcd" * 5, "valid": "xy", "test": "z"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    task = Task.from_dataset(tmp_path, length=10)
    assert {name: said(task[name]) for name in task.splits} == {"train": b"abcd" * 5, "validation": b"xy", "test": b"z"}


class Letters:
    """A tokenizer of letters, which knows a few."""

    bos_token_id, eos_token_id = 5, 6

    def __init__(self, lossy: bool = False):
        self.lossy = lossy

    def __len__(self):
        return 7

    def encode(self, text, add_special_tokens=True):
        assert not add_special_tokens
        return ["abcde".index(letter) for letter in text]

    def decode(self, tokens):
        return "".join("abcde"[token] for token in tokens).removesuffix("e" if self.lossy else "")


def test_a_tokenizer_in_the_place_of_bytes():
    raw = from_documents(["abc", "de"], "text", Reading(tokenizer=Letters()), ["train", "test"])
    assert (raw.target, raw.splits) == (Tokens(7), {"train": (0, 1), "test": (1, 2)})
    assert raw.y.tolist() == [[0, 1, 2, 6], [3, 4, 6, -100]]
    assert raw.x.tolist() == [[5, 0, 1, 2], [5, 3, 4, 6]]


def test_a_tokenizer_that_loses_text_is_refused():
    from_documents(["abc"], "text", Reading(tokenizer=Letters(lossy=True)))
    with pytest.raises(ValueError, match="Letters does not give back the text that it encodes"):
        from_documents(["abe"], "text", Reading(tokenizer=Letters(lossy=True)))
    with pytest.raises(TypeError, match="method_descriptor is no tokenizer"):
        from_documents(["abe"], "text", Reading(tokenizer=str.split))


def test_other_libraries_tokenizers_are_taken():
    bare = {"encode": lambda text: [*text.encode()], "decode": lambda ids: bytes(ids).decode()}
    encoding = SimpleNamespace(n_vocab=256, **bare)
    assert from_documents(["ab"], "text", Reading(tokenizer=encoding)).y.tolist() == [[97, 98]]
    ids = SimpleNamespace(
        encode=lambda text, add_special_tokens: SimpleNamespace(ids=[*text.encode()]),
        decode=lambda ids: bytes(ids).decode(),
        get_vocab_size=lambda: 300,
    )
    raw = from_documents(["ab"], "text", Reading(tokenizer=ids))
    assert (raw.target, raw.y.tolist()) == (Tokens(300), [[97, 98]])


def test_what_is_no_text_is_refused(tmp_path, poem):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="holds no text"):
        Task.from_dataset(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes("Größe".encode("latin-1"))
    with pytest.raises(ValueError, match=r"is not UTF-8 text \(byte 2\)"):
        Task.from_dataset(tmp_path / "latin.txt")
    with pytest.raises(ValueError, match="holds text, whose tokens are both sides"):
        inputs(str(poem))


@pytest.mark.parametrize(
    ("name", "splits"), [("tinyshakespeare", {"train": 4358}), ("wikitext2", {"test": 4909, "validation": 4381 + 1})]
)
def test_real_text(shared_data, name, splits):
    task = Task.from_dataset(shared_data(name))
    assert {split: len(task[split]) for split in task.splits} == splits
    files = sorted(shared_data(name).glob("*.txt"))
    assert said(task) == b"".join(file.read_bytes() for file in files)
    assert np.unique(task.ids).size == len(task)


def test_texts_keep_their_words_on_the_way_to_another_process(tmp_path, monkeypatch):
    """A copy whose words were lost would be coded as a table of hashes, in other bits."""
    monkeypatch.setenv("INFOSCOPE_CACHE", str(tmp_path))
    task = Task.from_arrays(Texts.of(["no", "yes \0 é", "no", "perhaps"]), [0, 1, 0, 1])
    some = pickle.loads(pickle.dumps(task[[3, 1]]))
    assert isinstance(some.x, Texts)
    assert some.x.words() == ["perhaps", "yes \0 é"]
    assert torch.equal(some.x[:], task.x[[3, 1]])
