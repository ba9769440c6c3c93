"""The file of a rejecter: what it says comes back, what it is not for is refused, what it saw calibrates nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from samples import blob_arrays, write_npz

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.models.rejecter_file import RejecterFile
from rsuq_cli.run.rejecter import FittedRejecter, asked_for, read_rejecter, without_fitted
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor

NOTHING = SeenImages.of(torch.zeros(0, 1, 2, 2)).packed()
FITTED = FittedRejecter("blobs", 0.25, 3, "ab", {}, (0.5, -1.0), 0.25, NOTHING, 1.0, 0.3, 0.9, 0.1, 0.05)


def written(folder: Path, content: bytes) -> RejecterFile:
    file = folder / "rejecter.json"
    file.write_bytes(content)
    return RejecterFile(file, hashlib.sha256(content).hexdigest())


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    found = read_rejecter(place := written(tmp_path, FITTED.to_bytes()))
    assert (found.fitted, found.file) == (FITTED, place.file)
    computes = found.computes
    assert (computes.coefficients, computes.bias, computes.sha256) == ((0.5, -1.0), 0.25, place.sha256)


def test_a_file_from_before_there_were_kinds_is_linear(tmp_path: Path) -> None:
    said = json.loads(FITTED.to_bytes())
    del said["kind"]
    assert read_rejecter(written(tmp_path, json.dumps(said).encode())).fitted == FITTED


def test_another_file_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    place = written(tmp_path, FITTED.to_bytes())
    with pytest.raises(BadInput, match="is not the file that it was"):
        read_rejecter(place._replace(sha256="0" * 64))
    with pytest.raises(BadInput, match="cannot be read"):
        read_rejecter(place._replace(file=tmp_path / "gone.json"))
    said = json.loads(FITTED.to_bytes())
    for broken in (b"{", b"[]", b"\xff", *(
        json.dumps(said | changed).encode()
        for changed in (
            {"format": "rsuq rejecter 9"}, {"kind": "cold"}, {"bias": "much"}, {"coefficients": [1e999]}, {"seen": "?"},
        )
    )):  # fmt: skip
        with pytest.raises(BadInput, match="no rejecter of this release"):
            read_rejecter(written(tmp_path, broken))


def test_it_is_for_the_networks_asked_as_they_were() -> None:
    FITTED.check_asked(Predictor(rejecter="cd"))
    with pytest.raises(BadInput, match="fitted for one pass, and asked for is 2 views reject"):
        FITTED.check_asked(Predictor(2))
    of_views = replace(FITTED, predictor=asked_for(Predictor(2, "mean", ("ef",), 0.2, 4)))
    of_views.check_asked(Predictor(2, "mean", ("ef",), 0.2, 4))
    for other in (PLAIN, Predictor(2, "single", ("ef",), 0.2, 4), Predictor(2, "mean", ("01",), 0.2, 4)):
        with pytest.raises(BadInput, match="was fitted for"):
            of_views.check_asked(other)
    FITTED.check_network("ab", "checkpoint 1", 3)
    for weights, classes in (("cd", 3), ("ab", 4)):
        with pytest.raises(BadInput, match="other weights than those of checkpoint 1"):
            FITTED.check_network(weights, "checkpoint 1", classes)
    assert FITTED.other_sigma(0.25) == ""
    assert "fitted at sigma 0.25, and this is 0.5" in FITTED.other_sigma(0.5)


def blobs(folder: Path, train: int) -> Dataset:
    return open_dataset(write_npz(folder / "blobs.npz", **blob_arrays(train=train)))


def having_seen(images: torch.Tensor) -> FittedRejecter:
    return replace(FITTED, seen=SeenImages.of(images).packed())


def test_what_it_saw_calibrates_nothing(tmp_path: Path) -> None:
    dataset = blobs(tmp_path, 400)
    held_out = dataset.calibration_indices
    seen = dataset.load("calibration", held_out[::2])
    left = without_fitted(dataset, having_seen(seen.images))
    np.testing.assert_array_equal(left.dataset.calibration_indices, held_out[1::2])
    assert f"fitted on {len(seen)} of the {len(held_out)} calibration images" in left.warning
    # Not filled up with images that the network was trained on.
    assert not np.isin(left.dataset.calibration_indices, dataset.indices("train")).any()


def test_inputs_that_it_was_fitted_on_are_said(tmp_path: Path) -> None:
    dataset = blobs(tmp_path, 400)
    inputs = dataset.load("test")
    assert having_seen(inputs.images[:3]).saw(inputs) == (
        "3 of the 12 inputs are among those that the rejecter was fitted on"
    )
    assert having_seen(torch.rand(3, 1, 2, 2)).saw(inputs) == ""


def test_one_that_saw_nothing_of_the_data_leaves_them_as_they_are(tmp_path: Path) -> None:
    dataset = blobs(tmp_path, 400)
    assert without_fitted(dataset, having_seen(torch.rand(3, 1, 2, 2))).dataset is dataset


def test_where_too_few_are_left_nothing_calibrates(tmp_path: Path) -> None:
    dataset = blobs(tmp_path, 400)
    seen = dataset.load("calibration", dataset.calibration_indices[5:])
    left = without_fitted(dataset, having_seen(seen.images))
    assert len(left.dataset.calibration_indices) == 0
    assert "too few others are left" in left.warning
