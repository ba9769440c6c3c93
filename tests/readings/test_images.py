"""Images come from the data set as it is, or not at all, and nothing fails for want of them."""

from __future__ import annotations

import base64
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from made_up import made_up_run
from PIL import Image

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.readings.images import LARGEST_SIDE, input_images
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.runs import run_row


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRow:
    with open_for_writing(tmp_path_factory.mktemp("images") / "a.db") as db:
        return run_row(db, made_up_run(db, inputs=range(2)))


def decoded(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return np.asarray(image)


def test_images_are_those_of_the_inputs(run: RunRow) -> None:
    split = open_dataset("digits").load("test")
    wanted = {int(split.indices[at]): int(split.labels[at]) for at in (5, 2)}
    found = input_images(run, wanted)
    assert found.note == "Images: digits as found now."
    assert set(found.uris) == set(wanted)
    for at in (5, 2):
        uri = found.uris[int(split.indices[at])]
        assert uri.startswith("data:image/png;base64,")
        expected = split.images[at, 0].numpy()
        scaled = expected if expected.dtype == np.uint8 else (expected * 255).round()
        np.testing.assert_array_equal(decoded(uri), scaled)


def test_large_images_in_colour_are_made_smaller(run: RunRow, tmp_path: Path) -> None:
    images = np.zeros((3, 3, 300, 200), dtype=np.float32)
    images[:, 0] = 1.0
    np.savez(tmp_path / "a.npz", x_test=images, y_test=np.arange(3))
    own = dataclasses.replace(run, dataset=f"npz:{tmp_path / 'a.npz'}")
    (uri,) = input_images(own, {1: 1}).uris.values()
    picture = decoded(uri)
    assert picture.shape == (LARGEST_SIDE, 64, 3)
    assert picture[..., 0].min() > 240
    assert picture[..., 1].max() < 15
    (uri,) = input_images(dataclasses.replace(own, dataset=f"{own.dataset}@16"), {1: 1}).uris.values()
    assert decoded(uri).shape == (16, 16, 3)


@pytest.mark.parametrize("dataset", ["npz:/not/there.npz", "cifar10", "svhn@16", "cifar10-without-1", "nothing"])
def test_a_data_set_that_is_away_leaves_no_images_and_downloads_nothing(
    run: RunRow, tmp_path: Path, dataset: str
) -> None:
    found = input_images(dataclasses.replace(run, dataset=dataset), {0: 1}, tmp_path / "data")
    assert found.uris == {}
    assert found.note.startswith("No images: ")
    assert not (tmp_path / "data").exists()


def test_other_labels_mean_other_data(run: RunRow) -> None:
    split = open_dataset("digits").load("test")
    found = input_images(run, {int(split.indices[0]): int(split.labels[0]) + 1})
    assert found.uris == {}
    assert "labels differ" in found.note


def test_nothing_wanted_opens_nothing(run: RunRow) -> None:
    assert input_images(dataclasses.replace(run, dataset="nothing"), {}).note == ""
