"""The one pager over stored evidence, and the one reading of it at many thresholds.

Invariant: certificates depend on the evidence and the plan alone, not on the page that an input happens to be on; what
is in memory at a time is bounded, for a thousand classes too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import NOBODY, Certificates, certify_each
from rsuq_cli.certificates.evidence import (
    Counts,
    Histogram,
    MeasureEdges,
    counts_at_all,
    counts_at_some,
    decode,
    decode_hit,
)
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
    """The histograms of one input, by measure, and its label; `classes` says which rows they have, None for all."""

    input_index: int
    label: int
    histograms: Mapping[str, Histogram]
    classes: Integers | None = None


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

    @property
    def classes(self) -> Integers | None:
        """Which class each row of the votes is about `[N, K]`, None where each has its own number."""
        known = [one.classes for one in self.evidence if one.classes is not None]
        if not known:
            return None
        most = max(map(len, known))
        # A row that is added has no sample: which class it stands for makes no difference.
        return np.stack([np.pad(one, (0, most - len(one)), mode="edge") for one in known])

    def counts(self, measure: str, positions: Integers) -> tuple[Counts, Counts]:
        """Returns the selection and the estimation votes `[N, T, K]` at the edges at `positions`."""
        of_measure = [one.histograms[measure] for one in self.evidence]
        streams = ([one.selection for one in of_measure], [one.estimation for one in of_measure])
        unanswered = np.array([one.unanswered for one in of_measure])
        first, second = (
            _votes(_stacked(counts), positions, unanswered[:, stream]) for stream, counts in enumerate(streams)
        )
        return first, second


def pages(rows: Iterable[EvidenceRow], measures: set[str], *, hit_only: bool = False) -> Iterator[Page]:
    """Yields evidence as it is stored page by page, decoded for these measures; `hit_only` without idle classes."""
    page: list[LabelledEvidence] = []
    widest = 1
    for row in rows:
        one = _hit(row, measures) if hit_only else decoded(row.input_index, row.label, row.counts, measures)
        cells = max((histogram.estimation.size for histogram in one.histograms.values()), default=1)
        if page and (len(page) == _MOST or (len(page) + 1) * max(widest, cells) > _CELLS):
            yield Page(page)
            page, widest = [], 1
        page.append(one)
        widest = max(widest, cells)
    if page:
        yield Page(page)


def pages_for(rows: Iterable[EvidenceRow], plans: Sequence[Plan]) -> Iterator[Page]:
    """Yields what `certificates` needs for these plans: of a thousand classes, those that some sample names."""
    hit_only = not any(plan.method.ranks_competitors for plan in plans)
    return pages(rows, {plan.measure for plan in plans}, hit_only=hit_only)


def _hit(row: EvidenceRow, measures: set[str]) -> LabelledEvidence:
    classes, histograms = decode_hit(row.counts, measures)
    return LabelledEvidence(row.input_index, row.label, histograms, classes)


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
        found = certify_each(first, second, [plans[place].method for place in places])
        yield from zip(places, (_named(one, page.classes) for one in found), strict=True)


def _named(found: Certificates, classes: Integers | None) -> Certificates:
    """Returns certificates that name classes by their own numbers, from ones that name rows `[N, T]`."""
    if classes is None:
        return found
    of = {
        name: np.where(rows == NOBODY, NOBODY, np.take_along_axis(classes, np.maximum(rows, 0), axis=1))
        for name, rows in (("class_index", found.class_index), ("standard_class", found.standard_class))
    }
    return replace(found, **of)  # type: ignore[arg-type]


def _stacked(histograms: Sequence[Integers]) -> Integers:
    """Returns histograms `[K, bins]` as one `[N, K, bins]`, of fewer classes with rows of zeros after their own."""
    most = max(len(one) for one in histograms)
    return np.stack([np.pad(one, ((0, most - len(one)), (0, 0))) if len(one) < most else one for one in histograms])


def _votes(histograms: Integers, positions: Integers, unanswered: Integers) -> Counts:
    if len(positions) == histograms.shape[-1] - 1:
        return counts_at_all(histograms, unanswered)  # a view; picking edges copies
    return counts_at_some(histograms, positions, unanswered)
