"""`rsuq import` and `rsuq export`: a log goes in and comes out again, and claims no more than it did."""

from __future__ import annotations

import csv
import io
import json
import shutil
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from commandline import query, refused, rsuq
from samples import Sample

from rsuq_cli.errors import DatabaseError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Place

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
FLAGS = ("--dataset", "cifar10", "--model", "resnet110", "--sigma", 0.25)


@pytest.fixture
def log(place: Place) -> Path:
    """A log of every 1000th input: two right, one at the ceiling, one wrong, one abstention, and five more."""
    rows = [(3, 3, "0.529"), (8, 8, "0.953"), (1, 4, "0.31"), (0, -1, "0.0"), *[(1, 1, "0.25")] * 6]
    lines = [f"{1000 * i}\t{y}\t{c}\t{r}\t{int(y == c)}\t0:00:08.5" for i, (y, c, r) in enumerate(rows)]
    path = place.work / "cohen.tsv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_a_report_over_a_log_has_its_figures_digit_for_digit(log: Path) -> None:
    result = rsuq("import", log, *FLAGS)
    assert (result.exit_code, result.stderr) == (0, "cohen.tsv: run 1, 10 inputs, every 1000th\n")
    shown = rsuq("report", "--radii", "0,0.25,0.5,0.95,1", "--format", "markdown").stdout
    acr = (0.529 + 0.953 + 6 * 0.25) / 10
    assert shown.splitlines()[-1] == (
        f"| 1 | resnet110 | none | standard | {acr:.4f} | 80.00 | 80.00 | 20.00 | 10.00 | 0.00 | 10.00 |"
    )
    (run,) = rsuq("db", "runs", "--format", "json").json
    assert (run["finished"], run["inputs"], run["skip"], run["source"]) == (10, 10, 1000, "cohen.tsv")


def test_several_logs_are_several_runs_with_their_files_names(log: Path, place: Place) -> None:
    other = place.work / "macer.tsv"
    other.write_text(log.read_text().replace("0.529", "0.6"))
    assert rsuq("import", log, other, *FLAGS, "--source", "a paper").exit_code == 0
    sources = [run["source"] for run in rsuq("report", "--format", "json").json]
    assert sources == ["a paper (cohen.tsv)", "a paper (macer.tsv)"]
    assert "was there already" in rsuq("import", log, *FLAGS).stderr
    assert len(rsuq("report", "--format", "json").json) == 2


def test_warnings_are_said_and_shown_again_in_every_report(log: Path) -> None:
    log.write_text(log.read_text().replace("0.953", "0.978"))
    said = rsuq("import", log, *FLAGS).stderr
    assert "warning: cohen.tsv, line 3: radius 0.978 is more than" in said
    assert "it fits alpha = 0.01" in rsuq("report").stdout
    assert "it fits alpha = 0.01" in rsuq("report", "--format", "json").json[0]["warnings"][0]
    assert rsuq("import", log, *FLAGS, "--alpha", 0.01).stderr.count("warning") == 0


def test_what_cannot_be_imported_is_refused_in_one_line(log: Path, place: Place) -> None:
    assert "cannot read missing.tsv" in refused(rsuq("import", "missing.tsv", *FLAGS))
    log.write_text(f"{HEADER}\n0\t1\t1\t0.5\t1\t1\n1\t1\n2\t1\t1\t0.5\t1\t1\n")
    assert "cohen.tsv, line 3: 2 columns, not 6" in refused(rsuq("import", log, *FLAGS))
    assert "sigma is 0" in refused(rsuq("import", log, *FLAGS[:-1], 0))
    assert rsuq("import", log, "--dataset", "cifar10").exit_code == 2
    assert not place.database.exists()


def test_a_log_comes_out_as_it_went_in(log: Path) -> None:
    rsuq("import", log, *FLAGS)
    lines = rsuq("export", 1).stdout.splitlines()
    assert lines[0] == HEADER
    for written, read in zip(lines[1:], log.read_text().splitlines()[1:], strict=True):
        before, after = read.split("\t"), written.split("\t")
        assert [after[at] for at in (0, 1, 2, 4)] == [before[at] for at in (0, 1, 2, 4)]
        assert Decimal(after[3]) == Decimal(before[3])


@pytest.fixture
def certified(blobs: Sample) -> Sample:
    """One run of entropy, seen at two coverages: scorings 1 and 2."""
    flags = ("--n", 300, "--sigma", 0.25, "--coverage", 0.9, "--coverage", 0.6)
    assert rsuq("certify", *blobs.flags, *flags).exit_code == 0
    return blobs


@pytest.mark.parametrize("guarantee", ["standard", "cc", "ncl"])
def test_an_exported_radius_is_rounded_down_and_reads_back(certified: Any, place: Place, guarantee: str) -> None:
    path = place.work / "out.tsv"
    assert rsuq("export", 1, "--scoring", 2, "--guarantee", guarantee, "--output", path).exit_code == 0
    stored = query(
        place.database,
        f"SELECT input_index, label, class_index, standard_class, radius_{guarantee}, decision, standard_decided "
        "FROM certified_sample WHERE scoring_id = 2",
    )
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    answered = 0
    for line, (index, label, chosen, standard, radius, decision, decided) in zip(lines, stored, strict=True):
        gives = {"standard": bool(decided), "cc": decision == "certain", "ncl": radius > 0}[guarantee]
        predict = (standard if guarantee == "standard" else chosen) if gives else -1
        assert line[:3] == [str(index), str(label), str(predict)]
        assert 0 <= (radius if gives else 0) - float(line[3]) < 1e-6
        assert line[4] == str(int(predict == label))
        answered += gives
    assert answered > 0
    assert rsuq("import", path, "--dataset", "blobs", "--model", "again", "--sigma", 0.25, "--n", 300).exit_code == 0
    (ours,) = [one for one in rsuq("report", "--format", "json").json if one["scoring_id"] == 2]
    (again,) = [one for one in rsuq("report", "--format", "json").json if one["model"] == "again"]
    assert again["acr_standard"] == pytest.approx(ours[f"acr_{guarantee}"], abs=1e-6)
    assert again["warnings"] == []


def test_records_have_every_column_unrounded(certified: Any, place: Place) -> None:
    stored = query(place.database, "SELECT radius_ncl FROM certified_sample ORDER BY scoring_id, input_index")
    lines = rsuq("export", 1, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["radius_ncl"] for line in lines] == [radius for (radius,) in stored]
    rows = list(csv.DictReader(io.StringIO(rsuq("export", 1, "--format", "csv", "--scoring", 1).stdout)))
    assert [float(row["radius_ncl"]) for row in rows] == [radius for (radius,) in stored[: len(rows)]]
    assert {"scoring_id", "label", "certain_count", "seconds", "decision"} <= set(rows[0])


def test_parquet_has_the_same_rows(certified: Any, place: Place) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = place.work / "out.parquet"
    assert rsuq("export", 1, "--format", "parquet", "--output", path).exit_code == 0
    lines = rsuq("export", 1, "--format", "jsonl").stdout.splitlines()
    assert parquet.read_table(path).to_pylist() == [json.loads(line) for line in lines]


def test_what_cannot_be_exported_is_refused_in_one_line(certified: Any, place: Place) -> None:
    assert "there is no run 9" in refused(rsuq("export", 9))
    assert "give --scoring, one of 1, 2" in refused(rsuq("export", 1))
    assert "run 1 has no scoring 7; it has 1, 2" in refused(rsuq("export", 1, "--scoring", 7))
    (place.work / "out.tsv").write_text("older")
    assert "--force replaces it" in refused(rsuq("export", 1, "--scoring", 1, "--output", "out.tsv"))
    assert (place.work / "out.tsv").read_text() == "older"


@pytest.mark.parametrize("subset", [("--skip", 17), ("--skip", 3, "--limit", 5), ("--split", "train", "--limit", 9)])
def test_an_export_comes_back_with_its_figures_and_without_warnings(
    place: Place, trained: Path, subset: tuple[object, ...]
) -> None:
    settings = ("--model", "mlp", "--threshold", 0.9, "--n0", 20, "--n", 100, "--radii", "0,0.1")
    shutil.copytree(trained.parent, place.work, dirs_exist_ok=True)
    certified = rsuq("certify", *settings, *subset, "--format", "json")
    assert certified.exit_code == 0, certified.stderr
    assert rsuq("export", 1, "--output", "own.tsv").exit_code == 0
    result = rsuq("import", "own.tsv", "--dataset", "digits", "--model", "mlp", "--sigma", 0.25, "--n", 100)
    assert result.exit_code == 0
    assert "warning" not in result.stderr
    (own,) = certified.json
    (back,) = [one for one in rsuq("report", "--radii", "0,0.1", "--format", "json").json if one["kind"] == "import"]
    for name in ("inputs", "certified_standard"):
        assert back[name] == own[name]
    assert back["acr_standard"] == pytest.approx(own["acr_standard"], abs=1e-6)
    assert back["warnings"] == []


def test_a_failure_leaves_no_run_behind(log: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    text = log.read_text()
    (place.work / "large.tsv").write_text(text + f"{2**64}\t1\t1\t0.25\t1\t1\n")
    assert f"line 12: idx {2**64} is too large" in refused(rsuq("import", log, "large.tsv", *FLAGS))
    assert not place.database.exists()
    assert rsuq("import", log, *FLAGS).exit_code == 0

    (place.work / "other.tsv").write_text(text.replace("0.529", "0.6"))
    (place.work / "third.tsv").write_text(text.replace("0.529", "0.7"))
    stored: list[object] = []

    def fails_at_the_second(*arguments: object) -> None:
        stored.append(arguments)
        if len(stored) == 2:
            raise DatabaseError("the disk is full", "make room")

    monkeypatch.setattr("rsuq_cli.jobs.importing.store_samples", fails_at_the_second)
    assert "the disk is full" in refused(rsuq("import", "other.tsv", "third.tsv", *FLAGS), exit_code=4)
    assert query(place.database, "SELECT count(*) FROM run") == [(1,)]
    assert query(place.database, "SELECT count(*) FROM scoring") == [(1,)]
