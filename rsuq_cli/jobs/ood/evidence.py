"""What the evidence and the clean pass say of every side of a run.

Invariant: read in one sweep over the stored evidence, and reduced input by input to what scores and bounds need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import SUM_UNIT, Counts, MeasureEdges, decode, decode_sums, stacked
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.ood.sides import Side
from rsuq_cli.ood.scores import CLEAN, Votes, smoothed_scores
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import EvidenceRow
from rsuq_cli.results.writer import load_evidence
from rsuq_cli.sampling.clean import CleanPass
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.uncertainty.measures import MEASURES, in_order

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def bounded(measures: Collection[str]) -> tuple[str, ...]:
    """Returns those of a run's measures that lie in [0, 1], whose mean has certified bounds."""
    return tuple(name for name in in_order(measures) if MEASURES[name].is_share)


class Rejection(NamedTuple):
    """A threshold of a measure: its label, the position of its bin edge, and its scoring in the database."""

    label: str
    measure: str
    position: int
    scoring_id: int


@dataclass(frozen=True)
class SideEvidence:
    """Everything about N inputs of one set. `near` None is the in-distribution side, which has labels.

    `selection` and `estimation` have the votes at each threshold by its label, `below` the counts `[N, bins]` of the
    measures with bounds; `answers` are the classes of the clean pass and `smoothed` those of most votes.
    """

    name: str
    near: bool | None
    indices: Integers
    labels: Integers
    n: Integers
    selection: Mapping[str, Counts]
    estimation: Mapping[str, Counts]
    bins: Mapping[str, Integers]
    edges: Mapping[str, Array]
    answers: Integers
    smoothed: Integers
    scores: Mapping[str, Array]


class _Input(NamedTuple):
    counts: dict[str, tuple[Counts, Counts]]
    bins: dict[str, Integers]
    means: dict[str, float]
    probabilities: Array


def read_sides(
    db: Database, run_id: int, sides: Sequence[Side], clean: Sequence[CleanPass], rejections: Sequence[Rejection],
    edges: Mapping[str, MeasureEdges],
) -> list[SideEvidence]:  # fmt: skip
    """Returns the evidence of every side, with all its scores.

    Raises BadInput where a model gave no numbers under noise, and where the evidence holds no sums.
    """
    rows = load_evidence(db, run_id)
    return [
        _side(side, passed, _inputs(islice(rows, len(side)), rejections, edges), rejections, edges)
        for side, passed in zip(sides, clean, strict=True)
    ]


def _inputs(
    rows: Iterator[EvidenceRow], rejections: Sequence[Rejection], measures: Collection[str]
) -> list[_Input]:  # fmt: skip
    return [_input(row, rejections, measures) for row in rows]


def _input(row: EvidenceRow, rejections: Sequence[Rejection], measures: Collection[str]) -> _Input:
    shares = bounded(measures)
    histograms = decode(row.counts, {*shares, *(one.measure for one in rejections)})
    sums = decode_sums(row.counts)
    if sums is None:
        raise BadInput("the evidence was sampled without sums", "sample it anew with --fresh")
    counts = {
        one.label: (
            histograms[one.measure].votes(Stream.SELECTION, one.position),
            histograms[one.measure].votes(Stream.ESTIMATION, one.position),
        )
        for one in rejections
    }
    answered = max(row.n - next(iter(histograms.values())).unanswered.estimation, 1)
    return _Input(
        counts,
        {measure: histograms[measure].estimation.sum(axis=0) for measure in shares},
        {
            measure: _mean(measure, sums.measures[measure][Stream.ESTIMATION] * SUM_UNIT, row.n, answered)
            for measure in in_order(measures)
        },
        sums.probabilities[Stream.ESTIMATION] * (SUM_UNIT / answered),
    )


def _mean(measure: str, total: float, n: int, answered: int) -> float:
    """Returns the mean of a measure: no answer has its highest value where there is one, and else is left out."""
    highest = MEASURES[measure].highest
    return total / answered if highest is None else (total + highest * (n - answered)) / n


def _side(
    side: Side, passed: CleanPass, inputs: Sequence[_Input], rejections: Sequence[Rejection],
    edges: Mapping[str, MeasureEdges],
) -> SideEvidence:  # fmt: skip
    labels = [one.label for one in rejections]
    selection, estimation = (
        {label: stacked([one.counts[label][stream] for one in inputs]) for label in labels} for stream in (0, 1)
    )
    means = {measure: np.array([one.means[measure] for one in inputs]) for measure in inputs[0].means}
    votes, n = estimation[labels[0]].votes, estimation[labels[0]].total
    silent = int((votes.sum(axis=1) == 0).sum())
    # Evidence of old has no answers among its votes: its sums show them, since they counted as very large.
    broken = max(silent, int((means["confidence"] > 1 + 1e-6).sum()))
    if broken:
        raise BadInput(
            f"the model's scores are not numbers under noise on {broken} inputs of {side.name}", "check the model"
        )
    smoothed = Votes(
        votes,
        {label: counts.certain for label, counts in estimation.items()},
        means,
        np.stack([one.probabilities for one in inputs]),
        estimation[labels[0]].unanswered,
    )
    return SideEvidence(
        name=side.name,
        near=side.near,
        indices=side.split.indices,
        labels=side.split.labels.numpy(),
        n=n,
        selection=selection,
        estimation=estimation,
        bins={measure: np.stack([one.bins[measure] for one in inputs]) for measure in inputs[0].bins},
        edges={measure: edges[measure].edges for measure in inputs[0].bins},
        answers=passed.classes,
        smoothed=votes.argmax(axis=1),
        scores=clean_scores(passed, means) | smoothed_scores(smoothed),
    )


def clean_scores(passed: CleanPass, measures: Collection[str]) -> dict[str, Array]:
    """Returns the scores of a clean pass by name, for the measures that the run has under noise too."""
    return {f"{CLEAN}:{measure}": passed.values[measure] for measure in measures}


def check_clean(sides: Sequence[Side], clean: Sequence[CleanPass]) -> None:
    """Raises BadInput where the clean pass of a side gave what is no number."""
    for side, passed in zip(sides, clean, strict=True):
        broken = int((~np.isfinite(np.stack(list(passed.values.values())))).any(axis=0).sum())
        if broken:
            raise BadInput(f"the model's scores are not numbers on {broken} inputs of {side.name}", "check the model")
