"""Which normalisation is taken on a data set whose published weights usually have one, and what of it is recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from samples import level_arrays, write_levels_weights
from scipy.stats import binomtest

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, SplitName
from rsuq_cli.models.loading import open_model
from rsuq_cli.models.statistics import KNOWN, NONE, Statistics
from rsuq_cli.run.network.normalisation import Normalised, normalised
from rsuq_cli.run.network.race import Candidate
from rsuq_cli.run.network.recorded_normalisation import normalisation_of, recorded, same_normalisation
from rsuq_cli.run.record import configuration_hash
from rsuq_cli.run.request import Sources

CIFAR, PLAIN = KNOWN["cifar10"], Statistics((0.0,) * 3, (1.0,) * 3)


class Named(Dataset):
    """Levels of brightness under a name of the catalogue."""

    def __init__(self, name: str) -> None:
        super().__init__(name, tuple("abcdefg"), (3, 2, 2), augment_crop=False, augment_flip=False)
        arrays = level_arrays(train=70)
        self._images = torch.from_numpy(arrays["x_train"])
        self._labels = torch.from_numpy(arrays["y_train"])

    def indices(self, split: SplitName) -> Indices:
        every = np.arange(len(self._images))
        return every[every % 2 == (split == "train")]

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        return Arrays(self._images[indices], self._labels[indices])


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, total: int) -> None: ...

    def advance(self, units: int, note: str = "") -> None: ...

    def end(self) -> None: ...


def settled(file: Path, dataset: str, sigma: float = 0.05, **sources: object) -> tuple[Normalised, list[str]]:
    model = open_model("mlp", shape=(3, 2, 2), num_classes=7, weights=file)
    said = Said()
    asked = Sources("mlp", **sources)  # type: ignore[arg-type]
    found = normalised(model, Named(dataset), asked, sigma, torch.device("cpu"), said)
    return found, said.lines


def test_the_usual_one_is_not_forced_on_weights_that_have_none(tmp_path: Path) -> None:
    """MACER's checkpoints for CIFAR-10 were trained on pixels as they are."""
    file = write_levels_weights(tmp_path / "macer.pth", *NONE)
    found, (line,) = settled(file, "cifar10")
    assert found.model.normalisation == PLAIN
    assert found.warnings == ()
    assert "taking none (mean 0,0,0 std 1,1,1), right on 100.0% of" in line
    assert found.model.module.get_submodule("normalise")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [1.0] * 3


def test_the_usual_one_is_taken_wherever_it_is_not_worse(tmp_path: Path) -> None:
    """Old runs of published weights had it, so a close decision falls for it, and is said."""
    near = Statistics((0.49, 0.48, 0.44), (0.203, 0.2, 0.202))
    file = write_levels_weights(tmp_path / "near.pth", *near)
    for name, expected in (("cifar10", CIFAR), ("cifar100", CIFAR)):
        assert settled(file, name)[0].model.normalisation == expected


def test_the_choice_is_the_same_each_time(tmp_path: Path) -> None:
    file = write_levels_weights(tmp_path / "w.pth", *KNOWN["half"])
    first, second = (settled(file, "cifar10", sigma=0.3) for _ in range(2))
    assert first[1] == second[1]
    assert first[0].model.normalisation == second[0].model.normalisation


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("cifar10", CIFAR), ("cifar100", KNOWN["cifar100"]), ("cifar10@16", CIFAR), ("digits", None),
     ("folder:/a/cifar10", None)],
)  # fmt: skip
def test_a_run_without_a_record_had_the_usual_one(dataset: str, expected: Statistics | None) -> None:
    assert normalisation_of({"dataset": dataset}) == expected


def test_the_usual_one_does_not_tell_runs_apart() -> None:
    for dataset, usual, other in (("cifar10", CIFAR, PLAIN), ("cifar10@16", CIFAR, PLAIN), ("digits", PLAIN, CIFAR)):
        before = {"dataset": dataset, "model": "resnet20"}
        assert configuration_hash(before | recorded(usual)) == configuration_hash(before)
        assert configuration_hash(before | recorded(other)) != configuration_hash(before)
        assert same_normalisation(before, before | recorded(usual))
        assert not same_normalisation(before, before | recorded(other))
        assert not same_normalisation(before | recorded(usual), before | recorded(other))
        assert normalisation_of(before | recorded(other)) == other
    assert recorded(None) == {}


def test_a_candidate_is_worse_where_the_exact_sign_test_says_so() -> None:
    for won in range(12):
        for lost in range(30):
            pairs = [(True, False)] * won + [(False, True)] * lost + [(True, True)] * 3
            ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
            candidate, other = Candidate("ours", PLAIN, right=ours), Candidate("theirs", PLAIN, right=theirs)
            expected = lost > won and binomtest(won, won + lost).pvalue < 0.001
            assert candidate.is_worse(than=other) == expected, (won, lost)
