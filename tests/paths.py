"""Where the cases lie: the measured ones and small inputs that went wrong once in this directory, the corpus of real
nets beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("CAFFE_FCN_SHARED", ROOT.parent / "shared"))
CORPUS = SHARED / "corpus"
SHARED_MODELS = SHARED / "models"
