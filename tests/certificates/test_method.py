"""Methods: which bounds they allow, and what of that is on record."""

import numpy as np
import pytest

from rsuq_cli.certificates.anytime import AnyTime
from rsuq_cli.certificates.bounds import Sampled
from rsuq_cli.certificates.method import NEWEST_BOUNDS, Method

STOPPED = {"stopping": {"looks": [100, 1000]}}


def test_the_version_on_record_is_the_oldest_with_these_bounds() -> None:
    versions = {
        (competitors, look, bounds): Method(1.0, competitors=competitors, last_look=look, bounds=bounds).bounds_version
        for competitors in ("merged", "class-wise", "auto")
        for look in (None, 1000)
        for bounds in (1, 2)
    }
    assert {key for key, version in versions.items() if version == 2} == {
        ("merged", 1000, 2), ("class-wise", None, 2), ("class-wise", 1000, 2), ("auto", None, 2), ("auto", 1000, 2),
    }  # fmt: skip


@pytest.mark.parametrize("bounds", [1, 2])
def test_a_stored_scoring_is_read_with_the_bounds_that_it_was_made_with(bounds: int) -> None:
    scoring = {
        "alpha": 0.01, "rule": "plurality", "competitors": "class-wise", "family_size": 4, "bounds_version": bounds,
    }  # fmt: skip
    fixed = Method.of_scoring(0.5, scoring, {"sampling_error": 1e-4})
    assert (fixed.one_bound, fixed.bounds_version) == (bounds == 2, bounds)
    assert fixed.bounder(np.array([9])) == Sampled(np.array([9]), 0.01 / 4 - 1e-4)
    stopped = Method.of_scoring(0.5, scoring, STOPPED)
    assert stopped.last_look == 1000
    bounder = stopped.bounder(np.array([9]))
    assert isinstance(bounder, AnyTime)
    assert bounder.last == (1000 if bounds == 2 else None)


def test_the_ceiling_of_a_stopped_run_is_that_of_its_last_look() -> None:
    old, new = (Method(1.0, last_look=1000, bounds=bounds).ceiling(1000) for bounds in (1, NEWEST_BOUNDS))
    assert new == Method(1.0, alpha=0.0005).ceiling(1000) > old
