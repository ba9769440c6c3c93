"""Scores of out-of-distribution detection, from one clean pass and from the noise samples of an input.

Invariant: larger means more out-of-distribution, for every score, and a score is a pure function of the evidence.

A name is `family`, `family:measure` or, where a threshold is behind it, `family:measure@coverage`. The clean scores are
the baselines that people know: 1 - max softmax (`confidence`, Hendrycks and Gimpel 2017), energy (Liu et al. 2020),
maximum logit (Hendrycks et al. 2022), GEN (Liu et al. 2023), entropy, margin. The others are those of a smoothed
classifier: the mean of a measure under noise, and what the votes say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import entr

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.uncertainty.measures import in_order

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CLEAN, MEAN = "clean", "mean"
UNCERTAIN_MASS, NO_CERTAIN_CLASS = "uncertain_mass", "one_minus_max_q"
NO_CLASS, VOTE_ENTROPY, MUTUAL_INFORMATION = "one_minus_max_p", "vote_entropy", "mutual_information"
FAMILIES: dict[str, str] = {
    CLEAN: "one pass without noise",
    MEAN: "mean of a measure over the noise samples",
    UNCERTAIN_MASS: "share of the noise samples above the threshold (q_⊥)",
    NO_CERTAIN_CLASS: "1 - the largest share of certain votes (1 - max q)",
    NO_CLASS: "1 - the largest share of votes (1 - max p)",
    VOTE_ENTROPY: "entropy of the votes, / log K",
    MUTUAL_INFORMATION: "mutual information between prediction and noise, / log K",
}


@dataclass(frozen=True)
class Votes:
    """What the estimation samples of N inputs said. `certain` has, for each label of a threshold, the certain votes.

    A label is `measure@coverage`. `means` are those of the measures, `probabilities` that of the softmax vector.
    `unanswered` samples voted for no class, and are among the `n` of each input; a bounded measure has its highest
    value there, and the other means and the softmax are those of the answered samples.
    """

    votes: Integers  # [N, K]
    certain: Mapping[str, Integers]  # [N, K] each
    means: Mapping[str, Array]  # [N] each
    probabilities: Array  # [N, K]
    unanswered: Integers | int = 0  # [N]

    @property
    def n(self) -> Integers:
        """Samples of each input, `[N]`."""
        n: Integers = self.votes.sum(axis=1) + self.unanswered
        return n


def score_names(measures: Collection[str], labels: Iterable[str]) -> list[str]:
    """Returns the names of all scores of a run, the clean ones first, given its measures and labels of thresholds."""
    labels = list(labels)
    return [
        *(f"{family}:{measure}" for family in (CLEAN, MEAN) for measure in in_order(measures)),
        *(f"{family}:{label}" for family in (UNCERTAIN_MASS, NO_CERTAIN_CLASS) for label in labels),
        *(NO_CLASS, VOTE_ENTROPY, MUTUAL_INFORMATION),
    ]


def is_clean(name: str) -> bool:
    """Returns whether a score comes from the clean pass."""
    return name.startswith(f"{CLEAN}:")


def chosen(names: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Returns those of `names` that are asked for by name, by family, or without the coverage; all where none is.

    Raises BadInput, with the nearest names, for what none of them answers to.
    """
    picked: list[str] = []
    answering = {
        alias: [n for n in names if alias in (n, n.partition("@")[0], n.partition(":")[0])] for alias in _aliases(names)
    }
    for one in wanted:
        if one not in answering:
            raise BadInput(f"unknown score {one!r}", nearest(one, answering))
        picked += answering[one]
    return list(dict.fromkeys(picked)) or list(names)


def _aliases(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(alias for n in names for alias in (n.partition(":")[0], n.partition("@")[0], n)))


def smoothed_scores(votes: Votes) -> dict[str, Array]:
    """Returns every score of the noise samples by name, `[N]` each."""
    n = votes.n.astype(np.float64)
    shares = votes.votes / n[:, None]
    scale = np.log(max(shares.shape[1], 2))
    scores = {f"{MEAN}:{measure}": mean for measure, mean in votes.means.items()}
    for label, certain in votes.certain.items():
        scores[f"{UNCERTAIN_MASS}:{label}"] = 1.0 - certain.sum(axis=1) / n
    for label, certain in votes.certain.items():
        scores[f"{NO_CERTAIN_CLASS}:{label}"] = 1.0 - certain.max(axis=1) / n
    scores[NO_CLASS] = 1.0 - shares.max(axis=1)
    # No answer is an outcome of its own, beside the classes.
    scores[VOTE_ENTROPY] = (entr(shares).sum(axis=1) + entr(votes.unanswered / n)) / scale
    # Entropy of the mean minus mean of the entropies, of the answers; below zero only by rounding.
    total = entr(votes.probabilities).sum(axis=1) / scale
    of_answers = (votes.means["entropy"] * n - votes.unanswered) / np.maximum(n - votes.unanswered, 1)
    scores[MUTUAL_INFORMATION] = np.maximum(total - of_answers, 0.0)
    return scores
