"""From the evidence of every side to metrics: how well each score detects, what is guaranteed, and what it is good for.

Invariant: a pure function of the evidence and the settings. All scores of a set are resampled with the same weights,
and the in-distribution side with the same for every set, so differences and averages over sets are paired.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import CERTAIN, UNCERTAIN, Certificates, certify
from rsuq_cli.certificates.intervals import wilson_interval
from rsuq_cli.certificates.method import Method, share_of_alpha
from rsuq_cli.jobs.ood.evidence import Rejection, SideEvidence, bounded
from rsuq_cli.ood.certainty import Estimate, delong, percentile, rate, resample_weights
from rsuq_cli.ood.certified import Bounds, guaranteed, mean_bounds, no_class_bounds, rejected_bounds
from rsuq_cli.ood.metrics import Metrics, weighted_metrics
from rsuq_cli.ood.scores import CLEAN, MEAN, NO_CERTAIN_CLASS, NO_CLASS, UNCERTAIN_MASS, is_clean
from rsuq_cli.ood.selective import COVERAGES, certified_risk, selective
from rsuq_cli.results.ood_writer import DIFFERENCE, MetricRow

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
GROUPS = {True: "near", False: "far"}
AVERAGED = ("auroc", "aupr_in", "aupr_out", "fpr95_ood_positive", "fpr95_id_positive", "detection_accuracy")
# Metrics under the names that they are stored by: FPR95 without a word is that of the default convention.
STORED = {name: name.removesuffix("_ood_positive") for name in AVERAGED}


@dataclass(frozen=True)
class Evaluation:
    """`radii` in pixel units like `sigma`; every bound has an error of at most `alpha / family_size`."""

    sigma: float
    alpha: float
    family_size: int
    radii: tuple[float, ...]
    seed: int

    @property
    def error_budget(self) -> float:
        """The alpha of one bound."""
        return share_of_alpha(self.alpha, self.family_size)

    @property
    def method(self) -> Method:
        """How votes become certificates."""
        return Method(self.sigma, self.alpha, family_size=self.family_size)

    @property
    def shift(self) -> Array:
        """The radii in units of sigma, `[R]`."""
        return np.array(self.radii, dtype=np.float64) / self.sigma


def bounds_per_input(measures: Collection[str], labels: int) -> int:
    """Returns how many bounds the evaluation puts on one input, given a run's measures and the number of thresholds.

    One for every score that has bounds (means, all votes, and two for a threshold), and for a threshold CC and NCL.
    """
    return len(bounded(measures)) + 1 + 4 * labels


def evaluate(sides: Sequence[SideEvidence], rejections: Sequence[Rejection], evaluation: Evaluation) -> list[MetricRow]:
    """Returns every metric of the sides, the first of which is in distribution."""
    own, others = sides[0], sides[1:]
    return [
        *_descriptions(sides),
        *_detection(own, others, evaluation),
        *_guarantees(own, others, rejections, evaluation),
        *_certified(own, others, rejections, evaluation),
        *_selective(own),
    ]


def _descriptions(sides: Sequence[SideEvidence]) -> Iterator[MetricRow]:
    for side in sides:
        yield MetricRow("inputs", float(len(side.n)), side.name)
        if side.near is not None:
            yield MetricRow("near", float(side.near), side.name)


@dataclass
class _Group:
    """Replicates summed over the sets of a group, by score and metric."""

    sets: int = 0
    sums: dict[str, dict[str, Array]] = field(default_factory=dict)

    def add(self, score: str, found: Metrics) -> None:
        sums = self.sums.setdefault(score, {})
        for name in AVERAGED:
            sums[name] = sums.get(name, 0.0) + getattr(found, name)


def _detection(own: SideEvidence, others: Sequence[SideEvidence], evaluation: Evaluation) -> Iterator[MetricRow]:
    """Yields the metrics of every set and score, their averages over near and far sets, and the best differences."""
    groups: dict[str, _Group] = {}
    own_weights = resample_weights(len(own.n), (evaluation.seed, 0))
    for other in others:
        weights = resample_weights(len(other.n), (evaluation.seed, 1 + zlib.crc32(other.name.encode())))
        group = groups.setdefault(GROUPS[bool(other.near)], _Group())
        group.sets += 1
        replicates: dict[str, Array] = {}
        for score, values in other.scores.items():
            found = weighted_metrics(own.scores[score], values, own_weights, weights)
            replicates[score] = found.auroc
            group.add(score, found)
            yield from _of_set(own, other, score, found)
        yield _difference(other.name, replicates)
        yield from _gains(other.name, replicates)
    for name, group in groups.items():
        ood_set = average_of(name)
        for score, sums in group.sums.items():
            for metric, values in sums.items():
                yield _row(STORED[metric], percentile(values / group.sets), ood_set, score)
        averages = {score: sums["auroc"] / group.sets for score, sums in group.sums.items()}
        yield _difference(ood_set, averages)
        yield from _gains(ood_set, averages)


def average_of(group: str) -> str:
    """Returns the name that averages over the sets of a group, near or far, are stored under."""
    return f"average:{group}"


def _of_set(own: SideEvidence, other: SideEvidence, score: str, found: Metrics) -> Iterator[MetricRow]:
    sizes = {"fpr95_ood_positive": len(own.n), "fpr95_id_positive": len(other.n)}
    sizes["detection_accuracy"] = min(sizes.values())
    for name in AVERAGED:
        values: Array = getattr(found, name)
        if name == "auroc":
            estimate = delong(own.scores[score], other.scores[score])
        elif name in sizes:
            estimate = rate(values, sizes[name])
        else:
            estimate = percentile(values)
        yield _row(STORED[name], estimate, other.name, score)
    yield MetricRow("threshold", float(found.threshold[0]), other.name, score)


class Compared(NamedTuple):
    """Which smoothed score is compared with which clean one."""

    smoothed: str
    clean: str

    @property
    def name(self) -> str:
        """How the pair is stored."""
        return f"{self.smoothed} - {self.clean}"


def _difference(ood_set: str, replicates: Mapping[str, Array]) -> MetricRow:
    """Returns AUROC of the best smoothed score minus that of the best clean one, with its paired interval."""

    def best(clean: bool) -> str:
        return max((score for score in replicates if is_clean(score) == clean), key=lambda score: replicates[score][0])

    pair = Compared(best(False), best(True))
    return _row(DIFFERENCE, percentile(replicates[pair.smoothed] - replicates[pair.clean]), ood_set, pair.name)


def _gains(ood_set: str, replicates: Mapping[str, Array]) -> Iterator[MetricRow]:
    """Yields for every measure AUROC of its mean under noise minus that of its single pass: nothing is chosen."""
    for measure in (score.removeprefix(f"{MEAN}:") for score in replicates if score.startswith(f"{MEAN}:")):
        smoothed, clean = f"{MEAN}:{measure}", f"{CLEAN}:{measure}"
        yield _row("gain_over_clean", percentile(replicates[smoothed] - replicates[clean]), ood_set, smoothed)


def _row(name: str, estimate: Estimate, ood_set: str | None, score: str) -> MetricRow:
    return MetricRow(name, estimate.value, ood_set, score, None, estimate.low, estimate.high)


def _guarantees(
    own: SideEvidence, others: Sequence[SideEvidence], rejections: Sequence[Rejection], evaluation: Evaluation
) -> Iterator[MetricRow]:
    """Yields AUROC and FPR95 against an attacker who moves the outside, and one who moves both sides."""
    of_label = {one.label: one.scoring_id for one in rejections}
    inside = _bounds(own, evaluation)
    still = _bounds(own, evaluation, still=True)
    for other in others:
        for score, outside in _bounds(other, evaluation).items():
            scoring_id = of_label.get(score.partition(":")[2], rejections[0].scoring_id)
            fixed = np.broadcast_to(still[score].upper, inside[score].upper.shape)
            for suffix, upper in (("", fixed), ("_two_sided", inside[score].upper)):
                found = guaranteed(upper, outside.lower)
                for at, radius in enumerate(evaluation.radii):
                    for name, values in found._asdict().items():
                        stored = f"guaranteed_{name.removesuffix('_ood_positive')}{suffix}"
                        value = float(values[at])
                        yield MetricRow(stored, value, other.name, score, radius, scoring_id=scoring_id)


def _bounds(side: SideEvidence, evaluation: Evaluation, *, still: bool = False) -> dict[str, Bounds]:
    """Returns the bounds of every score that has some, at the radii, or where nobody moves the inputs (`still`)."""
    shift = np.zeros(1) if still else evaluation.shift
    alpha = evaluation.error_budget
    found: dict[str, Bounds] = {}
    for measure in side.bins:
        found[f"{MEAN}:{measure}"] = mean_bounds(side.bins[measure], side.n, side.edges[measure], alpha, shift)
    for label, counts in side.estimation.items():
        rejected = side.n - counts.certain.sum(axis=1)
        found[f"{UNCERTAIN_MASS}:{label}"] = rejected_bounds(rejected, side.n, alpha, shift)
        selected = side.selection[label]
        found[f"{NO_CERTAIN_CLASS}:{label}"] = no_class_bounds(selected.certain, counts.certain, side.n, alpha, shift)
        found[NO_CLASS] = no_class_bounds(selected.votes, counts.votes, side.n, alpha, shift)
    return found


def _certified(
    own: SideEvidence, others: Sequence[SideEvidence], rejections: Sequence[Rejection], evaluation: Evaluation
) -> Iterator[MetricRow]:
    """Yields the shares certified in the whole ball: uncertain elsewhere, CC in distribution; and the risk there."""
    method = evaluation.method
    for one in rejections:
        score = f"{UNCERTAIN_MASS}:{one.label}"
        certificates = certify(own.selection[one.label], own.estimation[one.label], method)
        confident = certificates.decision == CERTAIN
        yield from _reached("certified_cc", None, score, confident, certificates.radius_cc, one, evaluation)
        risks = certified_risk(own.labels, certificates, evaluation.radii)
        for radius, risk in zip(evaluation.radii, risks, strict=True):
            yield MetricRow("certified_risk", float(risk), None, score, radius, scoring_id=one.scoring_id)
        for other in others:
            elsewhere: Certificates = certify(other.selection[one.label], other.estimation[one.label], method)
            unsure = elsewhere.decision == UNCERTAIN
            yield from _reached(
                "certified_uncertain", other.name, score, unsure, elsewhere.radius_uncertain, one, evaluation
            )


def _reached(
    name: str, ood_set: str | None, score: str, counts: npt.NDArray[np.bool_], radius: Array, rejection: Rejection,
    evaluation: Evaluation,
) -> Iterator[MetricRow]:  # fmt: skip
    for at in evaluation.radii:
        reached = int((counts & (radius >= at)).sum())
        interval = wilson_interval(reached, len(counts))
        yield MetricRow(
            name, reached / len(counts), ood_set, score, at, float(interval.low), float(interval.high),
            rejection.scoring_id,
        )  # fmt: skip


def _selective(own: SideEvidence) -> Iterator[MetricRow]:
    """Yields the figures of selective classification by each score; a clean score goes with the clean answer."""
    for score, values in own.scores.items():
        found = selective(values, (own.answers if is_clean(score) else own.smoothed) != own.labels)
        for name in ("aurc", "e_aurc", "augrc"):
            yield MetricRow(name, getattr(found, name), None, score)
        for coverage, risk in zip(COVERAGES, found.risk, strict=True):
            yield MetricRow(f"risk@{coverage:g}", float(risk), None, score)
