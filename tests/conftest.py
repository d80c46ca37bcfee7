"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.paths import CORPUS


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The directory of the corpus; the test is skipped, loudly, where it is absent."""
    if not (CORPUS / "manifest.json").exists():
        pytest.skip("the corpus of real nets is not beside the checkout")
    return CORPUS
