"""What frozen features say of labels: the closed-form code beside the online code of Voita & Titov (2020).

    python benchmarks/probes.py --data path/to/data

Theirs: labels in blocks that end at .1, .2, .4, .8, 1.6, 3.2, 6.25, 12.5, 25, 50 and 100 % of the data, the first sent
uniformly, each other one by a probe trained from scratch on all before it. The probe is a logistic regression
(scikit-learn's, on standardised columns, at that inverse penalty of 1, .1, .01 and .001 which does best on the reported
labels, which favours it) or a network of one hidden layer of 1,000 (Adam, early stopping on a tenth of its examples).
Same orders for all; CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from infoscope import ClosedForm, Task
from infoscope.data.task import coding_order
from infoscope.model_information.probing.probed import network_layers
from infoscope.models import model
from infoscope.prequential.encode import encode
from infoscope.training.learner import Learner
from infoscope.training.weights_file import weights_from
from ledger import RESULTS, table

HEAD = """What labels cost given frozen features, bits and CPU seconds of one thread: the closed-form code and the
online code of Voita & Titov (2020) with a logistic regression (at the best of four penalties in hindsight) and with a
network.

    python benchmarks/probes.py --data DATA
"""

FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
N, ORDERS = 2000, 1

Probe = Callable[[], LogisticRegression | MLPClassifier]


STRENGTHS = (1.0, 0.1, 0.01, 0.001)


def logistic(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=300)


def network() -> MLPClassifier:
    return MLPClassifier((1000,), early_stopping=True, max_iter=100, random_state=0)


def online_code(x: np.ndarray, y: np.ndarray, classes: int, probe: Probe) -> float:
    """Bits of Voita & Titov's online code of y in the order given."""
    edges = sorted({max(1, round(fraction * len(y))) for fraction in FRACTIONS})
    nats = edges[0] * math.log(classes)
    for start, stop in pairwise(edges):
        p = _predicted(x[:start], y[:start], x[start:stop], classes, probe)
        nats -= np.log(p[np.arange(stop - start), y[start:stop]]).sum()
    return nats / math.log(2)


def _predicted(past: np.ndarray, y: np.ndarray, new: np.ndarray, classes: int, probe: Probe) -> np.ndarray:
    """A class that the probe has not seen gets a thousandth, so that no label is impossible."""
    p = np.full((len(new), classes), 1 / classes)
    seen = np.bincount(y)
    fits = (seen > 0).sum() > 1 and (probe is not network or (len(y) >= 20 and seen[seen > 0].min() > 1))
    if fits:
        scale = StandardScaler().fit(past)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = probe().fit(scale.transform(past), y)
        p[:] = 0
        p[:, fitted.classes_] = fitted.predict_proba(scale.transform(new))
    return 0.999 * p + 0.001 / classes


def settings(data: Path | None) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Features, labels and classes by name."""
    draws = np.random.default_rng(0)
    y = draws.integers(2, size=N)
    shifted = draws.normal(size=(N, 768))
    shifted[:, 7] += 2 * y
    noise = draws.normal(size=(N, 768))
    found = {"one of 768 columns shifted by 2": (shifted, y, 2), "768 columns of noise": (noise, y, 2)}
    six = draws.integers(6, size=N)
    directions = np.linalg.qr(draws.normal(size=(768, 6)))[0].T
    found["6 classes in 6 of 768 directions"] = (draws.normal(size=(N, 768)) + 3 * directions[six], six, 6)
    if data is None:
        return found
    for name in ("trec", "sst2"):
        task = _some(Task.from_dataset(str(data / name))["train"])
        found[f"{name}, hashed words"] = (task.x[:].numpy(), task.labels.numpy(), task.classes)
    cifar = _some(Task.from_dataset(str(data / "cifar10"))["test"])
    learner = Learner(model("resnet20[mean=(0.485,0.456,0.406), deviation=(0.229,0.224,0.225)]"))
    learner = learner.starting_from(weights_from(data / "weights" / "cifar10_resnet20.safetensors"))
    layers = network_layers(cifar, learner, ("layer1", "layer2", "layer3"), "mean", 0)
    for name, rows in layers.layers.items():
        found[f"cifar10, resnet20 {name}"] = (rows.numpy(), cifar.labels.numpy(), 10)
    return found


def _some(task: Task) -> Task:
    return task[coding_order(len(task), 0)[:N]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (x, y, classes) in settings(given.data).items():
        cells = measured(x, y, classes)
        numbers = [f"{bits:.0f}" if i % 2 == 0 else f"{bits:.1f}" for i, bits in enumerate(cells.ravel())]
        rows.append((name, f"{len(y) * math.log2(classes):.0f}", *numbers))
        print(*rows[-1], sep=" | ", flush=True)
    columns = ("features", "uniform", "bits", "CPU s", "logistic: bits", "CPU s", "network: bits", "CPU s")
    given.out.mkdir(exist_ok=True)
    text = f"{HEAD}\n{table(columns, rows)}\n"
    (given.out / "probes.md").write_text(text, encoding="utf-8")


def measured(x: np.ndarray, y: np.ndarray, classes: int) -> np.ndarray:
    """Bits and CPU seconds of the three codes, (3, 2), means over orders."""
    task = Task.from_arrays(x.astype(np.float32), y, alphabet=[str(c) for c in range(classes)])
    found = []
    for seed in range(ORDERS):
        order = coding_order(len(y), seed)
        probes = [*(partial(logistic, strength) for strength in STRENGTHS), network]
        *linear, deep = (_timed(online_code, x[order], y[order], classes, probe) for probe in probes)
        found.append([_timed(closed_form, task, seed), min(linear), deep])
    return np.mean(found, axis=0)


def closed_form(task: Task, seed: int) -> float:
    return encode(task, ClosedForm(), None, seed).total / math.log(2)


def _timed(code: Callable[..., float], *args: object) -> tuple[float, float]:
    start = time.process_time()
    bits = code(*args)
    return bits, time.process_time() - start


if __name__ == "__main__":
    main()
