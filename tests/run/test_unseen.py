"""Calibration images that training saw calibrate nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from samples import blob_arrays, write_npz

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.fitted import original
from rsuq_cli.run.unseen import seen_warning, unseen_calibration


def data(folder: Path, train: int = 200) -> Dataset:
    return open_dataset(write_npz(folder / "data.npz", **blob_arrays(train=train)))


def trained_on(dataset: Dataset, *positions: Any) -> dict[str, Any]:
    """Returns the metadata of a checkpoint that saw these positions of the train file."""
    images = torch.cat([dataset.load(split).images for split in ("train", "calibration")])
    order = np.concatenate([dataset.indices("train"), dataset.indices("calibration")])
    rows = torch.from_numpy(np.flatnonzero(np.isin(order, np.concatenate(positions))))
    return {"trained_on": SeenImages.of(images[rows]).packed()}


def test_nothing_happens_where_training_saw_none_or_nothing_is_known(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    for metadata in ({}, {"trained_on": ""}, {"trained_on": "?"}, trained_on(dataset, dataset.indices("train"))):
        assert unseen_calibration(dataset, dataset.name, metadata, "checkpoint 1") == (dataset, "")


def test_seen_images_are_replaced_by_unseen_ones(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    train, held_out = dataset.indices("train"), dataset.indices("calibration")
    metadata = trained_on(dataset, train[:-30], held_out[:5])
    found, warning = unseen_calibration(dataset, dataset.name, metadata, "checkpoint 1")
    assert warning.startswith(f"5 of the 20 calibration images of {dataset.name} are among those that checkpoint 1")
    assert "calibrated on 20 images" in warning
    chosen = found.calibration_indices
    assert set(held_out[5:]) <= set(chosen)
    assert set(chosen) - set(held_out) <= set(train[-30:])
    seen = SeenImages.unpacked(metadata["trained_on"])
    split = found.load("calibration")
    assert seen is not None
    assert not seen.among(split.images).any()
    # Each with its own label, and in no other split.
    assert torch.equal(split.labels, torch.from_numpy(split.indices % 3))
    assert found.labels("calibration").tolist() == split.labels.tolist()
    assert not set(chosen) & set(found.indices("train"))
    assert torch.equal(found.load("train").labels, torch.from_numpy(found.indices("train") % 3))
    assert original(found) is dataset


def test_too_few_unseen_ones_calibrate_nothing(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    train, held_out = dataset.indices("train"), dataset.indices("calibration")
    found, warning = unseen_calibration(
        dataset, dataset.name, trained_on(dataset, train, held_out[:11]), "checkpoint 1"
    )
    assert not len(found.calibration_indices)
    assert "too few others are left" in warning
    # Nine of eighteen are enough by half, and too few by number.
    small = data(tmp_path, train=180)
    held_out = small.indices("calibration")
    found, _ = unseen_calibration(small, small.name, trained_on(small, small.indices("train"), held_out[:9]), "c")
    assert not len(found.calibration_indices)


def test_a_checkpoint_from_before_is_compared_by_positions(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    held_out = dataset.calibration_indices.tolist()
    same = {"dataset": dataset.name, "calibration_indices": held_out}
    assert unseen_calibration(dataset, dataset.name, same, "checkpoint 1").warning == ""
    other = same | {"calibration_indices": [0, *held_out[1:]]}
    assert "held out other images" in unseen_calibration(dataset, dataset.name, other, "checkpoint 1").warning
    assert unseen_calibration(dataset, dataset.name, other | {"dataset": "digits"}, "checkpoint 1").warning == ""


def test_certified_inputs_that_training_saw_are_counted(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    split = dataset.load("test")
    metadata = {"trained_on": SeenImages.of(split.images[:2]).packed()}
    assert seen_warning(split, metadata, "checkpoint 1").startswith("2 of the 12 inputs are among the images")
    assert seen_warning(split, {}, "checkpoint 1") == ""


def test_no_network_of_an_ensemble_was_trained_on_what_takes_the_place_of_another_s_images(tmp_path: Path) -> None:
    dataset = data(tmp_path)
    train, held_out = dataset.indices("train"), dataset.indices("calibration")
    first, second = trained_on(dataset, train[:-4]), trained_on(dataset, held_out[:8])
    alone = unseen_calibration(dataset, dataset.name, second, "second").dataset.calibration_indices
    assert np.isin(alone, train[:-4]).any()
    found = unseen_calibration(dataset, dataset.name, second, "second", [first, {}]).dataset.calibration_indices
    np.testing.assert_array_equal(found, np.sort(np.concatenate([held_out[8:], train[-4:]])))
    nothing_left = [trained_on(dataset, train)]
    left = unseen_calibration(dataset, dataset.name, second, "second", nothing_left).dataset.calibration_indices
    np.testing.assert_array_equal(left, held_out[8:])
