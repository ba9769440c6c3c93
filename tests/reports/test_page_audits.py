"""The table of audits: every guarantee that was attacked, the worst of it, or that nothing was tried."""

from __future__ import annotations

from made_up import made_up_run
from made_up_trials import made_up_audit

from rsuq_cli.readings.dossier import dossiers
from rsuq_cli.reports.page.audits import MOST_AUDITS, audits_html
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures


def test_a_row_for_each_guarantee_with_its_worst_ball(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    made_up_audit(db, 1, {"cc": [-0.2, -0.125], "ncl": [0.25]}, radius_scale=1.5)
    page = audits_html(dossiers(db, figures(db)))
    assert page.count('<th scope="row"') == 2
    assert "<td>2</td><td>0</td><td>-0.1250</td><td>-0.1750</td><td>1</td>" in page
    assert "<td>1</td><td>1</td><td>+0.2500</td><td>+0.2000</td><td>0</td>" in page
    assert "<td>7</td><td>1.5</td>" in page


def test_none_is_an_answer(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    assert "None was tried" in audits_html(dossiers(db, figures(db)))


def test_of_many_the_newest_are_shown_and_the_rest_counted(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    for seed in range(MOST_AUDITS + 3):
        made_up_audit(db, 1, {"cc": [-0.2]}, seed=seed)
    page = audits_html(dossiers(db, figures(db)))
    assert page.count('<th scope="row"') == MOST_AUDITS
    assert "3 older audits are left out" in page
    assert f">{MOST_AUDITS + 3}</th>" in page
