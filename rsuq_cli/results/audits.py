"""What audits are about, and what came of them.

Invariant: nothing here writes; how many balls were attacked and broken, and which came nearest, SQL counts over
`audit_ball`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text

from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import EvidenceRow

_PAGE = 256


@dataclass(frozen=True)
class AuditSummary:
    """What became of one guarantee of a scoring in an audit.

    The nearest ball is the one where the mass that the guarantee keeps large, measured at the worst point found, is
    least above the bound that the theory allows there: its input, both masses, and the distance in pixel units. The
    worst ball is the one whose votes come nearest to contradicting the guarantee (`AuditBallRow.excess`, above 0
    a contradiction), with its lower confidence bound. All None where no ball was attacked.
    """

    audit_id: int
    run_id: int
    scoring_id: int
    measure: str
    threshold: float | None
    rule: str
    guarantee: str
    attack: str
    steps: int
    radius_scale: float
    n: int
    alpha: float
    seed: int
    attacked: int
    broken: int
    nearest_input: int | None
    nearest_mass: float | None
    nearest_bound: float | None
    nearest_distance: float | None
    worst_input: int | None
    worst_excess: float | None
    worst_excess_lower: float | None
    broken_inputs: tuple[int, ...]


_SUMMARY = text("""
SELECT audit.id AS audit_id, scoring.run_id, scoring.id AS scoring_id, scoring.measure, scoring.threshold, scoring.rule,
       :guarantee AS guarantee, audit.attack, audit.steps, audit.radius_scale, audit.n, audit.alpha, audit.seed,
       (SELECT COUNT(*) FROM audit_ball WHERE audit_id = audit.id AND guarantee = :guarantee) AS attacked,
       (SELECT COUNT(*) FROM audit_ball WHERE audit_id = audit.id AND guarantee = :guarantee AND broken) AS broken,
       nearest.input_index AS nearest_input, nearest.mass AS nearest_mass, nearest.bound AS nearest_bound,
       nearest.distance AS nearest_distance,
       worst.input_index AS worst_input, worst.excess AS worst_excess, worst.excess_lower AS worst_excess_lower
FROM audit JOIN scoring ON scoring.id = audit.scoring_id
LEFT JOIN audit_ball AS nearest ON nearest.audit_id = audit.id AND nearest.guarantee = :guarantee
     AND nearest.input_index = (SELECT input_index FROM audit_ball
                                WHERE audit_id = audit.id AND guarantee = :guarantee
                                ORDER BY mass - bound, input_index LIMIT 1)
LEFT JOIN audit_ball AS worst ON worst.audit_id = audit.id AND worst.guarantee = :guarantee
     AND worst.input_index = (SELECT input_index FROM audit_ball
                              WHERE audit_id = audit.id AND guarantee = :guarantee
                              ORDER BY excess_lower DESC, excess DESC, input_index LIMIT 1)
WHERE audit.id = :audit_id
""")
_BROKEN = text("""
SELECT input_index FROM audit_ball WHERE audit_id = :audit_id AND guarantee = :guarantee AND broken ORDER BY input_index
""")
_EVIDENCE = text("""
SELECT input_index, label, n0, n, counts, seconds, unanswered FROM evidence
WHERE run_id = :run_id AND input_index IN :inputs
ORDER BY input_index
""").bindparams(bindparam("inputs", expanding=True))
_OF_RUNS = text("""
SELECT audit.id FROM audit JOIN scoring ON scoring.id = audit.scoring_id WHERE scoring.run_id IN :runs ORDER BY audit.id
""").bindparams(bindparam("runs", expanding=True))


def audit_summaries(db: Database, audit_ids: Sequence[int], guarantees: Sequence[str]) -> list[AuditSummary]:
    """Returns one summary for every audit and guarantee, in that order."""
    found = []
    with db.read() as connection:
        for audit_id in audit_ids:
            for guarantee in guarantees:
                key = {"audit_id": audit_id, "guarantee": guarantee}
                row = connection.execute(_SUMMARY, key).mappings().one()
                broken = tuple(connection.execute(_BROKEN, key).scalars())
                found.append(AuditSummary(**row, broken_inputs=broken))
    return found


def evidence_of(db: Database, run_id: int, inputs: Collection[int]) -> Iterator[EvidenceRow]:
    """Yields the evidence of those of the inputs that have any, page by page."""
    wanted = sorted(inputs)
    for first in range(0, len(wanted), _PAGE):
        values = {"run_id": run_id, "inputs": wanted[first : first + _PAGE]}
        with db.read() as connection:
            rows = connection.execute(_EVIDENCE, values).all()
        yield from (EvidenceRow(*row) for row in rows)


def audits_of(db: Database, runs: Sequence[int]) -> list[AuditSummary]:
    """Returns one summary for every audit of these runs and every guarantee that it attacked, the oldest first."""
    with db.read() as connection:
        audit_ids = list(connection.execute(_OF_RUNS, {"runs": list(runs)}).scalars())
    return [one for one in audit_summaries(db, audit_ids, ("standard", "cc", "ncl", "uncertain")) if one.attacked]
