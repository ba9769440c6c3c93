"""Whether a network is the one that a stored run, or a checkpoint, is about.

Invariant: one network means equal weights, an equal file, and equal answers to the probes within rounding. Where a run
has no answers on record, only a model of the zoo is taken on its weights: a user's own function may have changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rsuq_cli.errors import BadInput
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.models.custom import is_custom
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import list_runs
from rsuq_cli.results.writer import configurations_of
from rsuq_cli.run.configuration import CALIBRATION_IMAGES, FINGERPRINT, hashed_part, recorded_fingerprint, without
from rsuq_cli.run.watcher import Watcher


def recognised(db: Database, configuration: dict[str, Any], watcher: Watcher, *, fresh: bool = False) -> dict[str, Any]:
    """Returns the configuration with the fingerprint that runs of the same evidence have, so that they are found.

    The answers to the probes differ from machine to machine in their last digits, so those that are on record stand.
    Without such a run it is returned as it is, and a line says so where a run has the same weights and file, and is of
    another network, or was calibrated on other images. With `fresh`, only a run that has a fingerprint on record will
    do.
    """
    own = recorded_fingerprint(configuration)
    assert own is not None
    wanted = _other_parts(json.loads(json.dumps(configuration)))
    images = wanted.pop(CALIBRATION_IMAGES)
    others: list[str] = []
    for run_id, stored in configurations_of(db, configuration["kind"], configuration["model"], configuration["sigma"]):
        parts = _other_parts(stored)
        # A run from before they were recorded has what it had.
        calibrated_on = parts.pop(CALIBRATION_IMAGES, None)
        if parts != wanted:
            continue
        if calibrated_on not in (None, images):
            others.append(f"the calibration images of run {run_id} were others: this is a new run")
            continue
        same = without(configuration, CALIBRATION_IMAGES) if calibrated_on is None else configuration
        known = recorded_fingerprint(stored)
        if known is None:
            if not is_custom(configuration["model"]):
                return configuration if fresh else without(same, FINGERPRINT)
            others.append(f"run {run_id} is from before what a network computes was recorded: this is a new run")
        elif known.agrees(own):
            return same | {FINGERPRINT: stored[FINGERPRINT]}
        else:
            others.append(
                f"run {run_id} has the same weights and file, but its network computed something else: "
                "this is a new run"
            )
    if others:
        watcher.say(others[0])
    return configuration


def check_same_network(run: RunRow, found: Fingerprint, watcher: Watcher) -> None:
    """Raises BadInput where the network's answers are not those of the run's; says so where the run has none."""
    known = recorded_fingerprint(run.configuration)
    if known is None:
        if is_custom(run.model):
            watcher.say(
                f"run {run.id} is from before what a network computes was recorded: "
                f"{run.model} is compared with it by weights and file alone"
            )
    elif not known.agrees(found):
        raise BadInput(
            f"{run.model} computes something else than in run {run.id}, with the same weights and file",
            "bring back the code that it imports, or certify it anew",
        )


def other_classes(db: Database, configuration: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Returns a line where a run of the same weights on data of the same name had classes of other names, "" else.

    For weights that hold no names: which of their outputs is which class is then a matter of the names' order alone.
    """
    same = ("model", "dataset", "weights_sha256")
    for run in list_runs(db):
        if run.class_names is None or any(run.configuration.get(name) != configuration[name] for name in same):
            continue
        both = enumerate(zip(run.class_names, classes, strict=False))
        # What is called by its number has no name to compare.
        moved = [number for number, names in both if len({*names}) > 1 and str(number) not in names]
        if moved:
            before, now = run.class_names[moved[0]], classes[moved[0]]
            return (
                f"in run {run.id} output {moved[0]} of these weights stood for {before}, and now it stands for {now}: "
                "the weights hold no names, and the classes are taken in the order of theirs"
            )
    return ""


def _other_parts(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return without(hashed_part(configuration), FINGERPRINT)
