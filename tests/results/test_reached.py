"""The coverage that a threshold reached on the certified inputs, against a mean by hand."""

from __future__ import annotations

import pytest

from results.conftest import Made, Scored
from rsuq_cli.results.reached import reached_coverage
from rsuq_cli.results.writer import store_inputs


def stored(scored: Scored, made: Made, uncertain: list[int]) -> None:
    for index, count in enumerate(uncertain):
        sample = made.sample(
            scoring_id=scored.scoring_id, input_index=index, n=100, uncertain_count=count,
            certain_count=min(100 - count, 20), vote_count=100 - count,
        )  # fmt: skip
        store_inputs(scored.db, scored.run_id, [made.evidence(input_index=index)], [sample])


def test_it_is_the_mean_over_inputs_with_the_error_of_a_mean_over_inputs(scored: Scored, made: Made) -> None:
    stored(scored, made, [0, 10, 50])
    found = reached_coverage(scored.db, scored.scoring_id)
    assert found is not None
    # Shares 1, 0.9 and 0.5: deviations 0.2, 0.1, -0.3, so a variance of 0.07 and an error of sqrt(0.07 / 3).
    assert found.coverage == pytest.approx(0.8)
    assert found.error == pytest.approx((0.07 / 3) ** 0.5)
    assert found.inputs == 3


def test_one_input_tells_no_error_and_none_tells_nothing(scored: Scored, made: Made) -> None:
    assert reached_coverage(scored.db, scored.scoring_id) is None
    stored(scored, made, [25])
    found = reached_coverage(scored.db, scored.scoring_id)
    assert found is not None
    assert (found.coverage, found.error, found.inputs) == (0.75, None, 1)
