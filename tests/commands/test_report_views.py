"""`rsuq report` in its many views: what is shown is selected, grouped, paired and written as it was asked for."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import query, refused, rsuq, start
from samples import blob_arrays, write_blobs, write_npz

if TYPE_CHECKING:
    from conftest import Place


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sampled runs with three scorings, and an imported log of other data. Only read by the tests here."""
    folder = tmp_path_factory.mktemp("views")
    sample = write_blobs(folder)
    write_npz(folder / "blobs.npz", **blob_arrays(test=40))
    path = folder / "a.db"
    common = ("--n", 300, "--db", path, *sample.flags)
    assert (
        rsuq("certify", *common, "--sigma", 0.25, "--uncertainty", "entropy", "--uncertainty", "margin").exit_code == 0
    )
    assert rsuq("certify", *common, "--sigma", 0.5).exit_code == 0
    log = folder / "log.tsv"
    log.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t1\n1\t2\t-1\t0\t0\t1\n")
    assert rsuq("import", log, "--dataset", "mine", "--model", "other", "--sigma", 0.25, "--db", path).exit_code == 0
    return path


@pytest.fixture(autouse=True)
def _in_force(database: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSUQ_DB", str(database))


def records(*flags: object) -> Any:
    result = rsuq("report", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result.json


def test_imported_runs_stand_beside_sampled_ones() -> None:
    found = records()
    assert [(one["kind"], one["rule"]) for one in found] == [("certify", "majority")] * 3 + [("import", "standard")]
    log = found[-1]
    assert (log["acr_standard"], log["abstention"], log["clean_accuracy"]) == (0.25, 0.5, 0.5)
    assert [log[name] for name in ("acr_cc", "acr_ncl", "gain", "cc_cost")] == [None] * 4
    assert {point["value"] for point in log["certified_ncl"]} == {None}
    table = rsuq("report", "--radii", "0,0.5", "--where", "kind = 'import'").stdout
    assert "0.2500" in table
    assert "CC" not in table


@pytest.mark.parametrize(
    ("flags", "scorings"),
    [
        (("--where", "sigma = 0.25 and kind = 'certify'"), [1, 2]),
        (("--where", 'model like "oth%" or uncertainty in ("margin")'), [2, 4]),
        (("--sort", "-sigma"), [3, 1, 2, 4]),
        (("--sort", "acr_standard", "--where", "run_id < 3"), None),
        (("--since", "2000-01-01"), [1, 2, 3, 4]),
        (("--latest", "--sigma", 0.25), [1, 2, 4]),
        (("--by", "sigma"), [1, 2, 4, 3]),
        (("--by", "uncertainty"), [1, 3, 2, 4]),
    ],
)
def test_scorings_are_chosen_and_ordered(flags: tuple[object, ...], scorings: list[int] | None) -> None:
    found = records(*flags)
    if scorings is None:
        assert [one["acr_standard"] for one in found] == sorted(one["acr_standard"] for one in found)
    else:
        assert [one["scoring_id"] for one in found] == scorings


def test_groups_are_tables_of_their_own_for_people() -> None:
    shown = rsuq("report", "--by", "dataset").stdout
    assert shown.count("ACR: average certified radius") == 1
    assert "dataset mine" in shown
    assert "dataset npz:" in shown
    markdown = rsuq("report", "--by", "sigma", "--format", "markdown").stdout
    assert markdown.count("| ---") >= 2


def test_two_groupings_are_a_pivot() -> None:
    (entropy, margin, none) = records("--by", "uncertainty", "--by", "sigma", "--figure", "acr_standard")
    assert entropy == {"uncertainty": "entropy", "figure": "acr_standard", **cells({0.25: 1, 0.5: 3})}
    assert margin == {"uncertainty": "margin", "figure": "acr_standard", **cells({0.25: 2})}
    assert none["sigma 0.25"] == [0.25]
    shown = rsuq("report", "--by", "model", "--by", "sigma", "--figure", "certified_cc@0.25", "--radii", "0.25").stdout
    assert " %" in shown


def cells(scorings: dict[float, int]) -> dict[str, Any]:
    values = {one["scoring_id"]: one["acr_standard"] for one in records()}
    return {f"sigma {sigma}": [values[scorings[sigma]]] if sigma in scorings else [] for sigma in (0.25, 0.5)}


def test_columns_are_kept_in_their_order_or_dropped() -> None:
    (first, *_) = records("--keep", "sigma,model,seed")
    assert list(first) == ["sigma", "model", "seed"]
    assert "intervals" not in records("--drop", "intervals warnings")[0]
    header = rsuq("report", "--keep", "acr_cc,seed", "--format", "markdown").stdout.splitlines()[0]
    assert header == "| ACR CC | seed |"
    assert "gain" not in rsuq("report", "--drop", "gain", "--format", "markdown").stdout.splitlines()[0]


def test_it_says_what_is_not_comparable() -> None:
    said = rsuq("report", "--format", "json").stderr
    for name in ("the data set", "the rule", "n differs (300, 100,000)"):
        assert name in said
    assert rsuq("report", "1", "2", "--format", "json").stderr == ""


def test_pairs_are_compared_on_common_inputs() -> None:
    found = records("--paired", 1, 2, "--radii", "0,0.25")
    assert [(one["guarantee"], one["figure"], one["radius"]) for one in found[:3]] == [
        ("standard", "acr", None), ("standard", "certified", 0.0), ("standard", "certified", 0.25),
    ]  # fmt: skip
    assert {one["pairs"] for one in found} == {40}
    single = {one["scoring_id"]: one for one in records()}
    acr = {one["guarantee"]: one for one in found if one["figure"] == "acr"}
    for guarantee, row in acr.items():
        assert row["first"] == pytest.approx(single[1][f"acr_{guarantee}"])
        assert row["difference"] == pytest.approx(single[2][f"acr_{guarantee}"] - single[1][f"acr_{guarantee}"])
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    # Without rejection the two scorings are one and the same.
    assert (acr["standard"]["difference"], acr["standard"]["p_value"]) == (0.0, 1.0)
    assert "40 common inputs" in rsuq("report", "--paired", 1, 2).stdout


def test_classes_and_the_ceiling() -> None:
    by_class = records("--per-class", "1")
    assert [(one["scoring_id"], one["label"]) for one in by_class] == [(s, c) for s in (1, 2) for c in range(3)]
    assert sum(one["inputs"] for one in by_class[:3]) == 40
    assert set(by_class[0]["coverage"]) == {"value", "low", "high"}
    ceiling = {one["scoring_id"]: one for one in records("--at-ceiling")}
    assert ceiling[1]["at_ceiling"]["value"] == records("1")[0]["at_ceiling"]
    assert "so the radius measures n" in rsuq("report", "--at-ceiling").stdout


def test_inputs_are_rows_of_the_database(database: Path) -> None:
    found = records("1", "--inputs", "--only", "CC fails at 0.2, NCL holds at 0.2", "--sort", "-gap")
    wanted = query(
        database,
        "SELECT scoring_id, input_index FROM certified_sample WHERE scoring_id IN (1, 2) AND class_index = label "
        "AND radius_ncl >= 0.2 AND NOT (correct AND radius_cc >= 0.2) "
        "ORDER BY radius_ncl - radius_cc DESC, scoring_id, input_index",
    )
    assert [(one["scoring_id"], one["input_index"]) for one in found] == wanted
    assert 0 < len(found) < 80
    everything = rsuq("report", "--inputs", "--format", "csv", "--keep", "scoring_id,input_index,radius_ncl").stdout
    assert len(list(csv.DictReader(io.StringIO(everything)))) == 122
    assert [len(line.split(",")) for line in everything.splitlines()[:2]] == [3, 3]
    shown = rsuq("report", "--inputs", "1", "--limit", 3).stdout
    assert "only 3 rows are shown" in shown
    assert "only" not in rsuq("report", "--inputs", "1", "--limit", 80).stdout.splitlines()[-1]


def test_every_format_goes_to_a_file(place: Place) -> None:
    pytest.importorskip("pyarrow")
    for style in ("table", "json", "jsonl", "csv", "markdown", "latex", "parquet"):
        path = place.work / f"report.{style}"
        result = rsuq("report", "--format", style, "--output", path)
        assert (result.exit_code, result.stdout) == (0, "")
        if style not in ("parquet", "table"):
            assert path.read_text() == rsuq("report", "--format", style).stdout
    lines = (place.work / "report.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads((place.work / "report.json").read_text())
    assert (place.work / "report.latex").read_text().startswith("\\begin{tabular}")
    inputs = place.work / "inputs.csv"
    assert rsuq("report", "--inputs", "--format", "csv", "--output", inputs).exit_code == 0
    assert inputs.read_text() == rsuq("report", "--inputs", "--format", "csv").stdout


def test_a_file_is_replaced_only_by_force(place: Place) -> None:
    path = place.work / "report.csv"
    path.write_text("older")
    for view in ((), ("--inputs",), ("--paired", 1, 2)):
        flags = ("report", *view, "--format", "csv", "--output", path)
        assert "report.csv exists; --force replaces it" in refused(rsuq(*flags))
        assert path.read_text() == "older"
    assert rsuq("report", "--format", "csv", "--output", path, "--force").exit_code == 0
    assert path.read_text() != "older"
    assert "there is no folder" in refused(rsuq("report", "--output", place.work / "missing" / "report.csv"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--where", "sgima = 1"), "did you mean sigma?"),
        (("--where", ""), "says nothing"),
        (("--where", "sigma ="), "write it like"),
        (("--by", "modle"), "did you mean model?"),
        (("--by", "model", "--by", "model"), "two different ones"),
        (("--by", "model", "--by", "sigma", "--figure", "acr"), "there is no figure 'acr'"),
        (("--sort", "gian"), "did you mean gain"),
        (("--sort", "certified_cc@9"), "give --radii 9"),
        (("--keep", "acrcc"), "did you mean acr_cc"),
        (("--drop", "acrcc"), "did you mean acr_cc"),
        (("--since", "soon"), "--since 'soon' is no date"),
        (("--paired", 1, 4), "they have no input in common"),
        (("--paired", 1, 77), "there is no scoring 77"),
        (("--paired", 1, 1), "with itself"),
        (("--inputs", "--only", "label is odd"), "there is no column 'odd'"),
        (("--inputs", "--only", "lable = 1"), "did you mean label"),
        (("--inputs", "--sort", "gapp"), "did you mean gap?"),
        (("--inputs", "--keep", "gapp"), "there is no column 'gapp'"),
        (("--only", "label = 1"), "add --inputs"),
        (("--limit", 3), "add --inputs"),
        (("--inputs", "--per-class"), "one of them at a time"),
        (("--where", "sigma = 7"), "no certified inputs match"),
        (("--where", "sigma = 7", "--per-class"), "no certified inputs match"),
        (("99",), "there is no run 99"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(flags: tuple[object, ...], said: str) -> None:
    assert said in refused(rsuq("report", *flags))


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    process = start("report", "--inputs", "--format", "jsonl")
    assert process.stdout is not None
    process.stdout.close()
    with process:
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 141
