"""The main job on real data, in processes of its own, as a newcomer runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commandline import finished, query, start

if TYPE_CHECKING:
    from conftest import Place


@pytest.mark.slow
def test_the_main_job_end_to_end(place: Place) -> None:
    result = finished(start("quickstart"))
    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "What this says" in result.stdout

    reported = finished(start("report", "--format", "json"))
    assert (reported.exit_code, reported.stderr) == (0, "")
    (entropy,) = (record for record in reported.json if record["measure"] == "entropy")
    assert (entropy["dataset"], entropy["sigma"], entropy["n"], entropy["inputs"]) == ("digits", 0.25, 2000, 360)
    assert entropy["status"] == "complete"
    assert entropy["clean_accuracy"] > 0.95
    assert entropy["coverage"] == pytest.approx(0.9, abs=0.08)
    assert entropy["threshold_coverage"] == 0.9
    assert entropy["gain"] >= 0.15
    assert entropy["acr_cc"] < entropy["acr_standard"] < entropy["acr_ncl"]

    ordered = "radius_cc <= radius_standard AND radius_standard <= radius_ncl"
    rows = query(place.database, f"SELECT {ordered} FROM certified_sample WHERE class_index = standard_class")
    assert len(rows) > 700
    assert set(rows) == {(1,)}
