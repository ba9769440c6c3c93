"""`rsuq train --init`: what begins with other weights is another training, and its checkpoint says with which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from commandline import Result, query, refused, rsuq
from safetensors.torch import load_file

if TYPE_CHECKING:
    from conftest import Place

MLP = ("--model", "mlp", "--sigma", "0.25", "--epochs", "1")


def train(*flags: object) -> Result:
    result = rsuq("train", "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    return result


def configuration(place: Place, number: int) -> dict[str, Any]:
    ((text,),) = query(place.database, f"SELECT configuration FROM checkpoint WHERE id = {number}")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_it_begins_with_the_weights_and_says_whose_they_are(place: Place) -> None:
    train(*MLP, "--name", "base")
    # A step that is as good as none: what comes out is what went in.
    tuned = train("--model", "mlp", "--sigma", "0.5", "--epochs", "1", "--init", "base", "--learning-rate", "1e-30")
    files = [row[0] for row in query(place.database, "SELECT file FROM checkpoint ORDER BY id")]
    first, second = (load_file(file) for file in files)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-6, atol=1e-9)
    began = configuration(place, 2)["began_with"]
    assert (began["checkpoint"], began["sigma"], began["objective"]) == (1, 0.25, "gaussian")
    assert [(began["sha256"],)] == query(place.database, "SELECT sha256 FROM checkpoint WHERE id = 1")
    assert "right under noise at sigma 0.5" in tuned.stderr
    assert "before" in tuned.stderr.splitlines()[-1]


def test_ancestry_is_kept_over_generations(place: Place) -> None:
    train(*MLP)
    train(*MLP, "--init", 1)
    train(*MLP, "--init", 2)
    began = configuration(place, 3)["began_with"]
    assert (began["checkpoint"], began["began_with"]["checkpoint"]) == (2, 1)


def test_it_is_another_training_than_one_that_draws_its_weights(place: Place) -> None:
    train(*MLP)
    assert train(*MLP, "--init", 1).json[0]["checkpoint_id"] == 2
    assert "trained already: checkpoint 2" in train(*MLP, "--init", 1).stderr
    assert "trained already: checkpoint 1" in train(*MLP).stderr
    assert train(*MLP, "--init", 2).json[0]["checkpoint_id"] == 3


def test_a_fine_tuned_checkpoint_is_not_shown_for_a_training_from_nothing(place: Place) -> None:
    file = Path(train(*MLP).json[0]["file"]).rename(place.work / "base.safetensors")
    place.database.unlink()
    assert train(*MLP, "--init", file).json[0]["checkpoint_id"] == 1
    assert train(*MLP).json[0]["checkpoint_id"] == 2


def test_less_of_everything_suits_it(place: Place) -> None:
    usual = rsuq("train", "--model", "mlp", "--dry-run", "--format", "json").json
    train(*MLP)
    tuned = rsuq("train", "--model", "mlp", "--init", "1", "--dry-run", "--format", "json").json
    assert tuned["settings"]["epochs"] == round(0.1 * usual["settings"]["epochs"])
    assert tuned["settings"]["learning_rate"] == pytest.approx(0.1 * usual["settings"]["learning_rate"])


def test_what_cannot_be_begun_with_is_one_line(place: Place) -> None:
    train(*MLP)
    assert "there is no checkpoint 'nobody', and no file nobody" in refused(rsuq("train", *MLP, "--init", "nobody"))
    assert "does not fit the model" in refused(rsuq("train", "--model", "cnn", "--init", "1"))
    Path(query(place.database, "SELECT file FROM checkpoint")[0][0]).write_bytes(b"other")
    assert "is another one now" in refused(rsuq("train", *MLP, "--init", "1"))
    Path(query(place.database, "SELECT file FROM checkpoint")[0][0]).unlink()
    assert "is not there any more" in refused(rsuq("train", *MLP, "--init", "1"))
