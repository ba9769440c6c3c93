"""Weights whose normalisation lies outside of them: found, named, recorded, and the same wherever a run is opened."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Result, query, refused, rsuq
from conftest import Place
from samples import level_arrays, write_levels_weights, write_npz

from rsuq_cli.models.statistics import KNOWN

SETTINGS = ("--sigma", 0.05, "--n", 200, "--n0", 20, "--limit", 7, "--format", "json")


@pytest.fixture
def levels(place: Place) -> str:
    """Seven levels of brightness as colour images."""
    return write_npz(place.work / "levels.npz", **level_arrays())


def weights(name: str, **beside: Any) -> Path:
    return write_levels_weights(Path(f"{name}.pth"), *KNOWN[name], **beside)


def certify(dataset: str, file: Path | str, *flags: object) -> Result:
    return rsuq("certify", "--model", "mlp", "--dataset", dataset, "--weights", file, *SETTINGS, *flags)


def record(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (only,) = result.json
    return dict(only)


def recorded(place: Place, run: int = 1) -> Any:
    ((text,),) = query(place.database, "SELECT configuration FROM run WHERE id = ?", run)
    return json.loads(text).get("normalisation")


@pytest.mark.parametrize("name", ["none", "half", "cifar10", "cifar100", "imagenet"])
def test_the_one_that_weights_were_trained_with_is_found_and_said(place: Place, levels: str, name: str) -> None:
    result = certify(levels, weights(name))
    found = record(result)
    assert (found["clean_accuracy"], found["warnings"]) == (1.0, [])
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("normalisation: ")]
    assert f"the weights hold none; taking {name} (mean " in line
    assert "; the next, " in line
    expected = KNOWN[name].for_channels(3, 3)
    assert expected is not None
    assert recorded(place) == {"mean": list(expected.mean), "std": list(expected.std)}


def test_the_same_command_shows_the_run_and_another_normalisation_is_another_run(place: Place, levels: str) -> None:
    file = weights("imagenet")
    first = record(certify(levels, file))
    again = certify(levels, file)
    assert "nothing to do" in again.stderr
    # What was found, named by the user or in figures, is the same network.
    for flags in (("--normalise", "imagenet"), ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")):
        named = certify(levels, file, *flags)
        assert record(named)["run_id"] == first["run_id"]
        assert "normalisation:" not in named.stderr
    other = record(certify(levels, file, "--normalise", "none"))
    assert other["run_id"] != first["run_id"]
    assert other["clean_accuracy"] < 0.5
    assert recorded(place, 2) == {"mean": [0.0] * 3, "std": [1.0] * 3}


def test_whatever_opens_the_run_again_has_its_normalisation(place: Place, levels: str) -> None:
    run = record(certify(levels, weights("half")))["run_id"]
    np.save(place.work / "image.npy", np.load(place.work / "levels.npz")["x_test"][0])
    answer = record(rsuq("predict", "image.npy", "--run", run, "--format", "json"))
    assert (answer["class"], answer["in_dataset"]) == (0, True)
    same = record(rsuq("predict", "image.npy", "--model", "mlp", "--dataset", levels, "--weights", "half.pth",
                       *SETTINGS[:6], "--format", "json"))  # fmt: skip
    assert same["radius_cc"] == answer["radius_cc"]
    audit = rsuq("audit", run, "--inputs", 2, "--steps", 2, "--n", 500, "--format", "json")
    assert audit.exit_code == 0, audit.stderr
    assert sum(one["broken"] for one in audit.json) == 0
    ood = rsuq("ood", "--run", run, "--ood", "noise:uniform", "--limit", 4, "--format", "json")
    assert ood.exit_code == 0, ood.stderr
    assert "normalisation:" not in ood.stderr
    refusal = refused(rsuq("ood", "--run", run, "--ood", "noise:uniform", "--normalise", "none"))
    assert "run 1 was made with another normalisation" in refusal
    assert "leave --normalise out" in refused(rsuq("predict", "image.npy", "--run", run, "--normalise", "half"))


def test_a_run_from_before_it_was_recorded_is_found_and_opened(place: Place, levels: str) -> None:
    """Such runs had none on data of the user's own."""
    file = weights("none")
    record(certify(levels, file))
    with closing(sqlite3.connect(place.database)) as connection, connection:
        ((text,),) = connection.execute("SELECT configuration FROM run")
        old = {name: value for name, value in json.loads(text).items() if name != "normalisation"}
        connection.execute("UPDATE run SET configuration = ?", (json.dumps(old),))
    assert "run 1: all 7 inputs are sampled already" in certify(levels, file).stderr
    ood = rsuq("ood", "--run", 1, "--ood", "noise:uniform", "--limit", 4, "--format", "json")
    assert ood.exit_code == 0, ood.stderr
    assert rsuq("audit", 1, "--inputs", 1, "--steps", 1, "--n", 500).exit_code == 0


@pytest.mark.slow
def test_workers_sample_with_it(place: Place, levels: str) -> None:
    found = record(certify(levels, weights("cifar100"), "--workers", 2, "--limit", 2))
    assert found["clean_accuracy"] == 1.0


def test_the_datas_own_are_tried_and_can_be_named(place: Place, levels: str) -> None:
    images = np.load(place.work / "levels.npz")["x_train"] / 255
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    file = write_levels_weights(Path("own.pth"), tuple(mean), tuple(std))
    found = certify(levels, file)
    assert record(found)["clean_accuracy"] == 1.0
    assert "taking data (mean 0.4997," in found.stderr
    assert record(certify(levels, file, "--normalise", "data"))["run_id"] == 1


@pytest.mark.parametrize("name", ["half", "mnist", "imagenet"])
def test_grey_images(place: Place, name: str) -> None:
    """A network of one channel has one value: that of grey sets, or the average of the colours'."""
    dataset = write_npz(place.work / "grey.npz", **level_arrays(channels=1))
    grey = KNOWN[name].for_channels(1, 1)
    assert grey is not None
    file = write_levels_weights(Path("grey.pth"), *grey, channels=1)
    result = certify(dataset, file)
    assert record(result)["clean_accuracy"] == 1.0
    assert f"taking {name} (" in result.stderr


def test_without_calibration_data_it_is_assumed_and_warned_of(place: Place) -> None:
    arrays = {name: values for name, values in level_arrays().items() if name.endswith("test")}
    dataset = write_npz(place.work / "test_only.npz", **arrays)
    result = certify(dataset, weights("none"), "--threshold", 0.5)
    (warning,) = record(result)["warnings"]
    assert "has no calibration data to find it with: none is assumed" in warning
    assert f"warning: {warning}" in result.stderr
    assert record(certify(dataset, "none.pth", "--threshold", 0.5, "--normalise", "none"))["run_id"] == 1


def test_a_network_that_no_normalisation_makes_useful_is_warned_of(place: Place, levels: str) -> None:
    result = certify(levels, write_levels_weights(Path("wild.pth"), (0.9,) * 3, (-0.001,) * 3))
    warnings = record(result)["warnings"]
    assert any("none gives a useful accuracy at sigma 0.05" in warning for warning in warnings)
    # Nothing tells: pixels stay as they are.
    assert recorded(place) == {"mean": [0.0] * 3, "std": [1.0] * 3}


def test_a_network_that_noise_blinds_gets_the_one_that_clean_inputs_tell(place: Place, levels: str) -> None:
    result = certify(levels, weights("half"), "--sigma", 3)
    assert any("none gives a useful accuracy at sigma 3" in warning for warning in record(result)["warnings"])
    assert "taking half (mean 0.5,0.5,0.5 std 0.5,0.5,0.5), right on 100.0% of 21 clean calibration" in result.stderr


def test_a_part_of_a_file_is_opened_again(place: Place, levels: str) -> None:
    plain = torch.load(weights("half"), weights_only=True)
    spoiled = {name: torch.zeros_like(value) for name, value in plain["state_dict"].items()}
    torch.save({"state_dict": spoiled, "state_dict_ema": plain["state_dict"]}, "both.pth")
    result = certify(levels, "both.pth")
    assert "both.pth holds averaged weights too (state_dict_ema): taking state_dict; --weights" in result.stderr
    averaged = record(certify(levels, "both.pth#state_dict_ema"))
    assert (averaged["run_id"], averaged["clean_accuracy"]) == (2, 1.0)
    assert averaged["source"].endswith("both.pth#state_dict_ema")
    assert rsuq("audit", 2, "--inputs", 1, "--steps", 1, "--n", 500).exit_code == 0
    assert rsuq("ood", "--run", 2, "--ood", "noise:uniform", "--limit", 4).exit_code == 0
    assert "no weights under 'ema'" in refused(certify(levels, "both.pth#ema"))


def test_a_file_of_weights_is_no_model(place: Place) -> None:
    line = refused(rsuq("certify", "--model", "net.pth"))
    assert "'net.pth' is a file of weights, not a model" in line
    assert "--weights net.pth" in line


def test_two_that_cannot_be_told_apart_are_warned_of(place: Place) -> None:
    """With two calibration inputs hardly anything can be told."""
    dataset = write_npz(place.work / "few.npz", **level_arrays(train=20))
    result = certify(dataset, write_levels_weights(Path("near.pth"), (0.49,) * 3, (0.215,) * 3), "--sigma", 0.4)
    (warning,) = [one for one in record(result)["warnings"] if one.startswith("normalisation: ")]
    assert "cannot be told from it" in warning or "none gives a useful accuracy" in warning


def test_weights_that_hold_their_own_win(place: Place, trained: Path) -> None:
    (own,) = (trained.parent / "checkpoints").glob("*.safetensors")
    flags = ("certify", "--model", "mlp", "--weights", own, "--limit", 2, "--n", 100, "--format", "json")
    result = rsuq(*flags)
    assert record(result)["warnings"] == []
    assert "normalisation" not in result.stderr
    assert recorded(place) is None
    line = refused(rsuq(*flags, "--normalise", "half"))
    assert "holds its own normalisation: mean 0.3" in line
    assert "not mean 0.5 std 0.5" in line
    # What it holds may be said.
    assert record(rsuq(*flags, "--normalise", "data"))["run_id"] == 1


def test_a_network_of_the_users_own_normalises_by_itself(place: Place, blobs: Any) -> None:
    line = refused(rsuq("certify", *blobs.flags, "--normalise", "none"))
    assert "normalises in its own code" in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--normalise", "imagnet"), "did you mean imagenet"),
        (("--normalise", "half", "--mean", "0.5", "--std", "0.5"), "both --normalise and --mean"),
        (("--mean", "0.5"), "only --mean is given"),
        (("--std", "0.5"), "only --std is given"),
        (("--mean", "0.5,0.5", "--std", "0.5"), "--mean has 2 values and --std 1"),
        (("--mean", "0.5", "--std", "0"), "--std is 0"),
        (("--mean", "a,b", "--std", "1"), "--mean is 'a,b'"),
        (("--mean", "nan", "--std", "1"), "--mean is 'nan'"),
        (("--mean", "123.7,116.3,103.5", "--std", "58,57,57"), "divide by 255"),
        (("--mean", "0.5,0.5", "--std", "0.5,0.5"), "for 2 channels, and the data have 3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(levels: str, flags: tuple[str, ...], words: str) -> None:
    assert words in refused(certify(levels, weights("half"), *flags))
