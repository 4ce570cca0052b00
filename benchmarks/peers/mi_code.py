"""Runs IDNNs', ibsgd's or infoscope's own functions on saved activations; prints a line of JSON.

The arrays are y (n,) and one T (n, d) a layer. Neither IDNNs nor ibsgd is installed or changed: their modules are read
from the folder of clones, and what they import that no longer exists, and that these functions do not use, is stood in
for by an empty module. The kernel bounds of ibsgd are written in the words of Keras' backend: with `ibsgd` numpy says
them, in single precision, with `ibsgd-tensorflow` TensorFlow does, compiled as one graph a bound.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
Values = dict[str, tuple[float, ...]]
Bound = Callable[[np.ndarray], float]

NATS_PER_BIT = float(np.log(2))


def numpy_backend() -> types.ModuleType:
    """The ten words of Keras' backend that ibsgd uses, said by numpy in single precision."""
    words = types.ModuleType("keras.backend")

    def logsumexp(x: np.ndarray, axis: int) -> np.ndarray:
        top = x.max(axis=axis, keepdims=True)
        return np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis)

    vars(words).update(
        expand_dims=np.expand_dims, sum=np.sum, square=np.square, transpose=np.transpose, dot=np.dot, shape=np.shape,
        mean=np.mean, cast=lambda x, kind: np.dtype(kind).type(x), floatx=lambda: "float32",
        log=lambda x: np.log(np.float32(x)), logsumexp=logsumexp,
    )  # fmt: skip
    return words


def tensorflow_backend() -> Any:
    """Keras 2's backend on TensorFlow, on one thread, with the one word that it has dropped put back."""
    tf: Any = importlib.import_module("tensorflow")
    backend: Any = importlib.import_module("tf_keras.backend")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    backend.logsumexp = tf.reduce_logsumexp
    return backend


def ibsgd_kernel(clones: Path, tool: str) -> tuple[Any, Callable[[Callable[..., Any], float], Bound]]:
    """The module of ibsgd's bounds, and what makes a function of activations of one of them and a variance."""
    keras = types.ModuleType("keras")
    backend = tensorflow_backend() if tool == "ibsgd-tensorflow" else numpy_backend()
    vars(keras).update(backend=backend)
    sys.modules.update({"keras": keras, "keras.backend": backend})
    sys.path.insert(0, str(clones / "ibsgd"))
    kde = importlib.import_module("kde")
    if tool == "ibsgd":
        return kde, lambda bound, variance: lambda t: float(bound(t, variance))
    tf = importlib.import_module("tensorflow")

    def compiled(bound: Callable[..., Any], variance: float) -> Bound:
        graph = tf.function(lambda t: bound(t, variance), autograph=False, reduce_retracing=True)
        return lambda t: float(graph(tf.constant(t)))

    return kde, compiled


def ibsgd_kde(clones: Path, tool: str, variance: float) -> Callable[[Arrays], Values]:
    """Upper and lower bound on I(X;T) and their differences for I(T;Y), as its notebook puts them together."""
    kde, as_bound = ibsgd_kernel(clones, tool)
    bounds = [as_bound(bound, variance) for bound in (kde.entropy_estimator_kl, kde.entropy_estimator_bd)]

    def run(arrays: Arrays) -> Values:
        y, found = arrays["y"], {}
        members = [y == label for label in np.unique(y)]
        for name in layers(arrays):
            t, values = arrays[name], []
            for bound in bounds:
                whole = bound(t)
                inside = sum(rows.mean() * bound(t[rows]) for rows in members)
                values += [whole - kde.kde_condentropy(t, variance), whole - inside]
            found[name] = tuple(float(value) / NATS_PER_BIT for value in values)
        return found

    return run


def ibsgd_binning(clones: Path, width: float) -> Callable[[Arrays], Values]:
    """Its floor rule."""
    sys.path.insert(0, str(clones / "ibsgd"))
    binning = importlib.import_module("simplebinmi")

    def run(arrays: Arrays) -> Values:
        members = {label: arrays["y"] == label for label in np.unique(arrays["y"])}
        found = {name: binning.bin_calc_information2(members, arrays[name], width) for name in layers(arrays)}
        return {name: tuple(float(value) / NATS_PER_BIT for value in values) for name, values in found.items()}

    return run


def idnns_binning(clones: Path, edges: int) -> Callable[[Arrays], Values]:
    """Its work on the layers of an epoch, in one process, every pattern being its own input.

    It measures each layer a second time on half of its neurons, of which it makes no use; that is part of its cost.
    """
    for absent in ("tensorflow", "idnns.networks", "idnns.networks.model", "idnns.information.mutual_info_estimation"):
        sys.modules[absent] = types.ModuleType(absent)
    vars(sys.modules["idnns.networks"]).update(model=sys.modules["idnns.networks.model"])
    vars(sys.modules["idnns.information.mutual_info_estimation"]).update(calc_varitional_information=None)
    sys.path.insert(0, str(clones / "IDNNs"))
    process = importlib.import_module("idnns.information.information_process")
    calculation: Any = importlib.import_module("idnns.information.mutual_information_calculation")
    calculation.NUM_CORES = 1

    def run(arrays: Arrays) -> Values:
        y, bins = arrays["y"], np.linspace(-1, 1, edges)
        n, classes = len(y), np.unique(y, return_inverse=True)[1].ravel()
        share = np.bincount(classes) / n
        every, unused = np.arange(n), [None] * 4
        inputs = bins, every, classes, *unused, np.full(n, 1 / n), None, share
        found = {}
        for name in layers(arrays):
            told = process.calc_information_for_layer_with_other(arrays[name], *inputs)
            found[name] = float(told["local_IXT"]), float(told["local_ITY"])
        return found

    return run


def of_infoscope(work: str, parameter: float) -> Callable[[Arrays], Values]:
    """The same numbers by infoscope: both bounds, the floor rule, or IDNNs' rule."""
    mi = importlib.import_module("infoscope.mi")
    method = mi.IDNNS(int(parameter)) if work == "idnns" else mi.Saxe(parameter)

    def run(arrays: Arrays) -> Values:
        found = {}
        for name in layers(arrays):
            t, y = arrays[name], arrays["y"]
            bracket = mi.layer_bracket(t, y, parameter)[::-1] if work == "kde" else [mi.layer_information(t, y, method)]
            found[name] = tuple(value.bits for side in bracket for value in (side.x_t, side.t_y))
        return found

    return run


def layers(arrays: Arrays) -> list[str]:
    """The names of the layers' arrays."""
    return sorted(name for name in arrays if name.startswith("T"))


def measured(run: Callable[[Arrays], Values], file: Path) -> dict[str, Any]:
    """Values, CPU seconds of the work and of the whole process, and its greatest memory; a small call warms up."""
    with np.load(file) as opened:
        arrays = {name: opened[name] for name in opened.files}
    with contextlib.redirect_stdout(sys.stderr):
        run({name: values[:64] for name, values in arrays.items()})
        start = time.process_time()
        values = run(arrays)
    seconds = time.process_time() - start
    whole = time.process_time()
    versions = {name: sys.modules[name].__version__ for name in ("numpy", "tensorflow") if _is_whole(name)}
    return {"values": values, "cpu_seconds": seconds, "whole_cpu_seconds": whole, "peak_mib": peak(), "uses": versions}


def _is_whole(name: str) -> bool:
    return hasattr(sys.modules.get(name), "__version__")


def peak() -> float:
    """Greatest resident memory since this program began, MiB; `getrusage` would count the parent's before it, too."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", choices=["infoscope", "ibsgd", "ibsgd-tensorflow", "idnns"])
    parser.add_argument("work", choices=["kde", "binning", "idnns"])
    parser.add_argument("parameter", type=float, help="variance of the noise, width of a bin, or number of edges")
    parser.add_argument("clones", type=Path)
    parser.add_argument("arrays", type=Path)
    options = parser.parse_args()
    if options.tool == "infoscope":
        run = of_infoscope(options.work, options.parameter)
    elif options.work == "kde":
        run = ibsgd_kde(options.clones, options.tool, options.parameter)
    elif options.work == "idnns":
        run = idnns_binning(options.clones, int(options.parameter))
    else:
        run = ibsgd_binning(options.clones, options.parameter)
    print(json.dumps(measured(run, options.arrays)))


if __name__ == "__main__":
    main()
