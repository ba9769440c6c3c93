"""The page of results: its figures are recomputed from the evidence, and its verdicts from intervals by hand."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import query, rsuq
from scipy.stats import beta, norm

from rsuq_cli.certificates.evidence import decode
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.writer import load_edges, load_evidence

if TYPE_CHECKING:
    from conftest import Place

EXAMPLE = Path(__file__).parents[1] / "examples" / "results.py"
PLAN = """
name = "small"
sigma = 0.25
coverage = [0.9, 0.6]
network = ["mlp", "cnn"]
source = ["entropy", "margin", "energy"]
train = { epochs = 2 }
certify = { n0 = 30, n = 300, limit = 25 }
ood = { sets = ["noise:smooth"], limit = 8 }
"""


@pytest.fixture
def study(place: Place) -> Place:
    (place.work / "plan.toml").write_text(PLAN)
    assert rsuq("study", "plan.toml").exit_code == 0
    return place


def run(place: Place, *arguments: str) -> str:
    done = subprocess.run([sys.executable, EXAMPLE, place.database, "small", *arguments], capture_output=True,
                          text=True, check=False, cwd=place.work)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def radii(k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Returns the radii of k of n votes, by Clopper and Pearson and Cohen et al."""
    lower = np.where(k > 0, beta.ppf(0.001, np.maximum(k, 1), n - k + 1), 0.0)
    return 0.25 * norm.ppf(np.maximum(lower, 0.5))


def recomputed(place: Place) -> dict[tuple[str, ...], tuple[float, float, float]]:
    """Returns gain, CC cost and answered share by network, coverage and measure, counted from the evidence."""
    found: dict[tuple[str, ...], tuple[float, float, float]] = {}
    scorings = query(
        place.database,
        "SELECT scoring.id, run_id, model, measure, threshold, scoring.coverage FROM scoring JOIN run "
        "ON run.id = run_id WHERE kind = 'certify'",
    )
    with open_for_reading(place.database) as db:
        for scoring, run_id, model, measure, threshold, coverage in scorings:
            classes = {
                index: (own, standard, label)
                for index, own, standard, label in query(
                    place.database,
                    "SELECT input_index, class_index, standard_class, label FROM certified_sample "
                    f"WHERE scoring_id = {scoring}",
                )
            }
            edges = load_edges(db, run_id)[measure][0]
            bins = list(edges).index(np.float32(threshold)) + 1
            rows = []
            for row in load_evidence(db, run_id):
                counts = decode(row.counts)[measure].estimation
                own, standard, label = classes[row.input_index]
                certain = counts[:, :bins].sum(axis=1)
                n, wrong = counts.sum(), certain.sum() - certain[own]
                rows.append((n, counts[standard].sum() * (standard == label), certain[own] * (own == label),
                             (n - wrong) * (own == label), certain.sum()))  # fmt: skip
            n, votes, certain, not_wrong, answered = (np.array(column) for column in zip(*rows, strict=True))
            standard_acr, cc, ncl = (radii(k, n).mean() for k in (votes, certain, not_wrong))
            found[model, f"{coverage:g}", measure] = (
                100 * (ncl / standard_acr - 1), 100 * (1 - cc / standard_acr), 100 * (answered / n).mean(),
            )  # fmt: skip
    return found


def table(page: str, title: str) -> list[dict[str, str]]:
    lines = page.partition(f"## {title}")[2].split("\n\n| ")[1].split("\n\n")[0].splitlines()
    titles, _, *rows = ([cell.strip() for cell in line.strip("| ").split("|")] for line in lines)
    return [dict(zip(titles, row, strict=True)) for row in rows]


@pytest.mark.slow
def test_every_gain_and_cost_on_the_page_is_that_of_the_evidence(study: Place) -> None:
    run(study, "--output", "page.md")
    page = (study.work / "page.md").read_text()
    expected = recomputed(study)
    rows = table(page, "Study small: sources of uncertainty")
    assert len(rows) == len(expected) == 12
    for row in rows:
        values = (row["gain %"].split()[0], row["CC cost %"].split()[0], row["answered %"])
        wanted = expected[row["network"], row["coverage"], row["uncertainty"]]
        assert [float(value) for value in values] == pytest.approx(wanted, abs=0.0501), row
    reached = table(page, "Where a gain of 20.93 % is reached")
    assert len(reached) == 6
    for row in reached:
        of_source = [value for (network, _, measure), value in expected.items()
                     if (network, measure) == (row["network"], row["source"])]  # fmt: skip
        least = max((answered for gain, _, answered in of_source if gain >= 20.94 and answered >= 50), default=None)
        if row["coverage at 20.93 %"] == "never":
            assert least is None
        else:
            assert least is None or 100 * float(row["coverage at 20.93 %"]) >= least - 0.06
    for place_of_mine in (str(study.root), "/tmp", str(Path.home())):
        assert place_of_mine not in page
    picture = (study.work / "page.svg").read_text()
    assert str(study.root) not in picture
    assert "(page.svg)" in page
    run(study, "--output", "again.md")
    assert (study.work / "again.md").read_text() == page.replace("(page.svg)", "(again.svg)")
    assert (study.work / "again.svg").read_text() == picture


@pytest.mark.slow
def test_each_claim_has_a_verdict_and_a_readme_gets_three_lines(study: Place) -> None:
    lines = run(study, "--short").splitlines()
    assert len(lines) == 3
    assert not (study.work / "docs").exists()
    run(study, "--output", "page.md")
    claims = (study.work / "page.md").read_text().partition("## The paper's claims")[2].partition("## Where")[0]
    verdicts = re.findall(r"\*\*.+: (holds|does not hold|cannot be decided)\.\*\* .+", claims)
    assert len(verdicts) == 5


SCRIPT: dict[str, Any] = runpy.run_path(str(EXAMPLE))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.21, 0.3, "holds"), (0.1, 0.2, "does not hold"), (0.1, 0.3, "cannot be decided")],
)
def test_a_verdict_is_what_the_interval_allows(low: float, high: float, verdict: str) -> None:
    assert SCRIPT["decided"](low, high, SCRIPT["PUBLISHED"]) == verdict


def test_inputs_that_would_decide_follow_from_the_root_law() -> None:
    # The interval reaches 0.2 below, the value is 0.1 above: half as wide takes four times as many.
    assert SCRIPT["needed"](100, 0.1, -0.1, 0.3, 0.0) == "about 400 inputs"
    assert SCRIPT["needed"](100, -0.1, -0.3, 0.2, 0.0) == "about 900 inputs"
    assert SCRIPT["needed"](100, 0.0, -0.1, 0.1, 0.0).startswith("no number")
