"""`rsuq train`: a checkpoint that others find, the same bits again, and Ctrl-C that loses no finished epoch."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commandline import Result, query, rsuq, start, stop_when
from samples import Sample

if TYPE_CHECKING:
    from conftest import Place

MLP = ("--model", "mlp", "--sigma", "0.25")


def train(*flags: object) -> Result:
    result = rsuq("train", *MLP, "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result


def only(result: Result) -> dict[str, Any]:
    (record,) = result.json
    return dict(record)


def test_the_checkpoint_is_recorded_and_certify_finds_it(place: Place) -> None:
    record = only(train("--epochs", 3))
    assert set(record) == {
        "checkpoint_id", "model", "dataset", "sigma", "objective", "epochs", "accuracy_clean", "accuracy_noisy",
        "seconds", "file", "sha256",
    }  # fmt: skip
    assert (record["checkpoint_id"], record["model"], record["dataset"], record["epochs"]) == (1, "mlp", "digits", 3)
    assert record["accuracy_clean"] > 0.6
    assert record["accuracy_clean"] > record["accuracy_noisy"] > 0.5
    file = Path(record["file"])
    assert file.parent == place.work / "checkpoints"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == record["sha256"]
    assert query(place.database, "SELECT sha256, file FROM checkpoint") == [(record["sha256"], str(file))]

    certified = rsuq("certify", *MLP, "--n", 100, "--limit", 4, "--format", "json")
    assert f"checkpoint 1: {file.name}" in certified.stderr
    assert certified.json[0]["checkpoint_id"] == 1
    assert certified.json[0]["objective"] == "gaussian"


def test_the_same_command_again_gives_the_same_bits_and_one_row(place: Place) -> None:
    first, second = only(train("--epochs", 2)), only(train("--epochs", 2, "--fresh"))
    assert first["sha256"] == second["sha256"]
    assert first["checkpoint_id"] == second["checkpoint_id"]
    assert only(train("--epochs", 2, "--seed", 1))["sha256"] != first["sha256"]
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(2,)]


def test_the_newest_checkpoint_is_used(place: Place) -> None:
    train("--epochs", 1)
    train("--epochs", 2)
    result = rsuq("certify", *MLP, "--n", 100, "--limit", 4, "--format", "json")
    assert result.json[0]["checkpoint_id"] == 2
    # Other weights are another run.
    (first, *_) = query(place.database, "SELECT file FROM checkpoint WHERE id = 1")[0]
    other = rsuq("certify", *MLP, "--n", 100, "--limit", 4, "--format", "json", "--weights", first)
    assert other.json[0]["run_id"] == 2


def test_a_folder_of_ones_own(place: Place) -> None:
    record = only(train("--epochs", 1, "--checkpoint-dir", "mine/deep"))
    assert Path(record["file"]).resolve().parent == place.work / "mine" / "deep"
    assert not (place.work / "checkpoints").exists()
    # The row holds a path that other working directories understand.
    assert Path(query(place.database, "SELECT file FROM checkpoint")[0][0]).is_absolute()
    assert [path.suffix for path in (place.work / "mine" / "deep").iterdir()] == [".safetensors"]


def test_a_network_and_data_of_ones_own(blobs: Sample) -> None:
    result = rsuq("train", *blobs.flags, "--epochs", 2, "--learning-rate", 0.01, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert only(result)["dataset"] == blobs.dataset
    certified = rsuq("certify", *blobs.flags, "--n", 100, "--format", "json")
    assert certified.json[0]["checkpoint_id"] == 1


@pytest.mark.parametrize("style", ["table", "csv", "markdown", "latex"])
def test_other_formats(style: str) -> None:
    result = rsuq("train", *MLP, "--epochs", 1, "--format", style)
    assert result.exit_code == 0
    assert "training on 1,077 inputs for 1 epochs at sigma 0.25" in result.stderr
    assert "mlp" in result.stdout
    if style == "csv":
        (row,) = csv.DictReader(io.StringIO(result.stdout))
        assert float(row["accuracy_noisy"]) > 0.2


@pytest.mark.slow
def test_ctrl_c_keeps_the_last_finished_epoch(place: Place) -> None:
    flags = ("--epochs", 40)
    whole = only(train(*flags, "--checkpoint-dir", "whole", "--db", place.work / "whole.db"))
    process = start("train", *MLP, "--format", "json", *flags)
    folder = place.work / "checkpoints"
    broken = stop_when(process, lambda: any(folder.glob("*.partial")), signal.SIGINT)
    assert broken.exit_code == 130
    assert broken.stdout == ""
    assert broken.stderr.splitlines()[-1].startswith("error: interrupted; what is finished is safe")
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(0,)]
    again = train(*flags)
    assert "resumed after epoch" in again.stderr
    assert only(again)["sha256"] == whole["sha256"]
    assert not any(folder.glob("*.partial"))


def test_an_interruption_before_the_first_epoch_ends_loses_nothing_and_keeps_nothing(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERRUPT_AT", "1")
    assert rsuq("train", *blobs.flags, "--epochs", 3).exit_code == 130
    monkeypatch.delenv("INTERRUPT_AT")
    result = rsuq("train", *blobs.flags, "--epochs", 3)
    assert result.exit_code == 0
    assert "resumed" not in result.stderr


# An epoch is one step and three passes that measure it.
@pytest.mark.parametrize(("hit", "epochs_before"), [(5, 1), (8, 1), (10, 2)])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    blobs: Sample, monkeypatch: pytest.MonkeyPatch, hit: int, epochs_before: int
) -> None:
    command = ("train", *blobs.flags, "--epochs", 4, "--format", "json")
    whole = only(rsuq(*command, "--db", "whole.db", "--checkpoint-dir", "whole"))
    monkeypatch.setenv("INTERRUPT_AT", str(hit))
    assert rsuq(*command).exit_code == 130
    monkeypatch.delenv("INTERRUPT_AT")
    # Another training is not confused with this one.
    assert "resumed" not in rsuq(*command, "--seed", 1).stderr
    again = rsuq(*command)
    assert f"resumed after epoch {epochs_before}" in again.stderr
    assert only(again)["sha256"] == whole["sha256"]


def test_fresh_forgets_an_interrupted_training(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERRUPT_AT", "8")
    rsuq("train", *blobs.flags, "--epochs", 4)
    monkeypatch.delenv("INTERRUPT_AT")
    result = rsuq("train", *blobs.flags, "--epochs", 4, "--fresh")
    assert result.exit_code == 0
    assert "resumed" not in result.stderr
    assert [path.suffix for path in (place.work / "checkpoints").iterdir()] == [".safetensors"]


def test_averaged_weights_that_hardly_move_are_said(place: Place) -> None:
    # 1,077 images in batches of 64 are 16 steps an epoch.
    assert (
        f"will be {0.999**31:.0%} those after the first of 32 steps: --ema 0.844 forgets them"
        in train("--epochs", 2, "--ema", "0.999").stderr
    )
    for flags in (("--ema", "0.844"), ()):
        assert "forgets them" not in train("--epochs", 2, *flags).stderr


def test_a_compiled_training_is_kept_as_one_of_its_own_and_a_compiler_that_fails_is_said(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(model: object) -> object:
        def fails(images: object) -> object:
            raise RuntimeError("there is no compiler")

        return fails

    monkeypatch.setattr("rsuq_cli.training.loop.compiled", refused)
    plain = rsuq("train", *blobs.flags, "--epochs", 1)
    found = rsuq("train", *blobs.flags, "--epochs", 1, "--compile")
    assert (plain.exit_code, found.exit_code) == (0, 0), found.stderr
    assert "torch.compile failed, trained without it (RuntimeError: there is no compiler)" in found.stderr
    configurations = [json.loads(one) for (one,) in query(place.database, "SELECT configuration FROM checkpoint")]
    assert [one.get("compiled", False) for one in configurations] == [False, True]
    assert "trained already" in rsuq("train", *blobs.flags, "--epochs", 1, "--compile").stderr
