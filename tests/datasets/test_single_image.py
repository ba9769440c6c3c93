"""An image of its own becomes the tensor that a data set would hold for it, or is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.single_image import position_in, read_image
from rsuq_cli.errors import BadInput

GREY = (1, 5, 4)
COLOUR = (3, 5, 4)


def noise(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, values: Any) -> Path:
    np.save(path, values)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_pictures_keep_every_pixel(tmp_path: Path, suffix: str) -> None:
    grey, colour = noise((5, 4)), noise((5, 4, 3))
    Image.fromarray(grey).save(tmp_path / f"grey.{suffix}")
    Image.fromarray(colour).save(tmp_path / f"colour.{suffix}")
    assert torch.equal(read_image(tmp_path / f"grey.{suffix}", GREY), torch.from_numpy(grey)[None])
    as_tensor = torch.from_numpy(colour).permute(2, 0, 1)
    assert torch.equal(read_image(tmp_path / f"colour.{suffix}", COLOUR), as_tensor)
    assert read_image(tmp_path / f"grey.{suffix}", COLOUR).shape == COLOUR


def test_jpeg_is_decoded_as_a_folder_of_images_decodes_it(tmp_path: Path) -> None:
    for part in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / part).mkdir(parents=True)
        Image.fromarray(noise((40, 40, 3))).save(tmp_path / part / "one.jpg")
    held = open_dataset(f"folder:{tmp_path}").load("test").images[0]
    assert torch.equal(read_image(tmp_path / "test/a/one.jpg", (3, 40, 40)), held)
    resized = open_dataset(f"folder:{tmp_path}", image_size=16).load("test").images[0]
    assert torch.equal(read_image(tmp_path / "test/a/one.jpg", (3, 16, 16), resize=True), resized)


@pytest.mark.parametrize(
    ("given", "shape"), [((5, 4), GREY), ((1, 5, 4), GREY), ((5, 4, 1), GREY), ((3, 5, 4), COLOUR), ((5, 4, 3), COLOUR)]
)
def test_arrays_of_every_layout(tmp_path: Path, given: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    values = noise(given)
    image = read_image(saved(tmp_path / "a.npy", values), shape)
    assert image.shape == shape
    assert image.dtype == torch.uint8
    channels_first = values.transpose(2, 0, 1) if given in ((5, 4, 1), (5, 4, 3)) else values.reshape(shape)
    np.testing.assert_array_equal(image.numpy(), channels_first)


def test_floats_stay_floats(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 20).reshape(5, 4)
    image = read_image(saved(tmp_path / "a.npy", values), GREY)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image.numpy()[0], values.astype(np.float32))


def test_another_size_is_resized_only_when_asked(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 8), 77, dtype=np.uint8)).save(tmp_path / "a.png")
    saved(tmp_path / "a.npy", np.full((9, 8), 77, dtype=np.uint8))
    for name in ("a.png", "a.npy"):
        with pytest.raises(BadInput, match="is 8×9 pixels, the model takes 4×5") as caught:
            read_image(tmp_path / name, GREY)
        assert "--resize" in caught.value.hint
        assert torch.equal(read_image(tmp_path / name, GREY, resize=True), torch.full(GREY, 77, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((5, 4), dtype=np.int64), "int64"),
        (np.full((5, 4), 1.5), "outside"),
        (np.full((5, 4), -0.1), "outside"),
        (np.full((5, 4), np.nan), "outside"),
        (np.zeros((2, 5, 4), dtype=np.uint8), r"shape \[2, 5, 4\]"),
        (np.zeros((7,), dtype=np.uint8), r"shape \[7\]"),
        (np.zeros((1, 0, 4), dtype=np.uint8), r"shape \[1, 0, 4\]"),
        (np.array([{"code": 1}], dtype=object), "cannot be read"),
    ],
)
def test_arrays_that_are_no_image(tmp_path: Path, values: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read_image(saved(tmp_path / "a.npy", values), GREY)


def test_files_that_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.npy").write_bytes(b"no array")
    (tmp_path / "c.npy").write_bytes(b"")
    Image.fromarray(noise((5, 4))).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:50])
    deep = Image.fromarray(noise((5, 4)).astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    for name, says in {
        "a.png": "does not decode", "b.npy": "cannot be read", "c.npy": "cannot be read", "half.png": "does not decode",
        "deep.png": "more than 8 bits", "none.png": "there is no file",
    }.items():  # fmt: skip
        with pytest.raises(BadInput, match=says):
            read_image(tmp_path / name, GREY)
    with pytest.raises(BadInput, match="there is no file"):
        read_image(tmp_path, GREY)


def test_an_image_is_found_in_its_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = open_dataset("digits")
    test = digits.load("test")
    for row in (0, 300):
        assert position_in(digits, "test", test.images[row]) == test.indices[row]
        assert position_in(digits, "test", test.images[row].float() / 255) == test.indices[row]
    changed = test.images[0].clone()
    changed[0, 0, 0] ^= 1
    assert position_in(digits, "test", changed) is None
    monkeypatch.setattr("rsuq_cli.datasets.single_image.MOST_BYTES", 100)
    assert position_in(digits, "test", test.images[0]) is None
