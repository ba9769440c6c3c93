"""Sets from elsewhere: those that are made here, and those that are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.ood_sets import MADE, OodSet, open_ood_set
from rsuq_cli.datasets.subset import spread
from rsuq_cli.errors import BadInput

SHAPES = [(1, 8, 8), (3, 32, 32), (3, 20, 12)]


def opened(name: str, dataset: Dataset | None = None, count: int | None = None, size: int | None = None) -> OodSet:
    return open_ood_set(name, dataset or open_dataset("digits"), count=count, made=9, image_size=size, data_dir=None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MADE)
def test_a_made_set_fits_every_shape_and_an_input_does_not_depend_on_the_count(
    name: str, shape: tuple[int, int, int]
) -> None:
    many, few = MADE[name](shape, 12), MADE[name](shape, 5)
    assert many.shape == (12, *shape)
    assert many.dtype == np.uint8
    assert (many[:5] == few).all()
    assert len({image.tobytes() for image in many}) == 12


def test_each_made_set_is_what_it_says() -> None:
    shape = (3, 32, 32)
    sets = {name: make(shape, 60).astype(float) / 255 for name, make in MADE.items()}
    assert np.ptp(sets["constant"], axis=(2, 3)).max() == 0
    at_the_ends = np.isin(sets["noise:gaussian"], (0.0, 1.0)).mean()
    assert at_the_ends == pytest.approx(2 * 0.3085, abs=0.02)  # P(|N(0, 1)| > 1/2)
    assert sets["noise:uniform"].std() == pytest.approx(12**-0.5, abs=0.01)
    steps = {name: np.abs(np.diff(values, axis=3)).mean() for name, values in sets.items()}
    assert steps["noise:smooth"] < 0.2 * steps["noise:uniform"]
    assert (sets["noise:smooth"].min(axis=(1, 2, 3)) == 0).all()
    assert (sets["noise:smooth"].max(axis=(1, 2, 3)) == 1).all()
    # Neighbours in a photograph are alike, unlike those of noise; and its channels differ.
    assert steps["photo-patches"] < 0.5 * steps["noise:uniform"]
    assert np.abs(sets["photo-patches"][:, 0] - sets["photo-patches"][:, 2]).mean() > 0.02


def test_patches_of_other_than_photographic_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match="no images of 2×8×8"):
        MADE["photo-patches"]((2, 8, 8), 3)
    with pytest.raises(BadInput, match="no images of 3×500×500"):
        MADE["photo-patches"]((3, 500, 500), 3)


def test_the_count_of_a_made_set_is_that_of_the_data_or_the_limit() -> None:
    assert len(opened("constant")) == 9
    assert len(opened("constant", count=4)) == 4


def test_held_out_classes_are_near() -> None:
    found = opened("held-out", open_dataset("digits-without-8,9"), count=20)
    assert found.near
    assert (found.name, len(found)) == ("held-out", 20)
    with pytest.raises(BadInput, match="no classes of digits are held out"):
        opened("held-out")


def _folder(root: Path, size: tuple[int, int] = (8, 8), mode: str = "L", names: tuple[str, ...] = ("",)) -> str:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for at in range(5):
            Image.new(mode, size, at + 10 * number if mode == "L" else (at, 100, 200)).save(root / name / f"{at}.png")
    return f"folder:{root}"


def test_a_folder_may_be_flat_or_have_class_folders_or_a_test_part(tmp_path: Path) -> None:
    flat = opened(_folder(tmp_path / "flat"))
    assert flat.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    classes = opened(_folder(tmp_path / "classes", names=("a", "b")))
    assert classes.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    _folder(tmp_path / "whole" / "train", names=("a", "b"))
    whole = opened(_folder(tmp_path / "whole" / "test", names=("a", "b")).removesuffix("/test"))
    assert len(whole) == 10
    assert flat.name == f"folder:{tmp_path / 'flat'}"


def test_a_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    found = opened(_folder(tmp_path, names=("a", "b")), count=4)
    assert found.indices.tolist() == [0, 2, 5, 7]
    assert spread(np.arange(3), 5).tolist() == [0, 1, 2]


def test_an_npz_needs_no_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_test=np.full((3, 8, 8), 0.25, dtype=np.float32))
    found = opened(f"npz:{tmp_path / 'a.npz'}")
    assert found.images.shape == (3, 1, 8, 8)
    assert found.images.dtype == torch.float32


def test_another_shape_is_refused_or_converted(tmp_path: Path) -> None:
    large = _folder(tmp_path / "large", (16, 16))
    with pytest.raises(BadInput, match=r"images of 1×16×16, and digits of 1×8×8") as refused:
        opened(large)
    assert refused.value.hint.startswith("--image-size 8")
    assert opened(large, size=8).images.shape == (5, 1, 8, 8)
    coloured = _folder(tmp_path / "rgb", mode="RGB")
    with pytest.raises(BadInput, match="3×8×8"):
        opened(coloured)
    # Pillow's own conversion to grey: 0.299 R + 0.587 G + 0.114 B.
    grey = [Image.new("RGB", (1, 1), (at, 100, 200)).convert("L").getpixel((0, 0)) for at in range(5)]
    assert opened(coloured, size=8).images[:, 0, 0, 0].tolist() == grey


def test_grey_images_serve_for_coloured_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _folder(data / "test", mode="RGB", names=("a", "b"))
    found = opened(_folder(tmp_path / "grey"), open_dataset(f"folder:{data}"), size=8)
    assert found.images.shape == (5, 3, 8, 8)
    assert (found.images[:, 0] == found.images[:, 2]).all()


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown out-of-distribution set") as refused:
        opened("noise:smoth")
    assert "noise:smooth" in refused.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no images"):
        opened(f"folder:{tmp_path / 'empty'}")
    with pytest.raises(BadInput, match="no folder"):
        opened(f"folder:{tmp_path / 'missing'}")
    np.savez(tmp_path / "none.npz", x_test=np.zeros((0, 8, 8), dtype=np.uint8))
    with pytest.raises(BadInput, match="no test inputs"):
        opened(f"npz:{tmp_path / 'none.npz'}")
