"""Which run, and which audit, a command goes on with: that of the same settings, and none that differs in one.

A run that is found where it must not be answers for noise, data or bins that were not asked for, and looks like any
other; so every setting that the evidence depends on is tried, each alone.
"""

from __future__ import annotations

import shutil
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from commandline import query, rsuq
from samples import Sample, blob_arrays, write_blobs, write_npz

from rsuq_cli.jobs.ood import evaluation
from rsuq_cli.ood.certainty import resample_weights

if TYPE_CHECKING:
    from conftest import Place

# What a command is run with, and an audit of what it made.
CERTIFY: dict[str, object] = {"--sigma": 0.25, "--n0": 20, "--n": 300, "--seed": 0}
AUDIT: dict[str, object] = {"--inputs": 2, "--steps": 2, "--n": 200, "--attack": "pgd"}


class Certified(NamedTuple):
    """A database with one run over pixels of 8 bits, and an audit of it."""

    database: Path
    sample: Sample


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    folder = tmp_path_factory.mktemp("found")
    sample = write_blobs(folder)
    arrays = blob_arrays()
    write_npz(
        folder / "blobs.npz", **arrays | {part: (255 * arrays[part]).astype(np.uint8) for part in ("x_train", "x_test")}
    )
    found = Certified(folder / "rsuq.db", sample)
    assert rsuq("certify", *sample.flags, *spread(CERTIFY), "--db", found.database).exit_code == 0
    assert rsuq("audit", 1, *spread(AUDIT), "--db", found.database).exit_code == 0
    return found


@pytest.fixture
def sample(certified: Certified, place: Place) -> Sample:
    shutil.copy(certified.database, place.database)
    return certified.sample


def spread(settings: dict[str, object]) -> list[object]:
    return [part for setting in settings.items() for part in setting]


def certify(sample: Sample, *changed: Any) -> dict[str, Any]:
    """Returns the last record of the run with some settings changed."""
    one = dict(zip(changed[::2], changed[1::2], strict=True))
    result = rsuq("certify", *sample.flags, *spread(CERTIFY | one), "--format", "json")
    assert result.exit_code == 0, result.stderr
    record: dict[str, Any] = result.json[-1]
    return record


@pytest.mark.parametrize(
    ("changed", "column", "stored"),
    [
        (("--sigma", 0.3), "sigma", 0.3),
        (("--n0", 30), "n0", 30),
        (("--n", 301), "n", 301),
        (("--seed", 1), "seed", 1),
        (("--split", "calibration"), "split", "calibration"),
        (("--skip", 2), "skip", 2),
        (("--limit", 5), "subset_limit", 5),
        (("--noise", "grid"), "json_extract(configuration, '$.noise')", "grid"),
        (("--views", 2), "json_extract(configuration, '$.predictor.views')", 2),
        (("--at-radius", 0.1), "json_extract(configuration, '$.stopping') IS NOT NULL", 1),
        (("--tolerance", 0.1), "json_extract(configuration, '$.stopping') IS NOT NULL", 1),
    ],
    ids=str,
)
def test_another_sampling_is_another_run(sample: Sample, place: Place, changed: Any, column: str, stored: Any) -> None:
    assert certify(sample, *changed)["run_id"] == 2
    assert query(place.database, f"SELECT {column} FROM run WHERE id = 2") == [(stored,)]
    assert certify(sample)["run_id"] == 1
    assert certify(sample, *changed)["run_id"] == 2


@pytest.mark.parametrize("other", [("--tolerance", 0.2), ("--tolerance", 0.1, "--guarantee", "cc")], ids=str)
def test_another_stopping_rule_is_another_run(sample: Sample, other: tuple[object, ...]) -> None:
    assert certify(sample, "--tolerance", 0.1)["run_id"] == 2
    assert certify(sample, *other)["run_id"] == 3


def test_a_coverage_between_the_bins_of_a_run_is_another_run(sample: Sample, place: Place) -> None:
    """The nearest bin would answer for another coverage under the name of this one."""
    known = sorted(bins(place, 1).values())
    gap, coverage = max((above - below, (above + below) / 2) for below, above in pairwise(known))
    assert gap > 0.006
    record = certify(sample, "--coverage", coverage)
    assert (record["run_id"], record["threshold_coverage"]) == (2, pytest.approx(coverage))
    assert bins(place, 2)[record["threshold"]] == pytest.approx(coverage, abs=0.0025)


def test_a_threshold_between_the_bins_is_another_run(sample: Sample) -> None:
    record = certify(sample, "--threshold", 0.43215)
    assert (record["run_id"], record["threshold"]) == (2, pytest.approx(0.43215))


def test_other_calibration_images_under_the_same_numbers_are_another_run(blobs: Sample, place: Place) -> None:
    """The threshold of the old images would be shown as one that was calibrated on the new ones."""
    first = certify(blobs)
    arrays = blob_arrays()
    write_npz(place.work / "blobs.npz", **arrays | {"x_train": arrays["x_train"][..., ::-1].copy()})
    result = rsuq("certify", *blobs.flags, *spread(CERTIFY))
    assert "the calibration images of run 1 were others: this is a new run" in result.stderr
    assert certify(blobs)["run_id"] == first["run_id"] + 1


def bins(place: Place, run_id: int) -> dict[float, float]:
    """Returns the calibrated coverage of each bin edge of the entropy."""
    (stored,) = query(
        place.database, "SELECT edges, coverages FROM bin_edges WHERE run_id = ? AND measure = 'entropy'", run_id
    )
    return dict(zip(*(np.frombuffer(one, dtype="<f8").tolist() for one in stored), strict=True))


@pytest.mark.parametrize(
    ("changed", "column", "stored"),
    [
        (("--inputs", 3), "inputs", 3),
        (("--steps", 3), "steps", 3),
        (("--n", 201), "n", 201),
        (("--attack", "random"), "attack", "random"),
        (("--alpha", 0.01), "alpha", 0.01),
        (("--radius-scale", 0.9), "radius_scale", 0.9),
        (("--seed", 1), "seed", 1),
    ],
    ids=str,
)
def test_another_attack_is_another_audit(sample: Sample, place: Place, changed: Any, column: str, stored: Any) -> None:
    assert rsuq("audit", 1, *spread(AUDIT)).exit_code == 0
    assert query(place.database, "SELECT COUNT(*) FROM audit") == [(1,)]
    assert rsuq("audit", 1, *spread(AUDIT | dict([changed]))).exit_code == 0
    assert query(place.database, f"SELECT {column} FROM audit ORDER BY id DESC LIMIT 1") == [(stored,)]
    assert query(place.database, "SELECT COUNT(*) FROM audit") == [(2,)]


OOD: dict[str, object] = {"--sigma": 0.25, "--n0": 20, "--n": 60, "--seed": 0, "--limit": 6, "--ood": "noise:smooth"}


@pytest.fixture(scope="module")
def compared(certified: Certified, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database with a comparison, run 2, beside the run."""
    database = tmp_path_factory.mktemp("compared") / "rsuq.db"
    shutil.copy(certified.database, database)
    assert rsuq("ood", *certified.sample.flags, *spread(OOD), "--db", database).exit_code == 0
    return database


@pytest.fixture
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which run it is does not depend on how well its intervals are known."""
    monkeypatch.setattr(evaluation, "resample_weights", partial(resample_weights, resamples=40))


def compare(sample: Sample, *changed: Any) -> int:
    """Returns the run that a comparison is, with some settings changed."""
    settings = OOD | dict(zip(changed[::2], changed[1::2], strict=True))
    result = rsuq("ood", *sample.flags, *spread(settings), "--format", "json")
    assert result.exit_code == 0, result.stderr
    return int(result.json[0]["run_id"])


@pytest.mark.parametrize(
    ("changed", "column", "stored"),
    [
        (("--sigma", 0.3), "sigma", 0.3),
        (("--n0", 30), "n0", 30),
        (("--n", 61), "n", 61),
        (("--seed", 1), "seed", 1),
        (("--split", "calibration"), "split", "calibration"),
        (("--limit", 5), "subset_limit", 5),
        (("--views", 2), "json_extract(configuration, '$.predictor.views')", 2),
        (("--ood", "constant"), "json_extract(configuration, '$.sets[1].name')", "constant"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("_few_resamples")
def test_another_comparison_is_another_run(
    sample: Sample, compared: Path, place: Place, changed: Any, column: str, stored: Any
) -> None:
    shutil.copy(compared, place.database)
    assert compare(sample, *changed) == 3
    assert query(place.database, f"SELECT {column} FROM run WHERE id = 3") == [(stored,)]
    assert (compare(sample), compare(sample, *changed)) == (2, 3)
