"""Thresholds: bin edges that counts are exact at, and coverages that are reached."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.certificates.evidence import MeasureEdges, float32_floor
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.predictor import PLAIN
from rsuq_cli.uncertainty.thresholds import SAMPLES, Threshold, calibrated_edges, chosen_thresholds, draws_for

Values = npt.NDArray[np.float32]


def noisy_values(samples: int = 1000, seed: int = 0) -> dict[str, Values]:
    """Returns values of every measure such as noisy calibration inputs could have."""
    rng = np.random.default_rng(seed)
    unit = {name: rng.beta(0.5, 2.0, samples).astype(np.float32) for name in ("entropy", "confidence", "margin")}
    spread = {name: rng.normal(-8.0, 3.0, samples).astype(np.float32) for name in ("energy", "max_logit")}
    return {**unit, **spread, "gen": rng.gamma(4.0, 0.5, samples).astype(np.float32)}


def edges_of(
    values: dict[str, Values],
    *,
    thresholds: dict[str, tuple[float, ...]] | None = None,
    coverages: tuple[float, ...] = (),
) -> dict[str, MeasureEdges]:
    return calibrated_edges(values, thresholds=thresholds or {}, coverages=coverages)


@given(threshold=st.floats(0.0, 1.0))
def test_a_given_threshold_is_an_edge(threshold: float) -> None:
    edges = edges_of(noisy_values(), thresholds={"entropy": (threshold,)})["entropy"]
    assert edges.has(threshold)
    assert edges.edges[edges.position(threshold)] == float32_floor(threshold)


@given(threshold=st.floats(0.0, 1.0), u=st.floats(0.0, 1.0, width=32))
def test_the_float32_below_a_threshold_rejects_the_same_values(threshold: float, u: float) -> None:
    assert (u <= float32_floor(threshold)) == (u <= threshold)


def test_edges_ascend_and_are_float32_values() -> None:
    for name, edges in edges_of(noisy_values(), thresholds={"entropy": (0.1, 0.123456789)}).items():
        assert (np.diff(edges.edges) > 0).all(), name
        np.testing.assert_array_equal(edges.edges, edges.edges.astype(np.float32))


def test_the_coverage_of_an_edge_is_the_share_at_or_below_it() -> None:
    values = noisy_values()
    for name, edges in edges_of(values).items():
        shares = [(values[name].astype(np.float64) <= edge).mean() for edge in edges.edges]
        np.testing.assert_allclose(edges.coverages, shares, rtol=0, atol=1e-12)


@pytest.mark.parametrize("samples", [1, 7, 100, 1000])
@given(coverage=st.floats(0.001, 1.0), seed=st.integers(0, 20))
def test_a_coverage_is_reached_with_the_smallest_value_that_does(samples: int, coverage: float, seed: int) -> None:
    values = noisy_values(samples, seed)
    edges = edges_of(values, coverages=(coverage,))
    for threshold in chosen_thresholds(edges, list(PLAIN.measures), threshold=None, coverages=(coverage,)):
        ordered = np.sort(values[threshold.measure].astype(np.float64))
        assert (ordered <= threshold.value).mean() >= coverage - 1e-9
        # The quantile is an observed value; nothing below it reaches the coverage.
        smaller = ordered[ordered < threshold.value]
        assert len(smaller) / samples < coverage
        assert threshold.coverage == coverage


def test_every_hundredth_of_coverage_can_be_asked_for_later() -> None:
    values = noisy_values()
    for name, edges in edges_of(values).items():
        for coverage in np.arange(1, 100) / 100:
            reached = (values[name] <= edges.threshold_for(coverage)).mean()
            assert 0 <= reached - coverage < 0.0025, (name, coverage)


def test_measures_with_a_range_have_an_even_grid() -> None:
    grid = [float32_floor(x) for x in np.linspace(0, 1, 101)]
    for name in ("entropy", "confidence", "margin"):
        assert np.isin(grid, edges_of(noisy_values())[name].edges).all()


def test_broken_passes_count_as_uncertain() -> None:
    values = noisy_values(100)
    values["entropy"][:20] = np.inf
    values["entropy"][20:30] = np.nan
    edges = edges_of(values)["entropy"]
    assert np.isfinite(edges.edges).all()
    assert edges.coverages.max() == pytest.approx(0.7)
    # More than there is cannot be had: everything that works is answered.
    assert edges.threshold_for(0.95) >= np.nanmax(values["entropy"][30:])


def test_a_given_threshold_is_taken_for_each_measure() -> None:
    edges = edges_of({}, thresholds={"entropy": (0.4,), "margin": (0.4,)})
    chosen = chosen_thresholds(edges, ["entropy", "margin"], threshold=0.4, coverages=())
    assert chosen == [Threshold("entropy", 0.4, None), Threshold("margin", 0.4, None)]


def test_each_coverage_is_calibrated_for_each_measure() -> None:
    edges = edges_of(noisy_values(), coverages=(0.8, 0.95))
    chosen = chosen_thresholds(edges, ["entropy", "energy"], threshold=None, coverages=(0.8, 0.95))
    assert [(t.measure, t.coverage) for t in chosen] == [
        ("entropy", 0.8), ("entropy", 0.95), ("energy", 0.8), ("energy", 0.95),
    ]  # fmt: skip
    assert chosen[0].value < chosen[1].value


@pytest.mark.parametrize("values", [{}, {name: np.full(10, np.nan, np.float32) for name in PLAIN.measures}])
@pytest.mark.parametrize("measure", list(PLAIN.measures))
def test_a_coverage_without_calibration_data_is_refused(values: dict[str, Values], measure: str) -> None:
    edges = edges_of(values, coverages=(0.9,))
    with pytest.raises(BadInput, match=f"no calibration data to find a threshold of {measure}") as caught:
        chosen_thresholds(edges, [measure], threshold=None, coverages=(0.9,))
    assert "--threshold" in caught.value.hint


@given(inputs=st.integers(1, 3 * SAMPLES))
def test_there_are_enough_noisy_samples_and_not_many_more(inputs: int) -> None:
    draws = draws_for(inputs)
    assert draws >= 1
    assert SAMPLES <= inputs * draws < SAMPLES + inputs


def test_no_inputs_get_no_samples() -> None:
    assert draws_for(0) == 0
