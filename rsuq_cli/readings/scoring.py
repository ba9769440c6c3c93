"""From the evidence of some inputs to rows of certificates.

Invariant: rows depend on the evidence and the scoring alone, so certificates made while sampling and ones made later
from the stored evidence are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import DECISIONS, Certificates, certify
from rsuq_cli.certificates.evidence import Counts, Histogram, MeasureEdges, stacked
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.stopping import Stopping
from rsuq_cli.readings.pages import LabelledEvidence, Plan, certificates, pages_for
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import SampleRow
from rsuq_cli.results.writer import evidence_without_samples, store_samples

CERTIFICATE = tuple(field.name for field in fields(Certificates) if field.name != "bounds")


class Scored(NamedTuple):
    """A scoring of a run: its id in the database, and how the evidence is read."""

    scoring_id: int
    measure: str
    threshold: float
    method: Method


def sample_rows(
    inputs: Sequence[LabelledEvidence], scored: Iterable[Scored], edges: Mapping[str, MeasureEdges]
) -> list[SampleRow]:
    """Returns one certificate for every input and scoring. Raises UnknownThreshold for one that is no bin edge."""
    rows: list[SampleRow] = []
    if not inputs:
        return rows
    for one in scored:
        selection, estimation = _votes([evidence.histograms for evidence in inputs], one, edges)
        rows += _rows(inputs, one, certify(selection, estimation, one.method))
    return rows


@dataclass(frozen=True)
class Decider:
    """Stops an input when it is decided under every scoring that was asked for."""

    stopping: Stopping
    scored: tuple[Scored, ...]
    edges: Mapping[str, MeasureEdges]

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of estimation samples at which it is asked."""
        return self.stopping.looks

    def decided(self, histograms: Sequence[Mapping[str, Histogram]]) -> npt.NDArray[np.bool_]:
        """Returns which of the inputs need no more samples `[N]`."""
        done = np.ones(len(histograms), dtype=np.bool_)
        for one in self.scored:
            selection, estimation = _votes(histograms, one, self.edges)
            done &= self.stopping.decided(selection, estimation, one.method)
        return done


def score_stored(db: Database, run_id: int, scored: Scored, edges: Mapping[str, MeasureEdges]) -> None:
    """Makes and stores the certificates of one scoring for all stored evidence that has none of it yet."""
    bins = edges[scored.measure]
    plan = Plan(scored.measure, bins, np.array([bins.position(scored.threshold)]), scored.method)
    for page in pages_for(evidence_without_samples(db, run_id, scored.scoring_id), [plan]):
        for _, found in certificates(page, [plan]):
            store_samples(db, _rows(page.evidence, scored, found[:, 0]))


def stored_certificates(columns: Mapping[str, npt.NDArray[Any]]) -> Certificates:
    """Returns the certificates in columns of stored rows, of their shape; the bounds behind them are not stored."""
    decision = np.select([columns["decision"] == name for name in DECISIONS], list(range(len(DECISIONS))))
    flags = {name: columns[name].astype(np.bool_) for name in ("standard_decided", "at_ceiling")}
    told = flags | {"decision": decision, "class_wise": columns["competitors"] == "class-wise"}
    told["radius_explicit"] = columns["radius_explicit"].astype(np.float64)  # None is NaN
    return Certificates(**({name: columns[name] for name in CERTIFICATE if name not in told} | told), bounds={})


def _votes(
    histograms: Sequence[Mapping[str, Histogram]], scored: Scored, edges: Mapping[str, MeasureEdges]
) -> tuple[Counts, Counts]:
    """Returns the selection and estimation votes `[N, K]` at the threshold of a scoring."""
    at = edges[scored.measure].position(scored.threshold)
    first, second = (stacked([one[scored.measure].votes(stream, at) for one in histograms]) for stream in (0, 1))
    return first, second


def _rows(inputs: Sequence[LabelledEvidence], scored: Scored, certificates: Certificates) -> list[SampleRow]:
    c = certificates
    return [
        SampleRow(
            scoring_id=scored.scoring_id,
            input_index=evidence.input_index,
            label=evidence.label,
            class_index=int(c.class_index[i]),
            standard_class=int(c.standard_class[i]),
            decision=DECISIONS[c.decision[i]],
            standard_decided=bool(c.standard_decided[i]),
            at_ceiling=bool(c.at_ceiling[i]),
            n=int(c.n[i]),
            certain_count=int(c.certain_count[i]),
            uncertain_count=int(c.uncertain_count[i]),
            vote_count=int(c.vote_count[i]),
            radius_standard=float(c.radius_standard[i]),
            radius_cc=float(c.radius_cc[i]),
            radius_ncl=float(c.radius_ncl[i]),
            radius_uncertain=float(c.radius_uncertain[i]),
            rule=scored.method.rule,
            competitors="class-wise" if c.class_wise[i] else "merged",
            radius_explicit=None if np.isnan(c.radius_explicit[i]) else float(c.radius_explicit[i]),
            bounds_version=scored.method.bounds_version,
        )
        for i, evidence in enumerate(inputs)
    ]
