"""The table of measures: names and thresholds that a user types."""

from __future__ import annotations

import math

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.measures import MEASURES, check_threshold, measure_named


def test_a_measure_is_found_by_its_name() -> None:
    for name, measure in MEASURES.items():
        assert measure_named(name) is measure
        assert measure.name == name


@pytest.mark.parametrize(("typed", "meant"), [("entrpy", "entropy"), ("max-logit", "max_logit"), ("Margin", "margin")])
def test_an_unknown_measure_is_refused_with_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"unknown uncertainty measure '{typed}'") as caught:
        measure_named(typed)
    assert f"did you mean {meant}" in caught.value.hint


def test_a_name_near_to_none_is_refused_with_them_all() -> None:
    with pytest.raises(BadInput) as caught:
        measure_named("xyzzy")
    assert all(name in caught.value.hint for name in MEASURES)


@pytest.mark.parametrize(
    ("measure", "threshold"),
    [("entropy", 0.0), ("entropy", 1.0), ("confidence", 0.4), ("energy", -50.0), ("max_logit", 3.0), ("gen", 7.5)],
)
def test_a_threshold_inside_the_range_passes(measure: str, threshold: float) -> None:
    check_threshold(measure, threshold)


@pytest.mark.parametrize(
    ("measure", "threshold", "span"),
    [
        ("entropy", -0.1, "[0, 1]"),
        ("confidence", 1.1, "[0, 1]"),
        ("margin", math.nan, "[0, 1]"),
        ("gen", -1.0, "[0, inf]"),
        ("energy", math.inf, "[-inf, inf]"),
        ("max_logit", -math.inf, "[-inf, inf]"),
    ],
)
def test_a_threshold_outside_the_range_is_refused(measure: str, threshold: float, span: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_threshold(measure, threshold)
    assert f"outside the range of {measure}, {span}" in caught.value.message
    assert "--coverage" in caught.value.hint


def test_a_threshold_of_an_unknown_measure_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown uncertainty measure"):
        check_threshold("doubt", 0.5)
