"""The coders by name: the table that the command line reads."""

from infoscope.prequential.blocks import Blocks
from infoscope.prequential.closed_form import ClosedForm
from infoscope.prequential.encode import Coder
from infoscope.prequential.entk import NTK
from infoscope.prequential.kernel import Kernel
from infoscope.prequential.mixed import Mixed
from infoscope.prequential.replay import Replay
from infoscope.prequential.synced import Synced

CODERS: dict[str, Coder] = {
    "mixed": Mixed(),
    "kernel": Kernel(),
    "closed-form": ClosedForm(),
    "replay": Replay(),
    "entk": NTK(),
    "synced": Synced(),
    "blocks": Blocks(),
    "blocks-warm": Blocks(warm=True),
}
