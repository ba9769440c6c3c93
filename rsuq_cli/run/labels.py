"""Labels that are given with the command that makes a run or a checkpoint."""

from __future__ import annotations

from rsuq_cli.results.database import Database
from rsuq_cli.results.labels import Subject, label
from rsuq_cli.results.names import Labels
from rsuq_cli.run.watcher import Watcher


def give_labels(db: Database, subject: Subject, number: int, labels: Labels, watcher: Watcher) -> None:
    """Gives labels to what a command made or found; says so where it had another name."""
    before = label(db, subject, number, labels)
    if before is not None:
        watcher.say(f"{subject} {number} is named {labels.name} now, no longer {before}")
