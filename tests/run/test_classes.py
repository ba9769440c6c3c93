"""Class names: matched where they are the same, refused where they are not, and never moved in silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, SplitName
from rsuq_cli.errors import BadInput
from rsuq_cli.run.classes import as_recorded, matched

PIXELS = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


class Six(Dataset):
    """Six images in three classes; all are in every split."""

    def __init__(self, *names: str) -> None:
        super().__init__("six", names, (1, 1, 1), augment_crop=False, augment_flip=False)

    def indices(self, split: SplitName) -> Indices:
        return np.arange(6)

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        return Arrays(PIXELS[torch.from_numpy(indices)], LABELS[torch.from_numpy(indices)])


def named(dataset: Dataset) -> list[str]:
    """Returns the class name of every image, as the data set says it."""
    split = dataset.load("test")
    assert torch.equal(split.images, PIXELS)
    assert dataset.labels("test").tolist() == split.labels.tolist()
    return [dataset.class_names[label] for label in split.labels.tolist()]


def test_equal_names_are_nothing_to_talk_about() -> None:
    dataset = Six("ant", "bee", "cat")
    assert matched(dataset, ("ant", "bee", "cat"), "checkpoint 1") == (dataset, "", "", False)


def test_another_order_is_matched_by_name() -> None:
    found = matched(Six("ant", "bee", "cat"), ("cat", "ant", "bee"), "checkpoint 1")
    assert found.dataset.class_names == ("cat", "ant", "bee")
    assert named(found.dataset) == named(Six("ant", "bee", "cat"))
    assert found.dataset.load("test").labels.tolist() == [1, 2, 0, 0, 2, 1]
    assert "another order than checkpoint 1" in found.warning


def test_other_names_are_refused_by_name() -> None:
    with pytest.raises(BadInput) as caught:
        matched(Six("bird", "car", "cat"), ("automobile", "bird", "cat"), "checkpoint 1")
    assert caught.value.message == "checkpoint 1 knows the class automobile, and six has car instead"
    assert "--classes-renamed" in caught.value.hint


def test_renamed_classes_are_matched_one_by_one() -> None:
    found = matched(Six("bird", "car", "cat"), ("automobile", "bird", "cat"), "checkpoint 1", renamed=True)
    assert found.dataset.class_names == ("car", "bird", "cat")
    assert named(found.dataset) == named(Six("bird", "car", "cat"))
    assert found.warning == "--classes-renamed: automobile is car now"


@pytest.mark.parametrize(
    ("own", "trained"), [(("ant", "bee", "cat"), ("0", "1", "2")), (("0", "1", "2"), ("ant", "bee", "cat"))]
)
def test_numbers_are_no_names(own: tuple[str, ...], trained: tuple[str, ...]) -> None:
    dataset = Six(*own)
    found = matched(dataset, trained, "checkpoint 1")
    assert found.dataset is dataset
    assert "not compared" in found.note
    assert found.warning == ""


def test_numbers_in_another_order_are_names() -> None:
    """Folders called 0, 1, …, 10 come in alphabetical order: 10 after 1."""
    found = matched(Six("0", "10", "9"), ("0", "9", "10"), "checkpoint 1")
    assert found.dataset.class_names == ("0", "9", "10")
    assert named(found.dataset) == named(Six("0", "10", "9"))


def test_a_run_has_its_classes_again() -> None:
    dataset = Six("ant", "bee", "cat")
    assert as_recorded(dataset, None, 1) is dataset
    assert as_recorded(dataset, ["cat", "bee", "ant"], 1).class_names == ("cat", "bee", "ant")
    with pytest.raises(BadInput, match="run 1 knows the class dog"):
        as_recorded(dataset, ["ant", "bee", "dog"], 1)
