"""`rsuq certify` says which coverage its thresholds reached on the inputs that did not calibrate them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from commandline import query, rsuq
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")


def test_the_coverage_reached_is_that_of_the_stored_samples(place: Place, blobs: Sample) -> None:
    result = rsuq("certify", *blobs.flags, *N, "--coverage", 0.7)
    assert result.exit_code == 0, result.stderr
    said = re.search(
        r"entropy: the threshold for a coverage of 0\.7 answers (\S+) ± \S+ of the samples of these (\d+) inputs",
        " ".join(result.stderr.split()),
    )
    assert said is not None, result.stderr
    ((share, inputs),) = query(
        place.database, "SELECT AVG(1.0 - 1.0 * uncertain_count / n), COUNT(*) FROM certified_sample"
    )
    assert (said[1], said[2]) == (f"{share:.3f}", str(inputs))


def test_nothing_is_said_of_a_threshold_that_was_given(place: Place, blobs: Sample) -> None:
    result = rsuq("certify", *blobs.flags, *N, "--threshold", 0.3)
    assert result.exit_code == 0, result.stderr
    assert "for a coverage of" not in result.stderr
