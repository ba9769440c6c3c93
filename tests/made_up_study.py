"""A study of made-up runs: two networks, three sources each, no sampling."""

from __future__ import annotations

from made_up import made_up_run

from rsuq_cli.results.database import Database
from rsuq_cli.results.studies import Member, StudyRow, add_member, keep_study, study_named


def made_up_study(db: Database, name: str = "made up", networks: tuple[str, ...] = ("cnn", "mlp")) -> StudyRow:
    """Stores the runs and the study that they belong to, and returns it."""
    study = keep_study(db, name, "")
    for seed, network in enumerate(networks):
        run = made_up_run(db, model=network, seed=seed, measures=("entropy", "margin", "confidence"), inputs=range(40))
        add_member(db, study, Member(run, network, "gaussian", 0.25, 0, "one pass"))
    return study_named(db, name)
