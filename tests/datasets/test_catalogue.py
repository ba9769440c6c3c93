"""From a name to a data set, and one line for a name that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsuq_cli.datasets.catalogue import TORCHVISION, default_data_dir, open_dataset
from rsuq_cli.errors import BadInput


def test_digits_open_by_name():
    dataset = open_dataset("digits", image_size=10)
    assert (dataset.name, dataset.shape) == ("digits", (1, 10, 10))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_sets_are_described_without_their_files(name, tmp_path):
    dataset = open_dataset(name, data_dir=tmp_path / "absent")
    assert dataset.name == name
    assert dataset.num_classes == (100 if name == "cifar100" else 10)
    assert dataset.shape == ((1, 28, 28) if "mnist" in name else (3, 32, 32))
    assert not (tmp_path / "absent").exists()


def test_default_folder_is_below_the_users_data_directory():
    assert default_data_dir().name == "datasets"
    assert default_data_dir().is_absolute()
    assert open_dataset("svhn").data_dir == default_data_dir()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", "did you mean digits?"),
        ("CIFAR-10", "cifar10"),
        ("fashion-mnist", "fashion_mnist"),
        ("folder", "folder:PATH"),
        ("imagenet21k", "known: "),
        ("", "known: "),
        ("x" * 5000, "known: "),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(BadInput, match="unknown data set") as caught:
        open_dataset(name)
    assert hint in caught.value.hint


def test_a_bare_path_is_told_its_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    np.savez(tmp_path / "mine.npz", x=np.zeros(1))
    for name, hint in (("photos", "folder:photos"), ("mine.npz", "npz:mine.npz")):
        with pytest.raises(BadInput) as caught:
            open_dataset(name)
        assert hint in caught.value.hint


@pytest.mark.parametrize("kind", ["folder", "npz"])
@pytest.mark.parametrize("path", ["", "absent", "~nobody-has-this-name/x", "y" * 5000])
def test_a_path_that_is_not_there(kind, path):
    with pytest.raises(BadInput) as caught:
        open_dataset(f"{kind}:{path}")
    assert f"{kind}:PATH" in caught.value.hint
    assert "\n" not in caught.value.message


def test_npz_names_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("set.npz", x_test=np.zeros((2, 4, 4), np.uint8), y_test=[0, 1])
    assert open_dataset("npz:set.npz").name == f"npz:{Path.cwd() / 'set.npz'}"


@pytest.mark.parametrize("size", [0, -3])
def test_an_image_size_below_one_is_refused(size):
    with pytest.raises(BadInput, match="below 1 pixel"):
        open_dataset("digits", image_size=size)
