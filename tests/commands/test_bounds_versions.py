"""Certificates of older bounds stay what they are beside those of today's, and say which they are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from commandline import query, rsuq
from samples import Sample

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.scoring import Scored, score_stored
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import NewScoring
from rsuq_cli.results.writer import add_scoring, load_edges

if TYPE_CHECKING:
    from conftest import Place

ROWS = "SELECT * FROM certified_sample WHERE bounds_version = ? ORDER BY scoring_id, input_index"


@pytest.fixture
def old(place: Place, blobs: Sample) -> str:
    """A run whose one scoring was made by an older release, class by class."""
    found = rsuq(
        "certify", *blobs.flags, "--n", 500, "--uncertainty", "margin", "--threshold", 0.5, "--competitors", "merged"
    )
    assert found.exit_code == 0, found.stderr
    with open_for_writing(place.database) as db:
        edges = {name: MeasureEdges(*stored) for name, stored in load_edges(db, 1).items()}
        new = NewScoring(1, "margin", 0.5, None, "majority", "class-wise", 0.001, bounds_version=1)
        method = Method(0.25, 0.001, "majority", "class-wise", bounds=1)
        score_stored(db, 1, Scored(add_scoring(db, new), "margin", 0.5, method), edges)
    return str(place.database)


def test_rescore_makes_the_new_ones_beside_the_old_which_stay_to_the_last_digit(place: Place, old: str) -> None:
    (_, before) = rsuq("report", "--format", "json").json
    assert (before["bounds_version"], before["gain_explicit"], before["acr_explicit"]) == (1, None, None)
    rows = query(place.database, ROWS, 1)
    for _ in range(2):  # the second time there is nothing to make
        made = rsuq("rescore", 1, "--uncertainty", "margin", "--threshold", 0.5, "--competitors", "class-wise")
        assert made.exit_code == 0, made.stderr
    merged, again, new = rsuq("report", "--format", "json").json
    assert again == before
    assert query(place.database, ROWS, 1) == rows
    assert [one["competitors"] for one in (merged, again, new)] == ["merged", "class-wise", "class-wise"]
    assert [one["bounds_version"] for one in (merged, again, new)] == [1, 1, 2]
    assert new["acr_ncl"] >= max(merged["acr_ncl"], again["acr_ncl"])
    assert new["acr_standard"] == merged["acr_standard"]
    assert new["gain_explicit"] == pytest.approx(new["acr_ncl"] / new["acr_explicit"] - 1)
    assert rsuq("rescore", 1, "--uncertainty", "margin", "--threshold", 0.5).exit_code == 0
    assert len(rsuq("report", "--format", "json").json) == 3  # merged competitors have the same bounds as ever


def test_a_table_says_which_bounds_and_what_part_of_a_gain_is_theirs(place: Place, old: str) -> None:
    told = rsuq("report").stdout
    assert "class-wise (one bound each)" in " ".join(told.split())
    assert "explicit" not in told
    assert rsuq("rescore", 1, "--uncertainty", "margin", "--threshold", 0.5, "--competitors", "auto").exit_code == 0
    told = rsuq("report").stdout
    assert "explicit: without rejection" in told
    warned = rsuq("report").stderr
    assert "how competitors are bounded differs (merged, class-wise (one bound each), auto)" in " ".join(warned.split())


def test_a_page_shows_both_under_names_of_their_own(place: Place, old: str) -> None:
    assert (
        rsuq("rescore", 1, "--uncertainty", "margin", "--threshold", 0.5, "--competitors", "class-wise").exit_code == 0
    )
    assert rsuq("report", "--html", "page.html").exit_code == 0
    page = (place.work / "page.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    readings = json.loads(found[1])["readings"]
    assert len({one["name"] for one in readings}) == len(readings) == 3
    # Every reading is over all bin edges: read by its own bounds, the evidence gives what is stored.
    assert all(len(one["thresholds"]) > 1 for one in readings)
