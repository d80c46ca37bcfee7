"""Fixtures for the tests of files."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest


@pytest.fixture
def nothing_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Temporary files go to a directory of their own, where none may be left."""
    directory = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert os.listdir(directory) == []
