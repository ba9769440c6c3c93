"""The first screen: what it says is what is stored, and what was not tried is said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import Any

import pytest
from made_up import imported_run, made_up_run
from made_up_trials import made_up_audit, made_up_checkpoint, made_up_detection
from sqlalchemy import text

from rsuq_cli.readings.dossier import dossiers
from rsuq_cli.reports.comparison import figure_record
from rsuq_cli.reports.page.answers import MOST_ANSWERS, answers_html
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures, figures

RADII = (0.0, 0.1, 0.25, 0.4)


def words(markup: str) -> str:
    """Returns the text of a page, each run of white space as one space."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def answered(db: Database, found: Sequence[Figures] | None = None) -> str:
    return answers_html(dossiers(db, figures(db, radii=RADII) if found is None else found))


def test_every_share_and_radius_is_that_of_the_report(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",), checkpoint_id=made_up_checkpoint(db))
    (one,) = found = figures(db, radii=RADII)
    page, record = answered(db, found), figure_record(one)
    shares = dict(re.findall(r'data-figure="(\w+)" data-value="([^"]+)"', page))
    assert set(shares) == {"accuracy", "clean_accuracy", "coverage", "accuracy_answered", "undecided"}
    for name, value in shares.items():
        assert float(value) == record[name] == record["intervals"][name]["value"]
        interval = record["intervals"][name]
        assert f"{100 * interval['low']:.2f} to {100 * interval['high']:.2f}" in page
    certified = re.findall(r'data-certified="(\w+)" data-value="([^"]+)"', page)
    expected = [(name, at) for at in (1, 2) for name in ("standard", "cc", "ncl")]
    assert [(name, float(value)) for name, value in certified] == [
        (name, record[f"certified_{name}"][at]["value"]) for name, at in expected
    ]
    assert "certified at 0.1, % of all" in words(page)
    (dossier,) = dossiers(db, found)
    reached = re.findall(r'data-reach="(\w+)" data-value="([^"]+)"', page)
    assert [float(value) for name, value in reached if name == "cc"] == list(dossier.reach.radii["cc"])
    assert "the network alone, clean, as trained 98.75" in words(page)


def test_it_says_what_was_tried_and_what_came_of_it(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    made_up_audit(db, 1, {"standard": [-0.2], "cc": [-0.1, -0.3], "ncl": [-0.25]})
    made_up_audit(db, 1, {"cc": [0.2, 0.3]}, radius_scale=1.5, attack="pgd")
    made_up_detection(db, sets=("noise:smooth",))
    told = words(answered(db))
    assert (
        "Audit 1 of scoring 1 searched 4 balls (1 standard, 2 CC, 1 NCL) at 1 × their radius by gradient ascent (PGD) "
        "and random directions, 7 steps: none was broken."
    ) in told
    assert "at 1.5 × their radius by gradient ascent (PGD), 7 steps: 2 broken (more than is certified, where" in told
    assert (
        "noise:smooth (far, 3 inputs, run 2): AUROC 87.5 [75.0, 93.8] % by the best clean score, 100.0 [90.0, 100.0] % "
        "by the best smoothed one; at least 57.0 % by uncertain_mass:entropy@0.9, whoever moves every one of them by "
        "up to 0.25."
    ) in told


def test_a_broken_guarantee_is_called_one(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    made_up_audit(db, 1, {"cc": [0.2, -0.3]})
    assert "1 broken (a fault)" in words(answered(db))


def test_nothing_tried_and_nothing_warned_of_are_said(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    told = words(answered(db))
    assert "None was tried: no audit of these certificates is recorded" in told
    assert "None were tried: no out-of-distribution run of this network is recorded" in told
    assert "No warning was recorded with the run." in told
    assert "Of 13,200 samples, none is recorded as one without an answer." in told


def test_what_limits_the_trust_is_said_first(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    with db.transaction() as connection:
        connection.execute(text("UPDATE run SET warnings = '[\"near <chance>\"]', status = 'interrupted', inputs = 90"))
        connection.execute(text("UPDATE evidence SET unanswered = 5 WHERE input_index < 3"))
        connection.execute(text("UPDATE certified_sample SET at_ceiling = 1"))
    told = words(answered(db))
    assert "Warning: near <chance>" in told
    assert "Not complete: 60 of 90 inputs are certified." in told
    assert "15 of 13,200 samples, of 3 inputs, had outputs that are no numbers" in told
    assert "100.00 % of the inputs are at it, so a typical radius measures n, not the network." in told
    assert "No warning" not in told


def test_where_sampling_stopped_early_no_input_is_said_to_be_at_the_ceiling(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    with db.transaction() as connection:
        connection.execute(text("UPDATE certified_sample SET at_ceiling = 1"))
        connection.execute(text("UPDATE run SET n = 2 * n"))  # so no input had all of them
    told = words(answered(db))
    assert "Sampling stopped before; 100.00 % of the inputs had every sample speak for the class until then" in told
    assert "at it" not in told


def test_promises_are_about_masses_and_name_alpha_threshold_and_units(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    told = words(answered(db))
    assert "CC : anywhere within this radius of the input, the smoothed classifier's certain mass of the class" in told
    assert "stays above a half" in told
    assert "the answer stays" not in told
    assert "holds with probability at least 1 - α, α = 0.001" in told
    assert "over 60 inputs, at most 0.06 false guarantees of each kind are to be expected" in told
    assert "θ was chosen beforehand, on noisy data kept out of training, so that 80.0 % of those samples are" in told
    assert "ℓ₂ distances in pixel units" in told
    assert "σ = 0.25; a certificate comes from n = 200 noisy samples an input" in told
    assert "What all of this does not cover" in told


def test_samples_that_were_not_drawn_are_not_spoken_of(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",))
    with db.transaction() as connection:
        connection.execute(text("UPDATE run SET n = 1000"))
    told = words(answered(db))
    assert "comes from at most n = 1,000 noisy samples an input, 200 on average" in told


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("plurality", "stays the largest, above that of every other class and of rejection"),
        ("filtered", "the same ball as CC"),
    ],
)
def test_each_rule_has_promises_of_its_own(db: Database, rule: str, said: str) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",), rule=rule)
    told = words(answered(db))
    assert said in told
    assert "a half" not in told.partition("What the radii promise")[2].partition("What all of this")[0]


def test_a_log_without_rejection_or_evidence(db: Database) -> None:
    imported_run(db)
    page = answered(db)
    told = words(page)
    assert "Nothing is rejected: every sample votes." in told
    assert "Imported from log.tsv" in told
    assert "without an answer" not in told
    assert 'data-reach="cc"' not in page
    assert "CC" not in told.partition("What the radii promise")[2].partition("What all of this")[0]


def test_no_right_answer_is_said(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",), inputs=range(4))
    with db.transaction() as connection:
        connection.execute(text("UPDATE certified_sample SET label = (class_index + 1) % 10, correct = 0"))
    assert "No input is answered rightly, so there is no radius to speak of." in words(answered(db))


def test_names_notes_and_tags_are_shown_where_they_are_set(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), measures=("margin",), inputs=range(4))
    assert "note" not in words(answered(db)).partition("Can it be trusted?")[0]
    with db.transaction() as connection:
        connection.execute(text("UPDATE run SET name = 'first try', note = 'see <i>mail</i>'"))
        connection.execute(text("INSERT INTO run_tag VALUES (1, 'thesis'), (1, 'cpu')"))
    told = words(answered(db))
    assert "first try: run 1, cnn on digits at σ = 0.25 note: see <i>mail</i> tags: cpu, thesis" in told


def test_of_many_runs_the_first_are_answered_for_and_the_rest_counted(results: Database) -> None:
    (one, *_) = dossiers(results, figures(results, radii=RADII))
    many: list[Any] = [one] * (MOST_ANSWERS + 2)
    page = answers_html(many)
    assert page.count("<article") == MOST_ANSWERS
    assert "2 more runs are in the tables below" in page
