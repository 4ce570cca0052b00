"""Tasks as points of a space: how a network's filters matter to them, how far apart they are, what to start from.

Names are imported when they are first used; the stub beside this file lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
