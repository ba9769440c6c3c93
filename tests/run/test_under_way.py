"""A run that is under way does the same things whichever command began it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from commandline import query, rsuq
from samples import Sample

from rsuq_cli.datasets.dataset import Split
from rsuq_cli.run.ready import Part

if TYPE_CHECKING:
    from conftest import Place

SETTINGS = ("--n0", 20, "--n", 100, "--batch-size", 64, "--format", "json")
COMMANDS = pytest.mark.parametrize(
    "command", [("certify",), ("ood", "--ood", "noise:uniform")], ids=["certify", "ood"]
)  # fmt: skip


@COMMANDS
def test_what_it_costs_is_said_before_it_is_spent(place: Place, blobs: Sample, command: tuple[str, ...]) -> None:
    result = rsuq(*command, *blobs.flags, *SETTINGS)
    assert result.exit_code == 0, result.stderr
    # alpha 0.001 of 100 votes: sigma * quantile(0.001 ** (1 / 100)).
    ceiling = 0.25 * 1.50067
    said = rf"× 120 samples, about .+ on cpu \(fp32, batches of 64\); no radius can exceed {ceiling:.3f}$"
    assert [line for line in result.stderr.splitlines() if line.startswith("run 1: ") and re.search(said, line)]


@COMMANDS
def test_it_is_not_complete_before_what_it_lacks_is_known(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Sampled to the last input and cut off then: the call that ends it still says how many answers were missing."""

    def cut_off(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("rsuq_cli.run.under_way.unanswered_warnings", cut_off)
    assert rsuq(*command, *blobs.flags, *SETTINGS).exit_code == 130
    assert query(place.database, "SELECT status FROM run") == [("interrupted",)]
    monkeypatch.setattr("rsuq_cli.run.under_way.unanswered_warnings", lambda *_: ["some had no answer"])
    for times in (1, 0):  # a complete run is shown, not told of again
        again = rsuq(*command, *blobs.flags, *SETTINGS)
        assert again.exit_code == 0, again.stderr
        assert again.stderr.count("warning: some had no answer") == times
        ((status, warnings),) = query(place.database, "SELECT status, warnings FROM run")
        assert status == "complete"
        assert "some had no answer" in json.loads(warnings)


def test_what_is_left_of_a_part_keeps_its_numbers_and_noise() -> None:
    split = Split(torch.arange(4).reshape(4, 1, 1, 1), torch.arange(4) % 2, np.arange(10, 14))
    part = Part("set", split, np.arange(100, 104), np.arange(20, 24))
    assert part.without(frozenset({3})) is part
    left = part.without(frozenset({20, 22}))
    assert left.split.images.flatten().tolist() == [1, 3]
    assert left.split.labels.tolist() == [1, 1]
    assert (left.split.indices.tolist(), left.noise.tolist(), left.stored.tolist()) == ([11, 13], [101, 103], [21, 23])
    assert len(part.without({20, 21, 22, 23})) == 0
