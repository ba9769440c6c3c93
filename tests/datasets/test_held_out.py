"""Data sets without some of their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.held_out import HeldOutDataset
from rsuq_cli.datasets.names import held_out_name, without
from rsuq_cli.errors import BadInput


def _held_out(name: str) -> HeldOutDataset:
    dataset = open_dataset(name)
    assert isinstance(dataset, HeldOutDataset)
    return dataset


def test_the_classes_are_in_no_split_and_the_others_are_numbered_anew() -> None:
    dataset, whole = _held_out("digits-without-1,8"), open_dataset("digits")
    assert dataset.class_names == tuple("02345679")
    for split in ("train", "calibration", "test"):
        part = dataset.load(split)
        labels = whole.labels(split)
        assert (dataset.indices(split) == whole.indices(split)[~np.isin(labels, (1, 8))]).all()
        names = [dataset.class_names[label] for label in part.labels]
        assert names == [str(label) for label in labels if label not in (1, 8)]
        assert (dataset.labels(split) == part.labels.numpy()).all()


def test_positions_and_pixels_are_those_of_the_whole_set() -> None:
    dataset, whole = _held_out("digits-without-8,9"), open_dataset("digits")
    some = dataset.indices("test")[[3, 70]]
    assert (dataset.load("test", some).images == whole.load("test", some).images).all()
    with pytest.raises(BadInput, match="not in the test split"):
        dataset.load("test", dataset.held_out_indices("test")[:1])


def test_what_is_held_out_is_the_rest() -> None:
    dataset, whole = _held_out("digits-without-8,9"), open_dataset("digits")
    outside = dataset.held_out_indices("test")
    assert set(dataset.load_held_out("test", outside).labels.tolist()) == {8, 9}
    assert sorted([*outside, *dataset.indices("test")]) == whole.indices("test").tolist()


def test_the_name_is_canonical() -> None:
    assert _held_out("digits-without-9, 8,9").name == "digits-without-8,9"


def test_a_class_of_a_folder_is_named_by_its_folder(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("bird", "cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(12):
                Image.new("L", (4, 4), number).save(folder / f"{number}.png")
    dataset = _held_out(f"folder:{tmp_path}-without-cat")
    assert dataset.class_names == ("bird", "dog")
    assert dataset.held_out == (1,)
    assert len(dataset.indices("test")) == 24
    assert _held_out(dataset.name).name == dataset.name


def test_a_folder_whose_own_name_looks_like_that_is_a_folder(tmp_path: Path) -> None:
    for name in ("bird", "cat"):
        (tmp_path / "pets-without-dogs" / "test" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "pets-without-dogs" / "test" / name / "0.png")
    dataset = open_dataset(f"folder:{tmp_path / 'pets-without-dogs'}")
    assert not isinstance(dataset, HeldOutDataset)


@pytest.mark.parametrize(
    ("classes", "message"),
    [("12", "no class '12'"), ("1,,2", "no class ''"), ("0,1,2,3,4,5,6,7,8", "1 of the 10 classes .* would be left")],
)
def test_impossible_classes_are_refused(classes: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        open_dataset(without("digits", classes))


def test_names_without_classes_are_no_such_names() -> None:
    assert held_out_name("digits") is None
    assert held_out_name("digits-without-") is None
    assert held_out_name("folder:/a-without-b/c") is None


def _numbered(folder: Path, classes: int) -> str:
    """Makes class folders 0, 1, 10, 11, 2, … whose names are not the ids that their order gives them."""
    for part in ("train", "test"):
        for name in range(classes):
            inner = folder / part / str(name)
            inner.mkdir(parents=True)
            for number in range(3):
                Image.new("L", (4, 4), 16 * name + number).save(inner / f"{number}.png")
    return f"folder:{folder}"


def _names(dataset: HeldOutDataset) -> list[str]:
    return [dataset.whole.class_names[c] for c in dataset.held_out]


def test_a_class_that_is_called_by_a_number_is_meant_by_its_name(tmp_path: Path) -> None:
    dataset = _held_out(without(_numbered(tmp_path / "set", 12), "2,10"))
    assert _names(dataset) == ["10", "2"]
    assert _names(_held_out(dataset.name)) == ["10", "2"]
    assert dataset.name == f"folder:{tmp_path}/set-without-=10,=2"
    said: list[str] = []
    dataset.tell(said.append)
    assert said == [f"held out of folder:{tmp_path}/set: classes 10, 2"]


def test_a_name_from_when_numbers_were_ids_opens_what_its_results_are_about(tmp_path: Path) -> None:
    old = f"{_numbered(tmp_path / 'set', 12)}-without-2,3"
    recorded = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    dataset = open_dataset(old, recorded=recorded)
    assert isinstance(dataset, HeldOutDataset)
    assert _names(dataset) == ["10", "11"]
    assert _names(_held_out(old)) == ["2", "3"]


def test_an_id_stands_for_a_class_where_none_has_that_name(tmp_path: Path) -> None:
    name = _numbered(tmp_path / "set", 11)
    assert _names(_held_out(f"{name}-without-10")) == ["10"]
    for part in ("train", "test"):
        (tmp_path / "set" / part / "10").rename(tmp_path / "set" / part / "ten")
    whole = open_dataset(name)
    assert whole.class_names[10] == "ten"
    assert _held_out(f"{name}-without-10").name == f"{name}-without-10"
    assert _names(_held_out(f"{name}-without-10,ten")) == ["ten"]


def test_a_class_that_no_name_can_say_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images, labels = np.zeros((6, 4, 4), np.uint8), np.array([0, 1, 2, 0, 1, 2])
    np.savez(path, x_test=images, y_test=labels, classes=np.array(["1,5", "0", "other"]))
    with pytest.raises(BadInput, match="cannot be held out by its name"):
        HeldOutDataset(open_dataset(f"npz:{path}"), ["1,5"])
