from infoscope.learn.corruption import (
    Massart as Massart,
    MissingObjects as MissingObjects,
    MissingPixels as MissingPixels,
    ShuffledLabels as ShuffledLabels,
)
from infoscope.learn.fit import fit as fit
from infoscope.learn.learner import Adam as Adam, Learner as Learner, Recipe as Recipe, SGD as SGD
from infoscope.learn.task import Task as Task, union as union
from infoscope.measurement import (
    Bound as Bound,
    Measurement as Measurement,
    Receipt as Receipt,
    Status as Status,
    UnreliableMeasurement as UnreliableMeasurement,
)
from infoscope.prequential.blocks import Blocks as Blocks
from infoscope.prequential.entk import NTK as NTK
from infoscope.prequential.kernel import Kernel as Kernel
from infoscope.prequential.label_file import read_labels as read_labels, write_labels as write_labels
from infoscope.prequential.loss_curve import LossCurve as LossCurve
from infoscope.prequential.questions import (
    codelength as codelength,
    difficulty as difficulty,
    loss_curves as loss_curves,
    model_information as model_information,
)
from infoscope.prequential.replay import Replay as Replay
from infoscope.quantities import explain as explain
from infoscope.record import Record as Record, load as load
from infoscope.run import Store as Store

__version__: str
