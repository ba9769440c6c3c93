"""The user's arrays: every layout reads alike, floats stay as they are, and whatever is wrong is said in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsuq_cli.datasets.npz import NpzDataset
from rsuq_cli.errors import BadInput

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 3, 5, 4), dtype=np.uint8)  # [N, C, H, W]
LABELS = np.arange(12) % 3


def save(path, **arrays):
    """Writes a good set with some arrays replaced, or left out where None."""
    good = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:6], "y_test": LABELS[:6]}
    np.savez(path / "set.npz", **{k: v for k, v in {**good, **arrays}.items() if v is not None})
    return path / "set.npz"


@pytest.fixture
def write(tmp_path):
    return lambda **arrays: save(tmp_path, **arrays)


def test_a_good_file(write):
    path = write()
    dataset = NpzDataset(path)
    assert dataset.name == f"npz:{path}"
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.shape == (3, 5, 4)
    assert not dataset.augment_crop
    assert not dataset.augment_flip
    test = dataset.load("test")
    assert test.images.dtype == torch.uint8
    assert np.array_equal(test.images.numpy(), IMAGES[:6])
    assert test.labels.tolist() == LABELS[:6].tolist()
    train, calibration = dataset.load("train"), dataset.load("calibration")
    assert sorted([*train.indices, *calibration.indices]) == list(range(12))
    assert np.array_equal(train.images.numpy(), IMAGES[train.indices])
    assert np.array_equal(calibration.images.numpy(), IMAGES[calibration.indices])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (IMAGES.transpose(0, 2, 3, 1), IMAGES),
        (IMAGES[:, 0], IMAGES[:, :1]),
        (IMAGES[:, :1], IMAGES[:, :1]),
        (IMAGES[:, :1].transpose(0, 2, 3, 1), IMAGES[:, :1]),
        (IMAGES[:, :, :3, :3], IMAGES[:, :, :3, :3]),  # 3 on both sides: channels first
        (IMAGES[:, :1, :1, :2], IMAGES[:, :1, :1, :2]),  # a vector of two as an image
        (np.asfortranarray(IMAGES), IMAGES),
    ],
    ids=["NHWC", "NHW", "N1HW", "NHW1", "N333", "N112", "fortran"],
)
def test_layouts(write, stored, expected):
    dataset = NpzDataset(write(x_train=stored, x_test=stored[:6]))
    assert dataset.shape == expected.shape[1:]
    test = dataset.load("test")
    assert np.array_equal(test.images.numpy(), expected[:6])
    assert test.images.is_contiguous()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4", np.float16])
def test_floats_stay_unquantised(write, dtype):
    floats = RNG.random((6, 5, 4)).astype(dtype)
    test = NpzDataset(write(x_train=None, y_train=None, x_test=floats)).load("test")
    assert test.images.dtype == torch.float32
    assert np.array_equal(test.images[:, 0].numpy(), floats.astype(np.float32))


def test_without_training_data_train_and_calibration_are_empty(write):
    dataset = NpzDataset(write(x_train=None, y_train=None, y_test=[0, 4, 1, 1, 1, 1]))
    assert dataset.num_classes == 5
    for name in ("train", "calibration"):
        assert len(dataset.indices(name)) == 0
        assert dataset.load(name).images.shape == (0, 3, 5, 4)
    assert len(dataset.calibration_indices) == 0


def test_class_names_may_be_given(write):
    assert NpzDataset(write(classes=["cat", "dog", "eel", "fly"])).class_names == ("cat", "dog", "eel", "fly")
    assert NpzDataset(write(classes=np.array([b"x", b"y", b"z"]))).class_names == ("x", "y", "z")


@pytest.mark.parametrize("labels", [LABELS.astype(np.uint8), LABELS.astype(np.float64), LABELS[:, None]])
def test_labels_of_other_types(write, labels):
    dataset = NpzDataset(write(y_train=labels, y_test=labels[:6]))
    assert dataset.load("test").labels.tolist() == LABELS[:6].tolist()
    assert dataset.load("test").labels.dtype == torch.int64


def test_image_size(write):
    dataset = NpzDataset(write(), image_size=7)
    assert dataset.shape == (3, 7, 7)
    assert dataset.load("test").images.shape == (6, 3, 7, 7)
    assert dataset.load("test").images.dtype == torch.uint8


def test_training_pixels_are_not_read_for_the_test_split(write):
    broken = np.full((12, 5, 4), np.nan)
    dataset = NpzDataset(write(x_train=broken, x_test=np.zeros((6, 5, 4))))
    assert len(dataset.load("test")) == 6
    assert len(dataset.indices("train")) == 10
    with pytest.raises(BadInput, match="x_train holds NaN"):
        dataset.load("train")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": None}, "no array x_test, only x_train, y_test, y_train"),
        ({"y_test": None}, "no array y_test"),
        ({"y_train": None}, "no array y_train"),
        ({"x_train": None}, "no array x_train"),
        ({"y_test": LABELS[:5]}, r"y_test has shape \(5,\) for 6 images"),
        ({"y_train": LABELS[:11]}, r"y_train has shape \(11,\) for 12 images"),
        ({"y_test": np.eye(6)}, r"y_test has shape \(6, 6\)"),
        ({"y_test": np.int64(3)}, r"y_test has shape \(\)"),
        ({"y_test": [0, 1, 2, 0, 1, 0.5]}, "not whole numbers"),
        ({"y_test": [0, 1, 2, 0, 1, np.nan]}, "not whole numbers"),
        ({"y_test": list("abcabc")}, "not whole numbers"),
        ({"y_test": [0, 1, 2, 0, 1, -1]}, "y_test holds the label -1"),
        ({"y_test": [0, 1, 2, 0, 1, 3]}, "y_test holds the label 3, but there are 3 classes"),
        ({"y_train": [2**40] * 12}, "y_train holds the label 1099511627776"),
        ({"classes": ["a", "b"]}, "y_train holds the label 2, but there are 2 classes"),
        ({"classes": np.zeros((2, 2))}, r"classes has shape \(2, 2\)"),
        ({"classes": []}, r"classes has shape \(0,\)"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, "no test inputs"),
        ({"x_test": IMAGES[:6].astype(np.int64)}, "x_test has type int64"),
        ({"x_test": IMAGES[:6] > 9}, "x_test has type bool"),
        ({"x_test": np.array([None] * 6)}, "x_test has type object"),
        ({"x_test": np.zeros((6, 20))}, r"x_test has shape \(6, 20\)"),
        ({"x_test": np.zeros((6, 2, 5, 4))}, r"x_test has shape \(6, 2, 5, 4\)"),
        ({"x_test": np.zeros((6, 3, 0, 4))}, r"x_test has shape \(6, 3, 0, 4\)"),
        ({"x_test": np.float32(0.5)}, "for 0 images"),
        ({"x_test": IMAGES[:6, :, :4]}, r"x_train are \(3, 5, 4\), those of x_test \(3, 4, 4\)"),
    ],
)
def test_what_is_wrong_is_said_on_opening(write, arrays, message):
    with pytest.raises(BadInput, match=message) as caught:
        NpzDataset(write(**arrays))
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.nan, "x_test holds NaN"),
        (np.inf, "x_test holds NaN or infinite"),
        (-0.01, "x_test holds values outside"),
        (1.001, "from 0 to 1.001"),
        (255.0, "outside"),
    ],
)
def test_what_is_wrong_with_pixels_is_said_on_loading(write, wrong, message):
    images = np.zeros((6, 3, 5, 4))
    images[5, 2, 4, 3] = wrong
    with pytest.raises(BadInput, match=message):
        NpzDataset(write(x_test=images)).load("test")


def test_object_arrays_are_never_unpickled(write):
    with pytest.raises(BadInput, match="allow_pickle=False"):
        NpzDataset(write(y_test=np.array([0, None, 1, 1, 1, 1], dtype=object)))


def test_files_that_are_no_archive(tmp_path, write):
    text, single = tmp_path / "text.npz", tmp_path / "single.npy"
    text.write_text("hello")
    np.save(single, LABELS)
    other_zip = tmp_path / "other.npz"
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("x_test.npy", "no array")
    for path in (text, single, other_zip):
        with pytest.raises(BadInput, match="cannot be read as an npz archive"):
            NpzDataset(path)
    with pytest.raises(BadInput, match="no file"):
        NpzDataset(tmp_path)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(write().read_bytes()[:-200])
    with pytest.raises(BadInput, match="cannot be read as an npz archive"):
        NpzDataset(cut)


def test_damaged_pixels_are_found_by_their_checksum(write):
    path = write(x_test=np.full((6, 3, 5, 4), 171, np.uint8))
    data = bytearray(path.read_bytes())
    data[data.index(bytes([171]) * 50) + 10] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="Bad CRC-32"):
        NpzDataset(path).load("test")


def test_bits_in_place_of_bytes_are_refused(write):
    with pytest.raises(BadInput, match="its pictures are black"):
        NpzDataset(write(x_test=np.tile(np.array([0, 1], np.uint8), (6, 3, 5, 2)))).load("test")


def _labelled(path: Path, *, train: list[int] | None, test: list[int], classes: list[str] | None = None) -> NpzDataset:
    arrays: dict[str, Any] = {"x_test": np.zeros((len(test), 2, 2), np.uint8), "y_test": test}
    if train is not None:
        arrays |= {"x_train": np.zeros((len(train), 2, 2), np.uint8), "y_train": train}
    if classes is not None:
        arrays["classes"] = classes
    np.savez(path, **arrays)
    return NpzDataset(path)


@pytest.mark.parametrize("train", [[1, 2, 3] * 4, None])
def test_labels_that_count_from_one_are_so_many_classes(tmp_path: Path, train: list[int] | None) -> None:
    dataset = _labelled(tmp_path / "a.npz", train=train, test=[3, 1, 1, 2])
    assert dataset.class_names == ("1", "2", "3")
    assert dataset.labels("test").tolist() == [2, 0, 0, 1]
    assert dataset.load("test").labels.tolist() == [2, 0, 0, 1]
    said: list[str] = []
    dataset.tell(said.append)
    (line,) = said
    assert "labels are 1 to 3 and never 0: they are read as 3 classes" in line
    # Results from when there was a class 0 are still about what they were.
    older = NpzDataset(tmp_path / "a.npz", recorded=["0", "1", "2", "3"])
    assert older.labels("test").tolist() == [3, 1, 1, 2]


def test_a_test_split_may_lack_a_class_of_the_training_data(tmp_path: Path) -> None:
    dataset = _labelled(tmp_path / "a.npz", train=[1, 2, 3] * 4, test=[3, 1])
    assert dataset.labels("test").tolist() == [2, 0]
    dataset = _labelled(tmp_path / "b.npz", train=[0, 1, 2] * 4, test=[2, 1])
    assert (dataset.num_classes, dataset.labels("test").tolist()) == (3, [2, 1])


def test_names_say_whether_there_is_a_class_0(tmp_path: Path) -> None:
    dataset = _labelled(tmp_path / "a.npz", train=None, test=[1, 2, 3], classes=["a", "b", "c"])
    assert (dataset.class_names, dataset.labels("test").tolist()) == (("a", "b", "c"), [0, 1, 2])
    dataset = _labelled(tmp_path / "b.npz", train=None, test=[1, 2, 3], classes=["a", "b", "c", "d"])
    assert (dataset.num_classes, dataset.labels("test").tolist()) == (4, [1, 2, 3])
    dataset.tell(lambda line: pytest.fail(line))


def test_labels_with_gaps_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset = _labelled(tmp_path / "a.npz", train=None, test=[1, 3, 7])
    assert (dataset.num_classes, dataset.labels("test").tolist()) == (8, [1, 3, 7])


def test_one_hot_labels_are_refused_with_what_to_do(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_test=np.zeros((3, 2, 2), np.uint8), y_test=np.eye(3))
    with pytest.raises(BadInput, match="y_test has shape") as refused:
        NpzDataset(tmp_path / "a.npz")
    assert refused.value.hint == "give one label an image: of one-hot rows y_test.argmax(1)"
