from .estimate import LayerInformation as LayerInformation
from .estimate import layer_bracket as layer_bracket
from .estimate import layer_information as layer_information
from .estimate import mutual_information as mutual_information
from .extrapolation import extrapolated as extrapolated
from .latent_sweep import latent_sweep as latent_sweep
from .methods import *  # noqa: F403 - every estimator of the table
from .methods import METHODS as METHODS
from .numerics.critic import Critic as Critic
