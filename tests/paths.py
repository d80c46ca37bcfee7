"""Where the measured cases lie: the golden ones in this directory, the corpus of real nets beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("CAFFE_FCN_SHARED", ROOT.parent / "shared"))
CORPUS = SHARED / "corpus"
SHARED_MODELS = SHARED / "models"
