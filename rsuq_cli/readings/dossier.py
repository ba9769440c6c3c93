"""What is recorded about a run beside its certificates: where its network comes from, and what was tried against it.

Invariant: what is gathered is about this very network: out-of-distribution runs of what computes the same, on the same
data set and with the same noise; audits of the scorings that are asked for. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsuq_cli.results.audits import AuditSummary, audits_of
from rsuq_cli.results.checkpoints import list_checkpoints
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.inputs import CeilingShare, ceiling_shares
from rsuq_cli.results.ood_queries import OodRun, ood_runs
from rsuq_cli.results.reach import Reach, reach
from rsuq_cli.results.rows import CheckpointRow, RunRow
from rsuq_cli.results.runs import AnswerCount, answer_count, run_row
from rsuq_cli.results.selection import Selection
from rsuq_cli.run.network.equality import of_same_network, runs_with_scores


@dataclass(frozen=True)
class Dossier:
    """A run with one of its scorings, its checkpoint if it is recorded, and what was tried: the oldest first.

    `figures`, `reach` and `ceiling` are of the first scoring that is chosen; `others` more are. `detections` are
    out-of-distribution runs of the same network, `audits` those of all chosen scorings, one summary for each guarantee
    that an audit attacked.
    """

    run: RunRow
    figures: Figures
    others: int
    reach: Reach
    ceiling: CeilingShare
    checkpoint: CheckpointRow | None
    answers: AnswerCount
    detections: tuple[OodRun, ...]
    audits: tuple[AuditSummary, ...]


def dossiers(db: Database, figures: Sequence[Figures]) -> list[Dossier]:
    """Returns one dossier for each run of the chosen scorings, in their order."""
    chosen: dict[int, list[Figures]] = {}
    for one in figures:
        chosen.setdefault(one.run_id, []).append(one)
    runs = {run_id: run_row(db, run_id) for run_id in chosen}
    # Read once for all of them: a page of many runs would otherwise list all runs for each.
    scored, checkpoints = runs_with_scores(db), list_checkpoints(db)
    same = {run_id: of_same_network(run, scored) for run_id, run in runs.items()}
    wanted = sorted({number for numbers in same.values() for number in numbers})
    evaluated = {one.run.id: one for one in (ood_runs(db, runs=wanted) if wanted else ())}
    return [
        _dossier(
            db, runs[run_id], found, _checkpoint(runs[run_id], checkpoints),
            tuple(evaluated[number] for number in same[run_id] if number in evaluated),
        )
        for run_id, found in chosen.items()
    ]  # fmt: skip


def _dossier(
    db: Database, run: RunRow, chosen: Sequence[Figures], checkpoint: CheckpointRow | None,
    detections: tuple[OodRun, ...],
) -> Dossier:  # fmt: skip
    first, scorings = min(chosen, key=lambda one: one.scoring_id), {one.scoring_id for one in chosen}
    (ceiling,) = ceiling_shares(db, Selection(scorings=[first.scoring_id]))
    return Dossier(
        run=run,
        figures=first,
        others=len(chosen) - 1,
        reach=reach(db, first.scoring_id),
        ceiling=ceiling,
        checkpoint=checkpoint,
        answers=answer_count(db, run.id),
        detections=detections,
        audits=tuple(one for one in audits_of(db, [run.id]) if one.scoring_id in scorings),
    )


def _checkpoint(run: RunRow, checkpoints: Sequence[CheckpointRow]) -> CheckpointRow | None:
    """Returns the checkpoint that a run names, or the one whose file has the hash of its weights."""
    weights = run.configuration.get("weights_sha256")
    named = run.checkpoint_id
    return next((one for one in checkpoints if (one.sha256 == weights if named is None else one.id == named)), None)
