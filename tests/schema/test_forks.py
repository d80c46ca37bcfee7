"""The table of forks holds what is known of them, and makes a sound schema of each."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from caffe_fcn.schema.forks import fork_fields, forks, table
from tests.paths import SHARED

FACTS = SHARED / "facts" / "forks.json"
OUTSIDE_NETS = {
    *("AggregationParameter", "AnnotatedDatum", "Annotation", "AnnotationGroup", "AugmentationCoeff"),
    *("C2TensorProto", "C2TensorProtos", "Datum", "LabelMap", "LabelMapItem", "LabelSpecificStatisticsParameter"),
    *("LaneInfo", "MultiPhaseSolverParameter", "NormalizedBBox", "SolverBatchSizePair", "SolverParameter"),
    *("SolverState", "VolumeDatum", "YoloSegItem", "YoloSegLabel"),
}
"""Messages of the facts that no net holds."""


def test_the_table_holds_every_field_of_the_facts_that_a_net_can_hold() -> None:
    if not FACTS.exists():
        pytest.skip(f"{FACTS} is not there; it is shared, not part of the project")
    facts: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    assert set(forks()) == set(facts)
    held = {(fork, row.message, row.name): row for row in fork_fields() for fork in row.forks}
    for fork, fact in facts.items():
        for path, (number, kind, label, *default) in fact["fields"].items():
            message, name = path.rpartition(".")[::2]
            if message in OUTSIDE_NETS or (fork == "C3D-1.0" and message in ("LayerParameter", "NetParameter")):
                continue
            row = held[fork, message, name]
            assert (row.number, row.type.rpartition(".")[2], row.label) == (number, kind, label), (fork, path)
            assert row.default == (default[0] if default else None), (fork, path)


def test_a_fork_has_a_field_once() -> None:
    numbers = Counter((fork, row.message, row.number) for row in fork_fields() for fork in row.forks)
    names = Counter((fork, row.message, row.name) for row in fork_fields() for fork in row.forks)
    values = Counter((fork, row.enum, row.name) for row in table().enumerators for fork in row.forks)
    assert max((numbers | names | values).values()) == 1
