"""Experts: trained networks to start from, each with the data that it was trained on, where they are known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infoscope.data.task import Task
from infoscope.task_space.probe import SUFFIXES, Probe, probe_of
from infoscope.unreadable import unreadable

AnyExperts = Any
"""A folder of files of weights, words NAME=FILE, learners with weights, or `Expert`s."""

MANIFEST = "experts.json"


@dataclass(frozen=True)
class Expert:
    """A trained network; `source` is what it was trained on, and `size` how many examples that had, None if unknown."""

    name: str
    network: Probe
    source: Task | None = None
    size: int | None = None

    @property
    def parameters(self) -> int:
        """Of the network, its head among them."""
        return sum(t.numel() for t in (self.network.learner.weights or {}).values())


def experts_of(given: AnyExperts, sources: Sequence[Task], task: Task) -> tuple[Expert, ...]:
    """All experts; `sources` are what they were trained on, in their order.

    A folder may hold `experts.json`, a list of {"weights": FILE, "model": NAME, "data": WHAT IT LEARNED};
    without it every file of weights in it is an expert, in the order of their names.
    """
    several = list(given) if isinstance(given, list | tuple) else [given]
    found: list[Expert] = []
    for one in several:
        folder = Path(one) if isinstance(one, str | Path) else None
        if folder is not None and folder.is_dir():
            found += _of_folder(folder, task)
        else:
            found.append(_expert(one, task))
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} experts were named; name a folder with two files of weights or more, or NAME=FILE …"
        )
    if sources and len(sources) != len(found):
        names = ", ".join(one.name for one in found)
        raise ValueError(
            f"{len(sources)} sources were named for {len(found)} experts ({names}); name one each, in order"
        )
    if sources:
        found = [replace(one, source=source, size=len(source)) for one, source in zip(found, sources, strict=True)]
    times, seen, apart = Counter(one.name for one in found), Counter[str](), []
    for one in found:
        seen[one.name] += 1
        apart.append(one if times[one.name] == 1 else replace(one, name=f"{one.name} #{seen[one.name]}"))
    return tuple(apart)


def _expert(given: Any, task: Task, name: str = "") -> Expert:
    if isinstance(given, Expert):
        return given
    network = probe_of(given, [task])
    if network is None:
        raise ValueError(f"the expert {given} has no weights; name a file of them, NAME=FILE")
    return Expert(name or network.name, network)


def _of_folder(folder: Path, task: Task) -> list[Expert]:
    if (folder / MANIFEST).is_file():
        with unreadable(folder / MANIFEST, "list of experts", 'write [{"weights": FILE, "model": NAME, "data": DATA}]'):
            rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            facts = [(folder / row["weights"], row.get("model"), row.get("data")) for row in rows]
    else:
        facts = [(path, None, None) for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    found = []
    read = {data: Task.from_dataset(data) for data in dict.fromkeys(data for *_, data in facts if data is not None)}
    for path, model, data in facts:
        if not path.is_file():
            raise ValueError(f"{folder / MANIFEST} names {path.name}, and there is no such file in {folder}")
        one = _expert(f"{model}={path}" if model else str(path), task, path.stem)
        source = None if data is None else read[data]
        found.append(replace(one, source=source, size=None if source is None else len(source)))
    return found
