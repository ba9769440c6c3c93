"""An objective is one file: it is listed, takes parameters, trains, and its checkpoint says with which."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import query, refused, rsuq
from samples import Sample

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import read_metadata
from rsuq_cli.training import objectives
from rsuq_cli.training.objectives.base import Value
from rsuq_cli.training.objectives.gaussian import Gaussian
from rsuq_cli.training.objectives.names import objective_names
from rsuq_cli.training.objectives.registry import assignments, objective_named, parameters_of
from rsuq_cli.training.settings import TrainSettings

if TYPE_CHECKING:
    from conftest import Place

# The mean over several noisy copies, more or less of it, and a way to break: one parameter of every type.
SEVERAL_DRAWS = """
from dataclasses import dataclass

from torch.nn import functional as F

from rsuq_cli.errors import BadInput
from rsuq_cli.training.objectives.base import UnderNoise, add_noise


@dataclass(frozen=True)
class SeveralDraws(UnderNoise):
    draws: int = 2
    weight: float = 1.0
    smooth: bool = False
    way: str = "mean"

    def __post_init__(self):
        if self.draws < 1:
            raise BadInput(f"draws is {self.draws}", "give at least 1")

    def __call__(self, model, batch):
        noisy = [add_noise(batch.images, batch.sigma, batch.generator) for _ in range(self.draws)]
        losses = [F.cross_entropy(model(one), batch.labels) for one in noisy]
        return self.weight * sum(losses) / len(losses)


OBJECTIVE = SeveralDraws
"""


@pytest.fixture
def several_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An objective that is there because its file is."""
    folder = tmp_path / "more_objectives"
    folder.mkdir()
    (folder / "several_draws.py").write_text(SEVERAL_DRAWS)
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(folder)])
    yield
    sys.modules.pop(f"{objectives.__name__}.several_draws", None)


def test_every_objective_is_a_file_and_the_machinery_is_none() -> None:
    assert objective_names() == (
        "acr", "catrs", "consistency", "denoise-mse", "denoise-stability", "gaussian", "macer", "reject", "smoothadv",
        "smoothmix", "stability",
    )  # fmt: skip
    assert objective_named("gaussian") == Gaussian()
    assert parameters_of(Gaussian()) == {}


def test_an_unknown_objective_shows_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        objective_named("gausian")
    assert "gaussian" in caught.value.hint


@pytest.mark.usefixtures("several_draws")
def test_a_new_file_is_an_objective() -> None:
    assert "several-draws" in objective_names()
    objective = objective_named("several-draws", {"draws": "3", "weight": "0.5", "smooth": "yes", "way": "sum"})
    assert parameters_of(objective) == {"draws": 3, "weight": 0.5, "smooth": True, "way": "sum"}
    defaults = {"draws": 2, "weight": 1.0, "smooth": False, "way": "mean"}
    assert parameters_of(objective_named("several-draws")) == defaults
    assert TrainSettings(0.25, 1, objective="several-draws").recorded()["parameters"] == defaults


@pytest.mark.parametrize("name", objective_names())
@pytest.mark.parametrize("noises", [1, 3])
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_what_is_recorded_makes_the_same_objective_again(name: str, noises: int, sigma: float) -> None:
    objective = objective_named(name, {"noises": noises}, sigma=sigma)
    settings = TrainSettings(sigma, 1, objective=name, parameters={"noises": noises})
    assert objective_named(name, settings.parameters, sigma=sigma) == objective
    assert objective.noises == noises


def test_what_has_no_parameters_is_recorded_as_before() -> None:
    assert "parameters" not in TrainSettings(0.25, 1).recorded()


@pytest.mark.usefixtures("several_draws")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"drawn": "3"}, "no parameter 'drawn'"),
        ({"draws": "0"}, "draws is 0"),
        ({"draws": "1.5"}, "draws is '1.5'"),
        ({"weight": "much"}, "weight is 'much'"),
        ({"smooth": "perhaps"}, "smooth is 'perhaps'"),
        ({"weight": "inf"}, "weight is 'inf'"),
        ({"weight": "nan"}, "weight is 'nan'"),
        # Of a file of settings, whose numbers are numbers.
        ({"draws": 1.5}, "draws is 1.5"),
        ({"draws": True}, "draws is True"),
        ({"smooth": 2}, "smooth is 2"),
    ],
)
def test_an_impossible_parameter_is_refused(given: dict[str, Value], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        objective_named("several-draws", given)


@pytest.mark.usefixtures("several_draws")
def test_a_whole_number_is_the_same_training_as_the_number_with_a_point() -> None:
    written, typed = (TrainSettings(0.25, 1, objective="several-draws", parameters={"weight": one}) for one in (2, "2"))
    assert json.dumps(written.recorded()) == json.dumps(typed.recorded())


@pytest.mark.parametrize("written", [["draws"], ["=3"], ["draws="], ["draws=1", "draws=2"]])
def test_what_sets_nothing_is_refused(written: list[str]) -> None:
    with pytest.raises(BadInput):
        assignments(written)


@pytest.mark.usefixtures("several_draws")
def test_its_checkpoint_says_with_which_parameters(place: Place, blobs: Sample) -> None:
    command = ("train", *blobs.flags, "--epochs", 1, "--objective", "several-draws", "--format", "json")
    (record,) = rsuq(*command, "--set", "draws=3").json
    assert record["objective"] == "several-draws"
    parameters = {"draws": 3, "weight": 1.0, "smooth": False, "way": "mean"}
    (configuration,) = query(place.database, "SELECT configuration FROM checkpoint")[0]
    assert json.loads(configuration)["parameters"] == parameters
    metadata = read_metadata(Path(record["file"]))
    assert metadata is not None
    assert metadata.config["parameters"] == parameters
    # Another value is another training.
    (other,) = rsuq(*command, "--set", "draws=3", "--set", "weight=2").json
    assert (other["checkpoint_id"], other["sha256"] == record["sha256"]) == (2, False)


def test_a_parameter_that_there_is_not_is_refused_on_the_command_line(place: Place) -> None:
    assert "the objective gaussian has no parameter 'draws'" in refused(rsuq("train", "--set", "draws=3"))
    assert not place.database.exists()
