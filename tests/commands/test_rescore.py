"""`rsuq rescore`: other readings of stored evidence, with no model, no torch and no sampling."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from commandline import Result, evidence, query, refused, rsuq
from made_up import imported_run
from samples import Sample

from rsuq_cli.results.database import open_for_writing
from rsuq_cli.uncertainty.predictor import PLAIN

if TYPE_CHECKING:
    from conftest import Place


def certify(sample: Sample, *flags: object, n: int = 300) -> list[dict[str, Any]]:
    result = rsuq("certify", *sample.flags, "--format", "json", "--n", n, *flags)
    assert result.exit_code == 0, result.stderr
    records: list[dict[str, Any]] = result.json
    return records


def rescore(*flags: object) -> list[dict[str, Any]]:
    result = rsuq("rescore", *flags, "--format", "json")
    assert result.exit_code == 0, result.stderr
    records: list[dict[str, Any]] = result.json
    return records


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record without what tells two equal readings apart."""
    return {name: value for name, value in record.items() if name not in ("run_id", "scoring_id", "created_at")}


@pytest.mark.parametrize(
    "flags",
    [
        ("--uncertainty", "margin", "--coverage", "0.8"),
        ("--uncertainty", "energy", "--rule", "plurality"),
        ("--rule", "filtered", "--competitors", "merged"),
        ("--rule", "majority", "--competitors", "auto", "--alpha", "0.01"),
        ("--family-wise", "--coverage", "0.9", "--coverage", "0.6"),
    ],
)
def test_a_reading_is_the_one_that_certifying_would_have_stored(blobs: Sample, flags: tuple[str, ...]) -> None:
    certify(blobs)
    found = rescore(1, *flags)
    # Edges are kept for every per cent of coverage, so both find the same thresholds.
    again = certify(blobs, *flags, "--fresh")
    assert [figures(record) for record in found] == [figures(record) for record in again]


def test_readings_are_stored_once_and_evidence_stays(place: Place, blobs: Sample) -> None:
    certify(blobs)
    before = evidence(place.database)
    first = rescore(1, "--uncertainty", "margin", "--rule", "majority", "--rule", "plurality", "--coverage", 0.7)
    assert (
        rescore(1, "--uncertainty", "margin", "--rule", "majority", "--rule", "plurality", "--coverage", 0.7) == first
    )
    assert [record["rule"] for record in first] == ["majority", "plurality"]
    assert evidence(place.database) == before
    assert query(place.database, "SELECT COUNT(*) FROM scoring") == [(3,)]
    assert query(place.database, "SELECT COUNT(*) FROM certified_sample") == [(3 * 12,)]
    stored = {record["scoring_id"] for record in rsuq("report", "--format", "json").json}
    assert stored >= {record["scoring_id"] for record in first}


def test_neither_torch_nor_the_model_is_needed(place: Place, blobs: Sample) -> None:
    certify(blobs)
    (place.work / "blobs.py").unlink()
    (place.work / "blobs.npz").unlink()
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'torchvision', 'sklearn']))\n"
        "from rsuq_cli.app import app\n"
        "for flags in (['--coverage', '0.8'], ['--sweep'], ['--best', 'gain']):\n"
        "    app(['rescore', '1', *flags, '--format', 'json'], standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr


def test_a_sweep_has_every_edge_and_stores_nothing(place: Place, blobs: Sample) -> None:
    (certified,) = certify(blobs, "--uncertainty", "margin", "--radii", "0,0.1")
    before = place.database.read_bytes()
    records = rescore(1, "--sweep", "--uncertainty", "margin", "--radii", "0,0.1")
    assert place.database.read_bytes() == before
    edges = query(place.database, "SELECT LENGTH(edges) / 8 FROM bin_edges WHERE measure = 'margin'")
    assert len(records) == edges[0][0]
    (same,) = (record for record in records if record["threshold"] == certified["threshold"])
    shared = set(same) & set(certified)
    assert {"acr_cc", "acr_ncl", "gain", "certified_ncl", "intervals", "threshold_coverage", "family_size"} <= shared
    for name in shared - {"threshold_coverage"}:
        expected = certified[name]
        assert same[name] == (pytest.approx(expected, rel=1e-9) if isinstance(expected, float) else expected), name


def test_people_see_a_few_thresholds_and_are_told_how_to_get_all(blobs: Sample) -> None:
    certify(blobs)
    shown = rsuq("rescore", 1, "--sweep")
    assert shown.exit_code == 0
    assert "--format csv has all" in shown.stdout
    assert shown.stdout.count("majority") <= 7
    assert len(rsuq("rescore", 1, "--sweep", "--format", "csv").stdout.splitlines()) > 100


def test_a_choice_says_on_what_it_was_made(blobs: Sample) -> None:
    certify(blobs)
    (record,) = rescore(1, "--best", "acr_ncl", "--at-coverage", 0.8)
    assert record["inputs"] + record["chosen_on"] == 12
    assert (record["best"], record["at_coverage"], record["measures"]) == ("acr_ncl", 0.8, 6)
    assert record["candidates"] > 1
    said = rsuq("rescore", 1, "--best", "acr_ncl", "--at-coverage", 0.8).stdout
    assert "on one half of the inputs" in said
    assert "figures are of the other half" in said
    assert "of 6 measures" in said
    each = rescore(1, "--best", "acr_ncl", "--at-coverage", 0.8, *(f"--uncertainty={name}" for name in PLAIN.measures))
    assert [one["measure"] for one in each] == list(PLAIN.measures)
    assert record["value_there"] == max(one["value_there"] for one in each)
    assert sum(one["candidates"] for one in each) == record["candidates"]
    (named,) = rescore(1, "--best", "acr_ncl", "--uncertainty", record["measure"], "--at-coverage", 0.8)
    assert (named["threshold"], named["acr_ncl"]) == (record["threshold"], record["acr_ncl"])


def test_there_is_no_threshold_for_each_input() -> None:
    assert "No such option: --per-input" in rsuq("rescore", 1, "--best", "gain", "--per-input").stderr


def test_several_runs_at_once(blobs: Sample) -> None:
    certify(blobs)
    certify(blobs, "--seed", 1)
    assert [record["run_id"] for record in rescore(1, 2, "--coverage", 0.8)] == [1, 2]
    assert {record["run_id"] for record in rescore(2, 1, "--sweep")} == {1, 2}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("7",), "there is no run 7"),
        (("1", "--uncertainty", "entropi"), "did you mean entropy"),
        (("1", "--threshold", "0.33333"), "is no bin edge of run 1, so its counts are not known; the nearest are 0.3"),
        (("1", "--threshold", "7"), "is no bin edge of run 1, so its counts are not known; the nearest are 1.0"),
        (("1", "--threshold", "nan"), "is no bin edge of run 1"),
        (("1", "--coverage", "0"), "coverage 0 is not in (0, 1]"),
        (("1", "--coverage", "0.8", "--sweep"), "more than one of --threshold, --coverage and --sweep"),
        (("1", "--coverage", "0.8", "--threshold", "0.5"), "more than one of --threshold, --coverage and --sweep"),
        (("1", "--rule", "minority"), "did you mean majority?"),
        (("1", "--competitors", "all"), "unknown competitors"),
        (("1", "--alpha", "0"), "alpha is 0"),
        (("1", "--alpha", "1e-200"), "300 samples at alpha 1e-200 cannot certify anything"),
        (("1", "--best", "gain", "--at-coverage", "1.5"), "coverage 1.5 is not in (0, 1]"),
        (("1", "--at-coverage", "0.9"), "--at-coverage is given without --best"),
        (("1", "--radii", "-1"), "are no radii"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    place: Place, blobs: Sample, flags: tuple[str, ...], message: str
) -> None:
    certify(blobs)
    before = query(place.database, "SELECT * FROM scoring"), query(place.database, "SELECT * FROM certified_sample")
    assert message in refused(rsuq("rescore", *flags))
    assert before == (
        query(place.database, "SELECT * FROM scoring"), query(place.database, "SELECT * FROM certified_sample"),
    )  # fmt: skip


def test_nothing_is_stored_for_one_run_where_another_is_refused(place: Place, blobs: Sample) -> None:
    certify(blobs)
    assert "there is no run 2" in refused(rsuq("rescore", 1, 2, "--coverage", 0.5))
    assert query(place.database, "SELECT COUNT(*) FROM scoring") == [(1,)]


def test_an_imported_run_has_no_evidence(place: Place) -> None:
    with open_for_writing(place.database) as database:
        imported_run(database)
    for flags in ((), ("--sweep",), ("--best", "gain")):
        line = refused(rsuq("rescore", 1, *flags))
        assert "run 1 has no evidence to rescore: it was imported" in line


def test_no_database_is_an_error_of_the_database(place: Place) -> None:
    assert "there is no database" in refused(rsuq("rescore", 1), 4)
    assert not place.database.exists()


@pytest.mark.parametrize("flags", [("--coverage", "0.8"), ("--sweep",)])
def test_an_incomplete_run_is_scored_as_far_as_it_goes(place: Place, blobs: Sample, flags: tuple[str, ...]) -> None:
    certify(blobs)
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("DELETE FROM certified_sample WHERE input_index >= 5")
        connection.execute("DELETE FROM evidence WHERE input_index >= 5")
        connection.execute("UPDATE run SET status = 'interrupted'")
    result: Result = rsuq("rescore", 1, *flags, "--format", "json")
    assert result.exit_code == 3
    assert {record["inputs"] for record in result.json} == {5}
    assert "run 1 has 5 of 12 inputs" in result.stderr
    assert "Traceback" not in result.stderr


def test_evidence_of_a_stopped_run_is_read_with_bounds_that_allow_it(place: Place, blobs: Sample) -> None:
    certify(blobs, "--at-radius", 0.1, n=5000)
    certify(blobs, n=5000)
    draws = dict(query(place.database, "SELECT input_index, n FROM evidence WHERE run_id = 1"))
    assert len(set(draws.values())) > 2
    rescore(1, 2, "--uncertainty", "margin", "--coverage", 0.8)
    query_rows = (
        "SELECT sample.input_index, sample.certain_count, sample.n, sample.radius_cc FROM certified_sample AS sample "
        "JOIN scoring ON scoring.id = scoring_id WHERE run_id = ? AND measure = 'margin' AND sample.radius_cc > 0"
    )
    from rsuq_cli.certificates.anytime import anytime_lower
    from rsuq_cli.certificates.bounds import clopper_pearson_lower
    from rsuq_cli.certificates.radii import stays_above_half

    def stopped(certain: int, n: int, alpha: float) -> Any:
        """Half of alpha is kept for the last look, the one at all 5,000 samples."""
        return (clopper_pearson_lower if n == 5000 else anytime_lower)(certain, n, alpha / 2)

    for run_id, bound in ((1, stopped), (2, clopper_pearson_lower)):
        rows = query(place.database, query_rows, run_id)
        assert len(rows) > 4
        for _, certain, n, radius in rows:
            assert radius == pytest.approx(0.25 * float(stays_above_half(bound(certain, n, 0.001))), rel=1e-6)
