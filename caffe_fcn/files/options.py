"""Options that say how files are written."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class WriteOptions:
    """How files are written."""

    force: bool = option_field(False, "Overwrite files that exist.")
