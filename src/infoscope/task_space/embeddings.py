"""Embeddings of many tasks by one probe, on disk: numbers as safetensors, and what they are of as JSON beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from infoscope import __version__
from infoscope.task_space.task2vec import Embedding
from infoscope.unreadable import unreadable

NUMBERS, FACTS = "embeddings.safetensors", "embeddings.json"

FORM = 1
"""Of the files."""


@dataclass(frozen=True)
class TaskFacts:
    """What is known of an embedded task. `length` is its codelength given the probe, nats a label, NaN if unknown."""

    name: str
    fingerprint: str
    n: int
    classes: int
    loss: float
    length: float | None = None
    length_stderr: float | None = None


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of T tasks, R replicates each; all by one probe and one setting, whose `hash` says so.

    `probe`, `way` and `examples` say in words what the hash stands for.
    """

    hash: str
    probe: str
    way: str
    examples: int
    layers: Mapping[str, int]
    tasks: tuple[TaskFacts, ...]
    values: Float[Tensor, "tasks replicates filters"]
    scale: Float[Tensor, " filters"]

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [one.name for one in self.tasks]

    @property
    def trivial(self) -> Float[Tensor, "tasks filters"]:
        """t₀ for as many examples as each task had."""
        n = torch.tensor([float(one.n) for one in self.tasks], dtype=torch.float64)
        return 1 / (n[:, None] * self.scale)

    def save(self, folder: Path) -> dict[str, str]:
        """Write both files; what they are, and where."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"values": self.values.contiguous(), "scale": self.scale.contiguous()}, folder / NUMBERS)
        facts: dict[str, Any] = {
            "form": FORM, "version": __version__, "hash": self.hash, "probe": self.probe, "way": self.way,
            "examples": self.examples, "layers": dict(self.layers), "tasks": [asdict(one) for one in self.tasks],
        }  # fmt: skip
        (folder / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return {"embeddings": str(folder / NUMBERS), "what they are of": str(folder / FACTS)}

    @classmethod
    def load(cls, path: Path) -> Embeddings:
        """What `save` wrote: the folder, or either file."""
        folder = path if path.is_dir() else path.parent
        for name in (NUMBERS, FACTS):
            if not (folder / name).is_file():
                raise ValueError(f"{path}: no {name} there; name a folder that `infoscope embed` wrote to")
        with unreadable(folder / FACTS, "description of embeddings", "embed the tasks again"):
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts.get("form") != FORM:
            raise ValueError(
                f"{folder / FACTS}: is of form {facts.get('form')}, and {FORM} is read; embed the tasks again"
            )
        with unreadable(folder / NUMBERS, "file of embeddings", "embed the tasks again"):
            held = load_file(folder / NUMBERS)
        tasks = tuple(TaskFacts(**one) for one in facts["tasks"])
        filters = sum(facts["layers"].values())
        if held["values"].shape != (len(tasks), held["values"].shape[1], filters):
            raise ValueError(
                f"{folder}: {NUMBERS} holds {tuple(held['values'].shape)}, and {FACTS} tells of {len(tasks)} tasks and "
                f"{filters} filters; the files belong to two runs, embed the tasks again"
            )
        words = {name: facts[name] for name in ("hash", "probe", "way", "examples", "layers")}
        return cls(**words, tasks=tasks, values=held["values"], scale=held["scale"])


def of_looks(
    found: Sequence[Sequence[Embedding]], hash: str, probe: str, way: str, examples: int, tasks: Sequence[TaskFacts]
) -> Embeddings:
    """The embeddings of tasks and their replicates, as one value."""
    values = torch.stack([torch.stack([one.values for one in several]) for several in found])
    first = found[0][0]
    return Embeddings(hash, probe, way, examples, first.layers, tuple(tasks), values, first.scale)


def joined(several: Sequence[Embeddings]) -> Embeddings:
    """The tasks of several runs together; a ValueError unless probe and settings are the same in all."""
    first = several[0]
    for other in several[1:]:
        if other.hash != first.hash:
            told = [
                f"{what} {a!r} and {b!r}"
                for what, a, b in (
                    ("probe", first.probe, other.probe),
                    ("estimate", first.way, other.way),
                    ("examples at most", first.examples, other.examples),
                )
                if a != b
            ]
            raise ValueError(
                "embeddings of two runs cannot be compared: they differ in "
                f"{', '.join(told) or 'the weights of the probe'}; "
                "embed all tasks with one probe and the same settings"
            )
    replicates = min(one.values.shape[1] for one in several)
    facts = [fact for one in several for fact in one.tasks]
    times, seen = Counter(fact.name for fact in facts), Counter[str]()
    apart = []
    for fact in facts:
        seen[fact.name] += 1
        apart.append(fact if times[fact.name] == 1 else replace(fact, name=f"{fact.name} #{seen[fact.name]}"))
    return replace(first, tasks=tuple(apart), values=torch.cat([one.values[:, :replicates] for one in several]))
