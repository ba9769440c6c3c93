"""What made the noise of a run is on record where it is not numpy, and a run that is opened again has it again."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import query, rsuq
from samples import BLOBS_MODEL, Sample, blob_arrays, write_npz

from rsuq_cli.run import sampler
from rsuq_cli.sampling.counter_noise import gaussian_noise
from rsuq_cli.sampling.grid_noise import GridNoise
from rsuq_cli.sampling.philox import PHILOX

if TYPE_CHECKING:
    from conftest import Place

COUNTS = "vote_count, uncertain_count"


@pytest.fixture
def eight_bit(place: Place) -> Sample:
    """The blobs as bytes, and the first of them as a file."""
    arrays = {name: one if name[0] == "y" else (255 * one).astype(np.uint8) for name, one in blob_arrays().items()}
    np.save(place.work / "image.npy", arrays["x_test"][0])
    (place.work / "blobs.py").write_text(BLOBS_MODEL)
    return Sample(f"{place.work / 'blobs.py'}:make", write_npz(place.work / "bytes.npz", **arrays))


def as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the CPU have the noise of other devices."""

    def grid(sigma: float, seed: int, shape: Any, device: Any, _: str | None) -> GridNoise:
        return GridNoise(sigma, seed, shape, device, PHILOX)

    def gaussian(*, generator: str | None, **given: Any) -> Any:
        return partial(gaussian_noise, generator=PHILOX)(**given)

    monkeypatch.setattr(sampler, "GridNoise", grid)
    monkeypatch.setattr(sampler, "gaussian_noise", gaussian)


def recorded(place: Place) -> list[dict[str, Any]]:
    return [json.loads(one) for (one,) in query(place.database, "SELECT configuration FROM run ORDER BY id")]


def test_runs_on_the_cpu_say_nothing_new_and_are_found_again(place: Place, blobs: Sample) -> None:
    for _ in range(2):
        assert rsuq("certify", *blobs.flags, "--n", 200).exit_code == 0
    (configuration,) = recorded(place)
    assert "noise_generator" not in configuration
    assert configuration["noise_block"] == 100


@pytest.mark.parametrize("noise", ["gaussian", "grid"])
def test_a_run_of_another_device_is_another_run_and_is_answered_with_its_own_noise(
    place: Place, eight_bit: Sample, monkeypatch: pytest.MonkeyPatch, noise: str
) -> None:
    command = "certify", *eight_bit.flags, "--n", 400, "--noise", noise
    with monkeypatch.context() as patched:
        as_elsewhere(patched)
        for _ in range(2):  # found again, too
            assert rsuq(*command).exit_code == 0
    assert rsuq(*command).exit_code == 0
    first, second = recorded(place)
    assert first["noise_generator"] == PHILOX
    assert "noise_block" not in first
    assert {name for name in first | second if first.get(name) != second.get(name)} == {
        "noise_generator",
        "noise_block",
    }
    rows = [
        query(place.database, f"SELECT {COUNTS} FROM certified_sample JOIN scoring ON scoring.id = scoring_id"
              " WHERE run_id = ? ORDER BY input_index", run)
        for run in (1, 2)
    ]  # fmt: skip
    assert rows[0] != rows[1]
    for run in (1, 2):
        (answer,) = rsuq("predict", "image.npy", "--run", run, "--index", 0, "--format", "json").json
        assert (answer["vote_count"], answer["uncertain_count"]) == rows[run - 1][0]
