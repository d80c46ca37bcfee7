"""The options of reports about a net."""

from __future__ import annotations

from dataclasses import dataclass

from caffe_fcn.options import option_field


@dataclass(frozen=True)
class CheckOptions:
    """The choice of what is an error."""

    strict: bool = option_field(False, "Report what BVLC Caffe refuses as an error too.")
