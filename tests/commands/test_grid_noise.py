"""`rsuq certify --noise grid`: recorded, paid for out of alpha, and right about the half-space."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import evidence, query, rsuq
from samples import HALF_SPACE_MODEL, Sample, write_npz
from scipy.special import logit
from scipy.stats import norm

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.sampling.grid_noise import sampling_error

if TYPE_CHECKING:
    from conftest import Place

SIGMA = 0.25
THRESHOLD = 0.4


@pytest.fixture
def half_space(place: Place) -> tuple[Sample, Any]:
    """The half-space classifier with 8-bit inputs, and their signed distances from its boundary."""
    (place.work / "half_space.py").write_text(HALF_SPACE_MODEL)
    levels = np.array([20, 40, 60, 80, 100, 150], dtype=np.uint8)
    images = np.repeat(levels[:, None], 4, axis=1).reshape(-1, 1, 2, 2)
    signed = (images.reshape(-1, 4).astype(float).sum(axis=1) / 255 - 0.8) / 2
    data = write_npz(place.work / "data.npz", x_test=images, y_test=(signed < 0).astype(int))
    return Sample(f"{place.work / 'half_space.py'}:HalfSpace", data), signed


def certify(sample: Sample, *flags: object, noise: str = "grid") -> None:
    result = rsuq(
        "certify", *sample.flags, "--uncertainty", "confidence", "--threshold", THRESHOLD, "--sigma", SIGMA,
        "--noise", noise, *flags,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr


def test_no_radius_exceeds_the_true_distance(place: Place, half_space: tuple[Sample, Any]) -> None:
    sample, signed = half_space
    certify(sample, "--n", 3000)
    margin = float(logit(1 - THRESHOLD)) / 2
    for name, offset in {"radius_cc": -margin, "radius_standard": 0.0, "radius_ncl": margin}.items():
        radii = np.array(query(place.database, f"SELECT {name} FROM certified_sample ORDER BY input_index"))[:, 0]
        exact = np.maximum(np.abs(signed) + offset / 2, 0)
        # The boundary of the rounded classifier is at most half a level of every pixel away: 0.5 / 255 * 2.
        assert (radii <= exact + 0.004).all()
        assert radii.max() > 0.2


def test_the_sampling_error_is_recorded_and_taken_off_alpha(place: Place, half_space: tuple[Sample, Any]) -> None:
    certify(half_space[0], "--n", 1000)
    ((configuration,),) = query(place.database, "SELECT configuration FROM run")
    recorded = json.loads(configuration)
    assert recorded["noise"] == "grid"
    assert recorded["sampling_error"] == sampling_error(SIGMA, 4, 1100)
    rows = query(place.database, "SELECT certain_count, radius_cc FROM certified_sample WHERE decision = 'certain'")
    assert rows
    for count, radius in rows:
        lower = clopper_pearson_lower(count, 1000, 0.001 - recorded["sampling_error"])
        assert radius == pytest.approx(SIGMA * norm.ppf(lower), rel=1e-12)


def test_a_run_has_one_kind_of_noise(place: Place, half_space: tuple[Sample, Any]) -> None:
    for noise in ("grid", "gaussian", "grid"):
        certify(half_space[0], "--n", 200, noise=noise)
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(2,)]
    assert evidence(place.database, 1) != evidence(place.database, 2)


def test_the_evidence_depends_neither_on_the_batch_nor_on_an_interruption(
    place: Place, half_space: tuple[Sample, Any]
) -> None:
    certify(half_space[0], "--n", 250, "--batch-size", 32)
    certify(half_space[0], "--n", 250, "--batch-size", 512, "--fresh")
    assert evidence(place.database, 1) == evidence(place.database, 2)


def test_more_samples_than_alpha_pays_for_are_refused(half_space: tuple[Sample, Any]) -> None:
    result = rsuq(
        "certify", *half_space[0].flags, "--threshold", 0.4, "--noise", "grid", "--alpha", 1e-12, "--n", 100_000
    )
    assert result.exit_code == 2
    assert "samples of grid noise are known to within" in result.stderr


def test_a_sigma_that_drowns_every_picture_is_refused(half_space: tuple[Sample, Any]) -> None:
    result = rsuq("certify", *half_space[0].flags, "--threshold", 0.4, "--noise", "grid", "--sigma", 100)
    assert result.exit_code == 2
    assert "too large for grid noise" in result.stderr
