"""State files: what is written comes back, and what is not ours is not used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.training.resume import EpochRecord, ResumeState, fingerprint, load_state, save_state
from rsuq_cli.training.settings import TrainSettings

STATE = ResumeState("abc", {"w": torch.ones(2)}, {"state": {0: {}}}, (EpochRecord(1, 0.5, 0.9, 0.8, 1.5),))


def test_a_state_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path / "state", STATE)
    state = load_state(tmp_path / "state")
    assert state is not None
    assert (state.fingerprint, state.optimizer, state.history) == ("abc", {"state": {0: {}}}, STATE.history)
    assert torch.equal(state.model["w"], torch.ones(2))


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_what_is_none_of_ours_is_not_used(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "state"
    if content is None:
        torch.save({"some": "thing"}, path)
    else:
        path.write_bytes(content)
    assert load_state(path) is None


def test_a_state_cut_short_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_state(path, STATE)
    path.write_bytes(path.read_bytes()[:-30])
    assert load_state(path) is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file/state"):
        save_state(tmp_path / "file" / "state", STATE)


def test_the_fingerprint_sees_settings_data_and_network(stripes: Callable[..., Dataset]) -> None:
    settings = TrainSettings(sigma=0.5, epochs=2)
    train, other = stripes().load("train"), stripes((61, 20, 20)).load("train")
    held_out = stripes().load("calibration")
    model = nn.Linear(4, 2)
    prints = {
        fingerprint(settings, model, train, held_out),
        fingerprint(replace(settings, seed=1), model, train, held_out),
        fingerprint(settings, nn.Linear(4, 3), train, held_out),
        fingerprint(settings, model, other, held_out),
        fingerprint(settings, model, train, other),
    }
    assert len(prints) == 5
    assert fingerprint(settings, nn.Linear(4, 2), stripes().load("train"), held_out) in prints
