"""What a source of uncertainty is like under noise, and how far it is from the best that its coverage allows.

Invariant: everything is counted from the stored evidence; no noise is drawn. The smoothed class is that of most votes
among the estimation samples. A sample dissents that votes for another class than its input's smoothed class, or none.
Where a property needs values and not their order, a sample has the middle of its bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.evidence import SUM_UNIT, MeasureEdges, decode, decode_sums
from rsuq_cli.certificates.method import share_of_alpha
from rsuq_cli.certificates.radii import stays_above_half
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.writer import load_edges, load_evidence

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_EASY = 0.9
_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Properties:
    """Of one scoring; None where nothing can be said.

    `separation_within`: AUROC of dissenting against agreeing samples of one input, the mean over the inputs that have
    both: what NCL lives on. `separation_between`: AUROC of wrong against right smoothed answers by the mean of the
    measure. `within_share`: the share of the measure's variance that is within inputs. `rejected_dissent`: of the
    rejected samples, those that dissent; `rejected_easy`: of these, those of inputs with p_A > 0.9, where one is worth
    most radius. `oracle_random` and `oracle_easiest`: the gain where as many samples are rejected, and only
    dissenters of inputs whose class is right: at random, or those of the easiest inputs first.
    """

    separation_within: float | None
    separation_between: float | None
    within_share: float | None
    rejected_dissent: float | None
    rejected_easy: float | None
    oracle_random: float | None
    oracle_easiest: float | None


class Calibration(NamedTuple):
    """Of a run: expected calibration error of the votes against accuracy, and of the softmax of noisy samples."""

    votes: float
    softmax: float | None


class _Counted(NamedTuple):
    """A measure's samples of every input by bin, `[N, bins]`, agreeing and dissenting, and what its votes say."""

    agreeing: Integers
    dissenting: Integers
    right: npt.NDArray[np.bool_]  # [N], the smoothed class is the label
    votes: Integers  # [N], for the smoothed class
    n: Integers  # [N]
    means: Array  # [N], of the measure


def properties_of(db: Database, one: Figures) -> Properties:
    """Returns the properties of a scoring with a threshold, from its run's evidence."""
    edges = MeasureEdges(*load_edges(db, one.run_id)[one.measure])
    found = _counted(db, one)
    assert one.threshold is not None
    certain = edges.position(one.threshold) + 1
    rejected, dissent = found.agreeing[:, certain:].sum(), found.dissenting[:, certain:].sum(axis=1)
    easy = found.votes > _EASY * found.n
    silent = found.n - found.agreeing.sum(axis=1) - found.dissenting.sum(axis=1)  # samples without an answer
    all_rejected, all_dissent = int(rejected + dissent.sum() + silent.sum()), int(dissent.sum() + silent.sum())
    return Properties(
        separation_within=_within(found),
        separation_between=_separation(found.means[~found.right], found.means[found.right]),
        within_share=_within_share(found, edges),
        rejected_dissent=all_dissent / all_rejected if all_rejected else None,
        rejected_easy=float((dissent + silent)[easy].sum()) / all_dissent if all_dissent else None,
        oracle_random=_oracle(found, all_rejected, one, easiest=False),
        oracle_easiest=_oracle(found, all_rejected, one, easiest=True),
    )


def calibration_of(db: Database, one: Figures) -> Calibration:
    """Returns how well votes, and the softmax of noisy samples, state how often they are right (Naeini et al. 2015)."""
    found = _counted(db, one)
    votes = _calibration_error(found.votes / found.n, found.right.astype(np.float64), np.ones(len(found.n)))
    stored = load_edges(db, one.run_id)
    if "confidence" not in stored:
        return Calibration(votes, None)
    middles = _middles(MeasureEdges(*stored["confidence"]))
    right = total = np.zeros(len(middles))
    for row in load_evidence(db, one.run_id):
        counts = decode(row.counts, {"confidence"})["confidence"].estimation
        right, total = right + counts[row.label], total + counts.sum(axis=0)
    shares = np.divide(right, total, out=np.zeros_like(right), where=total > 0)
    return Calibration(votes, _calibration_error(1 - middles, shares, total))


def _counted(db: Database, one: Figures) -> _Counted:
    agreeing, dissenting, right, votes, n, means = [], [], [], [], [], []
    for row in load_evidence(db, one.run_id):
        histogram = decode(row.counts, {one.measure})[one.measure]
        counts, sums = histogram.estimation, decode_sums(row.counts)
        own = int(counts.sum(axis=1).argmax())
        agreeing.append(counts[own])
        dissenting.append(counts.sum(axis=0) - counts[own])
        right.append(own == row.label)
        votes.append(counts[own].sum())
        n.append(histogram.draws)
        answered = max(histogram.draws - histogram.unanswered.estimation, 1)
        means.append(np.nan if sums is None else sums.measures[one.measure][1] * SUM_UNIT / answered)
    return _Counted(
        np.array(agreeing), np.array(dissenting), np.array(right), np.array(votes), np.array(n), np.array(means)
    )  # fmt: skip


def _within(found: _Counted) -> float | None:
    """Returns the mean over the inputs of how often a dissenter is more uncertain than an agreeing one, ties a half."""
    both = (found.agreeing.sum(axis=1) > 0) & (found.dissenting.sum(axis=1) > 0)
    if not both.any():
        return None
    agreeing, dissenting = found.agreeing[both].astype(np.float64), found.dissenting[both].astype(np.float64)
    below = agreeing.cumsum(axis=1) - agreeing / 2
    pairs = agreeing.sum(axis=1) * dissenting.sum(axis=1)
    return float(((dissenting * below).sum(axis=1) / pairs).mean())


def _separation(wrong: Array, right: Array) -> float | None:
    """Returns the AUROC of two groups of values, ties a half."""
    if not len(wrong) or not len(right) or np.isnan([*wrong, *right]).any():
        return None
    ordered = np.sort(right)
    below = np.searchsorted(ordered, wrong, side="left") + np.searchsorted(ordered, wrong, side="right")
    return float(below.mean() / (2 * len(right)))


def _middles(edges: MeasureEdges) -> Array:
    """Returns the middle of every bin; the outer ones have their only edge."""
    ends = edges.edges[np.isfinite(edges.edges)]
    if not len(ends):
        return np.zeros(len(edges.edges) + 1)
    inner = np.concatenate([ends[:1], (ends[1:] + ends[:-1]) / 2])
    return np.concatenate([inner, np.full(len(edges.edges) + 1 - len(inner), ends[-1])])


def _within_share(found: _Counted, edges: MeasureEdges) -> float | None:
    """Returns the mean variance within inputs, by the variance over all samples, inputs weighing alike."""
    counts = (found.agreeing + found.dissenting).astype(np.float64)
    counts = counts[counts.sum(axis=1) > 0]
    if not len(counts):
        return None
    shares, middles = counts / counts.sum(axis=1, keepdims=True), _middles(edges)
    means = shares @ middles
    within = float((shares @ middles**2 - means**2).mean())
    whole = within + float(means.var())
    return within / whole if whole > 0 else None


def _oracle(found: _Counted, budget: int, one: Figures, *, easiest: bool) -> float | None:
    """Returns the gain of rejecting so many dissenters of right inputs: the easiest inputs' first, or all alike.

    The bounds are those of n samples at the scoring's alpha, under the majority rule.
    """
    alpha = share_of_alpha(one.alpha, one.family_size)
    dissent = np.where(found.right, found.n - found.votes, 0).astype(np.float64)
    if easiest:
        order = np.argsort(dissent, kind="stable")
        taken = np.zeros_like(dissent)
        taken[order] = np.clip(budget - (dissent[order].cumsum() - dissent[order]), 0, dissent[order])
    else:
        taken = dissent * min(1.0, budget / max(dissent.sum(), 1.0))
    kept = np.round(found.n - (dissent - taken))
    before, after = (
        np.where(found.right, one.sigma * stays_above_half(clopper_pearson_lower(count, found.n, alpha)), 0.0).sum()
        for count in (found.votes, kept)
    )
    return float(after / before - 1) if before > 0 else None


def _calibration_error(stated: Array, right: Array, weights: Array) -> float:
    """Returns the mean distance of what is stated from how often it is right, in ten bins of equal width."""
    bins = np.minimum((stated * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    whole = weights.sum()
    gaps = [abs(float((weights * (stated - right))[bins == at].sum())) for at in range(_CALIBRATION_BINS) if whole > 0]
    return sum(gaps) / float(whole) if whole > 0 else 0.0
