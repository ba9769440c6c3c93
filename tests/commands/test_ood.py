"""`rsuq ood` from the command line: scores in the database, metrics against scikit-learn, resume, reuse, refusals."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import evidence, query, refused, rsuq, snapshot
from PIL import Image
from samples import Sample, blob_arrays, write_blobs, write_half_space, write_npz
from scipy.special import ndtr
from sklearn.metrics import average_precision_score, roc_auc_score

import rsuq_cli as rsuq_api
from rsuq_cli.jobs.ood import evaluation
from rsuq_cli.ood.certainty import resample_weights
from rsuq_cli.sampling.clean import clean_pass
from rsuq_cli.uncertainty.predictor import PLAIN

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Place

SETS = ("--ood", "noise:uniform", "--ood", "constant")


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of these tests is about how well the intervals are known."""
    monkeypatch.setattr(evaluation, "resample_weights", partial(resample_weights, resamples=40))


QUICK = ("--n0", 20, "--n", 60)


def scores_of(database: Path, ood_set: str, score: str, run_id: int = 1) -> np.ndarray:
    rows = query(
        database, "SELECT value FROM ood_score WHERE run_id = ? AND ood_set = ? AND score = ? ORDER BY input_index",
        run_id, ood_set, score,
    )  # fmt: skip
    return np.array([value for (value,) in rows])


def records(*arguments: object) -> list[dict[str, Any]]:
    result = rsuq("ood", *arguments, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = result.json
    return found


def test_every_set_and_score_has_the_metrics_of_its_stored_scores(place: Place, blobs: Sample) -> None:
    found = records(*blobs.flags, *SETS, *QUICK)
    names = {record["score"] for record in found}
    assert {f"{family}:{measure}" for family in ("clean", "mean") for measure in PLAIN.measures} < names
    assert {"uncertain_mass:entropy@0.9", "one_minus_max_q:entropy@0.9", "one_minus_max_p"} < names
    assert {"vote_entropy", "mutual_information"} < names
    assert sorted((r["ood_set"], r["score"]) for r in found) == sorted(
        (s, n) for s in ("noise:uniform", "constant") for n in names
    )
    for record in found:
        inside = scores_of(place.database, blobs.dataset, record["score"])
        outside = scores_of(place.database, record["ood_set"], record["score"])
        assert (len(inside), len(outside)) == (record["inputs_id"], record["inputs_ood"]) == (12, 12)
        truth, values = [0] * 12 + [1] * 12, np.concatenate([inside, outside])
        assert record["auroc"] == pytest.approx(roc_auc_score(truth, values))
        assert record["aupr_out"] == pytest.approx(average_precision_score(truth, values))
        assert record["aupr_in"] == pytest.approx(average_precision_score([1 - t for t in truth], -values))
        for name, interval in record["intervals"].items():
            assert 0 <= interval["low"] <= interval["value"] == record[name] <= interval["high"] <= 1


@pytest.mark.slow
def test_two_workers_find_what_one_process_does(place: Place, blobs: Sample) -> None:
    command = (*blobs.flags, *SETS, *QUICK, "--batch-size", 64)
    alone = records(*command)
    together = records(*command, "--workers", 2, "--db", place.work / "two.db")
    assert evidence(place.work / "two.db") == evidence(place.database)
    assert together == alone


def test_guarantees_never_promise_more_than_there_is_and_fall_with_the_radius(blobs: Sample) -> None:
    found = [r for r in records(*blobs.flags, *SETS, *QUICK, "--radii", "0,0.1,0.3") if r["certified"]]
    assert {r["score"].partition(":")[0] for r in found} == {
        "mean", "uncertain_mass", "one_minus_max_q", "one_minus_max_p"
    }  # fmt: skip
    for record in found:
        points = record["certified"]
        assert [point["radius"] for point in points] == [0, 0.1, 0.3]
        promised = [record["auroc"], *(point["auroc"] for point in points)]
        assert promised == sorted(promised, reverse=True)
        rates = [record["fpr95"], *(point["fpr95"] for point in points)]
        assert rates == sorted(rates)
        assert all(point["auroc_two_sided"] <= point["auroc"] for point in points)
        assert all(point["fpr95_two_sided"] >= point["fpr95"] for point in points)
        assert record["guarantee"] == "per input"


def test_the_uncertain_mass_of_a_half_space_is_the_exact_one(place: Place) -> None:
    own, other = np.array([0.4, 0.6, 0.8, 1.0, 1.2, 1.5, -0.38]), np.linspace(-0.1, 0.2, 6)
    half_space = write_half_space(place.work, own)
    (place.work / "close").mkdir()
    close = write_half_space(place.work / "close", other).dataset
    sigma, n, score = 0.5, 4000, "uncertain_mass:confidence@theta0.4"
    found = records(
        *half_space.flags, "--ood", close, "--sigma", sigma, "--uncertainty", "confidence", "--threshold", 0.4,
        "--n", n, "--radii", "0,0.2",
    )  # fmt: skip
    for ood_set, distances in ((half_space.dataset, own), (close, other)):
        margin, edge = half_space.NORM * distances, half_space.margin
        spread = half_space.NORM * sigma
        exact = ndtr((edge - margin) / spread) - ndtr((-edge - margin) / spread)
        assert scores_of(place.database, ood_set, score) == pytest.approx(exact, abs=2.5 / n**0.5)
    record = next(r for r in found if r["score"] == score)
    assert record["certified"][0]["auroc"] > 0.8
    assert set(record["certified"][0]) == {
        "radius", "auroc", "fpr95", "auroc_two_sided", "fpr95_two_sided", "certified_uncertain", "certified_cc",
        "certified_risk",
    }  # fmt: skip


def test_the_same_command_again_samples_nothing_and_another_measure_neither(place: Place, blobs: Sample) -> None:
    first = rsuq("ood", *blobs.flags, *SETS, *QUICK)
    assert "inputs/s with noise" in first.stderr
    assert "clean single pass" in first.stderr
    before = evidence(place.database)
    again = rsuq("ood", *blobs.flags, *SETS, *QUICK)
    assert "all are sampled already" in again.stderr
    assert again.stdout == first.stdout
    other = records(
        *blobs.flags, *SETS, *QUICK, "--uncertainty", "margin", "--coverage", 0.8, "--score", "uncertain_mass"
    )
    assert {record["score"] for record in other} == {"uncertain_mass:margin@0.8"}
    assert evidence(place.database) == before


def test_an_interrupted_run_goes_on_to_the_same_evidence(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("ood", *blobs.flags, *SETS, *QUICK, "--batch-size", 64)
    monkeypatch.setenv("INTERRUPT_AT", "112")
    stopped = rsuq(*arguments)
    monkeypatch.delenv("INTERRUPT_AT")
    assert stopped.exit_code == 130
    some = evidence(place.database)
    assert 0 < len(some) < 36
    assert query(place.database, "SELECT status FROM run") == [("interrupted",)]
    assert rsuq(*arguments).exit_code == 0
    assert query(place.database, "SELECT status FROM run") == [("complete",)]
    resumed = evidence(place.database)
    assert rsuq(*arguments, "--fresh", "--batch-size", 96).exit_code == 0
    assert evidence(place.database, 2) == resumed
    assert len(resumed) == 36


def test_a_certify_run_is_the_in_distribution_side(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, *QUICK).exit_code == 0
    reused = rsuq("ood", "--run", 1, *SETS)
    assert "24 to sample" in reused.stderr
    assert [row[4] for row in evidence(place.database, 2)[:12]] == [row[4] for row in evidence(place.database, 1)]
    assert rsuq("ood", *blobs.flags, *SETS, *QUICK, "--fresh").exit_code == 0
    assert evidence(place.database, 3) == evidence(place.database, 2)
    fewer = rsuq("ood", "--run", 1, *SETS, "--limit", 4)
    assert "8 to sample" in fewer.stderr


def test_a_run_that_does_not_fit_is_refused(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, *QUICK).exit_code == 0
    assert "has n = 60, not 70" in refused(rsuq("ood", "--run", 1, *SETS, "--n", 70))
    assert "there is no run 7" in refused(rsuq("ood", "--run", 7, *SETS))
    assert "no counts of entropy at 0.123" in refused(rsuq("ood", "--run", 1, *SETS, "--threshold", 0.123))
    write_npz(place.work / "blobs.npz", **blob_arrays(seed=1))
    assert "have changed since" in refused(rsuq("ood", "--run", 1, *SETS))


def test_which_other_sets_there_are_does_not_matter(place: Place, blobs: Sample) -> None:
    assert rsuq("ood", *blobs.flags, *SETS, *QUICK).exit_code == 0
    assert rsuq("ood", *blobs.flags, "--ood", "constant", *QUICK).exit_code == 0
    for score in ("clean:energy", "mean:gen", "uncertain_mass:entropy@0.9"):
        assert (
            scores_of(place.database, "constant", score, 1) == scores_of(place.database, "constant", score, 2)
        ).all()


def test_the_convention_is_named_and_changes_the_rate(blobs: Sample) -> None:
    ood = records(*blobs.flags, *SETS, *QUICK, "--score", "clean:margin")
    own = records(*blobs.flags, *SETS, *QUICK, "--score", "clean:margin", "--convention", "id-positive")
    assert [r["convention"] for r in (ood[0], own[0])] == ["ood-positive", "id-positive"]
    assert [r["auroc"] for r in ood] == [r["auroc"] for r in own]
    assert [r["fpr95"] for r in ood] != [r["fpr95"] for r in own]
    assert "FPR95, ID positive" in rsuq("ood", *blobs.flags, *SETS, *QUICK, "--convention", "id-positive").stdout


def test_bounds_that_hold_together_promise_less(blobs: Sample) -> None:
    flags = (*blobs.flags, *SETS, "--n", 300, "--radii", "0", "--score", "uncertain_mass")
    alone, together = records(*flags), records(*flags, "--simultaneous")
    assert together[0]["guarantee"] == "simultaneous"
    # 36 inputs; three means, all votes, two scores of a threshold, and its CC and NCL.
    assert together[0]["family_size"] == 36 * 8
    for one, other in zip(alone, together, strict=True):
        assert other["certified"][0]["auroc"] <= one["certified"][0]["auroc"]
    assert "simultaneously" in rsuq("ood", *flags, "--simultaneous", "--details").stdout


def test_people_are_told_whether_smoothing_helps_and_near_sets_are_averaged_apart(blobs: Sample) -> None:
    sets = (*SETS, "--ood", "noise:smooth", "--near", "constant")
    result = rsuq("ood", *blobs.flags, *sets, *QUICK, "--details")
    assert "constant (near)" in result.stdout
    assert "far average" in result.stdout
    assert "near average" not in result.stdout  # one set is its own average
    tail = result.stdout[result.stdout.index("does smoothing help?") :]
    assert len(re.findall(r"^\S.* clean:", tail, re.MULTILINE)) == 4
    by_score = {r["score"]: r for r in records(*blobs.flags, *sets, *QUICK) if r["ood_set"] == "constant"}
    gain = by_score["mean:entropy"]["gain_over_clean"]
    assert gain["value"] == pytest.approx(by_score["mean:entropy"]["auroc"] - by_score["clean:entropy"]["auroc"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    record = by_score["clean:entropy"]
    assert record["gain_over_clean"] is None
    assert record["comparison"]["low"] <= record["comparison"]["difference"] <= record["comparison"]["high"]
    assert record["group_average"]["auroc"]["value"] > 0


def test_held_out_classes_are_near_data(place: Place) -> None:
    message = refused(rsuq("ood", "--model", "mlp", "--ood", "held-out"))
    assert "rsuq train --model mlp --sigma 0.25 --hold-out-classes" in message
    trained = rsuq("train", "--model", "mlp", "--epochs", 1, "--hold-out-classes", "8,9", "--format", "json")
    assert trained.json[0]["dataset"] == "digits-without-8,9"
    flags = ("--model", "mlp", "--ood", "held-out", "--limit", 20, *QUICK)
    found = records(*flags)
    assert {r["group"] for r in found} == {"near"}
    assert found[0]["dataset"] == "digits-without-8,9"
    assert len(scores_of(place.database, "held-out", "clean:energy")) == 20
    classes = query(place.database, "SELECT class_names FROM run")[0][0]
    assert classes == '["0", "1", "2", "3", "4", "5", "6", "7"]'
    assert rsuq("certify", "--model", "mlp", "--dataset", "digits-without-8,9", "--limit", 3, *QUICK).exit_code == 0
    assert "no checkpoint of mlp for digits at" in refused(rsuq("certify", "--model", "mlp"))


def test_images_of_the_data_itself_are_counted_in_a_warning(place: Place, blobs: Sample) -> None:
    arrays = np.load(blobs.dataset.removeprefix("npz:"))
    images = np.concatenate([arrays["x_test"][:2], arrays["x_train"][:3], 1 - arrays["x_test"][:4]])
    own = write_npz(place.work / "mixed.npz", x_test=images)
    result = rsuq("ood", *blobs.flags, "--ood", own, *QUICK)
    assert f"warning: {own} holds 5 images of {blobs.dataset}" in result.stderr
    assert "holds 5 images" in result.stdout


def test_images_are_converted_where_a_size_is_given(place: Place, blobs: Sample) -> None:
    folder = place.work / "photos"
    folder.mkdir()
    for number in range(3):
        Image.effect_noise((9, 9), 40 + number).convert("RGB").save(folder / f"{number}.png")
    assert "--image-size 2 converts them" in refused(rsuq("ood", *blobs.flags, "--ood", f"folder:{folder}"))
    found = records(*blobs.flags, "--ood", f"folder:{folder}", "--image-size", 2, *QUICK)
    assert (found[0]["ood_set"], found[0]["inputs_ood"]) == (f"folder:{folder}", 3)


NAN_MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        z = x.flatten(1)[:, :3]
        bad = x.flatten(1).std(1, keepdim=True) < 1e-6
        return torch.where(bad & (x.shape[0] > 2), torch.nan, z)
"""


def test_scores_that_are_no_numbers_are_refused_before_anything_is_sampled(place: Place, blobs: Sample) -> None:
    (place.work / "nan.py").write_text(NAN_MODEL)
    before = snapshot(place.root)
    message = refused(rsuq("ood", "--model", "nan.py:Net", "--dataset", blobs.dataset, "--ood", "constant", *QUICK))
    assert "not numbers on 12 inputs of constant" in message
    assert snapshot(place.root) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no out-of-distribution set is named"),
        (("--ood", "noise:smoth"), "did you mean noise:smooth"),
        (("--ood", "constant", "--score", "entropi"), "unknown score 'entropi'"),
        (("--ood", "constant", "--convention", "in-positive"), "did you mean id-positive"),
        (("--ood", "constant", "--near", "digits"), "--near digits is not among"),
        (("--ood", "constant", "--limit", 1), "--limit is 1"),
        (("--ood", "constant", "--radii", "0,-1"), "are no radii"),
        (("--ood", "constant", "--n", 5), "cannot certify anything"),
        (("--ood", "constant", "--n", 12, "--simultaneous"), "bounds at once"),
        (("--ood", "constant", "--uncertainty", "entropie"), "did you mean entropy"),
        (("--ood", "cifar1000"), "did you mean cifar10"),
        (("--ood", "folder:nowhere"), "no folder"),
        (("--ood", "one.npz"), "unknown out-of-distribution set"),
        (("--ood", "npz:one.npz"), "has 1 inputs"),
        (("--ood", "held-out"), "with classes held out"),
        (("--ood", "DATASET"), "is the in-distribution data itself"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(place: Place, arguments: tuple[object, ...], message: str) -> None:
    blobs = write_blobs(place.work)
    write_npz(place.work / "one.npz", x_test=np.zeros((1, 2, 2), dtype=np.uint8))
    before = snapshot(place.root)
    given = [blobs.dataset if one == "DATASET" else one for one in arguments]
    assert message in refused(rsuq("ood", *blobs.flags, *given))
    assert snapshot(place.root) == before


def test_people_see_one_table_that_fits_a_screen_and_more_if_they_ask(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    asked = ("ood", *blobs.flags, *SETS, *QUICK)
    for arguments in (asked, ("report",), ("report", "--ood")):
        lines = rsuq(*arguments).stdout.splitlines()
        assert max(map(len, lines)) <= 100
        assert len([line for line in lines if line.startswith("───")]) == 1
        assert len(lines) <= 30
    assert rsuq("report", "--ood", "--details").stdout.count("\n───") >= 6
    assert "FPR95" not in rsuq(*asked).stdout
    for one in (("--score", "clean"), ("--convention", "ood-positive")):
        shown = rsuq(*asked, *one).stdout
        assert "FPR95" in shown
        assert shown.count("\n───") == 1
    plain, measured = rsuq(*asked).stdout, rsuq(*asked, "--intervals").stdout
    assert measured.count("[") > plain.count("[") > 0


def test_report_shows_the_runs_and_compares_models(place: Place, blobs: Sample) -> None:
    (place.work / "twin.py").write_text((place.work / "blobs.py").read_text().replace("6 *", "3 *"))
    assert rsuq("ood", *blobs.flags, *SETS, *QUICK).exit_code == 0
    alone = rsuq("report")
    assert "best smoothed" in alone.stdout
    assert "does smoothing help?" in rsuq("report", "--details").stdout
    assert rsuq("ood", "--model", "twin.py:make", "--dataset", blobs.dataset, *SETS, *QUICK).exit_code == 0
    assert rsuq("certify", *blobs.flags, *QUICK).exit_code == 0
    both = rsuq("report")
    assert "certified" in both.stdout
    assert "out-of-distribution detection" in both.stdout
    assert "twin.py:make" in both.stdout
    assert {row["ood_set"] for row in rsuq("report", "--ood", "--format", "json").json} == {"noise:uniform", "constant"}
    assert {row["run_id"] for row in rsuq("report", 2, "--format", "json").json} == {2}
    # Machines get one kind of record: what was certified, where anything was.
    assert all("acr_ncl" in row for row in rsuq("report", "--format", "json").json)
    assert "no out-of-distribution runs match" in refused(rsuq("report", "--ood", "--model", "cnn"))


@pytest.mark.parametrize("flags", [(), ("--sweep",), ("--best", "gain"), ("--uncertainty", "margin")], ids=" ".join)
def test_inputs_from_elsewhere_are_never_counted_as_wrong_answers(
    place: Place, blobs: Sample, flags: tuple[str, ...]
) -> None:
    records(*blobs.flags, "--ood", "constant", *QUICK)
    before = place.database.read_bytes()
    message = refused(rsuq("rescore", 1, *flags))
    assert "run 1 has inputs from elsewhere" in message
    assert "rescore a run of rsuq certify" in message
    assert place.database.read_bytes() == before


def test_no_view_shows_certificates_of_a_run_with_inputs_from_elsewhere(place: Place, blobs: Sample) -> None:
    records(*blobs.flags, "--ood", "constant", *QUICK)
    # As an earlier release stored it when such a run was rescored.
    with closing(sqlite3.connect(place.database)) as connection:
        for index in range(24):
            label = 0 if index < 12 else -1
            connection.execute(
                "INSERT INTO certified_sample VALUES (1, ?, ?, 0, 0, 'certain', ?, 0, 1, 0, 60, 50, 5, 55, .1, .1, .1,"
                " 0, 'majority', 'merged', NULL, 1)", (index, label, label == 0),
            )  # fmt: skip
        connection.commit()
    assert rsuq_api.samples(1, place.database).empty
    assert rsuq_api.curves(1, [0.0], place.database).empty
    assert "no certificates" in refused(rsuq("export", 1, "--format", "csv"))
    assert not any("acr_cc" in record for record in rsuq("report", 1, "--format", "json").json)
    assert "no scoring 1 with certificates" in refused(rsuq("report", "--paired", 1, 2))


def test_full_memory_halves_the_batch_and_is_told_and_stored(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled: list[int] = []

    def clean_and_then_fill(*arguments: Any, **others: Any) -> Any:
        found = clean_pass(*arguments, **others)
        filled.append(len(found.classes))
        if len(filled) == 3:  # of both sets and the data
            monkeypatch.setenv("MOST_ROWS", "64")
        return found

    monkeypatch.setattr("rsuq_cli.jobs.ood.run.clean_pass", clean_and_then_fill)
    result = rsuq("ood", *blobs.flags, *SETS, "--n0", 20, "--n", 300, "--batch-size", 128, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("going on with batches of 64") == 1
    ((warnings,),) = query(place.database, "SELECT warnings FROM run")
    assert [line for line in json.loads(warnings) if "batches of 64" in line] == json.loads(warnings)
