"""A measure that is registered after a run began: new runs have it, older ones go on and are read without it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import torch
from commandline import Result, evidence, figures, query, refused, rsuq
from samples import Sample

from rsuq_cli.certificates.evidence import decode, decode_sums
from rsuq_cli.uncertainty.forms import FORMS, Form, Outputs
from rsuq_cli.uncertainty.measures import MEASURES, Measure
from rsuq_cli.uncertainty.predictor import PLAIN

if TYPE_CHECKING:
    from conftest import Place

SIX = set(PLAIN.measures)
N = ("--n", 300, "--format", "json")


def _collision(of: Outputs) -> torch.Tensor:
    """Returns 1 - sum p², the probability that two draws of a class differ."""
    return 1 - of.p.square().sum(dim=1)


def _collision_of(of: Outputs) -> torch.Tensor:
    return (1 - of.p.square().sum(dim=1)).clamp(0.0, 1.0)


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers a seventh measure, which lies in [0, 1]: all that adding one takes."""
    monkeypatch.setitem(MEASURES, "gini", Measure("gini", "1 - sum p^2", 0.0, 1.0))
    monkeypatch.setitem(FORMS, "gini", Form(_collision_of, _collision))


@pytest.fixture
def new_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def counted(place: Place, run_id: int) -> set[str]:
    """Returns the measures in a run's evidence, having seen that its bins and every input say the same."""
    recorded = {row[0] for row in query(place.database, "SELECT measure FROM bin_edges WHERE run_id = ?", run_id)}
    for *_, counts in evidence(place.database, run_id):
        sums = decode_sums(counts)
        assert set(decode(counts)) == recorded
        assert sums is None or set(sums.measures) == recorded
    return recorded


def forget_inputs(place: Place, run_id: int, kept: int) -> None:
    """Makes a run one that was interrupted after so many inputs."""
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("DELETE FROM evidence WHERE run_id = ? AND input_index >= ?", (run_id, kept))
        connection.execute("DELETE FROM certified_sample WHERE input_index >= ?", (kept,))
        connection.execute("UPDATE run SET status = 'interrupted' WHERE id = ?", (run_id,))


@pytest.mark.usefixtures("new_measure")
def test_a_fresh_run_has_every_measure_that_is_registered(place: Place, blobs: Sample) -> None:
    result = rsuq("certify", *blobs.flags, *N, "--uncertainty", "gini", "--rule", "plurality")
    assert result.exit_code == 0, result.stderr
    assert [record["measure"] for record in result.json] == ["gini"]
    assert counted(place, 1) == SIX | {"gini"}
    assert rsuq("audit", 1, "--inputs", 2, "--steps", 2).exit_code == 0
    assert rsuq("predict", "--run", 1, _image(place)).exit_code == 0


def test_an_older_run_goes_on_with_the_measures_that_it_began_with(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rsuq("certify", *blobs.flags, *N, "--uncertainty", "entropy", "--uncertainty", "energy")
    whole = evidence(place.database)
    forget_inputs(place, 1, 5)
    register(monkeypatch)
    again = rsuq("certify", *blobs.flags, *N, "--uncertainty", "entropy", "--uncertainty", "energy")
    assert again.exit_code == 0, again.stderr
    assert "(5 were finished before)" in again.stderr
    assert again.json[0]["run_id"] == 1
    assert figures(again) == figures(before)
    assert evidence(place.database) == whole
    assert counted(place, 1) == SIX


def test_an_older_run_that_stops_early_goes_on_too(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("certify", *blobs.flags, *N, "--at-radius", 0.1)
    before = rsuq(*flags)
    whole = evidence(place.database)
    forget_inputs(place, 1, 5)
    register(monkeypatch)
    assert figures(rsuq(*flags)) == figures(before)
    assert evidence(place.database) == whole
    assert rsuq("predict", "--run", 1, _image(place)).exit_code == 0


def test_an_older_run_is_read_without_the_new_measure(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsuq("certify", *blobs.flags, *N)
    reads: list[tuple[object, ...]] = [
        ("rescore", 1, "--uncertainty", "margin", "--format", "json"),
        ("report", "--format", "json"),
        ("rescore", 1, "--sweep", "--format", "json"),
        ("rescore", 1, "--best", "acr_ncl", "--format", "json"),
    ]
    before = [figures(rsuq(*read)) for read in reads]
    register(monkeypatch)
    assert [figures(rsuq(*read)) for read in reads] == before
    assert before[-1][0]["measures"] == len(SIX)
    assert rsuq("report", "--html", "page.html").exit_code == 0
    page = (place.work / "page.html").read_text(encoding="utf-8")
    assert "margin" in page
    assert "gini" not in page
    assert rsuq("audit", 1, "--inputs", 2, "--steps", 2).exit_code == 0
    assert rsuq("predict", "--run", 1, _image(place)).exit_code == 0
    assert rsuq("db", "check").exit_code == 0


def test_reading_an_older_run_with_the_new_measure_is_one_line(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsuq("certify", *blobs.flags, *N)
    register(monkeypatch)
    for flags in ([], ["--sweep"], ["--best", "acr_ncl"], ["--coverage", 0.8]):
        line = refused(rsuq("rescore", 1, "--uncertainty", "gini", *flags))
        assert "run 1 has no counts of gini, only of entropy, confidence, margin, energy, max_logit, gen" in line
        assert "rsuq certify command with --uncertainty gini" in line
    compared = rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--uncertainty", "gini")
    assert "run 1 has no counts of gini" in refused_after_notes(compared)
    assert counted(place, 1) == SIX


def test_certifying_with_the_new_measure_says_that_it_samples_another_run(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsuq("certify", *blobs.flags, *N)
    old = evidence(place.database, 1)
    register(monkeypatch)
    plan = rsuq("certify", *blobs.flags, *N, "--uncertainty", "gini", "--dry-run")
    assert plan.exit_code == 0, plan.stderr
    assert plan.json["run_id"] is None
    made = rsuq("certify", *blobs.flags, *N, "--uncertainty", "gini")
    assert "run 1 has no counts of gini: another run, which has them, is sampled" in made.stderr
    assert made.json[0]["run_id"] == 2
    assert (counted(place, 1), counted(place, 2)) == (SIX, SIX | {"gini"})
    assert evidence(place.database, 1) == old
    # What there is of a measure that both have is the same, whatever else was counted.
    for (*_, ours), (*_, theirs) in zip(old, evidence(place.database, 2), strict=True):
        for name, histogram in decode(ours).items():
            assert (histogram.estimation == decode(theirs)[name].estimation).all()
    # The same command finds its own run, and one with the old measures what there is of them.
    assert "nothing to do" in rsuq("certify", *blobs.flags, *N, "--uncertainty", "gini").stderr
    assert "nothing to do" in rsuq("certify", *blobs.flags, *N, "--uncertainty", "entropy").stderr


def test_an_older_comparison_with_other_sets_keeps_its_figures(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("ood", *blobs.flags, "--ood", "noise:smooth", "--simultaneous", "--limit", 6, *N)
    before = rsuq(*flags)
    assert before.exit_code == 0, before.stderr
    rows = "SELECT name, ood_set, score, radius, value, low, high FROM metric ORDER BY 1, 2, 3, 4"
    metrics, table = query(place.database, rows), rsuq("report", "--ood", "--details").stdout
    register(monkeypatch)
    again = rsuq(*flags)
    assert again.exit_code == 0, again.stderr
    assert "all are sampled already" in again.stderr
    assert query(place.database, rows) == metrics
    assert query(place.database, "SELECT COUNT(*) FROM scoring") == [(1,)]
    assert rsuq("report", "--ood", "--details").stdout == table
    assert "no counts of gini" in refused_after_notes(rsuq(*flags, "--score", "mean:gini"))
    anew = rsuq(*flags, "--fresh")
    assert anew.exit_code == 0, anew.stderr
    assert counted(place, 2) == SIX | {"gini"}
    assert "gini" in rsuq("report", "--ood", "--details").stdout


def test_a_run_that_counts_what_this_release_does_not_have_is_read_and_does_not_go_on(
    place: Place, blobs: Sample
) -> None:
    with pytest.MonkeyPatch.context() as later:
        register(later)
        rsuq("certify", *blobs.flags, *N)
        rsuq("rescore", 1, "--uncertainty", "gini")
    forget_inputs(place, 1, 5)
    assert "run 1 counts gini, which this release of rsuq does not have" in refused_after_notes(
        rsuq("certify", *blobs.flags, *N)
    )
    assert rsuq("report").exit_code == 0
    assert rsuq("rescore", 1, "--uncertainty", "margin").exit_code == 3
    assert len(rsuq("rescore", 1, "--best", "acr_ncl", "--format", "json").json) == 1


def refused_after_notes(result: Result) -> str:
    """Returns the line with which a command refused, whatever it had said before."""
    assert result.exit_code == 2, result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line


def _image(place: Place) -> str:
    from PIL import Image

    Image.new("L", (2, 2), 128).save(place.work / "image.png")
    return "image.png"
