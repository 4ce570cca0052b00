"""The coders by name: the table that the command line reads."""

from infoscope.prequential.blocks import Blocks
from infoscope.prequential.encode import Coder
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.replay import Replay

CODERS: dict[str, Coder] = {
    "kernel": Kernel(),
    "replay": Replay(),
    "entk": NTK(),
    "blocks": Blocks(),
    "blocks-warm": Blocks(warm=True),
}
