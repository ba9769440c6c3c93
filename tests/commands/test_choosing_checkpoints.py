"""`--checkpoint` and `--objective`: which of several checkpoints of a network is certified, and that it is told."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from commandline import query, refused, rsuq
from samples import Sample, write_blobs

from rsuq_cli.reports.page.settings import certify_commands
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import run_row

if TYPE_CHECKING:
    from conftest import Place

CERTIFY = ("--n", 100, "--limit", 2, "--format", "json")
CHOICE = "choose with --objective NAME or --checkpoint ID"


class Trained(NamedTuple):
    """A database with three checkpoints of a network, and the flags that name it."""

    database: Path
    flags: tuple[object, ...]


@pytest.fixture(scope="module", params=["mlp", "own"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A network with three checkpoints, of which the second was trained for something else."""
    folder = tmp_path_factory.mktemp("trained")
    sample = write_blobs(folder)
    found = Trained(
        folder / "rsuq.db",
        ("--model", "mlp" if request.param == "mlp" else sample.model, "--dataset", sample.dataset),
    )
    for seed in range(3):
        command = ("train", *found.flags, "--epochs", 1, "--batch-size", 20, "--seed", seed, "--db", found.database)
        assert rsuq(*command).exit_code == 0
    with closing(sqlite3.connect(found.database)) as connection, connection:
        connection.execute("UPDATE checkpoint SET objective = 'consistency', name = 'second' WHERE id = 2")
    return found


@pytest.fixture
def network(trained: Trained, place: Place) -> tuple[object, ...]:
    shutil.copy(trained.database, place.database)
    return trained.flags


def test_the_newest_is_taken_and_it_is_said_how_to_choose(network: tuple[object, ...]) -> None:
    result = rsuq("certify", *network, *CERTIFY)
    assert result.json[0]["checkpoint_id"] == 3
    assert (
        f"checkpoint 3, trained for gaussian, is the newest; there are others for consistency: {CHOICE}"
        in result.stderr.splitlines()
    )


@pytest.mark.parametrize(
    ("flags", "taken"),
    [
        (("--objective", "consistency"), 2), (("--objective", "gaussian"), 3), (("--checkpoint", 1), 1),
        (("--checkpoint", "second"), 2),
    ],
)  # fmt: skip
def test_one_is_chosen(
    place: Place, network: tuple[object, ...], flags: tuple[object, ...], taken: int, tmp_path: Path
) -> None:
    result = rsuq("certify", *network, *flags, *CERTIFY)
    assert result.exit_code == 0, result.stderr
    assert CHOICE not in result.stderr
    objective = "consistency" if taken == 2 else "gaussian"
    assert (result.json[0]["checkpoint_id"], result.json[0]["objective"]) == (taken, objective)
    assert query(place.database, "SELECT checkpoint_id FROM run") == [(taken,)]
    plan = rsuq("certify", *network, *flags, *CERTIFY, "--dry-run")
    assert (plan.json["checkpoint_id"], plan.json["finished"]) == (taken, 2)
    image = tmp_path / "image.npy"
    np.save(image, np.full((1, 2, 2), 0.3, dtype=np.float32))
    assert f"checkpoint {taken}: " in rsuq("predict", image, *network, *flags, "--n", 100).stderr
    side = rsuq("ood", *network, *flags, "--ood", "noise:uniform", "--n", 100, "--limit", 2, "--dry-run",
                "--format", "json")  # fmt: skip
    assert side.json["checkpoint_id"] == taken


def test_one_objective_says_nothing(place: Place, blobs: Sample) -> None:
    for seed in range(2):
        rsuq("train", *blobs.flags, "--epochs", 1, "--batch-size", 20, "--seed", seed)
    assert CHOICE not in rsuq("certify", *blobs.flags, *CERTIFY).stderr


def test_an_objective_that_nothing_was_trained_for_is_refused(network: tuple[object, ...]) -> None:
    result = rsuq("certify", *network, "--objective", "smoothmix", *CERTIFY)
    line = refused(result)
    assert "trained for smoothmix" in line
    assert "--objective smoothmix" in line


def test_there_is_no_such_checkpoint(network: tuple[object, ...]) -> None:
    assert "there is no checkpoint 9" in refused(rsuq("certify", *network, "--checkpoint", 9, *CERTIFY))
    assert "there is no checkpoint 'third'" in refused(rsuq("certify", *network, "--checkpoint", "third", *CERTIFY))


def test_a_checkpoint_of_another_network_is_refused(network: tuple[object, ...], blobs: Sample) -> None:
    other = blobs.model if "mlp" in network else "mlp"
    flags = ("--model", other, "--dataset", blobs.dataset, "--checkpoint", 1)
    assert f"checkpoint 1 is of {network[1]}, and not of this {other}" in refused(rsuq("certify", *flags, *CERTIFY))


def test_a_checkpoint_of_another_sigma_is_taken_with_a_warning(network: tuple[object, ...]) -> None:
    result = rsuq("certify", *network, "--checkpoint", 1, "--sigma", 0.5, *CERTIFY)
    assert result.json[0]["checkpoint_id"] == 1
    assert "0.25" in "".join(result.json[0]["warnings"])


@pytest.mark.parametrize("command", ["certify", "predict", "ood"])
@pytest.mark.parametrize(
    "flags",
    [
        ("--checkpoint", 1, "--objective", "gaussian"), ("--checkpoint", 1, "--weights", "some.pth"),
        ("--objective", "gaussian", "--weights", "some.pth"),
    ],
)  # fmt: skip
def test_two_choices_are_refused(command: str, flags: tuple[object, ...], tmp_path: Path, blobs: Sample) -> None:
    image = tmp_path / "image.npy"
    np.save(image, np.full((1, 2, 2), 0.3, dtype=np.float32))
    extra = {"predict": (image,), "ood": ("--ood", "noise:uniform"), "certify": ()}[command]
    line = refused(rsuq(command, *extra, *blobs.flags, *flags))
    assert "are given" in line


@pytest.mark.parametrize("flags", [("--checkpoint", 1), ("--objective", "gaussian")])
def test_a_run_has_settled_it(flags: tuple[object, ...], tmp_path: Path) -> None:
    image = tmp_path / "image.npy"
    np.save(image, np.full((1, 2, 2), 0.3, dtype=np.float32))
    assert f"both --run and {flags[0]}" in refused(rsuq("ood", "--run", 1, *flags))
    assert f"both --run and {flags[0]}" in refused(rsuq("predict", image, "--run", 1, *flags))


def test_the_command_that_makes_a_run_again_takes_the_same_checkpoint(place: Place) -> None:
    for epochs in (1, 2):
        assert rsuq("train", "--model", "mlp", "--epochs", epochs).exit_code == 0
    rsuq("certify", "--model", "mlp", "--checkpoint", 1, *CERTIFY)
    with open_for_reading(place.database) as db:
        (command,) = certify_commands(run_row(db, 1), figures(db, runs=[1], radii=[0.25]))
    again = rsuq(*shlex.split(command)[1:], "--format", "json")
    assert (again.json[0]["run_id"], again.json[0]["checkpoint_id"]) == (1, 1)


def test_held_out_classes_are_those_of_the_chosen_checkpoint(place: Place) -> None:
    for number, classes in enumerate(("8,9", "0,1"), 1):
        assert rsuq("train", "--model", "mlp", "--epochs", 1, "--hold-out-classes", classes).exit_code == 0
        assert query(place.database, "SELECT MAX(id) FROM checkpoint") == [(number,)]
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE checkpoint SET objective = 'consistency' WHERE id = 1")
    command = ("ood", "--model", "mlp", "--ood", "held-out", "--n", 100, "--limit", 2, "--dry-run", "--format", "json")
    assert rsuq(*command).json["dataset"] == "digits-without-0,1"
    for flags in (("--checkpoint", 1), ("--objective", "consistency")):
        plan = rsuq(*command, *flags).json
        assert (plan["checkpoint_id"], plan["dataset"]) == (1, "digits-without-8,9")
