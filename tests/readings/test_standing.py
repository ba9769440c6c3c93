"""What is told while a run is under way is what the run would report as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from commandline import query, rsuq
from samples import Sample

from rsuq_cli.jobs.certify import certify_run
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.ood.run import ood_run
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.figures import figures
from rsuq_cli.run.request import CertifyRequest, Machine, Sources

if TYPE_CHECKING:
    from conftest import Place


class Listener:
    """Keeps every note that comes with progress, and has the run stop after so many of them."""

    def __init__(self, most: int | None = None) -> None:
        self.notes: list[str] = []
        self.most = most

    def say(self, line: str) -> None: ...

    def begin(self, task: str, total: int) -> None: ...

    def advance(self, units: int, note: str = "") -> None:
        self.notes.append(note)
        if self.most is not None and len([one for one in self.notes if one]) >= self.most:
            raise KeyboardInterrupt

    def end(self) -> None: ...


def request(sample: Sample, **changes: object) -> CertifyRequest:
    sources, machine = Sources(sample.model, sample.dataset), Machine("cpu", batch_size=64)
    usual: dict[str, Any] = {"sigma": 0.25, "n": 200, "measures": ("entropy", "margin")}
    return CertifyRequest(sources, machine=machine, **(usual | changes))


def reported(place: Place, scoring: int) -> str:
    """Returns the line that the report's figures of a scoring make."""
    with open_for_reading(place.database) as results:
        (one,) = [one for one in figures(results) if one.scoring_id == scoring]
    return (
        f"{one.inputs} inputs: {100 * one.clean_accuracy:.1f} % right, {100 * one.coverage:.1f} % certain, "
        f"ACR {one.acr_standard:.3f}, CC {one.acr_cc:.3f}, NCL {one.acr_ncl:.3f}"
    )


def test_the_figures_so_far_are_those_of_the_report_across_a_resume(place: Place, blobs: Sample) -> None:
    first = Listener(most=3)
    with pytest.raises(KeyboardInterrupt):
        certify_run(request(blobs), place.database, first)
    finished = query(place.database, "SELECT COUNT(*) FROM evidence")[0][0]
    assert 0 < finished < 12
    assert first.notes[-1] == reported(place, 1)
    second = Listener()
    outcome = certify_run(request(blobs), place.database, second)
    # The first line after the resume has the inputs of before in it, the last one all of them: of the first scoring.
    assert second.notes[0].startswith(f"{finished} inputs: ") or second.notes[0].startswith(f"{finished + 1} inputs: ")
    assert second.notes[-1] == reported(place, outcome.scoring_ids[0])
    assert second.notes[-1].startswith("12 inputs: ")


def test_without_rejection_only_the_standard_radius_is_told(place: Place, blobs: Sample) -> None:
    listener = Listener()
    certify_run(request(blobs, rule="standard"), place.database, listener)
    assert "ACR 0." in listener.notes[-1]
    assert "CC" not in listener.notes[-1]
    assert "NCL" not in listener.notes[-1]


def test_ood_tells_the_share_that_is_done_of_each_set(place: Place, blobs: Sample) -> None:
    sets = ("noise:uniform", "constant")
    ood = OodRequest(request(blobs, n=60, measures=("entropy",)), sets, (0.0,))
    listener = Listener()
    ood_run(ood, place.database, listener)
    assert listener.notes[-1] == "blobs.npz 100 %, noise:uniform 100 %, constant 100 %"
    assert any("noise:uniform 0 %, constant 0 %" in note and "blobs.npz 0 %" not in note for note in listener.notes)


def test_a_pipe_gets_a_line_with_the_figures(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsuq_cli.console.Reporter.PLAIN_SECONDS", 0.0)
    result = rsuq("certify", *blobs.flags, "--n", 200, "--batch-size", 64)
    assert result.exit_code == 0
    lines = [line for line in result.stderr.splitlines() if line.startswith("certify: ")]
    assert len(lines) > 1
    assert all(" s to go" in line for line in lines)
    assert lines[-1].endswith(reported(place, 1))
