from __future__ import annotations

from itertools import combinations

import pytest

from infoscope import Embed, Learner, Recipe, Store, Task, TaskSpace, ask
from infoscope.models import MLP
from infoscope.run.context import RunContext

DIGITS = Task.from_dataset("digits")


def subsets(most: int) -> list[Task]:
    """Tasks of two to five classes of the digits."""
    chosen = [some for k in (2, 3, 4, 5) for some in combinations(range(10), k)]
    return [DIGITS[f"classes={','.join(map(str, some))}"] for some in chosen[:: len(chosen) // most][:most]]


@pytest.mark.long
def test_two_hundred_tasks_go_through_one_run_and_near_ones_share_their_classes(tmp_path):
    question = Embed(subsets(200), Learner(MLP((32,)), Recipe(epochs=20, patience=None)), examples=60, length=False)
    first = ask(question, RunContext(store=Store(tmp_path)))
    assert len(first.embeddings.tasks) == 200
    again = ask(question, RunContext(store=Store(tmp_path)))
    assert (again.embeddings.values == first.embeddings.values).all()
    space = ask(TaskSpace(first.embeddings))
    classes = [set(name.partition("=")[2].split(",")) for name in space.embeddings.names]
    near = [shared(classes[i], classes[space.nearest(i)]) for i in range(200)]
    every = [shared(a, b) for a, b in combinations(classes, 2)]
    assert sum(near) / len(near) > 2 * sum(every) / len(every)
    assert len(space.figures()) == 5


def shared(a: set[str], b: set[str]) -> float:
    """Of the classes of both, those that are in each."""
    return len(a & b) / len(a | b)
