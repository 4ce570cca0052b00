"""What the activations hold: effective information, the information bottleneck, nuisances and total correlation.

Names are imported when they are first used; the stub beside this file lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
