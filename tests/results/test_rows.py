"""The gate to an insert: only plain, finite values pass."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from rsuq_cli.results.columns import column_values
from rsuq_cli.results.rows import NewCheckpoint, SampleRow

FLOATS = [f.name for f in dataclasses.fields(SampleRow) if f.type == "float"]
WHOLE = [f.name for f in dataclasses.fields(SampleRow) if f.type == "int"]


def changed(row: SampleRow, **changes: Any) -> SampleRow:
    return dataclasses.replace(row, **changes)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
@pytest.mark.parametrize("column", FLOATS)
def test_a_float_that_is_not_finite_is_refused_by_name(made: Any, column: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"{column} must be finite"):
        column_values(changed(made.sample(1, 0), **{column: bad}))


@pytest.mark.parametrize("column", WHOLE)
def test_numpy_integers_become_ints_and_floats_are_refused(made: Any, column: str) -> None:
    assert type(column_values(changed(made.sample(1, 0), **{column: np.int32(7)}))[column]) is int
    with pytest.raises(ValueError, match=f"{column} must be a whole number"):
        column_values(changed(made.sample(1, 0), **{column: 7.0}))


def test_the_other_columns_take_their_own_kind_only(made: Any) -> None:
    sample = made.sample(1, 0, standard_decided=np.True_)
    assert column_values(sample)["standard_decided"] is True
    with pytest.raises(ValueError, match="at_ceiling must be true or false"):
        column_values(changed(sample, at_ceiling=1))
    with pytest.raises(ValueError, match="decision must be text"):
        column_values(changed(sample, decision=0))
    with pytest.raises(ValueError, match="counts must be bytes"):
        column_values(made.evidence(0, counts=np.zeros(3)))


@pytest.mark.parametrize(
    ("decision", "class_index", "correct", "is_uncertain"),
    [
        ("certain", 1, True, False),
        ("certain", 2, False, False),
        ("uncertain", 1, False, True),
        ("undecided", 1, False, True),
    ],
)
def test_an_abstention_is_never_correct(
    made: Any, decision: str, class_index: int, correct: bool, is_uncertain: bool
) -> None:
    values = column_values(made.sample(1, 0, decision=decision, class_index=class_index))
    assert (values["correct"], values["is_uncertain"]) == (correct, is_uncertain)


def test_none_passes_only_where_the_column_may_be_empty(made: Any) -> None:
    assert column_values(made.scoring(1, threshold=None, coverage=None))["threshold"] is None
    with pytest.raises((TypeError, ValueError)):
        column_values(made.scoring(1, alpha=None))


def test_configuration_is_json_with_sorted_keys_and_without_nan() -> None:
    new = NewCheckpoint("cnn", "digits", 0.25, "gaussian", "a", "0", None, 0.5, {"b": 1, "a": [1.5]})
    values = column_values(new)
    assert values["configuration"] == '{"a": [1.5], "b": 1}'
    assert json.loads(values["configuration"]) == new.configuration
    with pytest.raises(ValueError, match="configuration cannot be stored as JSON"):
        column_values(dataclasses.replace(new, configuration={"rate": math.nan}))


def test_a_run_is_stored_without_its_edges_column(made: Any) -> None:
    values = column_values(made.run(class_names=["0", "1"]))
    assert "edges" not in values
    assert values["class_names"] == '["0", "1"]'
