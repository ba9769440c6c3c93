"""Requests: a run that can certify nothing is refused before anything is opened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput
from rsuq_cli.run.request import CertifyRequest, Machine, Sources

SOURCES = Sources("cnn")


def request(**changes: Any) -> CertifyRequest:
    usual: dict[str, Any] = {"sources": SOURCES, "sigma": 0.25}
    return CertifyRequest(**(usual | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma is 0"),
        ({"sigma": -0.25}, "sigma is -0.25"),
        ({"sigma": math.nan}, "sigma is nan"),
        ({"sigma": math.inf}, "sigma is inf"),
        ({"alpha": 0.0}, "alpha is 0"),
        ({"alpha": 1.0}, "alpha is 1"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"n": 0}, "--n is 0"),
        ({"n0": 0}, "--n0 is 0"),
        ({"skip": 0}, "--skip is 0"),
        ({"limit": 0}, "--limit is 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"machine": Machine(batch_size=0)}, "--batch-size is 0"),
        ({"split": "tset"}, "unknown split 'tset'"),
        ({"rule": "majorty"}, "unknown rule 'majorty'"),
        ({"competitors": "mergd"}, "unknown competitors 'mergd'"),
        ({"measures": ()}, "no uncertainty measure is named"),
        ({"measures": ("entropy", "entrpy")}, "unknown uncertainty measure 'entrpy'"),
        ({"threshold": 0.4, "coverages": (0.9,)}, "both --coverage and --threshold are given"),
        ({"coverages": (0.0,)}, r"coverage 0 is not in \(0, 1\]"),
        ({"coverages": (0.9, 1.1)}, "coverage 1.1"),
        ({"coverages": (math.nan,)}, "coverage nan"),
        ({"threshold": 1.5}, "outside the range of entropy"),
        ({"threshold": 0.5, "measures": ("energy", "margin"), "alpha": 2.0}, "alpha is 2"),
        ({"threshold": -0.5, "measures": ("energy", "margin")}, "outside the range of margin"),
        ({"n": 9}, r"9 samples at alpha 0.001 cannot certify anything"),
        ({"n": 10, "family_wise": True}, "10 samples at alpha 0.00025 cannot certify anything"),
    ],
)
def test_what_cannot_be_certified_is_refused_with_a_hint(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        request(**changes)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"split": "tset"}, "did you mean test?"),
        ({"rule": "majorty"}, "did you mean majority?"),
        ({"competitors": "classwise"}, "did you mean class-wise?"),
    ],
)
def test_the_nearest_name_is_offered(changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        request(**changes)
    assert caught.value.hint == hint


@given(alpha=st.floats(1e-12, 0.49), family_wise=st.booleans())
def test_the_number_of_samples_that_a_refusal_names_is_enough(alpha: float, family_wise: bool) -> None:
    with pytest.raises(BadInput, match="cannot certify anything") as caught:
        request(n=1, alpha=alpha, family_wise=family_wise)
    enough = int(caught.value.hint.split("--n ")[1].split()[0])
    assert request(n=enough, alpha=alpha, family_wise=family_wise).ceiling > 0
    # Two fewer are too few: the advice asks for hardly more than it must.
    if enough > 2:
        with pytest.raises(BadInput, match="cannot certify anything"):
            request(n=enough - 2, alpha=alpha, family_wise=family_wise)


@pytest.mark.parametrize(("n", "ceiling"), [(10**3, 2.463), (10**4, 3.199), (10**5, 3.811), (10**6, 4.347)])
def test_the_ceiling_is_the_published_one(n: int, ceiling: float) -> None:
    assert request(sigma=1.0, n=n).ceiling == pytest.approx(ceiling, abs=5e-4)
    assert request(sigma=0.5, n=n).ceiling == pytest.approx(0.5 * norm.ppf(0.001 ** (1 / n)), rel=1e-9)


def test_coverage_is_nine_tenths_unless_something_else_is_asked_for() -> None:
    assert request().wanted_coverages == (0.9,)
    assert request(coverages=(0.8, 1.0)).wanted_coverages == (0.8, 1.0)
    assert request(threshold=0.4).wanted_coverages == ()


def test_family_wise_counts_every_guarantee_that_is_printed_for_an_input() -> None:
    assert request().family_size == 1
    assert request(family_wise=True).family_size == 4
    several = request(family_wise=True, measures=("entropy", "margin"), coverages=(0.8, 0.9, 0.95))
    assert several.family_size == 4 * 2 * 3
    assert several.error_budget == pytest.approx(0.001 / 24)
    assert request(family_wise=True, measures=("entropy", "margin"), threshold=0.4).family_size == 8


@pytest.mark.parametrize(
    ("rule", "competitors"),
    [("majority", "merged"), ("standard", "merged"), ("plurality", "class-wise"), ("filtered", "class-wise")],
)
def test_rules_that_compare_classes_bound_them_one_by_one(rule: str, competitors: str) -> None:
    assert request(rule=rule).method == Method(0.25, 0.001, rule, competitors, 1)  # type: ignore[arg-type]
    assert request(rule=rule, competitors="auto").method.competitors == "auto"


def test_a_data_set_may_be_named_as_its_results_are_kept(tmp_path: Path) -> None:
    assert (Sources("cnn", "digits@16").dataset, Sources("cnn", "digits@16").image_size) == ("digits", 16)
    assert Sources("cnn", "digits@16", image_size=16) == Sources("cnn", "digits", image_size=16)
    folder = f"folder:{tmp_path}/pets@16"
    assert Sources("cnn", folder) == Sources("cnn", f"folder:{tmp_path}/pets", image_size=16)
    (tmp_path / "pets@16").mkdir()  # what is there as it is written is never taken apart
    assert (Sources("cnn", folder).dataset, Sources("cnn", folder).image_size) == (folder, None)
    with pytest.raises(BadInput, match="two sizes"):
        Sources("cnn", "digits@16", image_size=8)
