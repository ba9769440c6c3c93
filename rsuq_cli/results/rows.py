"""What goes into the database and what comes out of it, one frozen row each.

Invariant: `column_values` is the one gate to an insert. It passes plain Python values only: finite floats (SQLite turns
NaN into NULL without a word), real ints (the driver stores a NumPy integer as bytes), JSON with sorted keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Status = Literal["running", "complete", "interrupted"]
Decision = Literal["certain", "uncertain", "undecided"]
Rule = Literal["majority", "plurality", "filtered", "standard"]
Array = npt.NDArray[np.float64]


class MeasureEdges(Protocol):
    """Bin edges of one uncertainty measure, float64 `[B]`, and the share of noisy calibration samples up to each."""

    @property
    def edges(self) -> Array: ...
    @property
    def coverages(self) -> Array: ...


class StoredEdges(NamedTuple):
    """Bin edges as stored, bit for bit: `coverages[j]` is the share of calibration samples with u ≤ edges[j]."""

    edges: Array
    coverages: Array


@dataclass(frozen=True)
class NewCheckpoint:
    """A trained model's file; `sha256` of its bytes is what identifies it. Accuracies in [0, 1], None if unknown.

    `history` has one object for each epoch of its training, None where it is not known.
    """

    model: str
    dataset: str
    sigma: float
    objective: str
    file: str
    sha256: str
    accuracy_clean: float | None
    accuracy_noisy: float | None
    configuration: Mapping[str, Any]
    name: str | None = field(default=None, kw_only=True)
    note: str | None = field(default=None, kw_only=True)
    history: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CheckpointRow(NewCheckpoint):
    """A recorded checkpoint."""

    id: int
    created_at: str
    tags: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class NewRun:
    """A run as it is asked for. `inputs` is the planned count, `skip` 1 for every input, `sigma` in pixel units.

    `configuration` is everything that the evidence depends on, `configuration_hash` its hash; `edges` maps each measure
    to its bins.
    """

    kind: str
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
    seed: int
    device: str
    precision: str
    versions: Mapping[str, str]
    configuration: Mapping[str, Any]
    configuration_hash: str
    edges: Mapping[str, MeasureEdges] = field(metadata={"stored": False})
    checkpoint_id: int | None = None
    source: str | None = None
    warnings: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    name: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class RunHandle:
    """A stored run to go on with: `finished` are the input indices whose evidence is safe, `status` as it was found."""

    id: int
    attempt: int
    status: Status
    finished: frozenset[int]
    edges: Mapping[str, StoredEdges]
    created: bool


@dataclass(frozen=True)
class RunRow:
    """A stored run as lists show it; `inputs` were planned, `scorings` asked for.

    `finished` inputs have evidence, or a certificate where the run was imported.
    """

    id: int
    kind: str
    status: Status
    checkpoint_id: int | None
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
    seed: int
    device: str
    precision: str
    versions: Mapping[str, str]
    configuration: Mapping[str, Any]
    configuration_hash: str
    attempt: int
    source: str | None
    warnings: Sequence[str] | None
    class_names: Sequence[str] | None
    created_at: str
    updated_at: str
    seconds: float
    finished: int
    scorings: int
    name: str | None = None
    note: str | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewScoring:
    """How a run's evidence is read: a threshold of a measure, a rule, and an error budget.

    `threshold` None rejects nothing; `coverage` is the one that it was calibrated for, None where the user gave it.
    `family_size` 1 is alpha per guarantee; each guarantee gets alpha / family_size. `bounds_version` is as in
    `certificates.method`.
    """

    run_id: int
    measure: str
    threshold: float | None
    coverage: float | None
    rule: Rule
    competitors: Literal["merged", "class-wise", "auto"]
    alpha: float
    family_size: int = 1
    bounds_version: int = 1


@dataclass(frozen=True)
class EvidenceRow:
    """What was counted for one input; `counts` are the compressed histograms, as the evidence packs them.

    `unanswered` is how many of its n0 + n samples had logits that were not all finite.
    """

    input_index: int
    label: int
    n0: int
    n: int
    counts: bytes
    seconds: float
    unanswered: int = 0


@dataclass(frozen=True)
class SampleRow:
    """The certificate of one input under one scoring; radii in pixel units, counts of the estimation samples.

    `certain_count` are votes for `class_index` that were certain, `uncertain_count` all uncertain samples, `vote_count`
    votes for `standard_class`. `radius_explicit` is that of smoothing without rejection with explicit competitors, None
    where it was not asked for; `bounds_version` is the scoring's. `correct` and `is_uncertain` follow from the rest.
    """

    scoring_id: int
    input_index: int
    label: int
    class_index: int
    standard_class: int
    decision: Decision
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
    rule: Rule
    competitors: Literal["merged", "class-wise"]
    radius_explicit: float | None = None
    bounds_version: int = 1
    correct: bool = field(init=False)
    is_uncertain: bool = field(init=False)

    def __post_init__(self) -> None:
        certain = self.decision == "certain"
        object.__setattr__(self, "correct", certain and self.class_index == self.label)
        object.__setattr__(self, "is_uncertain", not certain)


@dataclass(frozen=True)
class NewAudit:
    """An attempt to break the certificates of a scoring: at most `inputs` inputs, `n` samples to judge a point with.

    `radius_scale` 1 attacks the balls that were certified; `alpha` is the probability of any false break.
    """

    scoring_id: int
    attack: Literal["pgd", "random", "both"]
    steps: int
    radius_scale: float
    inputs: int
    n: int
    alpha: float
    seed: int
    device: str


class AuditHandle(NamedTuple):
    """A stored audit to go on with: `attacked` has the input index and guarantee of every ball that is done."""

    id: int
    attacked: frozenset[tuple[int, str]]


@dataclass(frozen=True)
class AuditBallRow:
    """The worst point that was found in a ball, judged with `n` samples of fresh noise; distances in pixel units.

    `mass` is that of the event that the guarantee keeps large, measured at the point, `bound` the least that the theory
    allows there. `excess` is by how much the votes violate the guarantee (negative: they do not), `excess_lower` its
    lower confidence bound. `broken` follows from it.
    """

    input_index: int
    guarantee: Literal["standard", "cc", "ncl", "uncertain"]
    class_index: int
    radius: float
    distance: float
    attack: Literal["pgd", "random"]
    n: int
    mass: float
    bound: float
    excess: float
    excess_lower: float
    seconds: float
    broken: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "broken", self.excess_lower > 0)


Insertable = NewCheckpoint | NewRun | NewScoring | EvidenceRow | SampleRow | NewAudit | AuditBallRow
