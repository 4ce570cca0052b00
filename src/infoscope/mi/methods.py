"""Every estimator of mutual information by its name on the command line: a new one is an import and a row here.

`infoscope.mi` offers what is imported here, lazily and to type checkers, `list` and `explain` tell of it, and contract
tests and benchmarks hold it to what it claims.
"""

from __future__ import annotations

from infoscope.mi.estimators.binning import IDNNS as IDNNS
from infoscope.mi.estimators.binning import Adaptive as Adaptive
from infoscope.mi.estimators.binning import Saxe as Saxe
from infoscope.mi.estimators.binning import Uniform as Uniform
from infoscope.mi.estimators.compressed import Compressed as Compressed
from infoscope.mi.estimators.copula_critic import CopulaCritic as CopulaCritic
from infoscope.mi.estimators.gaussian import Gaussian as Gaussian
from infoscope.mi.estimators.gknn import GKNN as GKNN
from infoscope.mi.estimators.kde import KDE as KDE
from infoscope.mi.estimators.ksg import KSG as KSG
from infoscope.mi.estimators.largest import Largest as Largest
from infoscope.mi.estimators.lnn import LNN as LNN
from infoscope.mi.estimators.local_gaussian import LocalGaussian as LocalGaussian
from infoscope.mi.estimators.neural import MINE as MINE
from infoscope.mi.estimators.neural import NWJ as NWJ
from infoscope.mi.estimators.neural import SMILE as SMILE
from infoscope.mi.estimators.neural import InfoNCE as InfoNCE
from infoscope.mi.estimators.noisy import Noisy as Noisy
from infoscope.mi.estimators.pairs import Pairs as Pairs
from infoscope.mi.estimators.probe import Probe as Probe
from infoscope.mi.estimators.projected import Projected as Projected
from infoscope.mi.estimators.quantised import Quantised as Quantised
from infoscope.mi.estimators.residual import Residual as Residual
from infoscope.mi.estimators.ross import Ross as Ross
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
    "residual": Residual(),
    "pairs": Pairs(),
    "projected": Projected(),
    "largest": Largest(),
}
