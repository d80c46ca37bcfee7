"""What random nets go through besides a conversion: each pass, alone or after and before others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.random import deploys, finer, reductions, segments
from tests.random.nets import random_net
from tests.random.trials import Task, Trial, tried

TASKS: Mapping[str, Task] = {
    "segment": Task(segments.segmentable, segments.segmented, segments.check, told=True),
    "finer map": Task(finer.strided, finer.finer, finer.check_finer),
    "channels": Task(random_net, finer.other_channels, finer.check_channels, told=True),
    "deploy": Task(deploys.training, deploys.deployed, deploys.check, whole=True),
    "reduce": Task(reductions.reducible, reductions.reduced, reductions.check),
}


def trials_of(seeds: Sequence[int], name: str) -> list[Trial]:
    """What comes of the nets of SEEDS and the task of this NAME."""
    task = TASKS[name]
    return [tried(task.net(seed), name, task) for seed in seeds]
