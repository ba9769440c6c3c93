"""Networks that answer for a whole batch: refused before a run begins, and withdrawn where it shows during the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commandline import query, refused, rsuq
from samples import Sample, write_blobs

if TYPE_CHECKING:
    from conftest import Place

MODEL = """
import os, torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        x = x.flatten(1)
        if self.calls > int(os.environ.get("AFTER", 0)):
            {change}
        return 6 * x[:, :3]
"""
RESCALES = "low, high = x.amin().clamp_max(0), x.amax().clamp_min(1); x = (x - low) / (high - low)"
DROPS = "torch.manual_seed(0); x = torch.nn.functional.dropout(x, 0.3, training=True)"
HONEST = "pass"


def network(place: Place, change: str) -> Sample:
    (place.work / "net.py").write_text(MODEL.replace("{change}", change))
    return Sample("net.py:Net", write_blobs(place.work).dataset)


@pytest.mark.parametrize("change", [RESCALES, DROPS])
def test_it_is_refused_and_leaves_nothing(place: Place, change: str) -> None:
    sample = network(place, change)
    for command in ("certify", "ood"):
        ood = ("--ood", "noise:uniform") if command == "ood" else ()
        line = refused(rsuq(command, *sample.flags, "--n", 300, "--threshold", 0.5, *ood))
        assert "depends on the others in its batch" in line
    assert not place.database.exists() or query(place.database, "SELECT COUNT(*) FROM run") == [(0,)]


@pytest.mark.parametrize("change", [RESCALES, DROPS])
def test_what_was_sampled_of_a_network_that_shows_it_later_is_withdrawn(
    place: Place, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = network(place, change)
    monkeypatch.setenv("AFTER", "60")
    flags = (*sample.flags, "--n", 3000, "--threshold", 0.5, "--batch-size", 512)
    result = rsuq("certify", *flags)
    assert result.exit_code == 2
    assert "depends on the others in its batch" in result.stderr.splitlines()[-1]
    assert query(place.database, "SELECT COUNT(*) FROM evidence") == [(0,)]
    assert query(place.database, "SELECT COUNT(*) FROM certified_sample") == [(0,)]
    ((status, warnings),) = query(place.database, "SELECT status, warnings FROM run")
    assert status == "interrupted"
    assert "proves nothing, and was deleted" in warnings


def test_an_audit_refuses_it_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = network(place, RESCALES)
    monkeypatch.setenv("AFTER", "1000")
    assert rsuq("certify", *sample.flags, "--n", 300, "--threshold", 0.5).exit_code == 0
    monkeypatch.setenv("AFTER", "20")
    result = rsuq("audit", 1, "--inputs", 3, "--steps", 3)
    assert result.exit_code == 2
    assert "depends on the others in its batch" in result.stderr.splitlines()[-1]
