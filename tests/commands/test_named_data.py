"""Data sets whose names can be read in two ways: every command means the set that was certified."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commandline import query, rsuq
from PIL import Image

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.readings.images import input_images
from rsuq_cli.reports.page.settings import certify_commands
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import run_row
from rsuq_cli.run.data import inputs_of

if TYPE_CHECKING:
    from conftest import Place

MODEL = """
import torch

class Brightest(torch.nn.Module):
    def forward(self, x):
        return 6 * torch.nn.functional.adaptive_avg_pool2d(x.mean(1), 2).flatten(1)[:, :CLASSES]

def make():
    return Brightest()
"""


def _folder(place: Place, name: str) -> str:
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in range(3):
            folder = place.work / name / part / "abc"[label]
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = random.integers(0, 90, (2, 2), dtype=np.uint8)
                pixels.flat[label] = 200
                Image.fromarray(pixels).resize((4, 4), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return f"folder:{name}"


@pytest.mark.parametrize(
    ("name", "size", "held_out"),
    [
        ("set@32", None, ""),
        ("set@32", 2, ""),
        ("set@32", 2, "-without-c"),
        ("set-without-a", None, "-without-c"),
    ],
)
def test_what_certify_opened_is_opened_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, size: int | None, held_out: str
) -> None:
    dataset = _folder(place, name) + held_out
    (place.work / "net.py").write_text(MODEL.replace("CLASSES", "2" if held_out else "3"))
    (place.work / "elsewhere").mkdir()
    sized = () if size is None else ("--image-size", size)
    settings = ("--model", f"{place.work}/net.py:make", "--threshold", 0.9, "--n", 100, "--n0", 20)
    result = rsuq("certify", "--dataset", dataset, *settings, *sized, "--format", "json")
    assert result.exit_code == 0, result.stderr
    with open_for_reading(place.database) as db:
        run, every = run_row(db, 1), figures(db, runs=[1])
    (command,) = certify_commands(run, every)
    words = shlex.split(command)
    assert words[words.index("--dataset") + 1] == f"folder:{place.work}/{name}" + ("-without-2" if held_out else "")
    assert ("--image-size" in words) == (size is not None)
    assert len(input_images(run, {0: 0}).uris) == 1

    monkeypatch.chdir(place.work / "elsewhere")
    again = rsuq(*words[1:])
    assert "nothing to do" in again.stderr, again.stderr
    picture = place.work / name / "test" / "b" / "0.png"
    resize = () if size is None else ("--resize",)
    for answer in (
        rsuq("audit", 1, "--inputs", 1, "--steps", 1, "--n", 100),
        rsuq("predict", picture, "--run", 1, *resize, "--format", "json"),
        rsuq("ood", "--run", 1, "--ood", "noise:uniform", "--threshold", 0.9),
        rsuq("report", "--html", "page.html"),
    ):
        assert answer.exit_code == 0, answer.stderr


def test_a_run_from_before_the_size_was_recorded_is_found_again(place: Place) -> None:
    from rsuq_cli.run.record import configuration_hash

    older = {"dataset": "digits@16", "n": 1}
    assert configuration_hash(older | {"image_size": 16}) == configuration_hash(older)
    assert configuration_hash(older | {"dataset": "digits@8", "image_size": 8}) != configuration_hash(older)


def test_a_limit_of_a_folder_is_spread_and_the_run_knows(place: Place) -> None:
    dataset = _folder(place, "set")
    (place.work / "net.py").write_text(MODEL.replace("CLASSES", "3"))
    settings = ("--model", f"{place.work}/net.py:make", "--threshold", 0.9, "--n", 100, "--n0", 20, "--limit", 3)
    result = rsuq("certify", "--dataset", dataset, *settings, "--format", "json")
    assert result.exit_code == 0, result.stderr
    assert "lie class by class: --limit 3 takes some spread evenly" in result.stderr
    indices = query(place.database, "SELECT input_index, label FROM certified_sample ORDER BY input_index")
    assert indices == [(0, 0), (4, 1), (8, 2)]
    for answer in (
        rsuq("certify", "--dataset", dataset, *settings),
        rsuq("audit", 1, "--inputs", 3, "--steps", 1, "--n", 100),
        rsuq("rescore", 1, "--threshold", 0.5),
        rsuq("ood", "--run", 1, "--ood", "noise:uniform", "--threshold", 0.9),
    ):
        assert answer.exit_code == 0, answer.stderr
    with open_for_reading(place.database) as db:
        run = run_row(db, 1)
    assert run.configuration["spread"] is True
    assert len(input_images(run, {0: 0, 4: 1, 8: 2}).uris) == 3


def test_a_run_from_when_the_first_were_taken_is_still_about_those(place: Place) -> None:
    dataset = _folder(place, "set")
    (place.work / "net.py").write_text(MODEL.replace("CLASSES", "3"))
    settings = ("--model", f"{place.work}/net.py:make", "--threshold", 0.9, "--n", 100, "--n0", 20)
    assert rsuq("certify", "--dataset", dataset, *settings).exit_code == 0
    with open_for_reading(place.database) as db:
        run = run_row(db, 1)
    every = open_dataset(run.dataset)
    first = every.load("test", every.indices("test")[:5])
    older = dataclasses.replace(run, subset_limit=5, subset_sha256=first.sha256())
    assert "spread" not in run.configuration
    assert inputs_of(older, every).indices.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(BadInput, match="have changed since run 1"):
        inputs_of(dataclasses.replace(older, configuration={**run.configuration, "spread": True}), every)
