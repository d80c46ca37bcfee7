"""Makes separate environments for the packages to compare with, and keeps them in a cache directory.

One environment cannot have two releases of a package, and a benchmark must not change the environment of this checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_MADE = ".caffe-fcn-bench"
"""The file that is there once an environment is complete."""


class InstallError(Exception):
    """A package cannot be installed."""


def default_cache() -> Path:
    """Where environments are kept unless the user says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "caffe-fcn-bench"


def python_with(requirement: str, cache: Path) -> Path:
    """The Python of an environment that holds the newest release of REQUIREMENT, made in CACHE where it is not there.

    Without an index, an environment that is complete is used as it is. Raises InstallError.
    """
    name = "".join(letter if letter.isalnum() else "-" for letter in requirement)
    place = cache / f"{name}-python{sys.version_info.major}.{sys.version_info.minor}"
    python, made = place / "bin" / "python", place / _MADE
    complete = made.exists()
    if not complete:
        _run([sys.executable, "-m", "venv", "--clear", place])
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    try:
        _run([*pip, requirement])
    except InstallError:
        if not complete:
            raise
    made.touch()
    return python


def _run(command: list[str | Path]) -> None:
    """Run COMMAND. Raises InstallError where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise InstallError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise InstallError(" ".join(told[-1:]) or f"{command[0]} ended with {done.returncode}")
