"""Who is certified, against whom: choices from the selection samples, amounts from the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.outcomes import MOST_GROUPS, choose, from_counts, outcomes, take, without_rejection


@st.composite
def some_counts(draw: st.DrawFn) -> Counts:
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 30)))
    certain = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6)))
    return Counts(certain, certain + draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 6))))


@given(some_counts())
@settings(deadline=None)
def test_the_class_has_most_certain_votes_then_most_votes_then_the_lowest_id(counts: Counts) -> None:
    choice = choose(counts.certain, counts.votes)
    for i, (certain, votes) in enumerate(zip(counts.certain.tolist(), counts.votes.tolist(), strict=True)):
        ranking = sorted(range(len(certain)), key=lambda c: (-certain[c], -votes[c], c))
        assert [choice.class_index[i], *choice.rivals[i]] == ranking


def test_an_input_without_a_certain_vote_is_about_the_class_with_most_votes() -> None:
    choice = choose(np.zeros((1, 3), dtype=np.int64), np.array([[3, 5, 2]]))
    assert choice.class_index.tolist() == [1]
    assert choice.rivals.tolist() == [[0, 2]]


@given(some_counts(), some_counts())
@settings(deadline=None)
def test_amounts_partition_the_total(selection: Counts, estimation: Counts) -> None:
    inputs = min(len(selection.votes), len(estimation.votes))
    classes = min(selection.votes.shape[1], estimation.votes.shape[1])
    selection, estimation = (
        Counts(c.certain[:inputs, :classes], c.votes[:inputs, :classes]) for c in (selection, estimation)
    )
    choice = choose(selection.certain, selection.votes)
    found = from_counts(estimation, choice)
    assert np.array_equal(found.total, estimation.votes.sum(axis=-1))
    assert np.array_equal(found.rejected, (estimation.votes - estimation.certain).sum(axis=-1))
    assert np.array_equal(found.leader, take(estimation.certain, choice.class_index))
    assert np.array_equal(found.wrong, found.rivals.sum(axis=-1))
    assert np.array_equal(found.not_wrong + found.wrong, found.total)
    assert found.groups == min(classes - 1, MOST_GROUPS)
    never = without_rejection(estimation.votes, found.total, choice)
    assert not never.rejected.any()
    assert np.array_equal(never.leader + never.wrong, found.total)


def test_many_competitors_are_grouped_by_the_selection_alone() -> None:
    rng = np.random.default_rng(0)
    selected = rng.permutation(1000)[None, :]
    estimated = rng.integers(0, 50, (1, 1000))
    found = from_counts(Counts(estimated, estimated), choose(selected, selected))
    ranking = np.argsort(-selected[0])
    assert found.groups == MOST_GROUPS
    assert found.leader[0] == estimated[0, ranking[0]]
    assert found.rivals[0, :-1].tolist() == estimated[0, ranking[1:MOST_GROUPS]].tolist()
    assert found.rivals[0, -1] == estimated[0, ranking[MOST_GROUPS:]].sum()
    assert found.largest[0] == estimated.max()


@pytest.mark.parametrize("classes", [MOST_GROUPS, MOST_GROUPS + 1, MOST_GROUPS + 2])
def test_groups_at_the_limit(classes: int) -> None:
    votes = np.arange(classes)[::-1][None, :]
    found = outcomes(votes, np.zeros(1, int), votes.sum(axis=-1), choose(votes, votes))
    assert found.groups == min(classes - 1, MOST_GROUPS)
    assert found.rivals.sum() == votes[0, 1:].sum()


def test_a_single_class_has_no_competitors() -> None:
    votes = np.array([[7]])
    found = from_counts(Counts(votes - 2, votes), choose(votes, votes))
    assert (found.groups, int(found.leader[0]), int(found.rejected[0]), int(found.wrong[0])) == (0, 5, 2, 0)
