"""The experiments of "The distance between the weights of the neural network is meaningful"."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch

from infoscope import SGD, EnsembleSpec, Learner, Member, Recipe, RunContext, Store, Task, __version__, ensemble
from infoscope.data.corruption import Massart
from infoscope.ensembles.population import Population
from infoscope.ensembles.ways import Way
from infoscope.measurement import NATS_PER_BIT
from infoscope.models import loss_of, model
from infoscope.options import AtLeast, check_fields
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from infoscope.training.recipe import Steps
from infoscope.weight_distance.mds import Picture, classical_mds
from infoscope.weight_distance.qmcm import QMCM
from infoscope.weight_distance.result import DistanceResult
from infoscope.weight_distance.shortest import shortest_distances, sphere_simulation
from infoscope.weight_distance.weight_distance import measure_distances
from printed import printed


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    replicates: int
    examples: int | None
    epochs: int


SMALL = {
    "experiment1": Size(100, 1280, 10),
    "experiment2": Size(20, 1280, 10),
    "experiment3": Size(3, 1280, 10),
    "experiment4": Size(2, 640, 30),
}
FULL = {
    "experiment1": Size(1000, None, 10),
    "experiment2": Size(200, None, 10),
    "experiment3": Size(10, None, 10),
    "experiment4": Size(10, None, 10),
}


@dataclass(frozen=True)
class WeightDistanceStudy:
    """The experiments of "The distance between the weights of the neural network is meaningful" (Yang et al. 2021).

    experiment1 is Figure 1 (starts and ends of many networks), experiment2 Figure 2 (two starts, many ends),
    experiment3 Figure 6 (20 … 100 % of the labels), experiment4 Figure 7 (label corruption), table2 Tables 1 to 3
    (seven networks), simulation Figures 4 and 5, Theorem 3 and Algorithm 2, fit the introduction's I2 ≥ I0 ≫ I1. What
    was found stands in docs/results/weight_distance.md.

    Attributes
    ----------
    what
        Which of them.
    data
        A data set by name, a folder in Hub layout, or for table2 a folder of such folders (mnist, cifar10, flowers,
        voc_animals).
    model
        The network. Default: tf-cnn, or the table's.
    replicates
        Networks.
    examples
        Of the data.
    epochs
        Of the trainings.
    rate
        Of learning.
    momentum
        Of gradient descent.
    batch
        Examples a step.
    matched
        Training loss to compare at, bits.
    only
        Rows of table2 whose name contains one of these.
    full
        The paper's sizes.
    """

    what: Literal["experiment1", "experiment2", "experiment3", "experiment4", "table2", "simulation", "fit"] = (
        "experiment1"
    )
    data: str = "digits"
    model: str | None = None
    replicates: int | None = None
    examples: int | None = None
    epochs: int | None = None
    rate: float = 0.01
    momentum: float = 0.0
    batch: Annotated[int, AtLeast(1)] = 128
    matched: float | None = None
    only: tuple[str, ...] = ()
    full: bool = False

    paper: ClassVar[Mapping[str, Any]] = {"full": True}

    def __post_init__(self) -> None:
        check_fields(self)
        if self.replicates is not None and self.replicates < 2:
            raise ValueError(f"replicates is {self.replicates}; distances and pictures take 2 or more networks")

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed(f"The distance between weights: {self.what}", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    torch.set_num_threads(1)
    found = {**EXPERIMENTS, "table2": table2, "simulation": simulation, "fit": fit_check}[given.what](given)
    name = f"{given.what}-{Path(given.data).name}-{given.model or 'default'}"
    about = {"version": __version__, "torch": torch.__version__, "given": {k: str(v) for k, v in vars(given).items()}}
    (given.out / f"{name}.json").write_text(json.dumps(about | {"found": found}, indent=1))


def experiment1(given: argparse.Namespace) -> Any:
    """Figure 1: pictures of starts and of ends, their radii; the paper has 1.28 ± .007 and 1.34 ± .12."""
    task, learner, size = _setting(given)
    members = [Member(learner, task, seed) for seed in range(size.replicates)]
    population = ensemble(members, context=_context(given))
    return _pictures(population, learner, {"starts": [population.initial], "ends": [population.weights]})


def experiment2(given: argparse.Namespace) -> Any:
    """Figure 2: ends about the two starts that they came from."""
    task, learner, size = _setting(given)
    starts = [learner.network(task.shape, task.classes, seed).state_dict() for seed in range(2)]
    members = [Member(learner.starting_from(starts[i % 2]), task, i) for i in range(size.replicates)]
    population = ensemble(members, context=_context(given))
    two = {k: v[:2] for k, v in population.initial.items()}
    told = _pictures(population, learner, {"starts and ends": [two, population.weights]})
    flat = [
        torch.cat([w[k].flatten(1) for k, _ in _named(learner, task)], 1).double() for w in (two, population.weights)
    ]
    apart = torch.cdist(flat[1], flat[0])
    own = torch.tensor([int(seed) % 2 for seed in population.seeds])
    right = float((apart.argmin(1) == own).double().mean())
    near, far = (float(apart.gather(1, side[:, None]).mean()) for side in (own, 1 - own))
    print(f"starts lie {float(torch.dist(*flat[0])):.3f} apart; ends lie {near:.3f} from their own start")
    print(f"and {far:.3f} from the other; {right:.0%} are nearer to their own")
    return told | {"apart": apart.tolist(), "nearer to own": right}


def experiment3(given: argparse.Namespace) -> Any:
    """Figure 6: 20 … 100 % of the labels, as many steps each; the paper's distances grow with the labels."""
    task, learner, size = _setting(given)
    kinds = sorted({max(2, round(task.classes * part / 5)) for part in range(1, 6)})
    steps = size.epochs * math.ceil(len(task) / given.batch)
    found = {}
    for count in kinds:
        part = task[np.flatnonzero(task.y.numpy() < count)]
        epochs = max(1, round(steps / math.ceil(len(part) / given.batch)))
        recipe = dataclasses.replace(learner.recipe, epochs=epochs)
        one = _distances(given, dataclasses.replace(learner, recipe=recipe), part, size, loss=_matched(given, task))
        found[f"{count} of {task.classes} labels"] = one
    return _table(found)


def experiment4(given: argparse.Namespace) -> Any:
    """Figure 7: eleven levels of corruption, every network from the same initial weights.

    At a fixed number of steps, and at a matched training loss.
    """
    task, learner, size = _setting(given)
    start = learner.network(task.shape, task.classes, 0).state_dict()
    found = {}
    for percent in range(0, 101, 10):
        noisy = task.corrupted(Massart(percent / 100))
        found[f"{percent} % corrupted"] = _distances(
            given, learner.starting_from(start), noisy, size, loss=_matched(given, task)
        )
    return _table(found)


EXPERIMENTS = {
    "experiment1": experiment1, "experiment2": experiment2, "experiment3": experiment3, "experiment4": experiment4,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A network of Table 1: its data, image size, batch, epochs, whether the rate decays, the paper's mean and c_v.

    The paper names no depth of its ResNet and VGG. YOLO's loss is a sum over boxes, and diverges at the table's rate of
    0.01; a tenth of it is used.
    """

    model: str
    data: str
    size: int | None
    batch: int
    epochs: int
    decay: bool
    paper: tuple[float, float]
    short: Size
    rate: float = 0.01


TABLE = {
    "TF CNN": Row("tf-cnn", "cifar10", None, 128, 10, False, (4.026, 1.316), Size(10, 1280, 10)),
    "TF MNIST": Row("tf-mnist", "mnist", None, 128, 10, False, (1.358, 2.282), Size(10, 1280, 5)),
    "GoogLeNet": Row("googlenet", "flowers", 96, 32, 20, False, (28.084, 1.718), Size(3, 96, 7)),
    "ResNet": Row("resnet18", "flowers", 96, 32, 40, True, (8785.243, 13.35), Size(2, 96, 7)),
    "VGG": Row("vgg11", "flowers", 96, 32, 20, True, (0.556, 2.158), Size(2, 64, 7)),
    "AlexNet": Row("alexnet", "flowers", 96, 32, 20, True, (4.849, 12.163), Size(3, 96, 7)),
    "YOLO v3": Row("yolov3", "voc_animals", 96, 64, 20, True, (26.863, 23.4), Size(2, 32, 10), rate=1e-3),
}


def table2(given: argparse.Namespace) -> Any:
    """Mean, deviation and c_v of d(w0,w) for the seven networks, and whether every end is nearest to its start."""
    found: dict[str, DistanceResult] = {}
    told: dict[str, dict[str, float]] = {}
    for name, row in TABLE.items():
        if given.only and not any(part.lower() in name.lower() for part in given.only):
            continue
        size = Size(10, None, row.epochs) if given.full else row.short
        size = Size(given.replicates or size.replicates, given.examples or size.examples, given.epochs or size.epochs)
        task = Task.from_dataset(str(Path(given.data) / row.data), size=row.size)
        task = task["train"] if "train" in task.splits else task
        task = task.shuffled(0)[: size.examples] if size.examples else task
        factory = model(row.model)
        decay = Steps() if row.decay else Recipe().decay
        recipe = Recipe(
            SGD(min(row.rate, given.rate), given.momentum), decay, batch=row.batch, epochs=size.epochs, patience=None,
            loss=loss_of(factory),
        )  # fmt: skip
        one = _distances(given, Learner(factory, recipe), task, size, loss=None, balanced=True)
        found[name] = one
        mean, spread = one.whole.mean().value, one.whole.variation().value if len(one.whole.names) > 1 else math.nan
        first = np.mean([float(losses[0]) for losses in one.losses])
        last = np.mean([float(losses[~losses.isnan()][-1]) for losses in one.losses])
        each = mean / _parameters(factory, task) ** 0.5
        balanced = one.balanced.mean().value if one.balanced is not None else math.nan
        print(
            f"{name:10} d = {mean:9.3f}, c_v = {100 * spread:5.2f} % (paper {row.paper[0]:g}, {row.paper[1]:g} %),",
            end=" ",
        )
        print(f"a weight {each:.2e}, balanced {balanced:.3f},", end=" ")
        print(
            f"loss {first:.3f} → {last:.3f}, nearer to another's start: {one.other_start_nearer}, {_ways(one.ways)}",
            flush=True,
        )
        told[name] = {"distance": mean, "balanced distance": balanced, "distance a weight": each}
    for what in ("distance", "balanced distance", "distance a weight"):
        print(f"Order by {what}:", ", ".join(sorted(told, key=lambda name, what=what: told[name][what])))
    print("The paper's:", ", ".join(sorted(found, key=lambda name: TABLE[name].paper[0])))
    return _rows(found)


def simulation(given: argparse.Namespace) -> Any:
    """Figures 4 and 5, the counter-example to Theorem 3, and the bias of Algorithm 2."""
    divergence = {}
    for percent in (1, 5, 10, 20, 40, 60, 80, 90, 99):
        near = sphere_simulation(percent)
        divergence[percent] = near.divergence_from_normal()
        print(f"r = {percent:2} %: d̄ on the support {near.mean_on_support:.4f}, ", end="")
        print(f"KL to a normal {divergence[percent]:.4f} nat")
    points = torch.tensor([0.0, 1.0, *range(1000, 1010)])[:, None]
    for subset in ([0, 1], [7]):
        one = shortest_distances(points, subset)
        print(f"X = {{0, 1, 1000 … 1009}}, X′ = {points[subset, 0].tolist()}: r = {one.ratio:g}, d̄ = {one.mean:.2f}")
    printed = [QMCM().estimate(lambda n, draws: draws.exponential(1.0, n), seed=seed) for seed in range(20)]
    values = [one.printed.value for one in printed]
    print(f"Algorithm 2 of Exp(1), whose mean is 1, 20 seeds: {min(values):.3f} to {max(values):.3f}")
    print(f"the plain mean of the same samples: {np.mean([one.unbiased.value for one in printed]):.3f}")
    given.out.mkdir(parents=True, exist_ok=True)
    return {"divergence": divergence, "qmcm of exp(1)": values}


def fit_check(given: argparse.Namespace) -> Any:
    """I2 ≥ I0 ≫ I1 of the introduction: the data set, what the network can hold, the relationship; bits.

    I2 is the labels' uniform code, I1 their codelength given the inputs. For I0 the network is trained on labels drawn
    at random: what it then holds of them is n log C less its loss on them, a lower bound of what it can hold.
    """
    from infoscope import codelength

    task, learner, size = _setting(given)
    noise = task.corrupted(Massart(1.0))
    recipe = dataclasses.replace(learner.recipe, epochs=20 * size.epochs)
    held = _distances(given, dataclasses.replace(learner, recipe=recipe), noise, Size(3, None, 0), loss=None)
    losses = [float(row[~row.isnan()][-1]) for row in held.losses]
    uniform = len(task) * math.log2(task.classes)
    capacity = uniform - len(task) * float(np.mean(losses)) / NATS_PER_BIT
    relation = codelength(task, context=_context(given), strict=False).bits
    holds = "holds" if uniform >= capacity > 2 * relation else "does not hold"
    print(
        f"I2 = {uniform:.0f} bits, I0 ≥ {capacity:.0f} bits, I1 ≤ {relation:.0f} bits: I2 ≥ I0 ≫ I1 {holds} (≫: twice)"
    )
    return {"I2": uniform, "I0 at least": capacity, "I1 at most": relation}


def _setting(given: argparse.Namespace) -> tuple[Task, Learner, Size]:
    size = (FULL if given.full else SMALL).get(given.what, SMALL["experiment3"])
    size = Size(given.replicates or size.replicates, given.examples or size.examples, given.epochs or size.epochs)
    task = Task.from_dataset(given.data)
    task = task["train"] if "train" in task.splits else task
    task = task.shuffled(0)[: min(size.examples or len(task), len(task))]
    factory = model(given.model or ("tf-cnn" if min(task.shape[1:], default=0) >= 18 else "mlp"))
    optimizer = SGD(given.rate, given.momentum)
    return task, Learner(factory, Recipe(optimizer, batch=given.batch, epochs=size.epochs, patience=None)), size


def _context(given: argparse.Namespace) -> RunContext:
    return RunContext(Store(given.out), given.jobs, given.device)


def _matched(given: argparse.Namespace, task: Task) -> float:
    return (math.log2(task.classes) / 2 if given.matched is None else given.matched) * NATS_PER_BIT


def _distances(
    given: argparse.Namespace, learner: Learner, task: Task, size: Size, loss: float | None, balanced: bool = False
) -> DistanceResult:
    members = [Member(learner, task, seed) for seed in range(size.replicates)]
    epochs = learner.recipe.epochs
    stops = sorted({round(epochs ** (k / 10)) for k in range(11)})
    spec = EnsembleSpec(tuple(stops), loss)
    return measure_distances(members, spec, balanced=balanced, context=_context(given))


def _ways(ways: Sequence[Way]) -> str:
    return ", ".join(map(str, ways))


def _table(found: dict[str, DistanceResult]) -> Any:
    for name, one in found.items():
        matched = one.matched.mean() if one.matched is not None else None
        at = (
            f"{matched.value:.3f} ± {matched.stderr:.3f} ({len(one.matched_epochs)} got there)" if matched else "nobody"
        )
        mean = one.whole.mean()
        last = np.mean([float(row[~row.isnan()][-1]) for row in one.losses]) / NATS_PER_BIT
        print(
            f"{name:18} d = {mean.value:.3f} ± {mean.stderr:.3f}, at matched loss {at}, loss {last:.3f} bits",
            flush=True,
        )
    return _rows(found)


def _rows(found: dict[str, DistanceResult]) -> dict[str, Any]:
    return {
        name: {
            "distances": one.whole.values.tolist(),
            "layers": {k: v.tolist() for k, v in one.whole.layers.items()},
            "matched": one.matched.values.tolist() if one.matched is not None else [],
            "matched epochs": one.matched_epochs,
            "functions": {f.quantity: f.values.tolist() for f in one.functions},
            "curve": {epoch: m.value for epoch, m in one.curve.items()},
            "losses": [row[~row.isnan()].tolist() for row in one.losses],
            "balanced": one.balanced.values.tolist() if one.balanced is not None else [],
            "nearer to another start": one.other_start_nearer,
            "nearer to another end": one.other_end_nearer,
            "failed": one.failed,
            "way": _ways(one.ways),
        }
        for name, one in found.items()
    }


def _pictures(population: Population, learner: Learner, stacks: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """The picture of each, in three dimensions as in the paper, or as many as its points can take."""
    told: dict[str, Any] = {"failed": dict(population.failed), "way": _ways(population.ways)}
    for name, some in stacks.items():
        points = sum(len(next(iter(stack.values()))) for stack in some)
        picture: Picture = classical_mds(*some, dimensions=min(3, points - 1))
        mean, deviation = picture.radii()
        print(f"{name}: {points} points, radius {mean.value:.4f} (sd {deviation.value:.4f}) in", end=" ")
        print(
            f"{picture.points.shape[1]} dimensions, which hold {picture.explained:.1%}; in all {_radius(picture):.4f}"
        )
        told[name] = {"points": picture.points.tolist(), "explained": picture.explained, "radius": mean.value}
        told[name]["deviation"] = deviation.value
    return told


def _radius(picture: Picture) -> float:
    """Root mean square distance from the centre in all dimensions."""
    return float(picture.eigenvalues.clamp(min=0).sum() / len(picture.points)) ** 0.5


def _named(learner: Learner, task: Task) -> list[tuple[str, Any]]:
    return list(learner.network(task.shape, task.classes, 0).named_parameters())


def _parameters(factory: Any, task: Task) -> int:
    return sum(p.numel() for p in factory(task.shape, task.classes).parameters())
