"""`rsuq radius`: the published numbers, scipy's own intervals, and votes that are none."""

from __future__ import annotations

import csv
import io

import pytest
from commandline import Result, refused, rsuq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, norm

COUNTS = ("--certain", "0:9000", "--certain", "1:100", "--uncertain", "0:500", "--uncertain", "1:400")


def radius(*flags: object) -> Result:
    result = rsuq("radius", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return result


@pytest.mark.parametrize(
    ("q_a", "q_uncertain", "q_b", "expected"),
    [
        (0.80, 0.10, 0.02, 1.4477),
        (0.50, 0.40, 0.05, 1.0872),
        (0.45, 0.35, 0.10, 0.6957),
        (0.60, 0.05, 0.30, 0.3889),
        (0.30, 0.50, 0.15, 0.5390),
    ],
)
def test_plurality_agrees_with_the_linear_programme(
    q_a: float, q_uncertain: float, q_b: float, expected: float
) -> None:
    rest = (1 - q_a - q_uncertain - q_b) / 4  # spread over classes that are weaker than b
    others = ",".join(f"{c}:{rest}" for c in range(2, 6))
    found = radius(
        "--masses", "--sigma", 1, "--rule", "plurality", "--class", 0,
        "--certain", f"0:{q_a}", "--uncertain", f"0:{q_uncertain}", "--certain", f"1:{q_b},{others}",
    ).json  # fmt: skip
    assert found["radius_ncl"] == pytest.approx(expected, abs=5e-5)
    assert found["class"] == 0


def test_rejected_mass_stays_in_the_denominator() -> None:
    # One dimension, sigma 1, certain when |x| > 1, class by sign, centre −0.1: the decision flips at distance 0.1,
    # and the shares among the certain would claim 0.190855.
    joint = {"0": norm.cdf(-0.9), "1": norm.sf(1.1)}
    assert [round(mass, 6) for mass in joint.values()] == [0.184060, 0.135666]
    uncertain = {"0": norm.cdf(0.1) - norm.cdf(-0.9), "1": norm.cdf(1.1) - norm.cdf(0.1)}
    flags = [("--certain", f"{c}:{mass}") for c, mass in joint.items()]
    flags += [("--uncertain", f"{c}:{mass}") for c, mass in uncertain.items()]
    found = radius("--masses", "--sigma", 1, "--rule", "filtered", *(part for pair in flags for part in pair)).json
    assert found["decision"] == "certain"
    assert found["radius_cc"] == pytest.approx(0.1, abs=5e-5)
    assert found["radius_ncl"] == pytest.approx(0.1, abs=5e-5)
    # Without rejection the boundary is at the same place.
    assert found["radius_standard"] == pytest.approx(0.1, abs=5e-5)


@pytest.mark.parametrize("margin", [0.4, 0.9, 2.0])
def test_a_half_space_has_the_distances_to_its_three_planes(margin: float) -> None:
    sigma, band = 0.5, 0.2
    certain, for_class = norm.cdf((margin - band) / sigma), norm.cdf(margin / sigma)
    certain_other = norm.sf((margin + band) / sigma)
    found = radius(
        "--masses", "--sigma", sigma, "--certain", f"0:{certain}", "--uncertain", f"0:{for_class - certain}",
        "--certain", f"1:{certain_other}", "--uncertain", f"1:{1 - for_class - certain_other}",
    ).json  # fmt: skip
    radii = [found[name] for name in ("radius_cc", "radius_standard", "radius_ncl")]
    assert radii == pytest.approx([margin - band, margin, margin + band], abs=1e-6)


def lower(count: int, n: int, alpha: float) -> float:
    return float(beta.ppf(alpha, count, n - count + 1))


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_counts_get_the_exact_interval(alpha: float) -> None:
    found = radius("--sigma", 0.25, "--alpha", alpha, *COUNTS).json
    expected = {"radius_cc": 9000, "radius_standard": 9500, "radius_ncl": 9900}
    for name, count in expected.items():
        assert found[name] == pytest.approx(0.25 * norm.ppf(lower(count, 10_000, alpha)), abs=1e-9), name
    assert found["ceiling"] == pytest.approx(0.25 * norm.ppf(alpha ** (1 / 10_000)), abs=1e-9)
    assert (found["class"], found["decision"], found["n"]) == (0, "certain", 10_000)


def test_family_wise_splits_alpha_over_the_four_guarantees() -> None:
    found = radius("--alpha", 0.004, "--family-wise", *COUNTS).json
    alone = radius("--alpha", 0.001, *COUNTS).json
    assert found["radius_ncl"] == pytest.approx(alone["radius_ncl"], abs=1e-12)
    assert found["alpha"] == 0.004


def test_the_json_is_one_object_with_stable_keys() -> None:
    found = radius("--class", 1, "--rule", "majority", *COUNTS).json
    assert {
        "class", "decision", "rule", "sigma", "alpha", "n", "radius_standard", "radius_cc", "radius_ncl", "ceiling",
        "bounds",
    } <= set(found)  # fmt: skip
    assert (found["class"], found["rule"], found["sigma"], found["alpha"]) == (1, "majority", 0.25, 0.001)
    assert found["radius_cc"] == 0
    assert found["decision"] != "certain"
    assert all(0 <= bound["lower"] <= 1 and 0 <= bound["upper"] <= 1 for bound in found["bounds"].values())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=4, max_size=4).filter(sum), st.sampled_from([0.01, 0.2]))
def test_no_radius_is_above_the_ceiling_and_the_three_are_ordered(votes: list[int], alpha: float) -> None:
    a, b, uncertain_a, uncertain_b = votes
    found = radius(
        "--alpha", alpha, "--sigma", 1,
        "--certain", f"0:{a}", "--certain", f"1:{b}", "--uncertain", f"0:{uncertain_a}", "--uncertain",
        f"1:{uncertain_b}",
    ).json  # fmt: skip
    if found["class"] == found["standard_class"]:
        assert 0 <= found["radius_cc"] <= found["radius_standard"] <= found["radius_ncl"] <= found["ceiling"]


@pytest.mark.parametrize(
    ("style", "begins"), [("table", "certificate"), ("markdown", "| class"), ("latex", r"\begin{tabular}"), ("csv", "")]
)
def test_other_formats(style: str, begins: str) -> None:
    result = rsuq("radius", "--format", style, *COUNTS)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith(begins)
    exact = radius(*COUNTS).json["radius_cc"]
    if style == "csv":
        (row,) = csv.DictReader(io.StringIO(result.stdout))
        assert float(row["radius_cc"]) == exact
    else:  # four decimals, rounded down
        assert f"{exact - exact % 1e-4:.4f}" in result.stdout


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "there are no votes"),
        (("--certain", "0:0"), "all votes are 0"),
        (("--certain", "0"), "--certain 0 is not CLASS:COUNT"),
        (("--certain", "0:0.9"), "masses need --masses"),
        (("--certain", "zero:9"), "CLASS:COUNT"),
        (("--certain", "0:-4"), "negative"),
        (("--certain", "-1:4"), "negative"),
        (("--certain", "0:4", "--certain", "0:5"), "twice"),
        (("--masses", "--certain", "0:nan"), "negative"),
        (("--masses", "--certain", "0:0.9", "--uncertain", "0:0.2"), "sum to 1.1"),
        ((*COUNTS, "--class", "-1"), "--class is -1"),
        ((*COUNTS, "--sigma", "0"), "sigma is 0"),
        ((*COUNTS, "--sigma", "nan"), "sigma is nan"),
        ((*COUNTS, "--alpha", "1"), "alpha is 1"),
        ((*COUNTS, "--rule", "majorty"), "did you mean majority?"),
        ((*COUNTS, "--competitors", "classwise"), "did you mean class-wise?"),
    ],
)
def test_what_are_no_votes(flags: tuple[str, ...], says: str) -> None:
    assert says in refused(rsuq("radius", *flags))
