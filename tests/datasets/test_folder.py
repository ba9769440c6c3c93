"""Images in class folders: stable positions, lazy decoding, and the file named where something is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rsuq_cli.datasets import folder as folder_module
from rsuq_cli.datasets.folder import FolderDataset
from rsuq_cli.errors import BadInput


def picture(path, value, *, size=(6, 4), mode="RGB"):
    """Writes an image of one value; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 2 * value, 3 * value)).save(path)


@pytest.fixture
def root(tmp_path):
    """20 training and 4 test images; the value of each is 10 times its class plus its place in the class."""
    for c, name in enumerate(["ant", "bee"]):
        for i in range(10):
            picture(tmp_path / "train" / name / f"{i:02}.png", 10 * c + i)
        for i in range(2):
            picture(tmp_path / "test" / name / f"{i:02}.png", 10 * c + i)
    return tmp_path


def test_description(root):
    dataset = FolderDataset(root)
    assert dataset.name == f"folder:{root}"
    assert dataset.class_names == ("ant", "bee")
    assert dataset.shape == (3, 4, 6)
    assert not dataset.augment_crop
    assert not dataset.augment_flip


def test_images_labels_and_positions(root):
    dataset = FolderDataset(root)
    test = dataset.load("test")
    assert test.images.dtype == torch.uint8
    assert test.images.shape == (4, 3, 4, 6)
    assert test.images[:, 0, 0, 0].tolist() == [0, 1, 10, 11]
    assert test.images[3, :, 3, 5].tolist() == [11, 22, 33]
    assert test.labels.tolist() == [0, 0, 1, 1]
    train, calibration = dataset.load("train"), dataset.load("calibration")
    assert len(calibration) == 2
    assert sorted([*train.indices, *calibration.indices]) == list(range(20))
    # In this fixture the value of a training image is its position.
    for split in (train, calibration):
        assert split.images[:, 0, 0, 0].tolist() == split.indices.tolist()
        assert split.labels.tolist() == (split.indices // 10).tolist()


def test_rows_and_columns_are_not_swapped(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "test" / "a" / "0.png")
    assert np.array_equal(FolderDataset(tmp_path).load("test").images[0, 0].numpy(), pixels)


def test_only_the_images_asked_for_are_decoded(root, monkeypatch):
    (root / "test" / "bee" / "01.png").write_bytes(b"broken")
    decoded = []
    original = FolderDataset._decode

    def decode(self, path):
        decoded.append(path.name)
        return original(self, path)

    monkeypatch.setattr(FolderDataset, "_decode", decode)
    dataset = FolderDataset(root)
    assert len(dataset.indices("test")) == 4
    assert decoded == []
    split = dataset.load("test", np.array([2, 0]))
    assert split.images[:, 0, 0, 0].tolist() == [10, 0]
    assert len(decoded) == 2


def test_many_images_over_many_tasks_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "DECODED_AT_ONCE", 3)
    for i in range(100):
        picture(tmp_path / "test" / "a" / f"{i:03}.png", i, mode="L")
    assert FolderDataset(tmp_path).load("test").images[:, 0, 0, 0].tolist() == list(range(100))


def test_grey_images_have_one_channel(tmp_path):
    for i in range(3):
        picture(tmp_path / "test" / "a" / f"{i}.png", i, mode="L")
    assert FolderDataset(tmp_path).shape == (1, 4, 6)
    picture(tmp_path / "test" / "b" / "0.png", 9)
    dataset = FolderDataset(tmp_path)
    assert dataset.shape == (3, 4, 6)
    assert dataset.load("test").images[2, :, 0, 0].tolist() == [2, 2, 2]


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "CMYK", "LA"])
def test_eight_bit_modes_become_rgb(tmp_path, mode):
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode).save(
        tmp_path / "test" / "a" / ("0.tif" if mode == "CMYK" else "0.png")
    )
    images = FolderDataset(tmp_path).load("test").images
    assert images.shape == (1, 3, 4, 4)
    assert images.min() >= 254


def test_sixteen_bit_images_are_refused_not_clipped(tmp_path):
    (tmp_path / "test" / "a").mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(tmp_path / "test" / "a" / "deep.png")
    with pytest.raises(BadInput, match=r"deep\.png has pixels of more than 8 bits"):
        FolderDataset(tmp_path)


def test_image_size_takes_any_sizes(root):
    picture(root / "test" / "ant" / "02.png", 50, size=(40, 9))
    dataset = FolderDataset(root, image_size=32)
    assert dataset.shape == (3, 32, 32)
    split = dataset.load("test")
    assert split.images.shape == (5, 3, 32, 32)
    assert split.images[2].flatten(1).unique(dim=1).squeeze(1).tolist() == [50, 100, 150]
    assert dataset.augment_crop
    assert dataset.augment_flip


def test_another_size_names_the_file(root):
    picture(root / "test" / "ant" / "02.png", 50, size=(6, 5))
    with pytest.raises(BadInput, match=r"02\.png is 6×5 pixels, .*train/ant/00\.png is 6×4") as caught:
        FolderDataset(root).load("test")
    assert "--image-size" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not an image", "half"])
def test_an_undecodable_image_is_named(root, content):
    path = root / "test" / "bee" / "01.png"
    if content == "half":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 6, 3), dtype=np.uint8)).save(path)
        content = path.read_bytes()[:60]
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bee/01\.png does not decode") as caught:
        FolderDataset(root).load("test")
    assert "\n" not in caught.value.message
    assert str(caught.value).count("01.png") == 1


def test_an_undecodable_first_image_is_named_on_opening(root):
    (root / "train" / "ant" / "00.png").write_bytes(b"not an image")
    with pytest.raises(BadInput, match=r"ant/00\.png does not decode as an image: its format is not known"):
        FolderDataset(root)


def test_hidden_files_are_no_data(root):
    (root / "test" / "ant" / ".DS_Store").write_bytes(b"x")
    (root / "test" / ".cache").mkdir()
    assert len(FolderDataset(root).load("test")) == 4


def test_only_a_test_folder(tmp_path):
    picture(tmp_path / "test" / "z" / "0.png", 1)
    picture(tmp_path / "test" / "b" / "0.png", 2)
    dataset = FolderDataset(tmp_path)
    assert dataset.class_names == ("b", "z")
    assert len(dataset.indices("train")) == len(dataset.calibration_indices) == 0
    assert dataset.load("train").images.shape == (0, 3, 4, 6)


def test_a_class_may_be_absent_from_test(root):
    for path in (root / "test" / "ant").iterdir():
        path.unlink()
    (root / "test" / "ant").rmdir()
    assert FolderDataset(root).load("test").labels.tolist() == [1, 1]


def test_layouts_that_are_none(root, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(BadInput, match="has no folder test/"):
        FolderDataset(empty)
    with pytest.raises(BadInput, match="no folder"):
        FolderDataset(empty / "absent")
    (empty / "test").mkdir()
    with pytest.raises(BadInput, match="has no class folders"):
        FolderDataset(empty)
    (empty / "test" / "a").mkdir()
    with pytest.raises(BadInput, match="holds no images"):
        FolderDataset(empty)
    (empty / "test" / "a" / "nested").mkdir()
    with pytest.raises(BadInput, match="nested is a folder inside a class folder"):
        FolderDataset(empty)
    picture(root / "test" / "cow" / "0.png", 1)
    with pytest.raises(BadInput, match="cow is a class that train/ does not have") as caught:
        FolderDataset(root)
    assert caught.value.hint == "train/ has ant, bee"
