"""Every estimator of mutual information by its name on the command line."""

from __future__ import annotations

from infoscope.mi.binning import IDNNS, Adaptive, Saxe, Uniform
from infoscope.mi.compressed import Compressed
from infoscope.mi.copula_critic import CopulaCritic
from infoscope.mi.gaussian import Gaussian
from infoscope.mi.gknn import GKNN
from infoscope.mi.kde import KDE
from infoscope.mi.ksg import KSG
from infoscope.mi.largest import Largest
from infoscope.mi.lnn import LNN
from infoscope.mi.local_gaussian import LocalGaussian
from infoscope.mi.method import Method
from infoscope.mi.neural import MINE, NWJ, SMILE, InfoNCE
from infoscope.mi.noisy import Noisy
from infoscope.mi.probe import Probe
from infoscope.mi.quantised import Quantised
from infoscope.mi.ross import Ross

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
