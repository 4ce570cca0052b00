from .bottleneck.effective import EffectiveInformation, effective_layers
from .bottleneck.invariance import nuisance_information
from .bottleneck.variational import InformationBottleneck, information_bottleneck
from .data.combine import like, union
from .data.corruption import Massart, MissingObjects, MissingPixels, ShuffledLabels
from .data.deficit import Blur, NoiseImages, PermutedClasses, VerticalFlip
from .data.targets import Boxes, Classes, Labels, Real, Tokens
from .data.task import Task
from .data.tishby import tishby
from .dynamics.critical_period.question import CriticalPeriod, critical_period
from .dynamics.fisher_training.observer import FisherTrace
from .dynamics.fisher_training.question import FisherTraining, fisher_training
from .dynamics.plane.as_if_random import LateWeights, as_if_random
from .dynamics.plane.checkpoints import plane_of_checkpoints
from .dynamics.plane.information_plane import InformationPlane
from .dynamics.plane.layer_method import FittedBins
from .dynamics.plane.network import plane_of_network
from .dynamics.plane.question import Plane
from .dynamics.plane.saved_activations import plane_of_activations
from .dynamics.plane.saved_information import SavedInformation
from .dynamics.schedule import DeltaSkipApproximate, DeltaSkipExact, Every, Logarithmic
from .dynamics.which_checkpoint.question import WhichCheckpoint, which_checkpoint
from .ensembles.ensemble import ensemble
from .ensembles.planning import EnsembleSpec
from .ensembles.population import Member, Population
from .ensembles.stacked_weights import Networks
from .measurement import Bound, Measurement, Receipt, Status, UnreliableMeasurement
from .mi.estimate import layer_information, mutual_information
from .model_information.ablation.question import Ablation, ablation
from .model_information.capacity.question import Capacity, capacity
from .model_information.choosing.question import Choosing, choose
from .model_information.codelength import Codelength, codelength, loss_curves
from .model_information.comparing.question import Compare, compare
from .model_information.difficulty import Difficulty, difficulty
from .model_information.distillation.question import Distillation, distillation
from .model_information.forgetting.question import Forgetting, forgetting
from .model_information.information import Information, information
from .model_information.mislabelled.question import Mislabelled, mislabelled
from .model_information.more_labels.question import MoreLabels, more_labels
from .model_information.probing.question import Probing, probe
from .model_information.similarity.question import Similarity, similarity
from .model_information.transfer.question import Transfer, transfer
from .observation.noise import with_noise
from .prequential.blocks import Blocks
from .prequential.closed_form import ClosedForm
from .prequential.codelength import memorisation_included, sample_complexity, surplus
from .prequential.entk import NTK
from .prequential.kernel import Kernel
from .prequential.label_file import read_labels, write_labels
from .prequential.loss_curve import LossCurve
from .prequential.mixed import Mixed
from .prequential.replay import Replay
from .prequential.synced import Synced
from .quantities import explain
from .record import Record, load
from .run import Store
from .run.context import RunContext as RunContext
from .run.question import ask
from .symmetry.alignment import align
from .symmetry.permutations import permutation_groups
from .task_space.embed import Embed, embed
from .task_space.embeddings import Embeddings
from .task_space.select import Select, select
from .task_space.space import TaskSpace, task_space
from .training.fit import fit
from .training.learner import Learner
from .training.recipe import SGD, Adam, Recipe
from .weight_distance.along_training import distance_curve
from .weight_distance.distance import weight_distances
from .weight_distance.function_distance import function_distances
from .weight_distance.landmarks import landmark_mds
from .weight_distance.mds import classical_mds
from .weight_distance.nearest import nearest_ends
from .weight_distance.pictures import MDS
from .weight_distance.weight_distance import WeightDistance, distance
from .weight_information.between.question import Between, between
from .weight_information.certificate.question import RiskCertificate, risk_certificate
from .weight_information.fisher import Fisher
from .weight_information.fisher_look import fisher
from .weight_information.learning_coefficients.question import LearningCoefficient, learning_coefficient
from .weight_information.merge.question import Merge, merge
from .weight_information.noise_tolerance.question import NoiseTolerance, noise_tolerance
from .weight_information.quantise.question import Quantise, quantise
from .weight_information.weights.question import WeightInformation, bits_in_weights
from .weight_information.weights_and_data.question import ShannonInformation, shannon

__all__ = [
    "MDS",
    "NTK",
    "SGD",
    "Ablation",
    "Adam",
    "Between",
    "Blocks",
    "Blur",
    "Bound",
    "Boxes",
    "Capacity",
    "Choosing",
    "Classes",
    "ClosedForm",
    "Codelength",
    "Compare",
    "CriticalPeriod",
    "DeltaSkipApproximate",
    "DeltaSkipExact",
    "Difficulty",
    "Distillation",
    "EffectiveInformation",
    "Embed",
    "Embeddings",
    "EnsembleSpec",
    "Every",
    "Fisher",
    "FisherTrace",
    "FisherTraining",
    "FittedBins",
    "Forgetting",
    "Information",
    "InformationBottleneck",
    "InformationPlane",
    "Kernel",
    "Labels",
    "LateWeights",
    "Learner",
    "LearningCoefficient",
    "Logarithmic",
    "LossCurve",
    "Massart",
    "Measurement",
    "Member",
    "Merge",
    "Mislabelled",
    "MissingObjects",
    "MissingPixels",
    "Mixed",
    "MoreLabels",
    "Networks",
    "NoiseImages",
    "NoiseTolerance",
    "PermutedClasses",
    "Plane",
    "Population",
    "Probing",
    "Quantise",
    "Real",
    "Receipt",
    "Recipe",
    "Record",
    "Replay",
    "RiskCertificate",
    "RunContext",
    "SavedInformation",
    "Select",
    "ShannonInformation",
    "ShuffledLabels",
    "Similarity",
    "Status",
    "Store",
    "Synced",
    "Task",
    "TaskSpace",
    "Tokens",
    "Transfer",
    "UnreliableMeasurement",
    "VerticalFlip",
    "WeightDistance",
    "WeightInformation",
    "WhichCheckpoint",
    "__version__",
    "ablation",
    "align",
    "as_if_random",
    "ask",
    "between",
    "bits_in_weights",
    "capacity",
    "choose",
    "classical_mds",
    "codelength",
    "compare",
    "critical_period",
    "difficulty",
    "distance",
    "distance_curve",
    "distillation",
    "effective_layers",
    "embed",
    "ensemble",
    "explain",
    "fisher",
    "fisher_training",
    "fit",
    "forgetting",
    "function_distances",
    "information",
    "information_bottleneck",
    "landmark_mds",
    "layer_information",
    "learning_coefficient",
    "like",
    "load",
    "loss_curves",
    "memorisation_included",
    "merge",
    "mislabelled",
    "more_labels",
    "mutual_information",
    "nearest_ends",
    "noise_tolerance",
    "nuisance_information",
    "permutation_groups",
    "plane_of_activations",
    "plane_of_checkpoints",
    "plane_of_network",
    "probe",
    "quantise",
    "read_labels",
    "risk_certificate",
    "sample_complexity",
    "select",
    "shannon",
    "similarity",
    "surplus",
    "task_space",
    "tishby",
    "transfer",
    "union",
    "weight_distances",
    "which_checkpoint",
    "with_noise",
    "write_labels",
]

__version__: str
