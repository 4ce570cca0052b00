"""Tables 8 and 9 and Fig. 7: where in a residual network its information lies, by block and by kind of convolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch

from infoscope.data.task import Task
from infoscope.measurement import Measurement, mean_and_stderr
from infoscope.model_information.ablation.question import Ablation, AblationAnswer
from infoscope.models import CifarResNet, PreActResNet
from infoscope.options import AtLeast, check_fields
from infoscope.prequential.replay import Replay
from infoscope.record import Row
from infoscope.run.question import Request, Stages
from infoscope.run.study import Claim, StudyAnswer, Table, Verdict, judged
from infoscope.training.learner import Learner
from infoscope.training.recipe import Recipe
from infoscope.training.weights_file import weights_from

KINDS = {"1x1-before": (1985, 32000), "3x3": (4243, 96768), "1x1-after": (1231, 43008), "residual": (467, 41984)}
"""Table 8: I(c), and parameters."""

PARTS = {
    "stem": (379, 432), "blocks.0": (751, 4704), "blocks.1": (485, 4544), "blocks.2": (2088, 23808),
    "blocks.3": (1030, 17792), "blocks.4": (2137, 94720), "blocks.5": (1256, 70400), "fc": (167, 2570),
}  # fmt: skip
"""Table 9: I(c), and parameters; all of the network 5900 and 219,482."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class AblationStudy:
    """Tables 8 and 9 and Fig. 7: a ResNet-20's information by block and by kind of convolution.

    "Model Information as an Analysis Tool in Deep Learning", §6 and A.5: a pre-activation bottleneck ResNet-20 is
    trained, one component goes back to its initial weights, and the labels are sent again: I(c), eq. (7). The small
    scale has narrower stages, smaller images and fewer of them. With `weights` the blocks of the CIFAR-10 ResNet-20
    of these weights are ablated too, without training, each drawn anew, as where it began is not known.

    Attributes
    ----------
    data
        A data set of images, by name or folder: CIFAR-10 in the paper.
    size
        Its images are scaled to squares of so many pixels.
    widths
        Widths of the three stages.
    k
        Examples to code.
    train
        Examples to train on.
    epochs
        Of a training at most.
    start
        Gradients of the code at its beginning; replays are 4 a label.
    replicates
        Networks.
    weights
        Weights of a CIFAR-10 ResNet-20 (He et al. 2015), for the part without training.
    weights_on
        The data set that these are ablated on: CIFAR-10.
    """

    data: Path
    size: Annotated[int, AtLeast(8)] = 16
    widths: tuple[int, int, int] = (8, 16, 32)
    k: Annotated[int, AtLeast(1)] = 100
    train: Annotated[int, AtLeast(1)] = 500
    epochs: Annotated[int, AtLeast(1)] = 10
    start: Annotated[int, AtLeast(0)] = 500
    replicates: Annotated[int, AtLeast(1)] = 3
    weights: Path | None = None
    weights_on: Path | None = None

    paper: ClassVar[Mapping[str, Any]] = {
        "size": 32, "widths": (16, 32, 64), "k": 10_000, "train": 45_000, "epochs": 200, "start": 5000,
    }  # fmt: skip

    def __post_init__(self) -> None:
        check_fields(self)
        if (self.weights is None) != (self.weights_on is None):
            raise ValueError("weights and weights_on go together: give both, or neither")

    @property
    def _coder(self) -> Replay:
        return Replay(replays=4, start=self.start)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """Blocks, then kinds, of the same networks; then the weights that were given."""
        task = Task.from_dataset(self.data, size=self.size)
        recipe = Recipe(epochs=self.epochs, patience=None)
        learner = Learner(PreActResNet(20, self.widths), recipe)
        asked = {"coder": self._coder, "k": self.k, "train": self.train, "replicates": self.replicates}
        blocks: AblationAnswer = yield from Ablation(task, learner, tuple(PARTS), **asked).stages(device)
        kinds: AblationAnswer = yield from Ablation(task, learner, tuple(KINDS), **asked).stages(device)
        parts, convolutions = blocks.found.by_component(False), kinds.found.by_component(False)
        rows = [*blocks.record(), *kinds.record()]
        tables = [_table("Table 8", KINDS, convolutions, None), _table("Table 9", PARTS, parts, (5900, 219_482))]
        if self.weights is not None and self.weights_on is not None:
            own = yield from self._own(self.weights, self.weights_on, device)
            rows += [
                Row({**row.coordinates, "task": "CIFAR-10, given weights"}, row.measurement) for row in own.record()
            ]
            tables.append(_own_table(own))
        notes = (
            f"{task.name} at {self.size}×{self.size}, widths {self.widths}, trained on {self.train}, k = {self.k}",
            "the paper has CIFAR-10 at 32×32, widths (16, 32, 64), all of its training images, and k = 10,000; whether "
            "its numbers are bits or nats it does not say",
            "I(c) may exceed L(M, D): a network with one part reset can be worse off than one that was never trained, "
            "since the other parts were fitted to it",
        )
        figures = [*blocks.figures()[:2], *kinds.figures()[:1]]
        return StudyAnswer("Ablation", rows, tables, _claims(parts, convolutions), notes, figures)

    def _own(self, weights: Path, data: Path, device: str) -> Generator[Request, Any, AblationAnswer]:
        task = Task.from_dataset(data)["test"].shuffled(0)[: 2 * self.k]
        mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, DEVIATION))
        x = (task.array - mean) / deviation
        normalised = Task.from_arrays(x, task.labels, alphabet=list(task.alphabet), name=task.name)
        question = Ablation(
            normalised, CifarResNet(20), ("conv1", "layer1", "layer2", "layer3", "linear"), "new",
            coder=Replay(replays=1, start=self.start // 4), k=self.k, weights=weights_from(weights), replicates=1,
        )  # fmt: skip
        return (yield from question.stages(device))


def _table(
    title: str, paper: Mapping[str, tuple[int, int]], found: Mapping[str, Mapping[str, Measurement]],
    whole: tuple[int, int] | None,
) -> Table:  # fmt: skip
    columns = ("component", "paper: I(c)", "parameters", "a parameter", "here: I(c)", "parameters ", "a parameter ",
               "loss without relearning, bits")  # fmt: skip
    rows = [
        (name, i, n, round(i / n, 3), _plain(one["I(c)"]), one["parameters"].value, _plain(one["I(c) a parameter"]),
         one["loss without relearning"].bits)
        for name, (i, n) in paper.items() for one in [found[name]]
    ]  # fmt: skip
    every = found["all"]
    flags = sorted({status.name for one in found.values() for m in one.values() for status in m.status})
    total = sum(i for i, _ in paper.values())
    rows.append(("sum of these", total, None, None, _plain(found["sum"]["Σ I(c)"]), None, None, None))
    if whole is not None:
        rows.append(("all", whole[0], whole[1], round(whole[0] / whole[1], 3), _plain(every["L(M,D)"]),
                     every["parameters"].value, _plain(every["L(M,D) a parameter"]),
                     every["loss without relearning"].bits))  # fmt: skip
    return Table(title, columns, rows, (f"Somewhere in this table: {', '.join(flags)}.",) if flags else ())


def _plain(m: Measurement) -> Measurement:
    """Without its warnings, which stand below the table once."""
    return dataclasses.replace(m, status=frozenset())


def _own_table(own: AblationAnswer) -> Table:
    found = own.found.by_component(False)
    rows = [
        (
            name,
            _plain(one["I(c)" if name != "all" else "L(M,D)"]),
            one["parameters"].value,
            one["loss without relearning"].bits,
        )
        for name, one in found.items()
        if name != "sum"
    ]
    columns = ("component, drawn anew", "I(c), bits", "parameters", "loss without relearning, bits")
    return Table(
        "A CIFAR-10 ResNet-20 with the weights that were given",
        columns,
        rows,
        ("One order: no error is known. Nobody checked that these images were not trained on.",),
    )


def _claims(
    parts: Mapping[str, Mapping[str, Measurement]], kinds: Mapping[str, Mapping[str, Measurement]]
) -> list[Claim]:
    by = {name: one["I(c)"] for name, one in {**parts, **kinds}.items() if "I(c)" in one}
    dense = {name: one["I(c) a parameter"] for name, one in parts.items() if "I(c) a parameter" in one}
    middle, outer = [f"blocks.{i}" for i in (2, 3, 4, 5)], ["stem", "blocks.0", "blocks.1", "fc"]
    others = [name for name in KINDS if name != "3x3"]
    second = max(others, key=lambda name: by[name].value)
    least = min((name for name in KINDS if name != "residual"), key=lambda name: by[name].value)
    whole = parts["all"]["L(M,D)"]
    return [
        _claim("middle blocks (2 to 5) hold more than the others, on average", by, middle, outer),
        _claim("early parts (stem, block 0) are denser than the last blocks", dense, ["stem", "blocks.0"],
               ["blocks.4", "blocks.5"]),
        _claim("blocks that halve the resolution (2, 4) hold more than those behind them", by, ["blocks.2", "blocks.4"],
               ["blocks.3", "blocks.5"]),
        _claim(f"3×3 convolutions hold most (the next are {second})", by, ["3x3"], [second]),
        _claim(f"residual convolutions hold least (the next are {least})", by, [least], ["residual"]),
        _claim("the kinds of convolutions add up to more than the network (7926 and 5900 in the paper)",
               {"sum": kinds["sum"]["Σ I(c)"], "all": whole}, ["sum"], ["all"]),
        _claim("the blocks add up to more than the network (8293 and 5900 in the paper)",
               {"sum": parts["sum"]["Σ I(c)"], "all": whole}, ["sum"], ["all"]),
    ]  # fmt: skip


def _claim(text: str, found: Mapping[str, Measurement], more: Sequence[str], less: Sequence[str]) -> Claim:
    """That the mean of some exceeds that of others, paired by seed; in bits."""
    seeds = list(found[more[0]].replicates)

    def mean(names: Sequence[str], seed: int) -> float:
        return sum(found[name].replicates[seed] for name in names) / len(names) / 0.6931471805599453

    effect, error = mean_and_stderr([mean(more, seed) - mean(less, seed) for seed in seeds])
    return Claim(text, judged(effect, error, Verdict.DIFFERENT_SCALE), f"by {effect:.3g} ± {error:.2g} bits")
