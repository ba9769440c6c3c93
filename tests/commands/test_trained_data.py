"""A checkpoint knows its classes and its images: data that have changed since are told, mapped or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import Result, query, refused, rsuq
from samples import blob_arrays, write_npz

if TYPE_CHECKING:
    from conftest import Place

NAMES = ["ant", "bee", "cat"]
MLP = ("--model", "mlp", "--sigma", 0.1)
TRAIN = ("train", *MLP, "--epochs", 5, "--format", "json")
CERTIFY = ("certify", *MLP, "--n", 100, "--format", "json")


def write(folder: Path, names: list[str] | None = NAMES, order: tuple[int, ...] = (0, 1, 2), **more: Any) -> str:
    """Writes the data with the class that was called `names[i]` at first as number `order[i]`."""
    arrays = blob_arrays(train=200) | more
    for part in ("y_train", "y_test"):
        arrays[part] = np.array(order)[arrays[part]]
    listed = {} if names is None else {"classes": [names[order.index(i)] for i in range(3)]}
    return write_npz(folder / "data.npz", **arrays, **listed)


@pytest.fixture
def dataset(place: Place) -> str:
    name = write(place.work)
    assert rsuq(*TRAIN, "--dataset", name).exit_code == 0
    return name


def certify(dataset: str, *flags: object) -> Result:
    result = rsuq(*CERTIFY, "--dataset", dataset, *flags)
    assert result.exit_code == 0, result.stderr
    return result


def shown(result: Result) -> list[float]:
    return [result.json[0][name] for name in ("clean_accuracy", "acr_cc", "acr_ncl")]


def test_classes_in_another_order_are_mapped(place: Place, dataset: str) -> None:
    before = certify(dataset)
    assert before.json[0]["warnings"] == []
    write(place.work, order=(2, 0, 1))
    after = certify(dataset)
    assert shown(after) == shown(before)
    assert "matched by name" in after.stderr
    assert json.loads(query(place.database, "SELECT class_names FROM run ORDER BY id DESC")[0][0]) == NAMES


def test_a_run_on_mapped_classes_is_opened_again(place: Place, dataset: str) -> None:
    certify(dataset)
    write(place.work, order=(2, 0, 1))
    np.save("image.npy", np.array([[0.9, 0.1], [0.1, 0.1]], np.float32))
    answers = []
    for settings in (("--run", 1), (*MLP, "--dataset", dataset, "--n", 100)):
        result = rsuq("predict", "image.npy", *settings, "--format", "json")
        assert result.exit_code == 0, result.stderr
        answers.append(result.json[0]["class_name"])
    assert answers == ["ant", "ant"]
    assert rsuq("audit", 1, "--inputs", 1, "--steps", 1).exit_code == 0
    assert rsuq("ood", "--run", 1, "--ood", "noise:uniform").exit_code == 0


def test_other_names_are_refused_everywhere(place: Place, dataset: str) -> None:
    certify(dataset)
    file = query(place.database, "SELECT file FROM checkpoint")[0][0]
    write(place.work, names=["ant", "wasp", "cat"])
    words = "knows the class bee, and"
    assert f"checkpoint 1 {words}" in refused(rsuq(*CERTIFY, "--dataset", dataset))
    assert words in refused(rsuq(*CERTIFY, "--dataset", dataset, "--weights", file))
    np.save("image.npy", np.full((2, 2), 0.5, np.float32))
    for command in (
        ("ood", *MLP, "--dataset", dataset, "--ood", "noise:uniform"),
        ("ood", "--run", 1, "--ood", "noise:uniform"),
        ("predict", "image.npy", *MLP, "--dataset", dataset),
        ("predict", "image.npy", "--run", 1),
        ("audit", 1),
    ):  # fmt: skip
        result = rsuq(*command)
        assert result.exit_code == 2, command
        assert words in result.stderr, command


def test_renamed_classes_on_request(place: Place, dataset: str) -> None:
    before = certify(dataset)
    write(place.work, names=["zebra", "bee", "cat"], order=(2, 0, 1))
    after = certify(dataset, "--classes-renamed")
    assert shown(after) == shown(before)
    # In another order of classes, other images calibrate: those that training held out are taken.
    renamed, replaced = after.json[0]["warnings"]
    assert renamed == "--classes-renamed: ant is zebra now"
    assert "calibrated on 20 images that it did not see" in replaced
    run_id = after.json[0]["run_id"]
    recorded = query(place.database, "SELECT class_names FROM run WHERE id = ?", run_id)[0][0]
    assert json.loads(recorded) == ["zebra", "bee", "cat"]
    assert rsuq("audit", run_id, "--inputs", 1, "--steps", 1).exit_code == 0
    assert rsuq("ood", "--run", run_id, "--ood", "noise:uniform").exit_code == 0


def test_data_without_names_are_taken_in_order(place: Place, dataset: str) -> None:
    write(place.work, names=None)
    result = certify(dataset)
    assert "not compared" in result.stderr
    assert result.json[0]["warnings"] == []


def test_weights_of_other_data_are_told(place: Place, dataset: str) -> None:
    file = query(place.database, "SELECT file FROM checkpoint")[0][0]
    (place.root / "other").mkdir()
    moved = write(place.root / "other")
    assert "was trained on" not in certify(moved, "--weights", file).stderr
    named = f"npz:{(place.root / 'other' / 'data.npz').rename(place.root / 'other' / 'flowers.npz')}"
    assert f"was trained on {dataset}, and these are {named}" in certify(named, "--weights", file).stderr


def test_calibration_images_that_training_saw_are_replaced(place: Place, dataset: str) -> None:
    arrays = blob_arrays(train=200)
    more = blob_arrays(train=60, seed=1)
    # Images are added before the others, so that the division falls elsewhere.
    grown: dict[str, Any] = {key: np.concatenate([more[key], arrays[key]]) for key in ("x_train", "y_train")}
    write(place.work, **grown)
    result = certify(dataset)
    (warning,) = result.json[0]["warnings"]
    assert "calibration images of" in warning
    assert "are among those that checkpoint 1 was trained on" in warning
    assert f"warning: {warning}" in result.stderr
    # The run is found again, and what was used to calibrate is part of what it is.
    assert certify(dataset).json[0]["run_id"] == 1
    digest = json.loads(query(place.database, "SELECT configuration FROM run")[0][0])["calibration_indices_sha256"]
    fresh = rsuq(*TRAIN, "--dataset", dataset, "--seed", 1)
    assert fresh.exit_code == 0
    certify(dataset)
    latest = query(place.database, "SELECT configuration FROM run ORDER BY id DESC")[0][0]
    assert json.loads(latest)["calibration_indices_sha256"] != digest


def test_where_training_saw_all_there_is_no_calibration(place: Place, dataset: str) -> None:
    arrays = blob_arrays(train=200)
    from rsuq_cli.datasets.catalogue import open_dataset

    seen = open_dataset(dataset).indices("train")
    write(place.work, x_train=arrays["x_train"][seen], y_train=arrays["y_train"][seen])
    said = f"{dataset} has too few calibration images that checkpoint 1 was not trained on"
    result = rsuq(*CERTIFY, "--dataset", dataset)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "--threshold" in result.stderr
    assert said in refused(rsuq("ood", *MLP, "--dataset", dataset, "--ood", "noise:uniform"))
    given = certify(dataset, "--threshold", 0.5)
    assert "too few others are left" in given.json[0]["warnings"][0]


def test_test_images_that_training_saw_are_told(place: Place, dataset: str) -> None:
    arrays = blob_arrays(train=200)
    from rsuq_cli.datasets.catalogue import open_dataset

    seen = open_dataset(dataset).indices("train")[:3]
    test: dict[str, Any] = {
        "x_test": np.concatenate([arrays["x_train"][seen], arrays["x_test"]]),
        "y_test": np.concatenate([arrays["y_train"][seen], arrays["y_test"]]),
    }
    write(place.work, **test)
    said = "3 of the 15 inputs are among the images that checkpoint 1 was trained on"
    assert certify(dataset).json[0]["warnings"] == [said]
    assert said not in certify(dataset, "--split", "train", "--limit", 3).stderr


def test_predict_does_not_take_over_what_spoiled_images_calibrated(place: Place, dataset: str) -> None:
    certify(dataset)
    np.save("image.npy", np.full((2, 2), 0.5, np.float32))
    predict = ("predict", "image.npy", *MLP, "--dataset", dataset, "--n", 100)
    assert "calibrating" not in rsuq(*predict).stderr
    arrays, more = blob_arrays(train=200), blob_arrays(train=60, seed=1)
    grown: dict[str, Any] = {key: np.concatenate([more[key], arrays[key]]) for key in ("x_train", "y_train")}
    write(place.work, **grown)
    assert "calibrating" in rsuq(*predict).stderr
