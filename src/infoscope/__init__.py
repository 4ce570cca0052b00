"""infoscope: how much information a neural network holds, where it holds it, and about what.

The questions (`difficulty`, `codelength`, `model_information` …) and the nouns (`Task`, `Learner`, `Measurement` …)
are imported when they are first used, so that `import infoscope` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Adam": "learn.learner",
    "Blocks": "prequential.blocks",
    "Bound": "measurement",
    "DeltaSkipApproximate": "learn.schedule",
    "DeltaSkipExact": "learn.schedule",
    "Every": "learn.schedule",
    "InformationPlane": "dynamics.information_plane",
    "Kernel": "prequential.kernel",
    "LateWeights": "dynamics.as_if_random",
    "Learner": "learn.learner",
    "Logarithmic": "learn.schedule",
    "LossCurve": "prequential.loss_curve",
    "Massart": "learn.corruption",
    "Measurement": "measurement",
    "Member": "learn.population",
    "MissingObjects": "learn.corruption",
    "MissingPixels": "learn.corruption",
    "NTK": "prequential.entk",
    "Networks": "weights.stacked",
    "Population": "learn.population",
    "Receipt": "measurement",
    "Recipe": "learn.learner",
    "Record": "record",
    "Replay": "prequential.replay",
    "Running": "learn.running",
    "SGD": "learn.learner",
    "ShuffledLabels": "learn.corruption",
    "Status": "measurement",
    "Store": "run",
    "Task": "learn.task",
    "UnreliableMeasurement": "measurement",
    "align": "weights.alignment",
    "as_if_random": "dynamics.as_if_random",
    "classical_mds": "weights.mds",
    "codelength": "prequential.questions",
    "difficulty": "prequential.questions",
    "distance_curve": "weights.along_training",
    "distance": "weights.questions",
    "ensemble": "learn.ensemble",
    "explain": "quantities",
    "fit": "learn.fit",
    "function_distances": "weights.function_distance",
    "landmark_mds": "weights.landmarks",
    "layer_information": "mi.estimate",
    "load": "record",
    "loss_curves": "prequential.questions",
    "memorisation_included": "prequential.codelength",
    "model_information": "prequential.questions",
    "mutual_information": "mi.estimate",
    "nearest_ends": "weights.nearest",
    "permutation_groups": "weights.groups",
    "plane_of_activations": "dynamics.saved_activations",
    "plane_of_checkpoints": "dynamics.checkpoints",
    "plane_of_network": "dynamics.network",
    "read_labels": "prequential.label_file",
    "sample_complexity": "prequential.codelength",
    "surplus": "prequential.codelength",
    "tishby": "learn.tishby",
    "union": "learn.task",
    "weight_distances": "weights.distance",
    "with_noise": "learn.noise",
    "write_labels": "prequential.label_file",
}

__all__ = ["__version__", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll] - the stub lists the names


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"infoscope has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    return getattr(importlib.import_module(f"infoscope.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
