"""Which layers of Shwartz-Ziv & Tishby's network compress, by which estimator, over many seeds."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from infoscope.data.task import coding_order
from infoscope.data.tishby import tishby
from infoscope.dynamics.schedule import DeltaSkipExact
from infoscope.mi.estimate import layer_bracket
from infoscope.mi.estimators.binning import IDNNS, Adaptive, Saxe, Uniform
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.estimators.probe import Probe
from infoscope.mi.method import Method
from infoscope.mi.sample import as_points, read_labels
from infoscope.options import AtLeast, check_fields
from infoscope.run import Store
from infoscope.run.context import RunContext
from infoscope.run.look import Look, look
from infoscope.run.question import Stages
from infoscope.run.study import StudyAnswer
from plane_svg import plane_svg
from printed import printed
from trajectories import TRAINED_ON, Numbers, Training, Trajectory, about, epochs_between, place, replicated

VARIANCE = 1e-3
H_X = 12.0


def estimators(activation: str) -> dict[str, Method]:
    """The estimators besides the bounds of `KDE`, which are measured in pairs."""
    return {
        "idnns 30": IDNNS(),
        "uniform 30, layer": Uniform(30, "layer"),
        "uniform 30, neuron": Uniform(30, "neuron"),
        "adaptive 30": Adaptive(30),
        "saxe": Saxe(0.07 if activation == "tanh" else 0.5),
        "noisy": Noisy(VARIANCE, 2048),
    }


def skipped(trajectory: Trajectory, method: Method, delta: float) -> Numbers:
    """The plane at the epochs that delta skip asks for."""
    task, run = tishby(), DeltaSkipExact(delta).start()
    last, found = len(trajectory.weights) - 1, {}
    for reached in range(last + 1):
        while wanted := run.wanted(reached, reached == last):
            for epoch in wanted:
                found[epoch] = place(trajectory, epoch, task, method)
                run.update(epoch, [v for x_t, t_y in found[epoch] for v in (x_t / H_X, t_y)])
    epochs = sorted(found)
    return Numbers({"epochs": epochs, "places": [found[epoch] for epoch in epochs]})


def sampled(trajectory: Trajectory, epochs: Sequence[int]) -> Numbers:
    """Every estimator at these epochs, and the share of activations within 1/15 of the ends of tanh, or at 0."""
    task = tishby()
    methods = estimators(trajectory.training.activation)
    held = {name: [place(trajectory, e, task, method) for e in epochs] for name, method in methods.items()}
    kde: dict[str, list] = {"kde lower": [], "kde upper": []}
    ends: list[list[float]] = []
    for epoch in epochs:
        layers = trajectory.layers(epoch, task.x)[:-1]
        pairs = [layer_bracket(t, task.y, VARIANCE) for t in layers]
        for i, name in enumerate(kde):
            kde[name].append([(pair[i].x_t.bits, pair[i].t_y.bits) for pair in pairs])
        tanh = trajectory.training.activation == "tanh"
        ends.append([float(((t.abs() > 1 - 1 / 15) if tanh else t == 0).float().mean()) for t in layers])
    return Numbers({"epochs": list(epochs), **held, **kde, "at the ends": ends})


def probed(trajectory: Trajectory, epochs: Sequence[int]) -> Numbers:
    """The probe's lower bound on I(T;Y) of each layer, bits, with its standard error."""
    task, probe, rows = tishby(), Probe(), []
    labels = read_labels(task.y, "y")
    for epoch in epochs:
        found = [probe.estimate(as_points(t, "t"), labels, 0) for t in trajectory.layers(epoch, task.x)[:-1]]
        rows.append([(f.value / math.log(2), f.stderr / math.log(2)) for f in found])
    return Numbers({"epochs": list(epochs), "probe": rows})


def learned(trajectory: Trajectory, epoch: int | None = None) -> dict[str, float]:
    """Loss and accuracy at an epoch, or at the end, on the patterns that were trained on and on the others."""
    epoch = len(trajectory.weights) - 1 if epoch is None else epoch
    task, order = tishby(), coding_order(4096, trajectory.seed)
    told = {}
    for side, rows in (("train", order[:TRAINED_ON]), ("test", order[TRAINED_ON:])):
        loss, right = trajectory.loss_and_accuracy(epoch, task.x[rows], task.y[rows])
        told |= {f"{side} loss": loss, f"{side} accuracy": right}
    return told


def fall(curves: Float[np.ndarray, "seeds epochs"], epochs: Sequence[float]) -> dict[str, float]:
    """From the highest epoch of the mean curve to the last: mean and standard error over seeds, and how many fall.

    >>> fall(np.array([[0.0, 2.0, 1.0], [0.0, 4.0, 1.0]]), [0, 1, 10])
    {'at': 1, 'highest': 3.0, 'last': 1.0, 'fall': 2.0, 'stderr': 1.0, 'seeds': 2}
    """
    top = int(curves.mean(0).argmax())
    falls = curves[:, top] - curves[:, -1]
    stderr = float(falls.std(ddof=1) / math.sqrt(len(falls))) if len(falls) > 1 else math.nan
    means = curves.mean(0)
    return {"at": epochs[top], "highest": float(means[top]), "last": float(means[-1]),
            "fall": float(falls.mean()), "stderr": stderr, "seeds": int((falls > 0).sum())}  # fmt: skip


def on_every_epoch(curve: Numbers) -> Float[np.ndarray, "epochs layers 2"]:
    """A skipped curve with straight lines between the epochs that were measured."""
    at = np.array(curve["epochs"])
    flat = np.array(curve["places"]).reshape(len(at), -1)
    every = np.arange(at[-1] + 1)
    return np.stack([np.interp(every, at, one) for one in flat.T], 1).reshape(len(every), -1, 2)


def table(name: str, curves: Float[np.ndarray, "seeds epochs layers 2"], epochs: Sequence[float]) -> list[dict]:
    """A row a layer and quantity."""
    return [
        {"estimator": name, "quantity": q, "layer": f"act{i + 1}", **fall(curves[:, :, i, j], epochs)}
        for j, q in enumerate(("I(X;T)", "I(T;Y)"))
        for i in range(curves.shape[2])
    ]


def progress(trained: Sequence[Trajectory], x_t: Float[np.ndarray, "epochs layers"], epoch: int) -> str:
    """What the networks have learned after an epoch, means ± standard errors over seeds, and mean I(X;T) there."""
    scores = [learned(t, epoch) for t in trained]
    columns = {key: np.array([one[key] for one in scores]) for key in scores[0]}
    few = math.sqrt(max(len(scores) - 1, 1))
    told = ", ".join(f"{key} {v.mean():.4f} ± {v.std() / few:.4f}" for key, v in columns.items())
    return f"epoch {epoch}: {told}; I(X;T) {_numbers(x_t[epoch])}"


def across_seeds(layer: str, falls: Float[np.ndarray, " seeds"], scores: Sequence[dict[str, float]]) -> str:
    """In how many seeds a layer falls, and how its fall goes with what the network learned."""
    if falls.std() == 0:
        return f"{layer}: does not fall"
    told = {key: np.corrcoef(falls, [one[key] for one in scores])[0, 1] for key in ("test accuracy", "test loss")}
    return (
        f"{layer}: {(falls > 0).sum()} of {len(falls)} seeds fall, {(falls > 0.5).sum()} by more than 0.5 bit; "
        "correlation of the fall with " + ", ".join(f"{key} {r:+.2f}" for key, r in told.items())
    )


def _numbers(values: Sequence[float] | Float[np.ndarray, " layers"]) -> str:
    return " ".join(f"{value:.3f}" for value in values)


def lines(
    told: dict, trained: Sequence[Trajectory], dense: Float[np.ndarray, "seeds epochs layers 2"]
) -> Iterator[str]:
    """What was found, for reading: falls, what was learned meanwhile, correlations, saturation, the probe's bounds."""
    rows, epochs = told["falls"], told["sampled at"]
    for row in rows:
        yield ("{estimator:28} {quantity} {layer}: {highest:8.4f} at {at:5} -> {last:8.4f}  "
               "fall {fall:8.4f} ± {stderr:.4f}, {seeds} seeds".format(**row))  # fmt: skip
    for epoch in sorted({*epochs[-3:], *(row["at"] for row in rows[3:5])}):
        yield progress(trained, dense.mean(0)[..., 0], epoch)
    for layer, row in enumerate(rows[:5]):
        falls = dense[:, row["at"], layer, 0] - dense[:, -1, layer, 0]
        yield across_seeds(row["layer"], falls, told["learned"])
    for epoch, shares in zip(epochs, told["means"]["at the ends"], strict=True):
        yield f"share of activations at the ends, epoch {epoch}: {_numbers(shares)}"
    for epoch, bounds in zip(told["probed at"], told["probe"], strict=True):
        shown = " ".join(f"{bound:.3f} ± {error:.3f}" for bound, error in bounds)
        yield f"probe's bound on I(T;Y), mean over seeds ± error of one, epoch {epoch}: {shown}"
    counts = told["measured by delta skip"]
    yield f"delta skip measured {np.mean(counts):.0f} of {dense.shape[1]} epochs, {min(counts)} to {max(counts)}"


@dataclass(frozen=True)
class LayerCompression:
    """Which layers of Shwartz-Ziv & Tishby's network compress, by which estimator, over many seeds.

    Every seed is trained once and its weights are kept (12 MB a seed for 10,000 epochs). The plane of the paper's
    30 bins is measured at the epochs that delta skip asks for; the other estimators at epochs evenly spaced on a
    logarithmic axis. A layer compresses by as much as the mean curve over seeds falls from its highest epoch to the
    last: mean and standard error over seeds of that difference. The largest value of a single seed's curve is not
    used: its jitter would count as compression.

    What to expect, fall of I(X;T) of act1 … act5 in bits, by the paper's bins (tanh) or 30 over the layer's range
    (ReLU):

        tanh  0.00  0.05 ± 0.01  0.00         0.70 ± 0.24  2.94 ± 0.16
        ReLU  0.00  0.00         0.03 ± 0.03  0.19 ± 0.10  0.23 ± 0.12

    Attributes
    ----------
    activation
        Of the network.
    epochs
        Of the trainings.
    replicates
        Networks.
    seed
        The first of their seeds.
    sampled
        Seeds that every estimator measures; without it, all.
    probed
        Seeds whose layers are probed, the slowest estimate.
    delta
        Of delta skip.
    per_decade
        Points a decade.
    """

    activation: Literal["tanh", "relu"] = "tanh"
    epochs: Annotated[int, AtLeast(1)] = 1000
    replicates: Annotated[int, AtLeast(2)] = 4
    seed: Annotated[int, AtLeast(0)] = 0
    sampled: int | None = None
    probed: int = 1
    delta: float = 0.01
    per_decade: Annotated[int, AtLeast(1)] = 2

    paper: ClassVar[Mapping[str, Any]] = {"epochs": 10_000, "replicates": 20, "probed": 3}

    def __post_init__(self) -> None:
        check_fields(self)

    def stages(self, device: str = "cpu") -> Stages[StudyAnswer]:
        """What the study prints, and the files that it writes."""
        return (yield from printed("Which layers compress", study, self))


def study(given: argparse.Namespace) -> None:
    """Measure, print, and write the numbers down."""
    store = Store(given.out)
    trained = replicated(Training(given.activation, given.epochs), given, RunContext(store, given.jobs))
    epochs = tuple(epochs_between(given.epochs, given.per_decade))
    few = tuple(e for e in (0, 100, given.epochs) if e <= given.epochs)
    method = IDNNS() if given.activation == "tanh" else Uniform(30, "layer")
    planes = look([Look(skipped, (t, method, given.delta), Numbers) for t in trained], store, jobs=given.jobs)
    points = look([Look(sampled, (t, epochs), Numbers) for t in trained[: given.sampled]], store, jobs=given.jobs)
    probes = look([Look(probed, (t, few), Numbers) for t in trained[: given.probed]], store, jobs=given.jobs)
    dense = np.stack([on_every_epoch(plane) for plane in planes])
    rows = table(f"{method!r}, delta skip", dense, range(given.epochs + 1))
    for name in (*estimators(given.activation), "kde lower", "kde upper"):
        rows += table(name, np.array([p[name] for p in points]), epochs)
    shown = epochs_between(given.epochs, 15)
    drawn = plane_svg(dense.mean(0)[shown].transpose(1, 0, 2), shown)
    (given.out / f"information_plane_{given.activation}.svg").write_text(drawn)
    told = {
        **about(given), "activation": given.activation,
        "measured by delta skip": [len(plane["epochs"]) for plane in planes],
        "learned": [learned(t) for t in trained],
        "falls": rows, "sampled at": epochs,
        "means": {k: np.array([p[k] for p in points]).mean(0).tolist() for k in points[0].held if k != "epochs"},
        "falls by seed": (dense.max(1) - dense[:, -1]).tolist(),
        "probed at": few, "probe": np.array([p["probe"] for p in probes]).mean(0).tolist(),
    }  # fmt: skip
    (given.out / f"{given.activation}.json").write_text(json.dumps(told, indent=1))
    for line in lines(told, trained, dense):
        print(line)
