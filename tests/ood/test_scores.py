"""Scores of the noise samples by hand, and how they are named."""

from __future__ import annotations

import numpy as np
import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.ood.scores import Votes, chosen, is_clean, score_names, smoothed_scores
from rsuq_cli.uncertainty.predictor import PLAIN

LABEL = "entropy@0.9"


def _votes() -> Votes:
    votes = np.array([[10, 0], [5, 5]])
    certain = np.array([[8, 0], [1, 2]])
    means = {measure: np.array([0.25, 0.5]) for measure in PLAIN.measures}
    return Votes(votes, {LABEL: certain}, means, np.array([[0.9, 0.1], [0.5, 0.5]]))


def test_scores_by_hand() -> None:
    scores = smoothed_scores(_votes())
    assert scores[f"uncertain_mass:{LABEL}"] == pytest.approx([0.2, 0.7])
    assert scores[f"one_minus_max_q:{LABEL}"] == pytest.approx([0.2, 0.8])
    assert scores["one_minus_max_p"] == pytest.approx([0.0, 0.5])
    assert scores["vote_entropy"] == pytest.approx([0.0, 1.0])
    # Entropy of (0.9, 0.1) in bits is 0.468996.
    assert scores["mutual_information"] == pytest.approx([0.468996 - 0.25, 0.5], abs=1e-6)
    assert scores["mean:gen"] == pytest.approx([0.25, 0.5])


def test_every_smoothed_score_is_named_and_the_clean_ones_come_first() -> None:
    names = score_names(PLAIN.measures, [LABEL])
    clean = [name for name in names if is_clean(name)]
    assert names[: len(clean)] == clean == [f"clean:{measure}" for measure in PLAIN.measures]
    assert set(names) - set(clean) == set(smoothed_scores(_votes()))


def test_scores_are_chosen_by_name_family_or_without_coverage() -> None:
    names = score_names(PLAIN.measures, [LABEL, "margin@0.9"])
    assert chosen(names, []) == names
    assert chosen(names, ["uncertain_mass"]) == [f"uncertain_mass:{LABEL}", "uncertain_mass:margin@0.9"]
    assert chosen(names, ["uncertain_mass:margin", "vote_entropy"]) == ["uncertain_mass:margin@0.9", "vote_entropy"]
    assert chosen(names, ["clean:gen", "clean"])[0] == "clean:gen"
    with pytest.raises(BadInput, match="unknown score") as refused:
        chosen(names, ["vote_entropi"])
    assert "vote_entropy" in refused.value.hint


def test_samples_without_an_answer_are_an_outcome_of_their_own() -> None:
    votes = np.array([[6, 0], [3, 3]])
    means = {measure: np.array([0.25 * 0.6 + 0.4, 0.5]) for measure in PLAIN.measures}
    half = np.array([[0.9, 0.1], [0.5, 0.5]])
    scores = smoothed_scores(Votes(votes, {LABEL: votes}, means, half, np.array([4, 0])))
    assert scores[f"uncertain_mass:{LABEL}"] == pytest.approx([0.4, 0.0])
    assert scores["one_minus_max_p"] == pytest.approx([0.4, 0.5])
    assert scores["vote_entropy"] == pytest.approx([0.970951, 1.0], abs=1e-6)  # entropy of (0.6, 0.4) in bits
    assert scores["mutual_information"] == pytest.approx([0.468996 - 0.25, 0.5], abs=1e-6)
