"""Paths that are no UTF-8, as on old disks and in old archives: everything works there, and names stay readable."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from commandline import query, rsuq
from samples import BLOBS_MODEL, Sample, blob_arrays, write_npz

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.models.checkpoints import CheckpointMetadata, read_metadata, save_checkpoint
from rsuq_cli.models.weights import read_weights
from rsuq_cli.spelling import spelled

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="such names are for Linux's file systems")
ODD = os.fsdecode(b"caf\xe9")


def test_a_model_and_data_below_such_a_folder_are_certified_audited_and_reported(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place.work / ODD
    folder.mkdir()
    (folder / "blobs.py").write_text(BLOBS_MODEL)
    dataset = write_npz(folder / "blobs.npz", **blob_arrays())
    monkeypatch.setenv("RSUQ_DB", str(folder / "rsuq.db"))
    settings = ("--model", f"{folder}/blobs.py:make", "--dataset", dataset, "--threshold", 0.9, "--n", 100)
    for command in (
        ("certify", *settings, "--limit", 3),
        ("audit", 1, "--inputs", 1, "--steps", 1, "--n", 100),
        ("report", "--html", folder / "page.html"),
        ("export", 1, "--output", folder / "log.tsv"),
        ("import", folder / "log.tsv", "--dataset", ODD, "--model", ODD, "--sigma", 0.25),
        ("runs", "show", 1),
        ("db", "check"),
    ):
        result = rsuq(*command)
        assert result.exit_code == 0, (command, result.stderr)
    assert "nothing to do" in rsuq("certify", *settings, "--limit", 3).stderr
    names = query(folder / "rsuq.db", "SELECT dataset, model FROM run ORDER BY id")
    assert names == [
        (f"npz:{place.work}/caf\\xe9/blobs.npz", f"{place.work}/caf\\xe9/blobs.py:make"),
        ("caf\\xe9", "caf\\xe9"),
    ]
    assert open_dataset(names[0][0]).num_classes == 3
    assert "caf\\xe9" in (folder / "page.html").read_text(encoding="utf-8")
    shown = rsuq("report", "--dataset", ODD, "--format", "json")
    assert [record["dataset"] for record in json.loads(shown.stdout)] == ["caf\\xe9"]


FRONT = """
from torch import nn

def make():
    return nn.Identity()
"""


def test_a_denoiser_below_such_a_folder_is_certified_audited_and_reported(place: Place, blobs: Sample) -> None:
    folder = place.work / ODD
    folder.mkdir()
    (folder / "front.py").write_text(FRONT)
    settings = (*blobs.flags, "--denoiser", f"{ODD}/front.py:make", "--threshold", 0.9, "--n", 100)
    for command in (
        ("certify", *settings, "--limit", 3),
        ("audit", 1, "--inputs", 1, "--steps", 1, "--n", 100),
        ("ood", "--run", 1, "--ood", "noise:uniform", "--threshold", 0.9),
        ("report", "--html", "page.html"),
        ("runs", "show", 1),
    ):
        result = rsuq(*command)
        assert result.exit_code == 0, (command, result.stderr)
    assert "nothing to do" in rsuq("certify", *settings, "--limit", 3).stderr
    recorded = json.loads(query(place.database, "SELECT configuration FROM run WHERE id = 1")[0][0])["denoiser"]
    assert recorded == {"model": "caf\\xe9/front.py:make", "factory_file": f"{place.work}/caf\\xe9/front.py"}
    assert "--denoiser" in (place.work / "page.html").read_text(encoding="utf-8")


def test_a_checkpoint_in_such_a_folder_is_read(tmp_path: Path) -> None:
    import torch

    folder = tmp_path / ODD
    metadata = CheckpointMetadata(
        model="mlp", dataset=spelled(f"folder:{folder}"), shape=(1, 2, 2), class_names=("a", "b"), sigma=0.25,
        objective="gaussian", epochs=1, seed=0, accuracy_clean=1.0, accuracy_noisy=1.0, calibration_indices=(0,),
        config={},
    )  # fmt: skip
    saved = save_checkpoint(folder, torch.nn.Linear(4, 2), metadata)
    found = read_metadata(saved.path)
    assert found is not None
    assert found.dataset == f"folder:{tmp_path}/caf\\xe9"
    assert set(read_weights(saved.path).tensors) == {"weight", "bias"}
