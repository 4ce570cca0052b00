"""The studies of an installed infoscope, each run as `infoscope study NAME`.

They are files of one folder that import one another by their bare names, here as in a checkout.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
