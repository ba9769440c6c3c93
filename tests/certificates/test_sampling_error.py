"""What the samples' distribution may be off comes out of alpha, guarantee by guarantee."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method

SELECTION = Counts(np.array([90, 5]), np.array([93, 7]))
ESTIMATION = Counts(np.array([900, 30]), np.array([930, 70]))


@pytest.mark.parametrize("family_size", [1, 4])
def test_every_guarantee_gets_its_share_of_alpha_less_the_sampling_error(family_size: int) -> None:
    method = Method(0.25, alpha=0.01, family_size=family_size, sampling_error=0.001)
    assert method.error_budget == pytest.approx(0.01 / family_size - 0.001)
    found = certify(SELECTION, ESTIMATION, method)
    assert found.bounds["cc"].lower == clopper_pearson_lower(900, 1000, method.error_budget)
    assert found.bounds["ncl"].lower == clopper_pearson_lower(970, 1000, method.error_budget)
    assert found.radius_cc < certify(SELECTION, ESTIMATION, method._replace(sampling_error=0.0)).radius_cc


@pytest.mark.parametrize("error", [0.01, 0.02, float("nan")])
def test_nothing_is_certified_where_no_alpha_is_left(error: float) -> None:
    with pytest.raises(ValueError, match="nothing is left of alpha"):
        certify(SELECTION, ESTIMATION, Method(0.25, alpha=0.01, sampling_error=error))
