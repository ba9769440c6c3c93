"""The one pager over stored evidence, and the one reading of it at many thresholds.

Invariant: certificates depend on the evidence and the plan alone, not on the page that an input happens to be on; what
is in memory at a time is bounded, for a thousand classes too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import Certificates, certify_each
from rsuq_cli.certificates.evidence import Counts, Histogram, MeasureEdges, counts_at_all, counts_at_some, decode
from rsuq_cli.certificates.method import Method
from rsuq_cli.results.rows import EvidenceRow

Integers = npt.NDArray[np.int64]
# Cells of a measure's histograms that are worked on at a time: few enough to stay in the processor's cache.
_CELLS = 200_000
_MOST = 256


@dataclass(frozen=True)
class Plan:
    """One measure read in one way, at the bin edges `positions` `[T]`, ascending."""

    measure: str
    edges: MeasureEdges
    positions: Integers
    method: Method


class LabelledEvidence(NamedTuple):
    """The histograms of one input, by measure, and its label."""

    input_index: int
    label: int
    histograms: Mapping[str, Histogram]


class Page(NamedTuple):
    """The evidence of some inputs, at least one."""

    evidence: Sequence[LabelledEvidence]

    @property
    def inputs(self) -> Integers:
        """The numbers of the inputs `[N]`."""
        return np.array([one.input_index for one in self.evidence])

    @property
    def labels(self) -> Integers:
        """Their labels `[N]`."""
        return np.array([one.label for one in self.evidence])

    def where(self, inside: npt.NDArray[np.bool_]) -> Page:
        """Returns those of the inputs that are `inside` `[N]`."""
        return Page([one for one, kept in zip(self.evidence, inside, strict=True) if kept])

    def counts(self, measure: str, positions: Integers) -> tuple[Counts, Counts]:
        """Returns the selection and the estimation votes `[N, T, K]` at the edges at `positions`."""
        of_measure = [one.histograms[measure] for one in self.evidence]
        first, second = (
            _votes(
                np.stack([one[stream] for one in of_measure]),
                positions,
                np.array([one.unanswered[stream] for one in of_measure]),
            )
            for stream in (0, 1)
        )
        return first, second


def pages(rows: Iterable[EvidenceRow], measures: set[str]) -> Iterator[Page]:
    """Yields evidence as it is stored page by page, decoded for these measures."""
    left = iter(rows)
    size = 1
    while some := list(islice(left, size)):
        evidence = [decoded(row.input_index, row.label, row.counts, measures) for row in some]
        yield Page(evidence)
        largest = max((one.estimation.size for one in evidence[0].histograms.values()), default=1)
        size = max(1, min(_MOST, _CELLS // largest))


def decoded(input_index: int, label: int, counts: bytes, measures: set[str]) -> LabelledEvidence:
    """Returns the stored counts of an input, for these measures; raises ValueError where they are damaged."""
    return LabelledEvidence(input_index, label, decode(counts, measures))


def certificates(page: Page, plans: Sequence[Plan]) -> Iterator[tuple[int, Certificates]]:
    """Yields each plan's place and certificates `[N, T]`; what several rules share is computed once."""
    together: dict[tuple[str, bytes], list[int]] = {}
    for place, plan in enumerate(plans):
        together.setdefault((plan.measure, plan.positions.tobytes()), []).append(place)
    for (measure, _), places in together.items():
        first, second = page.counts(measure, plans[places[0]].positions)
        yield from zip(places, certify_each(first, second, [plans[place].method for place in places]), strict=True)


def _votes(histograms: Integers, positions: Integers, unanswered: Integers) -> Counts:
    if len(positions) == histograms.shape[-1] - 1:
        return counts_at_all(histograms, unanswered)  # a view; picking edges copies
    return counts_at_some(histograms, positions, unanswered)
