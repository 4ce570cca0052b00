"""Words of the command line as values, by the type of the field that takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from infoscope.bottleneck.nuisances import NUISANCES
from infoscope.cli.options import DataOptions
from infoscope.data.deficit import DEFICITS, KINDS, corruption, corruptions
from infoscope.data.named import NamedTask
from infoscope.data.targets import Classes, Labels, Real, Target, Tokens
from infoscope.data.task import Task
from infoscope.dynamics.schedule import SCHEDULES
from infoscope.method_text import method_of, text_of
from infoscope.model_information.forgetting.continual import ALGORITHMS
from infoscope.prequential.coders import CODERS
from infoscope.training.learner import Weights
from infoscope.training.recipe import OPTIMIZERS
from infoscope.training.weights_file import weights_from

TARGETS: dict[str, type[Target]] = {"classes": Classes, "labels": Labels, "real": Real, "tokens": Tokens}


@dataclass(frozen=True)
class Word:
    """How a field of some type is written on the command line: its type there, how it is read, how a default is shown.

    `reads_data` says that the options of reading data go with it.
    """

    kind: Any
    read: Callable[[Any, DataOptions], Any]
    shown: Callable[[Any], Any] = lambda default: default
    reads_data: bool = False


def _methods() -> Mapping[str, Any]:
    from infoscope.mi.methods import METHODS  # all estimators of mutual information, half a second for who needs none

    return METHODS


def _of_table(table: Callable[[], Mapping[str, Any]]) -> Word:
    return Word(str, lambda text, _: method_of(text, table()), lambda default: text_of(default, table()))


def tasks_from(name: str, reading: DataOptions) -> list[Task]:
    """The task of this name, under each of the corruptions asked for."""
    task = task_from(name, reading)
    return [task.corrupted(one) for word in reading.corrupt for one in corruptions(word)] or [task]


def task_from(name: str, reading: DataOptions) -> Task:
    """The task of this name; a corruption that is for it alone stands behind it, as in `digits~massart=0.1`."""
    plain, sign, word = name.rpartition("~")
    if sign and word.partition("=")[0] in KINDS:
        return task_from(plain, reading).corrupted(corruption(word))
    return Task.from_dataset(
        name,
        classes=reading.classes,
        target=None if reading.target is None else TARGETS[reading.target],
        size=reading.size,
        label=reading.label,
        length=reading.length,
        lines=reading.lines,
        tokenizer=reading.tokenizer,
    )


def _all_tasks(names: tuple[str, ...], reading: DataOptions) -> tuple[Task, ...]:
    return tuple(task for name in names for task in tasks_from(name, reading))


def _weights_or_seed(word: str, reading: DataOptions) -> Weights | int:
    return int(word) if word.isdigit() else weights_from(Path(word))


def _named(name: str, reading: DataOptions) -> NamedTask:
    """A name that may stand for something else than a data set, which is read under the corruption asked for."""
    asked = [f"--{field.name}" for field in fields(reading) if getattr(reading, field.name) != field.default]

    def read() -> Task:
        found = tasks_from(name, reading)
        if len(found) > 1:
            raise ValueError(f"--corrupt was given {len(found)} times; this takes one task")
        return found[0]

    return NamedTask(name, read, tuple(asked))


WORDS: dict[str, Word] = {
    "Tasks": Word(tuple[str, ...], _all_tasks, reads_data=True),
    "Task": Word(str, task_from, reads_data=True),  # what weights have seen, which --corrupt does not change
    "Model": Word(str, lambda text, _: text),
    "AnyTask": Word(str, _named, reads_data=True),
    "PlaneData": Word(str, _named, reads_data=True),
    "Starts": Word(tuple[str, ...], lambda names, _: tuple(names)),
    "AnyCheckpoint": Word(str, lambda path, _: path),
    "AnyEmbeddings": Word(tuple[str, ...], lambda folders, _: tuple(folders)),
    "AnyExperts": Word(tuple[str, ...], lambda words, _: tuple(words)),
    "AnyProbe": Word(str, lambda text, _: text),
    "Checkpoints": Word(tuple[str, ...], lambda paths, _: tuple(paths)),
    "Coder": _of_table(lambda: CODERS),
    "Algorithms": Word(
        tuple[str, ...],
        lambda words, _: tuple(method_of(word, ALGORITHMS) for word in words),
        lambda default: tuple(text_of(one, ALGORITHMS) for one in default),
    ),
    "Deficits": Word(
        tuple[str, ...],
        lambda words, _: tuple(method_of(word, DEFICITS) for word in words),
        lambda default: tuple(text_of(one, DEFICITS) for one in default),
    ),
    "Nuisance": _of_table(lambda: NUISANCES),
    "Optimizer": _of_table(lambda: OPTIMIZERS),
    "Method": _of_table(_methods),
    "Schedule": _of_table(lambda: SCHEDULES),
    "Models": Word(tuple[str, ...], lambda words, _: tuple(words)),
    "Chosen": Word(tuple[str, ...], lambda words, _: tuple(words)),
    "AnyFeatures": Word(str, lambda text, _: text),
    "Weights": Word(Path, lambda path, _: weights_from(path)),
    "Weights | int": Word(str, _weights_or_seed),
}
"""By the annotation of a field as its source has it, `| None` left out. Other types are written as they are."""
