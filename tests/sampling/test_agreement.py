"""What counts as the same answer: differences that decide votes, whatever the size of the logits."""

from __future__ import annotations

import pytest
import torch

from rsuq_cli.sampling.agreement import differing, made_up_inputs


def logits(rows: int = 64, classes: int = 5) -> torch.Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(0)) * 3


def test_rounding_is_no_difference() -> None:
    before = logits()
    assert not differing(before, before * (1 + 1e-6) + 1e-6).any()
    assert not differing(before, before.clone()).any()


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e5])
def test_a_change_that_moves_votes_is_one_however_large_the_logits(offset: float) -> None:
    before = logits() + offset
    after = before.clone()
    after[7, before[7].topk(2).indices[1]] += 0.1
    assert differing(before, after).nonzero().flatten().tolist() == [7]


def test_a_class_that_is_far_behind_gives_the_others_no_slack() -> None:
    before = logits()
    before[:, 0] = -1e6
    after = before.clone()
    after[3, 1:] = after[3, 1:].roll(1)
    assert differing(before, after)[3]
    after = before.clone()
    after[:, 0] *= 1.0005
    assert not differing(before, after).any()


def test_a_common_shift_counts_since_energies_are_compared_with_thresholds() -> None:
    before = logits()
    assert differing(before, before + 0.5).all()


def test_broken_answers_are_the_same_as_broken_answers_only() -> None:
    before = logits()
    before[[1, 5]] = torch.nan
    after = before.clone()
    after[1, 2] = torch.inf
    assert not differing(before, after).any()
    after[5] = 0.0
    after[6, 0] = torch.nan
    assert differing(before, after).nonzero().flatten().tolist() == [5, 6]
    assert not differing(torch.full((3, 2), torch.nan), torch.full((3, 2), torch.nan)).any()


def test_a_coarse_format_rounds_coarsely() -> None:
    before = logits()
    after = before.bfloat16().float()
    assert differing(before, after).any()
    assert not differing(before, after, "bf16").any()


def test_inputs_are_made_up_once_and_leave_the_unit_range() -> None:
    one = made_up_inputs((3, 8, 8), 0.5, 32)
    assert torch.equal(one, made_up_inputs((3, 8, 8), 0.5, 32))
    assert one.min() < -0.5
    assert one.max() > 1.5
    assert one.std() > 0.4
