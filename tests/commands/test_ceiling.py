"""The ceiling is one figure: what certify foretells is what every report says, and what a full vote gets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commandline import query, rsuq
from samples import HALF_SPACE_MODEL, write_npz

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.radii import stays_above_half
from rsuq_cli.sampling.grid_noise import sampling_error

if TYPE_CHECKING:
    from conftest import Place

SIGMA, N0, N, ALPHA = 0.25, 20, 300, 0.001
EXPECTED = {
    (): clopper_pearson_lower(N, N, ALPHA),
    ("--family-wise",): clopper_pearson_lower(N, N, ALPHA / 4),
    # Half of alpha is kept for the last look, where the bound of so many samples is the better one.
    ("--tolerance", "0.05"): clopper_pearson_lower(N, N, ALPHA / 2),
    ("--at-radius", "0.3", "--family-wise"): clopper_pearson_lower(N, N, ALPHA / 8),
    ("--noise", "grid"): clopper_pearson_lower(N, N, ALPHA - sampling_error(SIGMA, 4, N0 + N)),
    ("--noise", "grid", "--tolerance", "0.1"): clopper_pearson_lower(
        N, N, (ALPHA - sampling_error(SIGMA, 4, N0 + N)) / 2
    ),
}


@pytest.mark.parametrize("flags", EXPECTED, ids=" ".join)
def test_certify_and_report_know_one_ceiling(place: Place, flags: tuple[str, ...]) -> None:
    (place.work / "half_space.py").write_text(HALF_SPACE_MODEL)
    # One so bright that every sample is on one side.
    images = np.repeat(np.array([255, 0], dtype=np.uint8), 4).reshape(2, 1, 2, 2)
    data = write_npz(place.work / "data.npz", x_test=images, y_test=np.array([0, 1]))
    certified = rsuq(
        "certify", "--model", f"{place.work / 'half_space.py'}:HalfSpace", "--dataset", data, "--sigma", SIGMA,
        "--n0", N0, "--n", N, "--alpha", ALPHA, "--uncertainty", "confidence", "--threshold", 0.4, *flags,
    )  # fmt: skip
    assert certified.exit_code == 0, certified.stderr
    (foretold,) = re.findall(r"no radius can exceed ([0-9.]+)", certified.stderr)
    expected = SIGMA * float(stays_above_half(EXPECTED[flags]))
    (told,) = rsuq("report", "--at-ceiling", "--format", "json").json
    assert told["ceiling"] == pytest.approx(expected, rel=1e-12)
    assert float(foretold) <= told["ceiling"] < float(foretold) + 0.001  # rounded down, as every radius
    ((largest, drawn),) = query(place.database, "SELECT radius_cc, n FROM certified_sample WHERE input_index = 0")
    assert largest <= told["ceiling"]
    assert drawn < N or largest == told["ceiling"]
