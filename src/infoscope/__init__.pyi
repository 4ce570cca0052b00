from infoscope.dynamics.as_if_random import LateWeights, as_if_random
from infoscope.dynamics.checkpoints import plane_of_checkpoints
from infoscope.dynamics.information_plane import InformationPlane
from infoscope.dynamics.network import plane_of_network
from infoscope.dynamics.saved_activations import plane_of_activations
from infoscope.learn.corruption import Massart, MissingObjects, MissingPixels, ShuffledLabels
from infoscope.learn.ensemble import ensemble
from infoscope.learn.fit import fit
from infoscope.learn.learner import SGD, Adam, Learner, Recipe
from infoscope.learn.noise import with_noise
from infoscope.learn.population import Member, Population
from infoscope.learn.running import Running
from infoscope.learn.schedule import DeltaSkipApproximate, DeltaSkipExact, Every, Logarithmic
from infoscope.learn.task import Task, union
from infoscope.learn.tishby import tishby
from infoscope.measurement import Bound, Measurement, Receipt, Status, UnreliableMeasurement
from infoscope.mi.estimate import layer_information, mutual_information
from infoscope.prequential.blocks import Blocks
from infoscope.prequential.codelength import memorisation_included, sample_complexity, surplus
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.label_file import read_labels, write_labels
from infoscope.prequential.loss_curve import LossCurve
from infoscope.prequential.questions import codelength, difficulty, loss_curves, model_information
from infoscope.prequential.replay import Replay
from infoscope.quantities import explain
from infoscope.record import Record, load
from infoscope.run import Store
from infoscope.weights.alignment import align
from infoscope.weights.along_training import distance_curve
from infoscope.weights.distance import weight_distances
from infoscope.weights.function_distance import function_distances
from infoscope.weights.groups import permutation_groups
from infoscope.weights.landmarks import landmark_mds
from infoscope.weights.mds import classical_mds
from infoscope.weights.nearest import nearest_ends
from infoscope.weights.questions import distance
from infoscope.weights.stacked import Networks

__all__ = [
    "NTK",
    "SGD",
    "Adam",
    "Blocks",
    "Bound",
    "DeltaSkipApproximate",
    "DeltaSkipExact",
    "Every",
    "InformationPlane",
    "Kernel",
    "LateWeights",
    "Learner",
    "Logarithmic",
    "LossCurve",
    "Massart",
    "Measurement",
    "Member",
    "MissingObjects",
    "MissingPixels",
    "Networks",
    "Population",
    "Receipt",
    "Recipe",
    "Record",
    "Replay",
    "Running",
    "ShuffledLabels",
    "Status",
    "Store",
    "Task",
    "UnreliableMeasurement",
    "__version__",
    "align",
    "as_if_random",
    "classical_mds",
    "codelength",
    "difficulty",
    "distance",
    "distance_curve",
    "ensemble",
    "explain",
    "fit",
    "function_distances",
    "landmark_mds",
    "layer_information",
    "load",
    "loss_curves",
    "memorisation_included",
    "model_information",
    "mutual_information",
    "nearest_ends",
    "permutation_groups",
    "plane_of_activations",
    "plane_of_checkpoints",
    "plane_of_network",
    "read_labels",
    "sample_complexity",
    "surplus",
    "tishby",
    "union",
    "weight_distances",
    "with_noise",
    "write_labels",
]

__version__: str
