"""Audits are stored once, go on where they stopped, and are counted by SQL."""

from __future__ import annotations

from typing import Any

import pytest

from rsuq_cli.results.audits import audit_summaries, evidence_of
from rsuq_cli.results.rows import AuditBallRow, NewAudit
from rsuq_cli.results.writer import start_audit, store_balls, store_inputs


def new_audit(scoring_id: int, **changes: Any) -> NewAudit:
    columns: dict[str, Any] = {
        "attack": "both", "steps": 20, "radius_scale": 1.0, "inputs": 10, "n": 1000, "alpha": 0.001, "seed": 0,
        "device": "cpu",
    }  # fmt: skip
    return NewAudit(scoring_id, **(columns | changes))


def new_ball(input_index: int, guarantee: Any = "cc", **changes: Any) -> AuditBallRow:
    columns: dict[str, Any] = {
        "class_index": 1, "radius": 0.3, "distance": 0.29, "attack": "pgd", "n": 1000, "mass": 0.7, "bound": 0.52,
        "excess": -0.2, "excess_lower": -0.25, "seconds": 0.5,
    }  # fmt: skip
    return AuditBallRow(input_index, guarantee, **(columns | changes))


def test_an_audit_is_one_for_its_settings_and_remembers_what_it_attacked(scored: Any) -> None:
    first = start_audit(scored.db, new_audit(scored.scoring_id))
    assert first.attacked == frozenset()
    store_balls(scored.db, first.id, [new_ball(0), new_ball(0, "ncl")])
    store_balls(scored.db, first.id, [new_ball(0, mass=0.1), new_ball(4)])
    again = start_audit(scored.db, new_audit(scored.scoring_id))
    assert again.id == first.id
    assert again.attacked == {(0, "cc"), (0, "ncl"), (4, "cc")}
    (summary,) = audit_summaries(scored.db, [first.id], ["cc"])
    assert summary.nearest_mass == 0.7  # what was stored first stays
    for changes in ({"seed": 1}, {"radius_scale": 1.1}, {"attack": "pgd"}, {"n": 999}):
        other = start_audit(scored.db, new_audit(scored.scoring_id, **changes))
        assert other.id != first.id
        assert other.attacked == frozenset()


def test_what_came_of_each_guarantee(scored: Any) -> None:
    audit = start_audit(scored.db, new_audit(scored.scoring_id))
    balls = [
        new_ball(3, mass=0.9, bound=0.5),
        new_ball(5, mass=0.52, bound=0.51, excess=0.1, excess_lower=0.05),
        new_ball(8, mass=0.99, bound=0.6, excess=0.2, excess_lower=0.01),
        new_ball(3, "standard"),
    ]
    store_balls(scored.db, audit.id, balls)
    standard, cc, ncl = audit_summaries(scored.db, [audit.id], ["standard", "cc", "ncl"])
    assert (standard.attacked, standard.broken, standard.broken_inputs) == (1, 0, ())
    assert (cc.attacked, cc.broken, cc.broken_inputs) == (3, 2, (5, 8))
    assert (cc.nearest_input, cc.nearest_mass, cc.nearest_bound, cc.nearest_distance) == (5, 0.52, 0.51, 0.29)
    assert (ncl.attacked, ncl.broken, ncl.nearest_input) == (0, 0, None)
    assert (cc.run_id, cc.scoring_id, cc.measure, cc.rule) == (scored.run_id, scored.scoring_id, "entropy", "majority")


def test_broken_is_what_the_lower_bound_says() -> None:
    assert new_ball(0, excess_lower=1e-9, excess=0.1).broken is True
    assert new_ball(0, excess_lower=0.0, excess=0.1).broken is False


def test_a_value_that_cannot_be_stored_is_named(scored: Any) -> None:
    audit = start_audit(scored.db, new_audit(scored.scoring_id))
    with pytest.raises(ValueError, match="mass must be finite"):
        store_balls(scored.db, audit.id, [new_ball(0), new_ball(1, mass=float("nan"))])
    assert start_audit(scored.db, new_audit(scored.scoring_id)).attacked == frozenset()


def test_evidence_of_some_inputs(scored: Any, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsuq_cli.results.audits._PAGE", 2)
    store_inputs(scored.db, scored.run_id, [made.evidence(i) for i in range(6)])
    found = list(evidence_of(scored.db, scored.run_id, {5, 1, 2, 77}))
    assert [row.input_index for row in found] == [1, 2, 5]
    assert found[0] == made.evidence(1)
