"""Results belong to what a network does: an edited module, another file of the same name, a folder left behind."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import Result, figures, query, rsuq
from samples import blob_arrays, write_npz

if TYPE_CHECKING:
    from conftest import Place

# Its class lies in a module that the factory's file imports; the state dict is the same for every SIGN.
BLOCKS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(6 * torch.eye(3, 4))

    def forward(self, x):
        return SIGN * self.fc(x.flatten(1))
"""
FACTORY = "from blocks_of_mine import Net\n\n\ndef make():\n    return Net()\n"
CERTIFY = ("certify", "--model", "net.py:make", "--n", 100, "--format", "json")


class Project:
    """A folder with a network in two files, and data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "net.py").write_text(FACTORY)
        self.dataset = write_npz(folder / "data.npz", **blob_arrays())
        self.edit(1.0)

    def edit(self, sign: float) -> None:
        (self.folder / "blocks_of_mine.py").write_text(f"SIGN = {sign}\n" + BLOCKS)
        sys.modules.pop("blocks_of_mine", None)  # as in a process of its own

    def certify(self, *flags: object) -> Result:
        result = rsuq(*CERTIFY, "--dataset", self.dataset, *flags)
        assert result.exit_code == 0, result.stderr
        return result


@pytest.fixture
def project(place: Place) -> Project:
    return Project(place.work)


# What runs of the first releases do not record.
LATER = ("fingerprint", "image_size", "calibration_images_sha256")


def forget_fingerprints(database: Path) -> None:
    """Makes the runs of a database what they were before fingerprints were recorded."""
    import hashlib

    with closing(sqlite3.connect(database)) as connection:
        for run_id, text in connection.execute("SELECT id, configuration FROM run").fetchall():
            configuration = {k: v for k, v in json.loads(text).items() if k not in LATER}
            digest = hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()
            values = (json.dumps(configuration), digest, run_id)
            connection.execute("UPDATE run SET configuration = ?, configuration_hash = ? WHERE id = ?", values)
        connection.commit()


def test_an_edited_helper_module_is_another_network(project: Project) -> None:
    first = project.certify()
    project.edit(-1.0)
    second = project.certify()
    fresh = project.certify("--db", project.folder / "fresh.db")
    assert second.json[0]["run_id"] == 2
    assert "run 1 has the same weights and file, but its network computed something else" in second.stderr
    assert figures(second) == figures(fresh)
    assert figures(second) != figures(first)
    # And back: what is stored about the first network is found again.
    project.edit(1.0)
    third = project.certify()
    assert third.json[0]["run_id"] == 1
    assert "nothing to do" in third.stderr


def test_other_rounding_is_the_same_network(project: Project, place: Place) -> None:
    project.certify()
    (text,) = query(place.database, "SELECT configuration FROM run")[0]
    project.edit(1.00001)
    again = project.certify()
    assert again.json[0]["run_id"] == 1
    assert query(place.database, "SELECT configuration FROM run") == [(text,)]
    assert project.certify("--fresh").json[0]["run_id"] == 2
    assert query(place.database, "SELECT configuration FROM run WHERE id = 2") == [(text,)]


@pytest.mark.parametrize(
    "command", [("audit", 1, "--inputs", 1, "--steps", 1), ("predict", "image.npy", "--run", 1),
                ("ood", "--run", 1, "--ood", "noise:uniform", "--coverage", 0.9)],
    ids=["audit", "predict", "ood"],
)  # fmt: skip
def test_a_changed_network_is_not_taken_for_the_certified_one(
    project: Project, place: Place, command: tuple[Any, ...]
) -> None:
    import numpy as np

    np.save(place.work / "image.npy", np.full((2, 2), 0.5, np.float32))
    project.certify("--limit", 4)
    assert rsuq(*command).exit_code == 0
    project.edit(-1.0)
    result = rsuq(*command)
    assert result.exit_code == 2
    assert "net.py:make computes something else than in run 1" in result.stderr


def test_bins_of_a_changed_network_are_not_taken_over(project: Project, place: Place) -> None:
    import numpy as np

    np.save(place.work / "image.npy", np.full((2, 2), 0.5, np.float32))
    project.certify("--limit", 2)
    predict = ("predict", "image.npy", "--model", "net.py:make", "--dataset", project.dataset, "--n", 100)
    assert "calibrating" not in rsuq(*predict).stderr
    project.edit(0.1)
    assert "calibrating" in rsuq(*predict).stderr


def test_a_run_from_before_is_of_a_users_own_network_only_when_it_is_named(project: Project, place: Place) -> None:
    project.certify("--limit", 4)
    forget_fingerprints(place.database)
    audited = rsuq("audit", 1, "--inputs", 1, "--steps", 1)
    assert audited.exit_code == 0
    assert "by weights and file alone" in audited.stderr
    second = project.certify("--limit", 4)
    assert second.json[0]["run_id"] == 2
    assert "run 1 is from before what a network computes was recorded" in second.stderr


def test_a_run_from_before_is_of_a_model_of_the_zoo(trained: Path, place: Place) -> None:
    place.database.write_bytes(trained.read_bytes())
    flags = ("certify", "--model", "mlp", "--n", 100, "--limit", 2, "--format", "json")
    rsuq(*flags)
    forget_fingerprints(place.database)
    again = rsuq(*flags)
    assert again.json[0]["run_id"] == 1
    assert "nothing to do" in again.stderr
    # A fresh run has on record what its network computes.
    assert rsuq(*flags, "--fresh").json[0]["run_id"] == 2
    assert "fingerprint" in json.loads(query(place.database, "SELECT configuration FROM run WHERE id = 2")[0][0])
    assert rsuq(*flags).json[0]["run_id"] == 2


def test_weights_without_names_and_a_class_that_was_renamed(project: Project) -> None:
    def named(*classes: str, order: tuple[int, ...]) -> None:
        arrays = blob_arrays()
        for part in ("y_train", "y_test"):
            arrays[part] = np.array(order)[arrays[part]]
        write_npz(project.folder / "data.npz", **arrays, classes=list(classes))

    named("ant", "bee", "cat", order=(0, 1, 2))
    before = project.certify()
    assert "stood for" not in before.stderr
    named("ant", "cat", "wasp", order=(0, 2, 1))  # the bees are wasps now, and come last
    after = project.certify()
    assert after.json[0]["clean_accuracy"] < before.json[0]["clean_accuracy"]
    (said,) = [line for line in after.json[0]["warnings"] if "output 1 of these weights stood for bee" in line]
    assert "now it stands for cat" in said
    assert said in after.stderr
    assert said in project.certify("--n0", 20).stderr
