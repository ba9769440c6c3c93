"""`--views` and `--decide`: what is asked of the network for every sample, on record and the same everywhere."""

from __future__ import annotations

import json
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import committed, evidence, figures, query, refused, rsuq, start, stop_when
from samples import Sample, blob_arrays

import rsuq_cli as api
from rsuq_cli.certificates.evidence import decode
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor

if TYPE_CHECKING:
    from conftest import Place

N = ("--n", 300, "--format", "json")
TWO = ("--views", 2, "--uncertainty", "own_margin", "--uncertainty", "margin")


def configuration(place: Place, run: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM run WHERE id = {run}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_one_pass_records_nothing_and_is_the_run_that_it_was(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N)
    again = rsuq("certify", *blobs.flags, *N, "--views", 1, "--decide", "single")
    assert "nothing to do" in again.stderr
    assert "predictor" not in configuration(place, 1)
    assert again.json[0]["predictor"] is None


def test_views_that_reject_leave_the_classifier_as_it_is(place: Place, blobs: Sample) -> None:
    plain = rsuq("certify", *blobs.flags, *N, "--uncertainty", "margin").json
    result = rsuq("certify", *blobs.flags, *N, *TWO)
    assert result.exit_code == 0, result.stderr
    assert "2 passes for every sample" in result.stderr
    assert configuration(place, 2)["predictor"] == {"views": 2, "decide": "single"}
    by_measure = {record["measure"]: record for record in result.json}
    # The plain pass votes, and its own measures are what they were; the views' measure is another.
    for name in ("acr_standard", "acr_cc", "acr_ncl", "gain", "threshold"):
        assert by_measure["margin"][name] == plain[0][name]
    assert by_measure["own_margin"]["acr_standard"] == plain[0]["acr_standard"]
    assert by_measure["own_margin"]["threshold"] != plain[0]["threshold"]
    for ours, theirs in zip(evidence(place.database, 1), evidence(place.database, 2), strict=True):
        one, other = decode(ours[-1]), decode(theirs[-1])
        assert set(one) == set(PLAIN.measures)
        assert set(other) == set(Predictor(2).measures)
        for name in PLAIN.measures:
            assert (one[name].estimation == other[name].estimation).all()


def test_the_mean_is_another_classifier_and_another_run(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, *TWO)
    mean = rsuq("certify", *blobs.flags, *N, *TWO, "--decide", "mean").json
    assert mean[0]["run_id"] == 2
    single, of_mean = (
        [decode(row[-1])["margin"].estimation.sum(axis=1) for row in evidence(place.database, run)] for run in (1, 2)
    )
    assert any((one != other).any() for one, other in zip(single, of_mean, strict=True))


@pytest.mark.slow
def test_the_evidence_is_the_same_in_every_batch_and_by_every_worker(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, *TWO, "--batch-size", 64)
    for flags in (("--batch-size", 1000), ("--workers", 2)):
        other = place.work / f"{flags[0]}.db"
        result = rsuq("certify", *blobs.flags, *N, *TWO, *flags, "--db", other)
        assert result.exit_code == 0, result.stderr
        assert evidence(other) == evidence(place.database)


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_evidence(place: Place, blobs: Sample) -> None:
    command = ("certify", *blobs.flags, *TWO, "--n", 300, "--batch-size", 64, "--format", "json")
    process = start(*command, SLOW_FORWARD="0.006")
    killed = stop_when(process, lambda: committed(place.database) >= 3, signal.SIGKILL)
    assert killed.exit_code == -signal.SIGKILL
    whole = place.work / "whole.db"
    expected = rsuq(*command, "--db", whole)
    completed = rsuq(*command)
    assert 3 <= len(evidence(place.database)) == 12
    assert evidence(place.database) == evidence(whole)
    assert figures(completed) == figures(expected)


@pytest.mark.parametrize(
    ("rule", "decide"),
    [
        ("majority", "single"), ("plurality", "mean"), ("filtered", "single"),
        *(pytest.param(*both, marks=pytest.mark.slow)
          for both in (("majority", "mean"), ("plurality", "single"), ("filtered", "mean"))),
    ],
)  # fmt: skip
def test_it_is_audited_predicted_and_compared_as_it_was_certified(
    place: Place, blobs: Sample, decide: str, rule: str
) -> None:
    rsuq("certify", *blobs.flags, *N, *TWO, "--decide", decide, "--rule", rule)
    audit = rsuq("audit", 1, "--inputs", 4, "--steps", 3, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert query(place.database, "SELECT COUNT(*), SUM(broken) FROM audit_ball")[0][1] == 0
    image = place.work / "image.npy"
    np.save(image, blob_arrays()["x_test"][0])
    ((class_index, decision, ncl),) = query(
        place.database,
        "SELECT class_index, decision, radius_ncl FROM certified_sample WHERE scoring_id = 1 AND input_index = 0",
    )
    (answer,) = rsuq("predict", image, "--run", 1, "--format", "json").json
    assert (answer["class"], answer["decision"], answer["radius_ncl"]) == (class_index, decision, ncl)
    compared = rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--uncertainty", "own_margin", "--limit", 6)
    assert compared.exit_code == 0, compared.stderr
    assert configuration(place, 2)["predictor"] == {"views": 2, "decide": decide}


def test_an_audit_that_ignored_the_views_would_find_no_ball_of_theirs(place: Place, blobs: Sample) -> None:
    """Balls half as large again are broken: the attack climbs the views' own measure."""
    rsuq("certify", *blobs.flags, "--n", 2000, *TWO, "--coverage", 0.7)
    rsuq("audit", 1, "--inputs", 4, "--steps", 8, "--attack", "pgd", "--radius-scale", 2.5, "--scoring", 1)
    broken = dict(query(place.database, "SELECT guarantee, SUM(broken) FROM audit_ball GROUP BY guarantee"))
    assert broken["cc"] > 0


def test_predict_with_settings_takes_the_thresholds_of_its_own_predictor(place: Place, blobs: Sample) -> None:
    rsuq("certify", *blobs.flags, *N, "--uncertainty", "margin")
    rsuq("certify", *blobs.flags, *N, *TWO, "--decide", "mean")
    image = place.work / "image.npy"
    np.save(image, blob_arrays()["x_test"][1])
    flags = (*blobs.flags, *N, "--uncertainty", "margin")
    answers = [rsuq("predict", image, *flags, *more).json[0] for more in ((), ("--views", 2, "--decide", "mean"))]
    thresholds = [
        query(place.database, f"SELECT threshold FROM scoring WHERE run_id = {run} AND measure = 'margin'")[0][0]
        for run in (1, 2)
    ]
    assert [answer["threshold"] for answer in answers] == [pytest.approx(one) for one in thresholds]


def test_the_report_names_the_predictor_and_what_the_mean_would_certify(place: Place, blobs: Sample) -> None:
    first = rsuq("certify", *blobs.flags, "--n", 300, *TWO)
    assert "its gain flatters: beside it belongs the same command with --decide mean" in first.stdout
    mean = rsuq("certify", *blobs.flags, *N, *TWO, "--decide", "mean").json
    report = rsuq("report").stdout
    assert "2 views reject" in report
    assert "mean of 2 views" in report
    best = max(mean, key=lambda record: record["acr_ncl"])
    assert f"the mean of the same passes as the classifier has ACR {best['acr_standard']:.4f}" in report
    assert f"(scoring {best['scoring_id']})" in report


def test_python_has_them_too(place: Place, blobs: Sample) -> None:
    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left = 8 * (x[..., 0].mean(dim=(1, 2)) - 0.4)
            return torch.stack([left, -left], dim=1)

    images = torch.zeros(3, 1, 2, 4)
    images[1, ..., 0], images[2] = 1.0, 0.8
    # The mirror image tells another class where only one side is bright.
    sides = partial(api.certify, Bright(), images, sigma=0.1, n=300, uncertainty="own_margin", threshold=0.5)
    rejected = sides(views=2)
    assert rejected.decision.tolist()[1:] == ["uncertain", "certain"]
    with pytest.raises(BadInput, match="compares several passes"):
        sides()


def test_what_cannot_be_asked_is_one_line(place: Place, blobs: Sample) -> None:
    assert "--views is 3; give one of 1, 2, 4, 8" in refused(rsuq("certify", *blobs.flags, "--views", 3))
    assert "--decide mean of one pass is that pass" in refused(rsuq("certify", *blobs.flags, "--decide", "mean"))
    assert "did you mean mean?" in refused(rsuq("certify", *blobs.flags, "--views", 2, "--decide", "meen"))
    line = refused(rsuq("certify", *blobs.flags, "--uncertainty", "own_margin"))
    assert "own_margin compares several passes, and one is asked for; give --views 2 or more with it" in line
    rsuq("certify", *blobs.flags, *N)
    assert "with --views 2 --uncertainty own_margin" in refused(rsuq("rescore", 1, "--uncertainty", "own_margin"))
    settled = refused(rsuq("ood", "--run", 1, "--ood", "noise:smooth", "--views", 2))
    assert "run 1 has views = 1, not 2" in settled
    image = place.work / "image.npy"
    np.save(image, blob_arrays()["x_test"][0])
    assert "both --run and --views are given" in refused(rsuq("predict", image, "--run", 1, "--views", 2))
