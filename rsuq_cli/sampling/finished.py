"""An input that is finished, as it travels from who samples it to who stores it.

Invariant: the evidence is packed where it was counted, once: counts of a thousand classes are megabytes, and
kilobytes when they are packed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from rsuq_cli.certificates.evidence import Histogram, decode, encode
from rsuq_cli.sampling.tally import Counted


class Finished(NamedTuple):
    """The packed evidence of the input at a position, its estimation samples, and those of all without an answer.

    `histograms` are what was packed, where it is at hand.
    """

    position: int
    counts: bytes
    draws: int
    unanswered: int
    histograms: Mapping[str, Histogram] | None = None

    def read(self, measures: Collection[str]) -> Mapping[str, Histogram]:
        """Returns the histograms of some measures at least."""
        return decode(self.counts, measures) if self.histograms is None else self.histograms


def finished_of(counted: Counted, *, at_hand: bool = False) -> Finished:
    """Returns the input that was counted; with `at_hand`, what was counted goes along as it is."""
    return Finished(
        counted.position, encode(counted.histograms, counted.sums), counted.draws, counted.unanswered,
        counted.histograms if at_hand else None,
    )  # fmt: skip
