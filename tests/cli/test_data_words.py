"""Options of reading hold for every data set that a command is given, or are refused."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from infoscope import Blur, NoiseImages, PermutedClasses, Task, VerticalFlip
from infoscope.cli import run
from infoscope.cli.command import options, question_of
from infoscope.cli.options import DataOptions
from infoscope.cli.words import WORDS
from infoscope.data.named import NamedTask
from infoscope.questions import QUESTIONS

AS_TRAINED = {"trained_on"}
"""Data that weights have seen: they are as they were."""

DATA_WORDS = [
    (name, option)
    for name in QUESTIONS
    for option in options(question_of(name))
    if option.word is not None and option.word.reads_data
]


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> str:
    """A data set whose classes have no names."""
    file = tmp_path_factory.mktemp("data") / "numbered.npz"
    np.savez(file, x=np.eye(30), y=np.arange(30) // 10)
    return str(file)


@pytest.mark.parametrize(("name", "option"), DATA_WORDS, ids=[f"{name}-{option.name}" for name, option in DATA_WORDS])
def test_what_is_read_is_read_as_was_asked(name, option, numbered):
    word = (numbered,) if option.word.kind == tuple[str, ...] else numbered
    found = option.value(word, DataOptions(classes=5, corrupt=("shuffled-labels",)))
    (task,) = found if isinstance(found, tuple) else [found]
    task = task.read() if isinstance(task, NamedTask) else task
    assert task.classes == 5
    shuffled = not np.array_equal(task.labels, np.sort(task.labels))
    assert shuffled == (option.name not in AS_TRAINED)


def test_every_field_of_data_is_among_them():
    read = {(name, option.name) for name, option in DATA_WORDS}
    for name in QUESTIONS:
        for field in dataclasses.fields(question_of(name)):
            if re.match(r"(Any)?Tasks?\b", str(field.type)):
                assert (name, field.name) in read


def test_a_corruption_behind_a_name_is_for_it_alone():
    reading = DataOptions(corrupt=("massart=0.5",))
    both, one = WORDS["Tasks"].read(("iris~shuffled-labels", "iris"), reading)
    assert both.name == "iris~shuffled-labels~massart=0.5"
    assert one.name == "iris~massart=0.5"
    (named,) = WORDS["Tasks"].read(("iris:rows=0..90~massart=0.5",), DataOptions())
    assert len(named) == 90
    with pytest.raises(ValueError, match="write the level as a fraction"):
        WORDS["Task"].read("iris~massart", DataOptions())


def test_a_word_that_means_two_things_is_explained_as_both(capsys):
    assert run(["explain", "noise"]) == 0
    told = capsys.readouterr().out
    assert "noise (a corruption): Every image is Gaussian noise" in told
    assert "noise (a question)" in told


def test_deficits_are_words_like_corruptions():
    digits = Task.from_dataset("digits")
    reading = DataOptions(corrupt=("blur=2,4", "flip", "permute", "noise"))
    found = WORDS["Tasks"].read(("digits",), reading)
    deficits = (Blur(2), Blur(4), VerticalFlip(), PermutedClasses(), NoiseImages())
    assert [one.fingerprint for one in found] == [digits.corrupted(one).fingerprint for one in deficits]
    assert WORDS["Task"].read("digits~flip~blur", DataOptions()).name == "digits~vertical-flip~blur=4"
    for word, told in (
        ("digits~blur=0.5", "write the level as a whole number, such as blur=4"),
        ("digits~flip=1", "flip has no level"),
        ("iris~blur", "Blur needs images"),
        ("digits~blur=3", "cannot be made 3 times smaller"),
    ):
        with pytest.raises(ValueError, match=told):
            WORDS["Task"].read(word, DataOptions())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["probe", "layers.npz", "--corrupt", "massart=0.5"], "layers.npz: is a file of features.*leave out --corrupt"),
        (["probe", "layers.npz", "y.npy", "--classes", "9"], "y.npy: is a file of labels.*leave out --classes"),
        (["plane", "layers.npz", "--corrupt", "massart=0.5"], "file of activations.*leave out --corrupt"),
        (["plane", "tishby", "--corrupt", "massart=0.5"], "task of the paper.*leave out --corrupt"),
        (["tasks", "here", "--corrupt", "massart=0.5"], "--corrupt: how data are read, and tasks was given none"),
        (["probe", "iris", "iris", "--model", "mlp"], "has labels of its own; leave out the second name"),
    ],
)
def test_options_that_would_do_nothing_are_refused(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("layers.npz", first=np.zeros((4, 2)), y=np.arange(4) % 2)
    np.save("y.npy", np.arange(4) % 2)
    assert run(words) == 1
    assert re.search(told, " ".join(capsys.readouterr().err.split()))


def test_an_option_of_several_data_takes_all_words_behind_it(capsys):
    assert run(["tasks", "embedded", "--sets", "digits", "iris", "--print-config"]) == 0
    assert 'sets = ["digits", "iris"]' in capsys.readouterr().out
