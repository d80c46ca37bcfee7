"""Why a pass leaves a layer as it is, as data and in words."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from string import Formatter

import pytest

from caffe_fcn.net.layers.following import Clash
from caffe_fcn.net.obstacles import Obstacle
from caffe_fcn.passes.convolutionalize.reasons import Stays
from caffe_fcn.passes.fold.affine import Why


class Odd(Enum):
    """A reason to test with."""

    IS = "{!r} is {} of {}, because {}"
    PLAIN = "it is odd"


def test_words_are_made_of_names_numbers_shapes_and_other_obstacles() -> None:
    obstacle = Obstacle(Odd.IS, ("a{}", 3, (4, 5), Obstacle(Odd.PLAIN)))
    assert str(obstacle) == "'a{}' is 3 of 4×5, because it is odd"
    assert obstacle.why is Odd.IS and obstacle == Obstacle(Odd.IS, ("a{}", 3, (4, 5), Obstacle(Odd.PLAIN)))
    assert {obstacle: 1}[obstacle] == 1


@pytest.mark.parametrize("why", [*Clash, *Stays, *Why], ids=str)
def test_a_template_has_room_by_position_only(why: Enum) -> None:
    fields = [(name, spec) for _, name, spec, _ in Formatter().parse(why.value) if name is not None]
    assert all(field == ("", "") for field in fields)
    assert str(Obstacle(why, ("x",) * len(fields)))


@pytest.mark.thorough
@pytest.mark.parametrize("module", ["net.obstacles", "net.layers.following", "model.changes"])
def test_each_module_can_be_the_first_that_is_imported(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import caffe_fcn.{module}"], check=True)
