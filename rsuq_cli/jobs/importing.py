"""Import: published certification logs as runs without rejection, so that one's own results stand beside them.

Invariant: an imported run claims no more than its log: rule `standard`, measure `none`, no threshold, no evidence,
counts of 0. Radii are stored as they are written. The same file with the same settings is one run, however often it is
imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.logs import CertifyLog, LogRow, check_radii, check_size, read_log, rounding
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.rows import NewRun, NewScoring, SampleRow
from rsuq_cli.results.writer import add_scoring, finish_run, start_run, store_samples
from rsuq_cli.run.request import check_alpha, check_sigma


class KnownSet(NamedTuple):
    """How many test inputs and classes a data set has."""

    size: int
    classes: int


# Stated here since the data sets' own room needs torch, and a log is read without any image.
KNOWN_SETS = {
    "digits": KnownSet(360, 10),
    "cifar10": KnownSet(10_000, 10),
    "cifar100": KnownSet(10_000, 100),
    "mnist": KnownSet(10_000, 10),
    "fashion_mnist": KnownSet(10_000, 10),
    "svhn": KnownSet(26_032, 10),
    "imagenet": KnownSet(50_000, 1000),
}


@dataclass(frozen=True)
class ImportRequest:
    """What a log does not say itself; the defaults of n0, n and alpha are what the literature certifies with."""

    files: tuple[Path, ...]
    dataset: str
    model: str
    sigma: float
    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001
    source: str | None = None

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        check_alpha(self.alpha)
        for name, value in (("--n0", self.n0), ("--n", self.n)):
            if value < 1:
                raise BadInput(f"{name} is {value}", "give the number of samples that the log was made with")
        for option, name in (("--dataset", self.dataset), ("--model", self.model)):
            if not name.strip():
                raise BadInput(f"{option} is empty", "name what the log is about")


@dataclass(frozen=True)
class Imported:
    """A log in the database; `added` is False where it was there before."""

    file: Path
    run_id: int
    scoring_id: int
    inputs: int
    skip: int
    added: bool
    warnings: tuple[str, ...]


def import_logs(request: ImportRequest, database: str | Path | None) -> list[Imported]:
    """Reads every log, then stores each as a run, and returns them in order; nothing is stored if anything fails.

    Raises BadInput for a file that is no such log (with the line), DatabaseError where it cannot be kept.
    """
    logs = [(file, read_log(file)) for file in request.files]
    with open_for_writing(database) as db, db.transaction():
        return [_import(db, request, file, log) for file, log in logs]


def _import(db: Database, request: ImportRequest, file: Path, log: CertifyLog) -> Imported:
    warnings = [*log.warnings, *_checked(log, request)]
    handle = start_run(db, _new_run(request, file, log))
    scoring = NewScoring(handle.id, "none", None, None, "standard", "merged", request.alpha)
    scoring_id = add_scoring(db, scoring)
    added = handle.status != "complete"
    if added:
        store_samples(db, _samples(scoring_id, log.rows, request))
        finish_run(db, handle.id, "complete", log.seconds, warnings)
    return Imported(file, handle.id, scoring_id, len(log.rows), log.skip, added, tuple(warnings))


def _checked(log: CertifyLog, request: ImportRequest) -> list[str]:
    known = KNOWN_SETS.get(request.dataset)
    size, classes = known or (None, None)
    return [
        *check_radii(log.rows, sigma=request.sigma, n=request.n, alpha=request.alpha),
        *check_size(log, dataset=request.dataset, size=size, classes=classes),
    ]


def _samples(scoring_id: int, rows: Sequence[LogRow], request: ImportRequest) -> list[SampleRow]:
    ceiling = Method(request.sigma, request.alpha).ceiling(request.n)
    return [
        SampleRow(
            scoring_id=scoring_id,
            input_index=row.input_index,
            label=row.label,
            class_index=row.predict,
            standard_class=row.predict,
            decision="undecided" if abstained else "certain",
            standard_decided=not abstained,
            at_ceiling=row.radius >= ceiling - rounding(row),
            n=request.n,
            certain_count=0,
            uncertain_count=0,
            vote_count=0,
            radius_standard=radius,
            radius_cc=radius,
            radius_ncl=radius,
            radius_uncertain=0.0,
            rule="standard",
            competitors="merged",
        )
        for row in rows
        for abstained in [row.predict == -1]
        for radius in [0.0 if abstained else row.radius]
    ]


def _new_run(request: ImportRequest, file: Path, log: CertifyLog) -> NewRun:
    source = request.source or file.name
    if request.source and len(request.files) > 1:
        source = f"{request.source} ({file.name})"
    subset = json.dumps([[row.input_index, row.label] for row in log.rows])
    configuration: dict[str, Any] = {
        "kind": "import",
        "format": "certify-tsv",
        "file": file.name,
        "file_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "dataset": request.dataset,
        "model": request.model,
        "sigma": request.sigma,
        "n0": request.n0,
        "n": request.n,
        "alpha": request.alpha,
        "source": source,
    }
    # Where the file lies and what it is called does not make it another log.
    identity = {name: value for name, value in configuration.items() if name not in ("file", "source")}
    return NewRun(
        kind="import",
        model=request.model,
        dataset=request.dataset,
        split="test",
        skip=log.skip,
        subset_limit=None,
        inputs=len(log.rows),
        subset_sha256=hashlib.sha256(subset.encode()).hexdigest(),
        sigma=request.sigma,
        n0=request.n0,
        n=request.n,
        seed=0,
        device="unknown",
        precision="unknown",
        versions={},
        configuration=configuration,
        configuration_hash=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        edges={},
        source=source,
    )
