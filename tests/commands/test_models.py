"""`rsuq models`: checkpoints are listed, shown, labelled, given away with a card, brought in, and deleted."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from commandline import query, refused, rsuq, snapshot
from safetensors.torch import load_file, save_file
from samples import write_blobs

from rsuq_cli.models.loading import open_model

if TYPE_CHECKING:
    from conftest import Place


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of checkpoint 1 (mlp, two epochs) and of the runs 1 (certified, audited) and 2 (inputs elsewhere)."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("models")
        monkeypatch.setenv("RSUQ_DB", str(folder / "rsuq.db"))
        assert rsuq("train", "--model", "mlp", "--epochs", 2, "--name", "first", "--tag", "paper").exit_code == 0
        rsuq("certify", "--model", "mlp", "--n", 200, "--limit", 12, "--uncertainty", "margin")
        rsuq("audit", 1, "--inputs", 1, "--steps", 2)
        rsuq("ood", "--model", "mlp", "--ood", "noise:uniform", "--n", 60, "--limit", 6)
    return folder / "rsuq.db"


@pytest.fixture
def one(place: Place, filled: Path) -> Place:
    """A copy of it, with a file of its own."""
    shutil.copy(filled, place.database)
    folder = place.work / "checkpoints"
    shutil.copytree(filled.parent / "checkpoints", folder)
    (file,) = folder.glob("*.safetensors")
    with closing(sqlite3.connect(place.database)) as connection, connection:
        connection.execute("UPDATE checkpoint SET file = ?", (str(file),))
    return place


def file_of(place: Place) -> Path:
    return Path(query(place.database, "SELECT file FROM checkpoint")[0][0])


def test_the_list_is_what_models_alone_does(one: Place) -> None:
    (record,) = rsuq("models", "--format", "json").json
    assert (record["id"], record["model"], record["name"], record["tags"], record["runs"]) == (
        1, "mlp", "first", ["paper"], [1, 2],
    )  # fmt: skip
    assert len(record["history"]) == 2
    table = rsuq("models").stdout
    assert "first #paper" in table
    assert max(map(len, table.splitlines())) <= 100
    assert rsuq("models", "--where", 'model = "cnn"', "--format", "json").json == []
    assert len(rsuq("models", "list", "--tag", "paper", "--name", "first", "--format", "json").json) == 1


def test_one_is_shown_with_its_training_and_its_runs(one: Place) -> None:
    rsuq("models", "note", "first", "a note")
    shown = rsuq("models", "show", "first").stdout
    record = rsuq("models", "show", 1, "--format", "json").json
    first, last = record["history"]
    assert list(first) == ["accuracy_clean", "accuracy_noisy", "epoch", "loss", "seconds", "soft_acr"]
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert last["accuracy_noisy"] == record["accuracy_noisy"]
    assert record["file_exists"] is True
    for text in ("a note", f"epoch 2: loss {last['loss']:.4f}", "1, 2", "batch_size = 64", record["sha256"]):
        assert text in shown, text


def test_what_is_exported_comes_with_a_card_of_the_databases_figures(one: Place) -> None:
    result = rsuq("models", "export", 1, "--output", "out")
    assert result.exit_code == 0, result.stderr
    (weights,) = (one.work / "out").glob("*.safetensors")
    assert (
        hashlib.sha256(weights.read_bytes()).hexdigest() == query(one.database, "SELECT sha256 FROM checkpoint")[0][0]
    )
    card = (one.work / "out" / "README.md").read_text(encoding="utf-8")
    (figures,) = rsuq("report", "--format", "json").json
    coverage = figures["intervals"]["coverage"]
    for text in (
        "# first", "1×8×8 pixels", "normalisation, a layer of the network: mean ", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "epoch 2: loss", "margin ≤ ", f"| {figures['acr_standard']:.4f} | {figures['acr_cc']:.4f} |",
        f"{100 * coverage['value']:.1f} [{100 * coverage['low']:.1f}, {100 * coverage['high']:.1f}]",
        "## Inputs from elsewhere", "noise:uniform", "## What was tried against it", f"models import {weights.name}",
    ):  # fmt: skip
        assert text in card, text
    assert "exists" in refused(rsuq("models", "export", 1, "--output", "out"))
    assert rsuq("models", "export", 1, "--output", "out", "--force").exit_code == 0


ALONE = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("rsuq_cli", "timm"):
            raise ImportError(name)
sys.meta_path.insert(0, Refused())
import json, torch
try:
    import rsuq_cli
except ImportError:
    network = torch.export.load("out/network.pt2").module()
    torch.save(network(torch.load("images.pt")), "logits.pt")
    print(json.load(open("out/configuration.json"))["class_names"][3])
"""


@pytest.mark.slow
def test_an_exported_model_answers_alike_where_there_is_no_rsuq(one: Place) -> None:
    assert rsuq("models", "export", 1, "--output", "out").exit_code == 0
    network = open_model("mlp", shape=(1, 8, 8), num_classes=10, weights=file_of(one)).module
    images = torch.rand(7, 1, 8, 8) + torch.randn(7, 1, 8, 8)
    torch.save(images, "images.pt")
    alone = subprocess.run([sys.executable, "-I", "-c", ALONE], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == "3"
    logits = torch.load("logits.pt")
    assert logits.shape == (7, 10)
    assert torch.allclose(logits, network(images), atol=1e-5)
    card = (one.work / "out" / "README.md").read_text(encoding="utf-8")
    assert 'torch.export.load("network.pt2")' in card
    settings = json.loads((one.work / "out" / "configuration.json").read_text(encoding="utf-8"))
    assert (settings["sigma"], settings["shape"], settings["program"]) == (0.25, [1, 8, 8], "network.pt2")
    assert "normalisation" in settings


def test_no_program_is_written_of_what_may_be_another_network(one: Place) -> None:
    with closing(sqlite3.connect(one.database)) as connection, connection:
        (text,) = connection.execute("SELECT configuration FROM run WHERE id = 1").fetchone()
        stored = json.loads(text)
        stored["fingerprint"] = [[9.0] * len(row) for row in stored["fingerprint"]]
        connection.execute("UPDATE run SET configuration = ? WHERE id = 1", (json.dumps(stored),))
    result = rsuq("models", "export", 1, "--output", "out")
    assert result.exit_code == 0
    assert "no network.pt2 is written: the network computes something else" in result.stderr
    assert not (one.work / "out" / "network.pt2").exists()
    assert "no program is here" in (one.work / "out" / "README.md").read_text(encoding="utf-8")


def test_a_card_without_results_says_so(one: Place) -> None:
    rsuq("runs", "delete", 1, 2, "--yes", "--no-backup")
    assert rsuq("models", "export", 1).exit_code == 0
    (card,) = one.work.glob("mlp-*/README.md")
    text = card.read_text(encoding="utf-8")
    assert "Nothing has been certified with it yet." in text
    assert "## Inputs from elsewhere" not in text


def test_an_exported_model_is_imported_elsewhere_and_certified(one: Place) -> None:
    rsuq("models", "export", 1, "--output", "out")
    (weights,) = (one.work / "out").glob("*.safetensors")
    there = one.work / "there" / "other.db"
    there.parent.mkdir()
    result = rsuq("models", "import", weights, "--name", "theirs", "--db", there)
    assert (result.exit_code, result.stdout) == (0, "checkpoint 1\n")
    assert rsuq("models", "import", weights, "--tag", "again", "--db", there).stdout == "checkpoint 1\n"
    (record,) = rsuq("models", "--db", there, "--format", "json").json
    assert (record["name"], record["tags"]) == ("theirs", ["again"])
    assert Path(record["file"]).parent == there.parent / "checkpoints"
    assert record["accuracy_noisy"] == rsuq("models", "show", 1, "--format", "json").json["accuracy_noisy"]
    shutil.rmtree(one.work / "out")
    flags = ("certify", "--model", "mlp", "--n", 200, "--limit", 12, "--uncertainty", "margin", "--format", "json")
    assert rsuq(*flags, "--db", there).json[0]["acr_ncl"] == rsuq(*flags).json[0]["acr_ncl"]


def test_weights_of_another_program_are_imported_for_what_is_said_of_them(one: Place) -> None:
    state = {f"module.{name}": tensor for name, tensor in load_file(file_of(one)).items()}
    torch.save({"state_dict": state}, one.work / "theirs.pth")
    assert "does not say what it is" in refused(rsuq("models", "import", "theirs.pth", "--model", "mlp"))
    flags = ("--model", "mlp", "--dataset", "digits", "--sigma", 0.5)
    assert rsuq("models", "import", "theirs.pth", *flags).stdout == "checkpoint 2\n"
    record = rsuq("models", "show", 2, "--format", "json").json
    assert (record["sigma"], record["objective"], record["accuracy_clean"]) == (0.5, "unknown", None)
    assert Path(record["file"]).suffix == ".pth"
    assert rsuq("certify", "--model", "mlp", "--sigma", 0.5, "--n", 100, "--limit", 2).exit_code == 0
    rsuq("models", "export", 2, "--output", "out")
    (weights,) = (one.work / "out").glob("*.safetensors")
    assert set(load_file(weights)) == set(state)
    assert "--model mlp --dataset digits --sigma 0.5" in (one.work / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("missing.safetensors",), "there is no weights file"),
        (("own", "--sigma", 0.5), "--sigma is 0.5, and the file says 0.25"),
        (("own", "--model", "cnn"), "--model is cnn, and the file says mlp"),
        (("other.safetensors", "--model", "cnn", "--dataset", "digits", "--sigma", 0.25), "does not fit the model"),
        (("other.safetensors", "--model", "mlp", "--dataset", "digits", "--sigma", -1), "sigma is -1"),
        (("noise.safetensors", "--model", "mlp", "--dataset", "digits", "--sigma", 0.25), "noise.safetensors"),
    ],
)
def test_what_cannot_be_imported_leaves_everything_as_it_was(one: Place, flags: tuple[Any, ...], says: str) -> None:
    save_file({"weight": torch.zeros(2)}, one.work / "other.safetensors")
    (one.work / "noise.safetensors").write_bytes(b"noise")
    before = snapshot(one.root)
    file = file_of(one) if flags[0] == "own" else one.work / flags[0]
    assert says in refused(rsuq("models", "import", file, *flags[1:]))
    assert snapshot(one.root) == before


def test_deleting_takes_the_file_and_leaves_the_evidence(one: Place) -> None:
    file = file_of(one)
    assert "there is no terminal to ask at" in refused(rsuq("models", "delete", 1))
    assert file.exists()
    result = rsuq("models", "delete", "first", "--yes")
    assert result.exit_code == 0
    assert "2 runs made with it keep their evidence" in result.stderr
    assert not file.exists()
    assert len(list(one.work.glob("rsuq.backup-*.db"))) == 1
    assert query(one.database, "SELECT checkpoint_id FROM run") == [(None,), (None,)]
    assert query(one.database, "SELECT COUNT(*) FROM evidence")[0][0] > 12
    assert rsuq("models", "--format", "json").json == []
    assert rsuq("report").exit_code == 0


def test_a_file_that_is_another_one_now_is_left_alone(one: Place) -> None:
    file = file_of(one)
    file.write_bytes(b"something else")
    assert "not the file of checkpoint 1" in refused(rsuq("models", "export", 1, "--output", "out"))
    assert "it is left alone" in rsuq("models", "delete", 1, "--yes", "--no-backup").stderr
    assert file.read_bytes() == b"something else"


def test_a_file_is_kept_where_that_is_said(one: Place) -> None:
    file = file_of(one)
    assert rsuq("models", "delete", 1, "--yes", "--keep-file").exit_code == 0
    assert file.exists()
    assert rsuq("models", "import", file).exit_code == 0
    assert query(one.database, "SELECT id FROM checkpoint") == [(2,)]  # a number is not given again


def test_a_network_of_ones_own_is_imported_where_it_lies_now(place: Place) -> None:
    blobs = write_blobs(place.work)
    assert rsuq("train", *blobs.flags, "--epochs", 1).exit_code == 0
    (weights,) = (place.work / "checkpoints").glob("*.safetensors")
    moved = place.work / "moved"
    moved.mkdir()
    (place.work / "blobs.py").rename(moved / "net.py")
    flags = ("--db", moved / "other.db")
    assert "blobs.py" in refused(rsuq("models", "import", weights, *flags))
    assert rsuq("models", "import", weights, "--model", "moved/net.py:make", *flags).exit_code == 0
    asked = ("certify", "--model", moved / "net.py:make", "--dataset", blobs.dataset, "--n", 100, *flags)
    result = rsuq(*asked)
    assert (result.exit_code, "checkpoint 1: " in result.stderr) == (0, True)
