from .effective import effective_layers as effective_layers
from .emergence import channel_information as channel_information
from .emergence import determinant_form as determinant_form
from .emergence import effective_information as effective_information
from .emergence import signal_to_noise as signal_to_noise
