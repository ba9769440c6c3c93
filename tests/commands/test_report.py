"""`rsuq report`: every figure against pandas and scipy, from the rows themselves."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from commandline import finished, refused, rsuq, start
from samples import Sample, blob_arrays, write_blobs, write_npz
from scipy.stats import binomtest

if TYPE_CHECKING:
    from conftest import Place

RADII = (0.0, 0.05, 0.1, 0.2, 0.3)


class Certified(NamedTuple):
    """A database of results, and the network and data that they are of."""

    database: Path
    sample: Sample


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """Two runs of several scorings each, with inputs that are right, wrong, rejected and undecided."""
    folder = tmp_path_factory.mktemp("certified")
    found = Certified(folder / "rsuq.db", write_blobs(folder))
    write_npz(folder / "blobs.npz", **blob_arrays(test=60))
    readings = (
        ("--sigma", 0.25, "--uncertainty", "entropy", "--uncertainty", "margin", "--coverage", 0.9, "--coverage", 0.6),
        ("--sigma", 0.25, "--rule", "plurality"),
        ("--sigma", 0.5, "--alpha", 0.01),
    )
    for flags in readings:
        command = ("certify", *found.sample.flags, "--n", 400, "--seed", 3, *flags, "--db", found.database)
        assert rsuq(*command).exit_code == 0
    return found


@pytest.fixture
def results(certified: Certified, place: Place) -> Sample:
    shutil.copy(certified.database, place.database)
    return certified.sample


def report(*flags: object) -> list[dict[str, Any]]:
    result = rsuq("report", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    assert "error" not in result.stderr
    return list(result.json)


def expected_figures(rows: pd.DataFrame) -> dict[str, float]:
    """Returns the figures of one scoring by their definitions: all inputs in the denominator, abstentions too."""
    certain, right_class = rows.decision == "certain", rows.class_index == rows.label
    standard = rows.radius_standard.where(rows.standard_class == rows.label, 0).mean()
    cc = rows.radius_cc.where(certain & right_class, 0).mean()
    ncl = rows.radius_ncl.where(right_class, 0).mean()
    return {
        "inputs": len(rows),
        "clean_accuracy": ((rows.standard_class == rows.label) & (rows.standard_decided == 1)).mean(),
        "accuracy": (certain & right_class).mean(),
        "coverage": certain.mean(),
        "abstention": (~certain).mean(),
        "undecided": (rows.decision == "undecided").mean(),
        "at_ceiling": rows.at_ceiling.mean(),
        "accuracy_answered": (certain & right_class).sum() / certain.sum(),
        "sample_coverage": (1 - rows.uncertain_count / rows.n).mean(),
        "acr_standard": standard,
        "acr_cc": cc,
        "acr_ncl": ncl,
        "gain": ncl / standard - 1,
        "cc_cost": 1 - cc / standard,
    }


def test_every_figure_is_that_of_the_rows(place: Place, results: Sample) -> None:
    with closing(sqlite3.connect(place.database)) as connection:
        samples = pd.read_sql("SELECT * FROM certified_sample", connection)
        settings = pd.read_sql("SELECT scoring.*, run.sigma FROM scoring JOIN run ON run.id = run_id", connection)
    records = report("--radii", ",".join(map(str, RADII)))
    assert len(records) == len(settings) == 6
    for record in records:
        rows = samples[samples.scoring_id == record["scoring_id"]]
        setting = settings.set_index("id").loc[record["scoring_id"]]
        for name in ("run_id", "measure", "threshold", "rule", "alpha", "sigma"):
            assert record[name] == setting[name], name
        for name, value in expected_figures(rows).items():
            assert record[name] == pytest.approx(value, abs=1e-12), name
        holds = {
            "certified_standard": (rows.standard_class == rows.label) & (rows.standard_decided == 1),
            "certified_cc": (rows.decision == "certain") & (rows.class_index == rows.label),
            "certified_ncl": (rows.class_index == rows.label) & (rows.radius_ncl > 0),
        }
        for name, counts in holds.items():
            radii = rows[name.replace("certified", "radius")]
            for point, radius in zip(record[name], RADII, strict=True):
                reached = int((counts & (radii >= radius)).sum())
                interval = binomtest(reached, len(rows)).proportion_ci(0.95, method="wilson")
                found = [point[key] for key in ("radius", "value", "low", "high")]
                assert found == pytest.approx([radius, reached / len(rows), *interval], abs=1e-9)
        interval = binomtest(int((rows.decision == "certain").sum()), len(rows)).proportion_ci(0.95, method="wilson")
        assert [record["intervals"]["coverage"][key] for key in ("low", "high")] == pytest.approx([*interval], abs=1e-9)
    assert len({record["acr_ncl"] for record in records}) == 6
    assert any(record["undecided"] for record in records)


def test_the_default_radii_are_multiples_of_the_smallest_sigma(results: Sample) -> None:
    assert [point["radius"] for point in report()[0]["certified_cc"]] == [0, 0.25, 0.5, 0.75]
    assert [point["radius"] for point in report("--sigma", 0.5)[0]["certified_cc"]] == [0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("flags", "scorings"),
    [
        ((), [1, 2, 3, 4, 5, 6]),
        (("1",), [1, 2, 3, 4, 5]),
        (("2",), [6]),
        (("1", "2"), [1, 2, 3, 4, 5, 6]),
        (("--sigma", "0.5"), [6]),
        (("--uncertainty", "margin"), [3, 4]),
        (("1", "--uncertainty", "entropy"), [1, 2, 5]),
    ],
)
def test_filters(results: Sample, flags: tuple[str, ...], scorings: list[int]) -> None:
    assert [record["scoring_id"] for record in report(*flags)] == scorings


def test_filters_by_model_and_data_set(place: Place, results: Sample) -> None:
    (place.work / "other").mkdir()
    other = write_blobs(place.work / "other")
    assert rsuq("certify", *other.flags, "--n", 100).exit_code == 0
    assert {record["run_id"] for record in report("--model", other.model)} == {3}
    assert {record["run_id"] for record in report("--dataset", results.dataset)} == {1, 2}


@pytest.mark.parametrize(
    "flags",
    [
        ("7",),
        ("1", "7"),
        ("--model", "cnn"),
        ("--dataset", "digits"),
        ("--sigma", "0.125"),
        ("--uncertainty", "energy"),
        ("2", "--sigma", "0.25"),
        ("--radii", "wide"),
        ("--radii", "-1"),
        ("--radii", ""),
    ],
)
def test_what_is_not_there(results: Sample, flags: tuple[str, ...]) -> None:
    refused(rsuq("report", *flags))


def test_an_empty_database() -> None:
    rsuq("db", "upgrade")
    assert "no certified inputs match" in refused(rsuq("report"))


def test_another_process_reports_what_certify_did(place: Place, blobs: Sample) -> None:
    certified = rsuq("certify", *blobs.flags, "--n", 300, "--format", "json")
    elsewhere = finished(start("report", "--format", "json"))
    assert (elsewhere.exit_code, elsewhere.stderr) == (0, "")
    assert elsewhere.json == certified.json


@pytest.mark.parametrize("style", ["table", "markdown", "latex"])
def test_what_people_see(results: Sample, style: str) -> None:
    result = rsuq("report", "--format", style)
    assert result.exit_code == 0
    assert "error" not in result.stderr
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d+", result.stdout)]
    for record in report():
        assert f"{math.floor(record['acr_ncl'] * 1000) / 1000:.3f}" in result.stdout
        assert any(abs(number - 100 * record["gain"]) <= 0.0501 for number in numbers)
    for word in ("plurality", "entropy", "margin", "CC", "NCL", "gain"):
        assert word in result.stdout
    rows = [line for line in result.stdout.splitlines() if "entropy" in line or "margin" in line]
    assert len(rows) == 6


def test_csv_holds_every_value_unrounded(results: Sample) -> None:
    rows = list(csv.DictReader(io.StringIO(rsuq("report", "--format", "csv", "--radii", "0 0.1").stdout)))
    records = report("--radii", "0 0.1")
    assert len(rows) == len(records) == 6
    for row, record in zip(rows, records, strict=True):
        for name in ("acr_standard", "acr_cc", "acr_ncl", "gain", "coverage", "threshold", "alpha"):
            assert float(row[name]) == record[name]
        assert float(row["certified_ncl@0.1_low"]) == record["certified_ncl"][1]["low"]
