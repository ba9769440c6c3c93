"""The tables as SQLModel classes: columns and keys, in the order of the migrations.

Invariant: these agree with the migrated schema, column by column and key by key (a test compares them). They never make
a table; constraints on values, indexes and views are in the migrations alone. SQLModel does not validate tables: rows
pass `rows.column_values` before they are inserted.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Table, Text, UniqueConstraint
from sqlmodel import Field, SQLModel


class Checkpoint(SQLModel, table=True):
    """A trained model's file."""

    id: int | None = Field(default=None, primary_key=True)
    model: str
    dataset: str
    sigma: float
    objective: str
    file: str
    sha256: str = Field(unique=True)
    accuracy_clean: float | None
    accuracy_noisy: float | None
    configuration: str = Field(sa_type=Text)
    created_at: str
    name: str | None
    note: str | None = Field(sa_type=Text)
    history: str | None = Field(sa_type=Text)


class CheckpointTag(SQLModel, table=True):
    """A word that somebody gave a checkpoint."""

    __tablename__ = "checkpoint_tag"

    checkpoint_id: int = Field(primary_key=True, foreign_key="checkpoint.id", ondelete="CASCADE")
    tag: str = Field(primary_key=True)


class Run(SQLModel, table=True):
    """One pass of sampling over a subset of a data set, with everything that its numbers depend on."""

    __table_args__ = (UniqueConstraint("configuration_hash", "edges_hash", "attempt"),)

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    status: str
    # A run outlives the file it came from: losing a checkpoint must not lose hours of evidence.
    checkpoint_id: int | None = Field(foreign_key="checkpoint.id", ondelete="SET NULL")
    model: str
    dataset: str
    split: str
    skip: int
    subset_limit: int | None
    inputs: int
    subset_sha256: str
    sigma: float
    n0: int
    n: int
    seed: int = Field(sa_type=BigInteger)
    device: str
    precision: str
    versions: str = Field(sa_type=Text)
    configuration: str = Field(sa_type=Text)
    configuration_hash: str
    edges_hash: str
    attempt: int
    source: str | None
    warnings: str | None = Field(sa_type=Text)
    class_names: str | None = Field(sa_type=Text)
    created_at: str
    updated_at: str
    seconds: float
    name: str | None
    note: str | None = Field(sa_type=Text)


class RunTag(SQLModel, table=True):
    """A word that somebody gave a run."""

    __tablename__ = "run_tag"

    run_id: int = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    tag: str = Field(primary_key=True)


class BinEdges(SQLModel, table=True):
    """The bins of one measure's histograms in a run, little-endian float64: the record of what its evidence counts.

    A run has the measures that there were when it began, and keeps them.
    """

    __tablename__ = "bin_edges"

    run_id: int = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    measure: str = Field(primary_key=True)
    edges: bytes
    coverages: bytes


class Evidence(SQLModel, table=True):
    """What was counted for one input."""

    run_id: int = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    input_index: int = Field(primary_key=True)
    label: int
    n0: int
    n: int
    counts: bytes
    seconds: float
    unanswered: int


class Scoring(SQLModel, table=True):
    """One reading of a run's evidence."""

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", ondelete="CASCADE")
    measure: str
    threshold: float | None
    coverage: float | None
    rule: str
    competitors: str
    alpha: float
    family_size: int
    created_at: str
    bounds_version: int


class CertifiedSample(SQLModel, table=True):
    """The certificate of one input under one scoring."""

    __tablename__ = "certified_sample"

    scoring_id: int = Field(primary_key=True, foreign_key="scoring.id", ondelete="CASCADE")
    input_index: int = Field(primary_key=True)
    label: int
    class_index: int
    standard_class: int
    decision: str
    correct: bool
    is_uncertain: bool
    standard_decided: bool
    at_ceiling: bool
    n: int
    certain_count: int
    uncertain_count: int
    vote_count: int
    radius_standard: float
    radius_cc: float
    radius_ncl: float
    radius_uncertain: float
    rule: str
    competitors: str
    radius_explicit: float | None
    bounds_version: int


class OodScore(SQLModel, table=True):
    """One out-of-distribution score of one input; `ood_set` is the data set's own name for in-distribution inputs."""

    __tablename__ = "ood_score"

    run_id: int = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    ood_set: str = Field(primary_key=True)
    input_index: int = Field(primary_key=True)
    score: str = Field(primary_key=True)
    value: float


class Metric(SQLModel, table=True):
    """One figure over a data set that is not an aggregate of `certified_sample`, with its interval."""

    id: int | None = Field(default=None, primary_key=True)
    run_id: int = Field(foreign_key="run.id", ondelete="CASCADE")
    scoring_id: int | None = Field(foreign_key="scoring.id", ondelete="CASCADE")
    ood_set: str | None
    name: str
    score: str | None
    radius: float | None
    value: float
    low: float | None
    high: float | None


class Audit(SQLModel, table=True):
    """An attempt to break the certificates of a scoring."""

    __table_args__ = (
        UniqueConstraint(
            "scoring_id", "attack", "steps", "radius_scale", "inputs", "n", "alpha", "seed", "device"
        ),
    )  # fmt: skip

    id: int | None = Field(default=None, primary_key=True)
    scoring_id: int = Field(foreign_key="scoring.id", ondelete="CASCADE")
    attack: str
    steps: int
    radius_scale: float
    inputs: int
    n: int
    alpha: float
    seed: int = Field(sa_type=BigInteger)
    device: str
    created_at: str


class AuditBall(SQLModel, table=True):
    """The worst point that an audit found in one ball, and what fresh noise said of it."""

    __tablename__ = "audit_ball"

    audit_id: int = Field(primary_key=True, foreign_key="audit.id", ondelete="CASCADE")
    input_index: int = Field(primary_key=True)
    guarantee: str = Field(primary_key=True)
    class_index: int
    radius: float
    distance: float
    attack: str
    n: int
    mass: float
    bound: float
    excess: float
    excess_lower: float
    broken: bool
    seconds: float


class Study(SQLModel, table=True):
    """A plan as it was given: which networks, objectives, noise levels and sources of uncertainty are compared."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    plan: str = Field(sa_type=Text)
    created_at: str
    updated_at: str


class StudyRun(SQLModel, table=True):
    """A run of a study, and where in its grid it stands; `seed` is that of the training."""

    __tablename__ = "study_run"

    study_id: int = Field(primary_key=True, foreign_key="study.id", ondelete="CASCADE")
    run_id: int = Field(primary_key=True, foreign_key="run.id", ondelete="CASCADE")
    network: str
    objective: str
    sigma: float
    seed: int = Field(sa_type=BigInteger)
    predictor: str


def table_of(model: type[SQLModel]) -> Table:
    """Returns the SQLAlchemy table of one of these classes, for statements over many rows."""
    return SQLModel.metadata.tables[str(model.__tablename__)]
