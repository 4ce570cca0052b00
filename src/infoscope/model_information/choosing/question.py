"""The question of a beginning: which of several networks to start from, at so many labels?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from infoscope.data.named import AnyTask, task_of, training_part
from infoscope.data.task import Task, coding_order
from infoscope.model_information.choosing.answer import DATA, FROZEN, OF_DATA, WHOLE, ChoosingAnswer
from infoscope.model_information.codes import code_looks
from infoscope.model_information.heads import Head, check_head
from infoscope.model_information.information import check_own_code
from infoscope.model_information.starts import Candidate, Start, Starts, candidates
from infoscope.observation.activations import Activations
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import Coder, check_takes
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.record import Record
from infoscope.run.context import RunContext
from infoscope.run.look import Look, Looks
from infoscope.run.question import Rows, Stages, ask


@dataclass(frozen=True)
class Choosing:
    """Which network to start from, at this many labels? The one that sends them all in the fewest bits.

    L(y_1:n | x; θ_m) of each network m by its own code, in the same orders: what it knows and how fast it learns the
    rest, in one number, with no split for testing. Beside it: a head in closed form on each network as it stands, the
    code of the data without any network, and the order by size.

    Attributes
    ----------
    data
        The data set whose labels are to be learned.
    networks
        Two or more: NAME=FILE (a name from `infoscope list models` and its weights), NAME untrained, module:factory, or
        with --frozen hf:NAME. What is done to images first stands behind the name: resnet20[mean=(.485, .456, .406)].
    coder
        The networks' own code: replay, entk or blocks.
    head
        What becomes of the head of trained weights: new, or kept where it fits.
    frozen
        Compare the networks as they stand, by a head in closed form alone; quick.
    examples
        Labels to choose for. Default: all that there are, at most 1,000.
    replicates
        Coding orders, each with a draw of the new heads. The standard error is over them.
    seed
        The first of their seeds.
    """

    data: AnyTask
    networks: Starts
    coder: Coder = Replay()
    head: Head = "new"
    frozen: bool = False
    examples: Annotated[int | None, AtLeast(1)] = None
    replicates: Annotated[int, AtLeast(1)] = 3
    seed: Annotated[int, AtLeast(0)] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check_own_code(self.coder)
        check_head(self.head)
        if self.head not in ("new", "kept"):
            raise ValueError(f"head {self.head!r}: a start has no training behind it that is known; take new or kept")

    def stages(self, device: str = "cpu") -> Stages[ChoosingAnswer]:
        """What the heads are given, then the codes of one network after another, then the data's own."""
        task = self._task()
        check_takes(self.coder, task.target)
        given: Sequence[Start] = self.networks
        starts = candidates(given, task, self.head, self.seed, self.frozen)
        answer = ChoosingAnswer(task, tuple(starts), {}, self.frozen, self.head)
        for one in starts:
            passed: list[Activations] = yield Looks(one.passes(task, self.seeds))
            curves: list[LossCurve] = yield Looks(self._codes(task, one, passed, device))
            n = self.replicates
            found = {(one.name, FROZEN): curves[:n]}
            if not self.frozen:
                found[one.name, WHOLE] = curves[n:]
            answer = answer.with_curves(found)
            yield Rows(answer.rows_of(one.name))
        none = [None] * self.replicates
        data = yield Looks(code_looks(task, Mixed(), none, seeds=self.seeds, device=device, label="code of the data"))
        return answer.with_curves({(DATA, OF_DATA): data})

    @property
    def seeds(self) -> range:
        """Of the orders and the heads."""
        return range(self.seed, self.seed + self.replicates)

    def _task(self) -> Task:
        whole = training_part(task_of(self.data))
        if self.examples is not None and self.examples > len(whole):
            raise ValueError(f"{whole.name!r} has {len(whole)} labels, and {self.examples} were asked for")
        n = self.examples or min(MOST, len(whole))
        return whole[coding_order(len(whole), self.seed)[:n]]

    def _codes(
        self, task: Task, one: Candidate, passed: Sequence[Activations], device: str
    ) -> tuple[Look[LossCurve], ...]:
        """The closed-form head's, then the network's own, an order each."""
        looks: list[Look[LossCurve]] = []
        for order, seed in enumerate(self.seeds):
            rows = next(iter(passed[min(order, len(passed) - 1)].layers.values()))
            features = Task.from_arrays(rows, task.y, target=task.target, name=one.name, as_is=True)
            label = f"closed-form head of {one.name}"
            looks += code_looks(features, ClosedForm(), [None], seeds=[seed], device=device, label=label)
        if self.frozen:
            return tuple(looks)
        learners = one.learners(task, self.seeds, self.head)
        label = f"code of {one.name}"
        return (*looks, *code_looks(task, self.coder, learners, seeds=self.seeds, device=device, label=label))


MOST = 1000
"""Labels, where nobody asks for a number."""


def choose(data: Any, networks: Sequence[Start], *, context: RunContext = RunContext(), **options: Any) -> Record:
    """Which network to start from? `Choosing` asked at once; its table.

    >>> from infoscope.models import MLP
    >>> from infoscope.prequential.replay import Replay
    >>> quick = {"coder": Replay(replays=1, start=8), "examples": 20, "replicates": 1}
    >>> table = choose("iris", [MLP((4,)), MLP((8,))], **quick)
    >>> sorted({row.coordinates["network"] for row in table})
    ['MLP #1', 'MLP #2', 'no network']
    """
    return ask(Choosing(data, tuple(networks), **options), context).record()
