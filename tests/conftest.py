"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.paths import CORPUS

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # where a test imports onnxruntime itself


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of the corpus; the test is skipped, loudly, where it is absent."""
    if not (CORPUS / "manifest.json").exists():
        pytest.skip("the corpus of real nets is not beside the checkout")
    return CORPUS
