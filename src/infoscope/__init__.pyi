from infoscope.learn.corruption import Massart, MissingObjects, MissingPixels, ShuffledLabels
from infoscope.learn.fit import fit
from infoscope.learn.learner import SGD, Adam, Learner, Recipe
from infoscope.learn.task import Task, union
from infoscope.measurement import Bound, Measurement, Receipt, Status, UnreliableMeasurement
from infoscope.prequential.blocks import Blocks
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.questions import codelength, difficulty, loss_curves, model_information
from infoscope.prequential.replay import Replay
from infoscope.quantities import explain
from infoscope.record import Record, load
from infoscope.run import Store

__all__ = [
    "NTK",
    "SGD",
    "Adam",
    "Blocks",
    "Bound",
    "Kernel",
    "Learner",
    "LossCurve",
    "Massart",
    "Measurement",
    "MissingObjects",
    "MissingPixels",
    "Receipt",
    "Recipe",
    "Record",
    "Replay",
    "ShuffledLabels",
    "Status",
    "Store",
    "Task",
    "UnreliableMeasurement",
    "__version__",
    "codelength",
    "difficulty",
    "explain",
    "fit",
    "load",
    "loss_curves",
    "model_information",
    "read_labels",
    "union",
    "write_labels",
]

__version__: str
