"""A user's own network is known by its file and the shapes of its weights: spellings, namesakes, moves, no training."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import Result, query, refused, rsuq
from samples import BLOBS_MODEL, Sample, blob_arrays, write_npz
from torch import nn

if TYPE_CHECKING:
    from conftest import Place

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x.flatten(1))


def make():
    return Net()


def other():
    return Net()
"""
FLIPPED = NET.replace("x.flatten(1)", "x.flip(-1).flatten(1)")
STATE = {"fc.weight": torch.eye(3, 4), "fc.bias": torch.zeros(3)}


class Project:
    """A folder with an untrained network and data that every project shares."""

    def __init__(self, folder: Path, dataset: str, source: str = NET) -> None:
        folder.mkdir(exist_ok=True)
        self.file, self.dataset = folder / "net.py", dataset
        self.file.write_text(source)

    def run(self, command: str, model: object = "net.py:make", *flags: object) -> Result:
        sys.modules.pop("net", None)  # as in a process of its own
        own = {"train": ("--epochs", 1), "certify": ("--n", 100, "--limit", 3)}[command]
        return rsuq(command, "--model", model, "--dataset", self.dataset, *own, "--format", "json", *flags)

    def certified(self, model: object = "net.py:make", *flags: object) -> tuple[dict[str, Any], str]:
        result = self.run("certify", model, *flags)
        assert result.exit_code == 0, result.stderr
        return result.json[0], result.stderr

    def train(self, model: object = "net.py:make") -> dict[str, Any]:
        result = self.run("train", model)
        assert result.exit_code == 0, result.stderr
        return dict(result.json[0])


@pytest.fixture
def dataset(place: Place) -> str:
    return write_npz(place.root / "data.npz", **blob_arrays())


@pytest.fixture
def project(place: Place, dataset: str) -> Project:
    return Project(place.work, dataset)


def change_checkpoints(database: Path, **changes: object) -> None:
    """Changes parts of every checkpoint's configuration; None takes a part out."""
    with closing(sqlite3.connect(database)) as connection:
        for number, text in connection.execute("SELECT id, configuration FROM checkpoint").fetchall():
            kept = {k: v for k, v in (json.loads(text) | changes).items() if v is not None}
            connection.execute("UPDATE checkpoint SET configuration = ? WHERE id = ?", (json.dumps(kept), number))
        connection.commit()


def test_every_spelling_finds_the_checkpoint(project: Project, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    project.train()
    (place.root / "link.py").symlink_to(project.file)
    for model in ("net.py:make", "./net.py:make", project.file.as_posix() + ":make", "../link.py:make", "net:make"):
        assert project.certified(model)[0]["checkpoint_id"] == 1, model
    monkeypatch.chdir(place.root)
    assert project.certified("work/net.py:make")[0]["checkpoint_id"] == 1
    # What the user wrote stays what is shown.
    models = [model for (model,) in query(place.database, "SELECT model FROM run ORDER BY id")]
    assert models[:2] == ["net.py:make", "./net.py:make"]
    assert query(place.database, "SELECT model FROM checkpoint") == [("net.py:make",)]


def test_a_namesake_elsewhere_never_gets_it(
    project: Project, place: Place, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.train()
    theirs = Project(place.root / "theirs", dataset, FLIPPED)
    monkeypatch.chdir(theirs.file.parent)
    line = refused(theirs.run("certify"))
    assert "net.py:make is untrained" in line
    # Not even a copy, letter by letter, while the other file is there; and each keeps its own.
    theirs.file.write_text(NET)
    assert "is untrained" in refused(theirs.run("certify"))
    assert theirs.train()["checkpoint_id"] == 2
    assert theirs.certified()[0]["checkpoint_id"] == 2
    monkeypatch.chdir(place.work)
    assert project.certified()[0]["checkpoint_id"] == 1


def test_two_factories_of_one_file_are_two_networks(project: Project) -> None:
    project.train()
    assert "net.py:other is untrained" in refused(project.run("certify", "net.py:other"))
    assert project.train("net.py:other")["checkpoint_id"] == 2
    assert project.certified()[0]["checkpoint_id"] == 1


def test_weights_of_other_shapes_are_passed_over(project: Project) -> None:
    project.train()
    project.file.write_text(NET.replace("nn.Linear(4, 3)", "nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))"))
    assert "checkpoint 1 of net.py:make has weights of other shapes" in refused(project.run("certify"))
    project.train()
    project.file.write_text(NET)
    assert project.certified()[0]["checkpoint_id"] == 1


def test_a_file_that_moved_is_followed_where_it_computes_the_same(project: Project, place: Place) -> None:
    project.train()
    project.file.rename(place.work / "moved.py")
    record, stderr = project.certified("moved.py:make")
    assert record["checkpoint_id"] == 1
    assert f"checkpoint 1 is of {project.file}, which has moved to {place.work / 'moved.py'}" in stderr
    # The same shapes, another function: nothing says that it is the one that was trained.
    (place.work / "moved.py").write_text(FLIPPED)
    line = refused(project.run("certify", "moved.py:make"))
    assert f"checkpoint 1 is of {project.file}, which is not there any more" in line
    assert "give --weights" in line


def test_a_checkpoint_from_before_has_to_be_named(project: Project, place: Place) -> None:
    file = project.train()["file"]
    change_checkpoints(place.database, network=None, fingerprint=None)
    line = refused(project.run("certify"))
    assert "checkpoint 1 of net.py:make does not say of which file it is" in line
    assert f"give --weights {Path(file).resolve()}" in line
    record, _ = project.certified("net.py:make", "--weights", file)
    assert record["clean_accuracy"] is not None
    # Brought in again, it is of this file from now on.
    assert f"rsuq models import {Path(file).resolve()}" in line
    assert rsuq("models", "import", file).exit_code == 0
    assert "checkpoint 1: " in project.certified()[1]


def test_an_untrained_network_is_refused_with_the_line_that_trains_it(project: Project, place: Place) -> None:
    line = refused(project.run("certify", "net.py:make", "--sigma", 0.5))
    assert "net.py:make is untrained: its factory makes other weights under every seed" in line
    assert f"rsuq train --model net.py:make --dataset {project.dataset} --sigma 0.5" in line
    assert "--weights" in line
    assert "--untrained" in line
    assert not place.database.exists()
    predicted = rsuq("predict", "no.png", "--model", "net.py:make", "--dataset", project.dataset)
    assert "is untrained" in refused(predicted)
    found = rsuq("ood", "--model", "net.py:make", "--dataset", project.dataset, "--ood", "noise:uniform")
    assert "is untrained" in refused(found)


def test_untrained_is_recorded_and_goes_on(project: Project, place: Place) -> None:
    record, stderr = project.certified("net.py:make", "--untrained")
    assert "warning: the network is untrained" in stderr
    assert "the network is untrained" in record["warnings"][0]
    (text,) = query(place.database, "SELECT configuration FROM run")[0]
    assert json.loads(text)["untrained"] is True
    assert "--untrained" in rsuq("runs", "show", 1).stdout
    # Random weights, but the same ones again, here and in workers.
    again, stderr = project.certified("net.py:make", "--untrained")
    assert again["run_id"] == 1
    assert "nothing to do" in stderr
    assert rsuq("audit", 1, "--inputs", 1, "--steps", 1).exit_code == 0
    # And with a checkpoint there, too: it is not taken where the untrained network is asked for.
    project.train()
    assert project.certified("net.py:make", "--untrained")[0]["checkpoint_id"] is None
    assert project.certified()[0]["checkpoint_id"] == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [(("--model", "mlp", "--untrained"), "--untrained is for a network of your own"),
     (("--model", "net.py:make", "--untrained", "--weights", "w.pt"), "both --untrained and --weights")],
)  # fmt: skip
def test_where_untrained_says_nothing(project: Project, flags: tuple[object, ...], words: str) -> None:
    assert words in refused(rsuq("certify", *flags))


OWN_WEIGHTS = {
    "seeds": "torch.manual_seed(3); return Net()",
    "loads": "net = Net(); net.load_state_dict(torch.load('w.pt', weights_only=True)); return net",
    "none": "return Half()",
}
DRAWN = {
    "head": "torch.manual_seed(3); net = Net(); torch.seed(); net[1] = nn.Linear(4, 3); return net",
    "torch": "return Net()",
    "numpy": "net = Net(); net.load_state_dict({'1.weight': torch.from_numpy(np.random.randn(3, 4)).float(), "
    "'1.bias': torch.zeros(3)}); return net",
    "python": "net = Net(); [nn.init.constant_(p, random.random()) for p in net.parameters()]; return net",
    "buffer": "torch.manual_seed(3); net = Net(); torch.seed(); net.register_buffer('b', torch.randn(2)); return net",
    "hidden": "return Hidden()",
}
FACTORIES = """
import random

import numpy as np
import torch
from torch import nn


def Net():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


class Half(nn.Module):
    def forward(self, x):
        m = x.flatten(1)[:, :3] - 0.3
        return m


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = [torch.randn(4, 3)]  # not in the state dict

    def forward(self, x):
        return x.flatten(1) @ self.weight[0]


def make():
    """


@pytest.mark.parametrize("body", OWN_WEIGHTS.values(), ids=OWN_WEIGHTS)
def test_a_factory_that_fixes_its_weights_is_fine(project: Project, body: str) -> None:
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).state_dict(), "w.pt")
    project.file.write_text(FACTORIES + body + "\n")
    record, stderr = project.certified()
    assert "using the factory's own weights" in stderr
    assert record["warnings"] == []


@pytest.mark.parametrize("body", DRAWN.values(), ids=DRAWN)
def test_a_factory_that_draws_any_of_its_weights_is_not(project: Project, body: str) -> None:
    project.file.write_text(FACTORIES + body + "\n")
    assert "is untrained" in refused(project.run("certify"))


def test_generators_are_given_back_as_they_were(project: Project) -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    project.run("certify", "net.py:make", "--untrained")
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(7)
    np.random.seed(7)
    assert drawn == (torch.rand(1), np.random.rand())


def test_an_edited_network_does_not_go_on_with_the_old_ones_epochs(
    blobs: Sample, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", *blobs.flags, "--epochs", 3, "--format", "json")
    monkeypatch.setenv("INTERRUPT_AT", "5")  # in the second epoch
    assert rsuq(*command).exit_code == 130
    monkeypatch.delenv("INTERRUPT_AT")
    edited = BLOBS_MODEL.replace("return self.fc(x.flatten(1))", "return -self.fc(x.flatten(1))")
    (place.work / "blobs.py").write_text(edited)
    result = rsuq(*command)
    assert "resumed" not in result.stderr
    assert "started anew: the network computes something else than when" in result.stderr
    fresh = rsuq(*command, "--fresh", "--db", place.work / "fresh.db")
    assert result.json[0]["sha256"] == fresh.json[0]["sha256"]


def test_other_spellings_go_on_with_the_same_training(
    blobs: Sample, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERRUPT_AT", "5")
    assert rsuq("train", *blobs.flags, "--epochs", 3).exit_code == 130
    monkeypatch.delenv("INTERRUPT_AT")
    result = rsuq("train", "--model", "./blobs.py:make", "--dataset", blobs.dataset, "--epochs", 3)
    assert "resumed after epoch 1" in result.stderr


def test_a_checkpoint_whose_network_was_edited_is_told(project: Project, place: Place) -> None:
    file = project.train()["file"]
    assert project.certified()[0]["warnings"] == []
    project.file.write_text(NET.replace("x.flatten(1)", "x.reshape(len(x), -1)"))  # other words for the same
    assert project.certified()[0]["warnings"] == []
    project.file.write_text(NET.replace("return self.fc", "return 2 * self.fc"))
    record, stderr = project.certified()
    said = "net.py:make computes something else than when checkpoint 1 was trained"
    assert record["warnings"] == [said]
    assert f"warning: {said}" in stderr
    _, stderr = project.certified("net.py:make", "--weights", file)
    assert f"net.py:make computes something else than when {Path(file).name} was trained" in stderr


@pytest.mark.parametrize("weights", [False, True], ids=["own", "file"])
@pytest.mark.parametrize("model", ["net.py:make", "net:make"])
def test_a_run_is_opened_again_from_any_folder(
    project: Project, place: Place, monkeypatch: pytest.MonkeyPatch, model: str, weights: bool
) -> None:
    torch.save(STATE, "w.pt")
    project.certified(model, *(("--weights", "w.pt") if weights else ("--untrained",)))
    np.save(place.root / "image.npy", np.full((2, 2), 0.5, np.float32))
    monkeypatch.chdir(place.root)
    # A namesake here is not what the run is about.
    (place.root / "net.py").write_text(FLIPPED)
    for command in (
        ("audit", 1, "--inputs", 1, "--steps", 1), ("predict", "image.npy", "--run", 1),
        ("ood", "--run", 1, "--ood", "noise:uniform"),
    ):  # fmt: skip
        sys.modules.pop("net", None)
        result = rsuq(*command)
        assert result.exit_code == 0, (command, result.stderr)


def test_a_run_from_before_is_opened_by_its_source(
    blobs: Sample, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rsuq("certify", "--model", "blobs.py:make", "--dataset", blobs.dataset, "--n", 100).exit_code == 0
    with closing(sqlite3.connect(place.database)) as connection:
        (text,) = connection.execute("SELECT configuration FROM run").fetchone()
        configuration = json.loads(text)
        del configuration["factory_file"]
        connection.execute("UPDATE run SET configuration = ?", (json.dumps(configuration),))
        connection.commit()
    monkeypatch.chdir(place.root)
    assert rsuq("audit", 1, "--inputs", 1, "--steps", 1).exit_code == 0
    # A source of which only a relative name is known is looked for here, and missed in one line.
    with closing(sqlite3.connect(place.database)) as connection:
        connection.execute("UPDATE run SET source = 'blobs.py'")
        connection.commit()
    assert "there is no file" in refused(rsuq("audit", 1, "--inputs", 1))
