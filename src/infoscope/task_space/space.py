"""The question of a space of tasks: which are near, which hard, and what does one cost after another?"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from infoscope import __version__
from infoscope.data.named import Tasks, sample, tasks, training_part
from infoscope.data.task import Task
from infoscope.figure import Figure, Line
from infoscope.measurement import Bound, Measurement, Receipt
from infoscope.models.default import Model, learner_for
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.encode import Coder, check_takes
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.record import Record, Row
from infoscope.run.context import RunContext
from infoscope.run.look import Looks
from infoscope.run.question import Request, Rows, Stages, ask
from infoscope.task_space.after import free_energy_distance, joint_look
from infoscope.task_space.difficulty import rank_correlation
from infoscope.task_space.distance import ALPHA, Distances, distances, matrix, one_less_cosine, symmetric
from infoscope.task_space.embeddings import Embeddings, joined
from infoscope.task_space.joint_information import BY_DEFINITION, DISTANCE, JointInformation
from infoscope.task_space.pictures import distance_figure, map_figures, tree_figure, tree_of

AnyEmbeddings = Any
"""Embeddings, folders or files that `embed` wrote, or several of them: tasks of all that have one probe."""

MOST_PAIRS = 40
"""Tasks of which every pair is in the record; of more only each one's nearest is, and all pairs in a file."""


@dataclass(frozen=True)
class TaskSpace:
    """Which tasks are near, which are hard, what does one cost after another? Distances of embeddings; a tree; maps.

    d_sym and d_asym of Task2Vec and 1 − cosine, corrected by how far a task is from itself; whether the norm of an
    embedding says how hard its task is, at one sample size. With sets, the free-energy distance beside them: the bits
    that the labels of one cost behind those of another; with information, I_12 − I_1 of networks that learn both,
    beside S and S_uni. Achille et al. (2019), "Task2Vec", §3.

    Attributes
    ----------
    data
        One or more folders that `embed` wrote to. Probe and settings must be the same in all.
    sets
        Data sets for the free-energy distance, every ordered pair of them, by the coder.
    coder
        How their labels are sent: mixed, kernel, or by a network, replay, entk, blocks.
    information
        Beside it I_12 − I_1 of every ordered pair of the sets: what a network that has learned both knows more than one
        that has learned the first. By a network's own code (replay, unless the coder is another one). Slow.
    model
        The network of such codes.
    examples
        Labels of each of those sets, at most.
    train
        Examples of each set that networks learn from. Default: as many as are learned in about five minutes.
    epochs
        Most epochs of these trainings. Default: the recipe's, 1000.
    alpha
        Of d_asym(a→b) = d_sym(a, b) − α d_sym(a, t₀).
    replicates
        Coding orders of those sets. The standard error is over them.
    seed
        The first of their seeds, and that of the map by t-SNE.
    """

    data: AnyEmbeddings
    sets: Tasks | None = None
    coder: Coder = Mixed()
    information: bool = False
    model: Model = None
    examples: Annotated[int, AtLeast(2)] = 300
    train: Annotated[int | None, AtLeast(2)] = None
    epochs: Annotated[int | None, AtLeast(1)] = None
    alpha: float = ALPHA
    replicates: Annotated[int, AtLeast(1)] = 2
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha}; it is 0 or above, and finite")

    def stages(self, device: str = "cpu") -> Stages[TaskSpaceAnswer]:
        """Embeddings are read; a code for each ordered pair of the sets, if there are any."""
        found = embeddings_of(self.data)
        if len(found.tasks) < 2:
            raise ValueError("there is one embedded task; a distance is between two, embed more")
        given = [] if self.sets is None else list(tasks(self.sets))
        if self.information and not given:
            raise ValueError("I_12 - I_1 is of data sets, and none were named; name two or more, --sets A B")
        behind = yield from self.behind(given, device)
        if self.information:
            known = yield from self.joint().stages(given, device)
            yield Rows(tuple(known))
            behind += known
        return TaskSpaceAnswer(found, self.alpha, tuple(behind), str(self.coder), self.seed)

    def joint(self) -> JointInformation:
        """The question of I_12 − I_1, with these options."""
        coder = self.coder if self.coder.needs_network else Replay()
        options = (self.examples, self.train, self.epochs, self.replicates, self.seed)
        return JointInformation(self.model, coder, *options)

    def behind(self, given: Sequence[Task], device: str) -> Generator[Request, Any, list[Row]]:
        """C(D1 + D2) − C(D1) of every ordered pair."""
        few = [dataclasses.replace(sample(training_part(t), self.examples, self.seed), name=t.name) for t in given]
        if len(few) == 1:
            raise ValueError(f"one set was named, {few[0].name}; what it costs after another needs two")
        for task in few:
            check_takes(self.coder, task.target)
        seeds, rows = range(self.seed, self.seed + self.replicates), list[Row]()
        for a, b in permutations(few, 2):
            learner = learner_for(a, self.model) if self.coder.needs_network else None
            joint = yield Looks(tuple(joint_look(a, b, self.coder, learner, seed, device) for seed in seeds))
            some = [Row({"from": a.name, "to": b.name}, m) for m in free_energy_distance(joint, len(a))]
            yield Rows(tuple(some))
            rows += some
        return rows


@dataclass(frozen=True, eq=False)
class TaskSpaceAnswer:
    """What `TaskSpace` comes to."""

    embeddings: Embeddings
    alpha: float
    behind: tuple[Row, ...]
    coder: str
    seed: int

    @property
    def title(self) -> str:
        """So many tasks."""
        return f"The space of {len(self.embeddings.tasks)} tasks"

    @cached_property
    def symmetric(self) -> Distances:
        """d_sym of every pair."""
        return self._of(symmetric)

    @cached_property
    def angles(self) -> Distances:
        """1 − cosine of every pair."""
        return self._of(one_less_cosine)

    @cached_property
    def asymmetric(self) -> Distances:
        """d_asym from the row, whose expert is asked, to the column."""
        from_trivial = symmetric(self.embeddings.values, self.embeddings.trivial[:, None])  # tasks replicates
        lead = self.alpha * from_trivial.T[:, None, :, None]
        return distances(matrix(self.embeddings.values, self.embeddings.values, symmetric) - lead)

    def _of(self, distance: Any) -> Distances:
        return distances(matrix(self.embeddings.values, self.embeddings.values, distance))

    @cached_property
    def near(self) -> torch.Tensor:
        """d_sym as a symmetric matrix with a diagonal of 0, of which pictures are drawn."""
        d = self.symmetric.values
        d = (d + d.T) / 2
        return d - torch.diag(d.diagonal())

    def nearest(self, i: int) -> int:
        """The task that is nearest to this one by d_sym."""
        row = self.near[i].clone()
        row[i] = math.inf
        return int(row.argmin())

    def record(self) -> Record:
        """Distances of pairs (of many tasks: of each and its nearest) and of each from itself; rank correlations."""
        names = self.embeddings.names
        n = len(names)
        pairs = list(permutations(range(n), 2)) if n <= MOST_PAIRS else [(i, self.nearest(i)) for i in range(n)]
        rows = [
            Row({"from": names[i], "to": names[j]}, self._measured(quantity, found, i, j))
            for i, j in pairs
            for quantity, found in self._kinds().items()
        ]
        rows += [
            Row({"from": name, "to": name}, self._plain("d_self", float(v)))
            for name, v in zip(names, self.symmetric.itself, strict=True)
        ]
        return Record.of([*rows, *(Row({"from": None, "to": None}, m) for m in self.correlations), *self.behind])

    def _kinds(self) -> dict[str, Distances]:
        d = self.symmetric
        corrected = Distances(d.corrected(), d.stderr, d.itself)
        return {"d_sym": d, "d_sym - d_self": corrected, "d_asym": self.asymmetric, "1 - cos": self.angles}

    def _measured(self, quantity: str, found: Distances, i: int, j: int) -> Measurement:
        return self._plain(quantity, float(found.values[i, j]), float(found.stderr[i, j]))

    def _plain(self, quantity: str, value: float, stderr: float = math.nan) -> Measurement:
        e = self.embeddings
        receipt = Receipt(
            f"Task2Vec, {e.way}", model=e.probe, n=e.examples, over="disjoint parts of the tasks",
            notes=(f"hash {e.hash[:16]}",), version=__version__,
        )  # fmt: skip
        return Measurement(quantity, value, stderr, "1", Bound.NONE, receipt=receipt)

    @cached_property
    def correlations(self) -> tuple[Measurement, ...]:
        """ρ of norm and codelength a label, and the same with the number of examples held fixed."""
        hard = self._hard()
        if len(hard) < 3:
            return ()
        norm, length, n = (np.array(v, dtype=float) for v in zip(*hard.values(), strict=True))
        return rank_correlation(norm, length), rank_correlation(norm, length, n)

    def _hard(self) -> dict[str, tuple[float, float, float]]:
        """Norm, codelength a label and examples of the tasks whose codelength is known."""
        norms = self.embeddings.values.sum(2).mean(1).tolist()
        return {
            fact.name: (norm, fact.length, float(fact.n))
            for fact, norm in zip(self.embeddings.tasks, norms, strict=True)
            if fact.length is not None
        }

    @cached_property
    def _pictures(self) -> tuple[Figure, ...]:
        names, d = self.embeddings.names, self.near
        if bool(d.isnan().any()):
            return ()
        order = tree_of(d)[1]
        maps = map_figures(names, d, self.seed)
        found = [distance_figure("d_sym, in the order of the tree", names, d, order), tree_figure(names, d), *maps]
        return (*found, distance_figure("d_asym, from the row", names, self.asymmetric.values, order))

    def figures(self) -> list[Figure]:
        """The tree, two maps, distances in the tree's order, norms against what labels cost."""
        hard = self._hard()
        places = [(norm, length / math.log(2)) for norm, length, _ in hard.values()]
        x, y = zip(*places, strict=True) if places else ((), ())
        lines = [Line("tasks", x, y, points=True, names=list(hard))]
        norms = Figure("Do norms tell how hard a task is?", "|F|", "bits a label, given the probe", lines, log_x=True)
        return [*self._pictures, *([norms] if len(hard) > 1 else []), *self._agreement()]

    def _agreement(self) -> list[Figure]:
        """I_12 − I_1 of networks that learned both, against what S_uni says that it is."""
        far, said = self._bits(DISTANCE), self._bits(BY_DEFINITION)
        if not said:
            return []
        named = [f"{a} → {b}" for a, b in said]
        lines = [Line("pairs", list(said.values()), [far[pair] for pair in said], points=True, names=named)]
        ends = [min(0.0, *said.values()), max(said.values())]
        lines.append(Line("equal", ends, ends, dash=True))
        return [Figure("Does S_uni tell I_12 − I_1?", "I_2 (1 − S_uni) (bits)", "I_12 − I_1 (bits)", lines)]

    def _bits(self, quantity: str) -> dict[tuple[str, str], float]:
        found = {}
        for row in self.behind:
            if row.measurement.quantity == quantity:
                found[str(row.coordinates["from"]), str(row.coordinates["to"])] = row.measurement.bits
        return found

    def sentence(self) -> str:
        """Which two tasks are nearest and farthest, and what the norm says."""
        names, d = self.embeddings.names, self.near
        some = [(float(d[i, j]), names[i], names[j]) for i in range(len(names)) for j in range(i)]
        some = [one for one in some if not math.isnan(one[0])]
        if not some:
            return "No distance is known: a task has no information in any filter."
        least, most = min(some), max(some)
        told = f"{least[2]} and {least[1]} are d_sym {least[0]:.3g} apart"
        if len(some) > 1:
            told = f"{least[2]} and {least[1]} are nearest (d_sym {least[0]:.3g}), {most[2]} and {most[1]} farthest "
            told += f"({most[0]:.3g})"
        told += self._told_apart()
        for m in self.correlations[1:]:
            if not (math.isnan(m.value) or math.isnan(m.stderr)):
                told += f". At one number of examples norm and codelength have ρ = {m.value:.2f} ± {m.stderr:.2g}"
        return f"{told}."

    def _told_apart(self) -> str:
        """How far parts of one task are from each other, and which of the pairs are farther by two errors."""
        if bool(self.symmetric.itself.isnan().any()):
            return "; whether that is more than chance is not known, as each task was embedded once"
        d, n = self.symmetric, len(self.embeddings.names)
        sure = int((d.corrected() > 2 * d.stderr).triu(1).sum())
        told = f"; parts of one task are {float(d.itself.mean()):.3g} apart, and {sure} of {n * (n - 1) // 2} pairs"
        return f"{told} are farther than that by two standard errors"

    def choices(self) -> Mapping[str, str]:
        """The probe, and what is left out."""
        told = {
            "Probe": f"{self.embeddings.probe}, {self.embeddings.way}",
            "Maps": "classical scaling and t-SNE, both of d_sym",
        }
        sizes = sorted({fact.n for fact in self.embeddings.tasks})
        if len(sizes) > 1:
            told["Sizes"] = f"{sizes[0]} to {sizes[-1]} examples a part; norms of unlike sizes are not alike"
        if len(self.embeddings.tasks) > MOST_PAIRS:
            told["Record"] = "each task and its nearest; all pairs are in distances.csv"
        return told | ({"Codes": self.coder} if self.behind else {})

    def write(self, folder: Path) -> Mapping[str, str]:
        """All pairs as a table."""
        text, names = io.StringIO(), self.embeddings.names
        kinds = self._kinds()
        out = csv.writer(text)
        out.writerow(["from", "to", *kinds])
        for i, j in permutations(range(len(names)), 2):
            out.writerow([names[i], names[j], *(float(found.values[i, j]) for found in kinds.values())])
        (folder / "distances.csv").write_text(text.getvalue(), encoding="utf-8")
        return {"all distances": str(folder / "distances.csv")}


def embeddings_of(given: AnyEmbeddings) -> Embeddings:
    """The tasks of all of these together."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    if not several:
        raise ValueError("no embeddings were named; name a folder that `infoscope embed` wrote to")
    found = [one if isinstance(one, Embeddings) else Embeddings.load(Path(one)) for one in several]
    return joined(found)


def task_space(*data: Any, context: RunContext = RunContext(), **options: Any) -> TaskSpaceAnswer:
    """Which tasks are near? `TaskSpace` asked at once.

    >>> from infoscope.models import MLP
    >>> from infoscope.task_space.embed import embed
    >>> found = embed("iris", "iris:rows=0..100", probe=MLP((4,)), epochs=2, length=False)
    >>> task_space(found).symmetric.values.shape
    torch.Size([2, 2])
    """
    return ask(TaskSpace(list(data), **options), context)
