"""Every estimator of mutual information by its name on the command line."""

from __future__ import annotations

from infoscope.mi.estimators.binning import IDNNS, Adaptive, Saxe, Uniform
from infoscope.mi.estimators.compressed import Compressed
from infoscope.mi.estimators.copula_critic import CopulaCritic
from infoscope.mi.estimators.gaussian import Gaussian
from infoscope.mi.estimators.gknn import GKNN
from infoscope.mi.estimators.kde import KDE
from infoscope.mi.estimators.ksg import KSG
from infoscope.mi.estimators.largest import Largest
from infoscope.mi.estimators.lnn import LNN
from infoscope.mi.estimators.local_gaussian import LocalGaussian
from infoscope.mi.estimators.neural import MINE, NWJ, SMILE, InfoNCE
from infoscope.mi.estimators.noisy import Noisy
from infoscope.mi.estimators.probe import Probe
from infoscope.mi.estimators.quantised import Quantised
from infoscope.mi.estimators.ross import Ross
from infoscope.mi.method import Method

METHODS: dict[str, Method] = {
    "idnns": IDNNS(),
    "saxe": Saxe(),
    "uniform": Uniform(),
    "adaptive": Adaptive(),
    "kde-upper": KDE(side="upper"),
    "kde-lower": KDE(side="lower"),
    "noisy": Noisy(),
    "ksg": KSG(),
    "ross": Ross(),
    "lnn": LNN(),
    "g-knn": GKNN(),
    "gaussian": Gaussian(),
    "copula": Gaussian(copula=True),
    "local-gaussian": LocalGaussian(),
    "infonce": InfoNCE(),
    "mine": MINE(),
    "nwj": NWJ(),
    "smile": SMILE(),
    "probe": Probe(),
    "quantised": Quantised(),
    "compressed": Compressed(),
    "copula-critic": CopulaCritic(),
    "largest": Largest(),
}
