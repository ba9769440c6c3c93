"""`rsuq train` again: what has been trained is shown, and what is another training is trained, with the reason."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import Result, query, rsuq, snapshot
from samples import Sample, blob_arrays, write_npz

if TYPE_CHECKING:
    from conftest import Place

MLP = ("--model", "mlp", "--sigma", "0.25", "--epochs", "1")
SHOWN = "trained already: checkpoint 1"


def train(*flags: object) -> Result:
    result = rsuq("train", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result


def number(result: Result) -> int:
    return int(result.json[0]["checkpoint_id"])


def forget(database: Path, *names: str) -> None:
    """Takes from checkpoint 1 what versions before did not record."""
    (text,) = query(database, "SELECT configuration FROM checkpoint WHERE id = 1")[0]
    kept = {name: value for name, value in json.loads(text).items() if name not in names}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE checkpoint SET configuration = ? WHERE id = 1", [json.dumps(kept)])


def test_the_same_command_shows_what_it_has(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(*MLP)
    before = snapshot(place.work)
    monkeypatch.setattr("rsuq_cli.jobs.training.run.train", None)
    again = train(*MLP)
    assert again.stdout == first.stdout
    assert again.stderr.splitlines() == [f"{SHOWN} (--fresh trains anew)"]
    assert snapshot(place.work) == before
    # What has a default may be given, and where it runs is no part of what is trained.
    assert train(*MLP, "--seed", 0, "--objective", "gaussian", "--device", "cpu").stdout == first.stdout


def test_labels_are_given_to_what_is_shown(place: Place) -> None:
    train(*MLP, "--name", "first")
    again = train(*MLP, "--name", "second", "--tag", "kept")
    assert SHOWN in again.stderr
    assert "checkpoint 1 is named second now, no longer first" in again.stderr
    assert query(place.database, "SELECT name FROM checkpoint") == [("second",)]
    assert query(place.database, "SELECT checkpoint_id, tag FROM checkpoint_tag") == [(1, "kept")]


def test_a_folder_of_ones_own_gets_the_file_that_is_shown(place: Place) -> None:
    first = train(*MLP).json[0]
    again = train(*MLP, "--checkpoint-dir", "mine").json[0]
    assert Path(again["file"]).resolve().parent == place.work / "mine"
    assert Path(again["file"]).read_bytes() == Path(first["file"]).read_bytes()
    assert query(place.database, "SELECT file FROM checkpoint") == [(first["file"],)]


@pytest.mark.parametrize(
    "flags",
    [
        ("--epochs", 2), ("--batch-size", 100), ("--learning-rate", 0.01), ("--schedule", "cosine"), ("--seed", 1),
        ("--sigma", 0.5), ("--hold-out-classes", "8,9"),
    ],
)  # fmt: skip
def test_every_setting_makes_another_training(blobs: Sample, flags: tuple[str, object]) -> None:
    own = ("--epochs", 1, "--batch-size", 20, "--sigma", 0.25)
    sample = ("--model", blobs.model) if "--hold-out-classes" not in flags else MLP[:2]
    data = ("--dataset", blobs.dataset) if "--hold-out-classes" not in flags else ()
    assert number(train(*sample, *data, *own)) == 1
    other = train(*sample, *data, *own, *flags)
    assert number(other) == 2
    assert "already" not in other.stderr
    # Another setting is no reason to say anything.
    assert "anew" not in other.stderr
    assert SHOWN in train(*sample, *data, *own).stderr


def test_fresh_trains_anew(place: Place, blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1)
    again = train(*blobs.flags, "--epochs", 1, "--fresh")
    assert "already" not in again.stderr
    assert "training on" in again.stderr
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(1,)]


def with_other_images(arrays: dict[str, Any]) -> None:
    arrays["x_train"] = arrays["x_train"] * 0.9


def with_other_labels(arrays: dict[str, Any]) -> None:
    arrays["y_train"] = np.roll(arrays["y_train"], 1)


@pytest.mark.parametrize("change", [with_other_images, with_other_labels])
def test_changed_data_are_trained_on_anew(blobs: Sample, change: Callable[[dict[str, Any]], None]) -> None:
    train(*blobs.flags, "--epochs", 1)
    arrays = blob_arrays()
    change(arrays)
    write_npz(Path(blobs.dataset.removeprefix("npz:")), **arrays)
    again = train(*blobs.flags, "--epochs", 1)
    assert f"training anew: checkpoint 1 was trained on other images or labels of {blobs.dataset}" in again.stderr
    assert number(again) == 2
    assert "trained already: checkpoint 2" in train(*blobs.flags, "--epochs", 1).stderr


def test_a_training_with_parameters_is_not_shown_for_one_without(blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1, "--set", "noises=4")
    assert number(train(*blobs.flags, "--epochs", 1)) == 2
    assert SHOWN in train(*blobs.flags, "--epochs", 1, "--set", "noises=4").stderr
    assert "trained already: checkpoint 2" in train(*blobs.flags, "--epochs", 1).stderr
    assert "trained already: checkpoint 2" in train(*blobs.flags, "--epochs", 1, "--set", "noises=1").stderr


def test_other_test_images_are_no_other_training(blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1)
    arrays = blob_arrays()
    arrays["x_test"] = arrays["x_test"] * 0.9
    write_npz(Path(blobs.dataset.removeprefix("npz:")), **arrays)
    assert SHOWN in train(*blobs.flags, "--epochs", 1).stderr


def file_of(sample: Sample) -> Path:
    return Path(sample.model.partition(":")[0])


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("6 * torch.eye", "5 * torch.eye", "the file of {} has changed since checkpoint 1"),
        ("return self.fc(x", "return self.fc(0.5 * x", "the file of {} has changed since checkpoint 1"),
        ("bias=False", "bias=True", "the weights of {} have other shapes than those of checkpoint 1"),
    ],
)
def test_a_changed_network_is_trained_anew(blobs: Sample, old: str, new: str, reason: str) -> None:
    train(*blobs.flags, "--epochs", 1)
    file = file_of(blobs)
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    again = train(*blobs.flags, "--epochs", 1)
    assert f"training anew: {reason.format(blobs.model)}" in again.stderr
    assert number(again) == 2


def test_a_network_whose_parts_lie_in_another_file_is_known_by_what_it_computes(blobs: Sample) -> None:
    folder = file_of(blobs).parent
    (folder / "factor_of_blobs.py").write_text("FACTOR = 1.0\n")
    (folder / "wrapped.py").write_text(
        "import runpy, pathlib\nfrom torch import nn\n\n\nclass Scaled(nn.Module):\n"
        "    def __init__(self, factor):\n        super().__init__()\n        self.factor = factor\n"
        "        self.fc = nn.Linear(4, 3)\n        nn.init.eye_(self.fc.weight)\n\n"
        "    def forward(self, x):\n        return self.factor * self.fc(x.flatten(1))\n\n\ndef make():\n"
        "    beside = pathlib.Path(__file__).parent / 'factor_of_blobs.py'\n"
        "    return Scaled(runpy.run_path(str(beside))['FACTOR'])\n"
    )
    flags = ("--model", f"{folder / 'wrapped.py'}:make", "--dataset", blobs.dataset, "--epochs", 1)
    train(*flags)
    assert SHOWN in train(*flags).stderr
    (folder / "factor_of_blobs.py").write_text("FACTOR = 2.0\n")
    again = train(*flags)
    assert "computes something else untrained than when checkpoint 1 was trained" in again.stderr
    assert number(again) == 2


def test_the_same_bytes_made_in_another_way_are_known_afterwards(place: Place, blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1)
    file = file_of(blobs)
    file.write_text(file.read_text() + "\n# Said at the end.\n")
    assert "has changed since checkpoint 1" in train(*blobs.flags, "--epochs", 1).stderr
    assert query(place.database, "SELECT COUNT(*) FROM checkpoint") == [(1,)]
    assert SHOWN in train(*blobs.flags, "--epochs", 1).stderr


def test_a_network_whose_file_has_moved_is_the_same(blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1)
    file = file_of(blobs)
    moved = file.rename(file.parent / "elsewhere.py")
    assert SHOWN in train("--model", f"{moved}:make", "--dataset", blobs.dataset, "--epochs", 1).stderr


def test_a_namesake_elsewhere_is_another_network(blobs: Sample) -> None:
    train(*blobs.flags, "--epochs", 1)
    file = file_of(blobs)
    (file.parent / "copy").mkdir()
    copy = file.parent / "copy" / file.name
    copy.write_bytes(file.read_bytes())
    assert number(train("--model", f"{copy}:make", "--dataset", blobs.dataset, "--epochs", 1)) == 2


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda file: file.unlink(), "the file of checkpoint 1 is not there any more"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "the file of checkpoint 1 is another one now"),
    ],
)
def test_a_checkpoint_whose_file_is_lost_is_made_again(harm: Callable[[Path], None], reason: str) -> None:
    first = train(*MLP).json[0]
    harm(Path(first["file"]))
    again = train(*MLP)
    assert f"training anew: {reason}" in again.stderr
    assert again.json[0] | {"seconds": 0} == first | {"seconds": 0}
    assert SHOWN in train(*MLP).stderr


def test_an_old_checkpoint_on_embedded_data_says_enough(place: Place) -> None:
    train(*MLP)
    forget(place.database, "train_sha256", "calibration_sha256", "classes")
    assert SHOWN in train(*MLP).stderr


def test_an_old_checkpoint_that_does_not_say_enough_is_not_shown(place: Place, blobs: Sample) -> None:
    flags = ("--model", "mlp", "--dataset", blobs.dataset, "--epochs", 1)
    train(*flags)
    forget(place.database, "train_sha256", "calibration_sha256", "classes")
    again = train(*flags)
    assert "training anew: checkpoint 1 does not record what it was trained on" in again.stderr
    # It does now.
    assert SHOWN in train(*flags).stderr


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["network"], "does not record of which file its network is"),
        (["untrained_fingerprint"], "does not record what its network computed before training"),
        (["precision"], "does not record its precision"),
    ],
)
def test_an_old_checkpoint_of_a_network_of_ones_own(place: Place, blobs: Sample, names: list[str], reason: str) -> None:
    train(*blobs.flags, "--epochs", 1)
    forget(place.database, *names)
    assert f"training anew: checkpoint 1 {reason}" in train(*blobs.flags, "--epochs", 1).stderr
    assert SHOWN in train(*blobs.flags, "--epochs", 1).stderr


def test_a_dry_run_says_what_would_be_shown(place: Place) -> None:
    train(*MLP)
    before = snapshot(place.work)
    assert rsuq("train", *MLP, "--dry-run", "--format", "json").json["trained"] == 1
    assert "checkpoint 1 would be shown" in rsuq("train", *MLP, "--dry-run").stdout
    for flags in (("--fresh",), ("--seed", 1)):
        assert rsuq("train", *MLP, *flags, "--dry-run", "--format", "json").json["trained"] is None
    assert snapshot(place.work) == before


def test_an_imported_checkpoint_without_settings_is_never_shown(place: Place, blobs: Sample) -> None:
    from safetensors.torch import load_file, save_file

    record = train("--model", "mlp", "--dataset", blobs.dataset, "--epochs", 1, "--db", "other.db").json[0]
    save_file(load_file(record["file"]), "bare.safetensors")
    flags = ("--model", "mlp", "--dataset", blobs.dataset)
    assert rsuq("models", "import", "bare.safetensors", *flags, "--sigma", 0.25).exit_code == 0
    assert number(train(*flags, "--epochs", 1)) == 2
