"""Networks whose logits are not always finite: no vote for anybody, said, and refused where it is nearly all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from commandline import query, refused, rsuq
from samples import Sample, write_blobs, write_npz
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri
from torch import nn

import rsuq_cli
from rsuq_cli.certificates.evidence import decode
from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from conftest import Place

# Breaks where the last pixel is above the cut; BROKEN says what then stands in the logits.
MODEL = """
import os, torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        flat = x.flatten(1)
        logits = 6 * flat[:, :3]
        return torch.where(flat[:, 3:] > float(os.environ["CUT"]), float(os.environ["BROKEN"]), logits)
"""


@pytest.fixture
def breaking(place: Place, monkeypatch: pytest.MonkeyPatch) -> Sample:
    (place.work / "net.py").write_text(MODEL)
    monkeypatch.setenv("CUT", "0.6")
    monkeypatch.setenv("BROKEN", "nan")
    return Sample("net.py:Net", write_blobs(place.work).dataset)


@pytest.mark.parametrize("broken", ["nan", "inf", "-inf"])
def test_they_are_counted_recorded_and_said(
    place: Place, breaking: Sample, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", broken)
    result = rsuq("certify", *breaking.flags, "--n", 500, "--threshold", 1.0, "--format", "json")
    assert result.exit_code == 0, result.stderr
    (record,) = result.json
    (warning,) = record["warnings"]
    total = 0
    for blob, unanswered, n0, n in query(place.database, "SELECT counts, unanswered, n0, n FROM evidence"):
        for histogram in decode(blob).values():
            assert sum(histogram.unanswered) == unanswered
            assert (histogram.draws, n) == (500, 500)
            assert histogram.selection.sum() + histogram.unanswered.selection == n0
        total += unanswered
    assert 0 < total < 12 * 600 / 2
    assert f"{total:,} of 7,200" in warning
    assert "had logits that are not finite" in result.stderr
    rows = query(
        place.database,
        "SELECT n - vote_count, uncertain_count, radius_cc, radius_standard, radius_ncl, class_index = standard_class "
        "FROM certified_sample",
    )
    for against, uncertain, cc, standard, ncl, same in rows:
        assert against >= uncertain > 0  # at the threshold 1 nothing else is uncertain
        assert not same or cc <= standard <= ncl


def test_rescoring_reads_them_as_certifying_did(place: Place, breaking: Sample) -> None:
    assert rsuq("certify", *breaking.flags, "--n", 500, "--threshold", 0.5).exit_code == 0
    certify = rsuq("certify", *breaking.flags, "--n", 500, "--threshold", 0.5, "--format", "json").json[0]
    swept = rsuq("rescore", 1, "--sweep", "--format", "json")
    assert swept.exit_code == 0, swept.stderr
    (point,) = [one for one in swept.json if one["threshold"] == 0.5]
    for name in ("acr_cc", "acr_ncl", "acr_standard", "sample_coverage", "accuracy", "clean_accuracy"):
        assert point[name] == pytest.approx(certify[name]), name
    page = place.work / "page.html"
    assert rsuq("report", 1, "--html", page).exit_code == 0
    assert "not finite" in page.read_text(encoding="utf-8")


def test_a_network_that_hardly_ever_answers_is_refused_and_leaves_nothing(
    place: Place, breaking: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUT", "-5")
    (place.work / "net.py").write_text(
        MODEL.replace("flat[:, 3:] >", "(flat[:, 3:] != 0.25) & (flat[:, 3:] >").replace('["CUT"]),', '["CUT"])),')
    )
    images = np.full((6, 1, 2, 2), 0.25, dtype=np.float32)
    data = write_npz(
        place.work / "flat.npz", x_train=images, y_train=[0, 1, 2] * 2, x_test=images, y_test=[0, 1, 2] * 2
    )
    flags = ("--model", breaking.model, "--dataset", data, "--n", 200, "--threshold", 0.5)
    for command in (("certify", *flags), ("ood", *flags, "--ood", "noise:uniform")):
        assert "not finite" in refused(rsuq(*command))
    assert not place.database.exists() or query(place.database, "SELECT COUNT(*) FROM run") == [(0,)]


def test_stopping_counts_every_sample(place: Place, breaking: Sample) -> None:
    flags = (*breaking.flags, "--n", 2000, "--threshold", 0.5, "--tolerance", 0.3)
    assert rsuq("certify", *flags).exit_code == 0
    rows = query(
        place.database,
        "SELECT sample.n, evidence.n, counts, uncertain_count FROM certified_sample AS sample "
        "JOIN evidence USING (input_index)",
    )
    assert len({n for n, *_ in rows}) > 1
    for n, draws, blob, uncertain in rows:
        histogram = decode(blob)["entropy"]
        assert n == draws == histogram.draws
        assert uncertain >= histogram.unanswered.estimation > 0


def test_out_of_distribution_scores_stay_finite_and_the_share_is_said(place: Place, breaking: Sample) -> None:
    result = rsuq("ood", *breaking.flags, "--ood", "noise:uniform", "--n0", 20, "--n", 100, "--format", "json")
    if result.exit_code:  # a set of which some inputs have no clean answer is refused
        assert "not numbers" in refused(result)
        return
    assert "not finite" in result.stderr
    values = [value for (value,) in query(place.database, "SELECT value FROM ood_score")]
    assert values
    assert np.isfinite(values).all()


def test_predict_and_audit_know_them(place: Place, breaking: Sample) -> None:
    assert rsuq("certify", *breaking.flags, "--n", 500, "--threshold", 0.5).exit_code == 0
    audited = rsuq("audit", 1, "--inputs", 3, "--steps", 3, "--format", "json")
    assert audited.exit_code == 0, audited.stderr
    assert [record["broken"] for record in audited.json] == [0] * len(audited.json)
    image = place.work / "one.npy"
    np.save(image, np.full((2, 2), 0.3, dtype=np.float32))
    (answer,) = rsuq("predict", "--run", 1, image, "--format", "json").json
    assert answer["n"] == 500
    assert answer["uncertain_count"] > 0


class Cut(nn.Module):
    """1 where the first pixel is above one half; no answer where the second is above the cut."""

    def __init__(self, cut: float) -> None:
        super().__init__()
        self.cut = cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        margin = 40 * (flat[:, 0] - 0.5)
        return torch.where(flat[:, 1:2] > self.cut, torch.nan, torch.stack([-margin, margin], dim=1))


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_no_radius_exceeds_the_truth(share: float) -> None:
    sigma, value = 0.25, 0.9
    cut = 0.5 - sigma * float(ndtri(share))
    images = torch.tensor([[value, 0.5]]).reshape(1, 1, 1, 2).expand(8, 1, 1, 2)
    with pytest.warns(UserWarning, match="not finite"):
        found = rsuq_cli.certify(Cut(cut), images, sigma=sigma, n=4000, uncertainty="confidence", threshold=0.4)

    def mass(towards: float, distance: float, offset: float) -> float:
        """The mass above `offset` that has an answer, when the input has moved by `distance`."""
        first, second = distance * np.cos(towards), distance * np.sin(towards)
        return float(ndtr((value - first - offset) / sigma) * ndtr((cut - 0.5 - second) / sigma))

    def truth(offset: float) -> float:
        """The least distance at which the mass is one half."""

        def reach(towards: float) -> float:
            low, high = 0.0, 3.0
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (middle, high) if mass(towards, middle, offset) > 0.5 else (low, middle)
            return high

        return float(minimize_scalar(reach, bounds=(0, np.pi / 2), method="bounded").fun)

    margin = np.log(0.6 / 0.4) / 80
    assert (found.radius_standard <= truth(0.5)).all()
    assert (found.radius_cc <= truth(0.5 + margin)).all()
    assert (found.radius_cc <= found.radius_standard).all()
    assert (found.radius_standard <= found.radius_ncl).all()
    assert (found.radius_standard > 0.5 * sigma * ndtri(mass(0, 0, 0.5))).all()


def test_from_python_a_network_without_answers_is_refused() -> None:
    images = torch.full((2, 1, 1, 2), 0.5)
    with pytest.raises(BadInput, match="not finite"):
        rsuq_cli.certify(Cut(-9.0), images, sigma=0.25, n=200, threshold=0.5)


def test_a_coverage_that_answers_cannot_reach_is_said_and_not_made_up(place: Place, breaking: Sample) -> None:
    result = rsuq("certify", *breaking.flags, "--n", 500, "--coverage", 0.99, "--format", "json")
    assert result.exit_code == 0, result.stderr
    (record,) = result.json
    (said,) = [line for line in record["warnings"] if "no threshold of entropy answers 0.99" in line]
    assert said in result.stderr
    assert record["sample_coverage"] < 0.99
    assert "no threshold of margin answers 0.99" in refused(
        rsuq("rescore", 1, "--uncertainty", "margin", "--coverage", 0.99)
    )
    assert rsuq("rescore", 1, "--uncertainty", "margin", "--coverage", 0.3).exit_code == 0
    again = rsuq("certify", *breaking.flags, "--n", 500, "--coverage", 0.99)
    assert said in again.stderr
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(1,)]
