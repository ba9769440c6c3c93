"""Checkpoint files: what is written comes back, the name identifies the bytes, and a failed write leaves nothing."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import (
    CheckpointMetadata,
    read_metadata,
    save_checkpoint,
    sha256_of,
    write_atomically,
)
from rsuq_cli.models.weights import read_weights
from rsuq_cli.models.zoo import build


def metadata(**changes: object) -> CheckpointMetadata:
    values: dict[str, object] = {
        "model": "cnn", "dataset": "digits", "shape": (1, 8, 8), "class_names": tuple("0123456789"), "sigma": 0.25,
        "objective": "gaussian", "epochs": 3, "seed": 1, "accuracy_clean": 0.99, "accuracy_noisy": 0.9,
        "calibration_indices": (4, 8), "config": {"batch_size": 64},
    }  # fmt: skip
    return CheckpointMetadata(**(values | changes))  # type: ignore[arg-type]


def test_weights_and_metadata_come_back(tmp_path: Path) -> None:
    model = build("cnn", shape=(1, 8, 8), num_classes=10, mean=(0.3,), std=(0.4,))
    saved = save_checkpoint(tmp_path / "new" / "folder", model, metadata())
    assert read_metadata(saved.path) == metadata()
    state = read_weights(saved.path)
    assert state.arch == "cnn"
    assert state.metadata["sigma"] == 0.25
    assert state.tensors.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(state.tensors[name], value)


def test_name_and_hash_identify_the_bytes(tmp_path: Path) -> None:
    model = build("mlp", shape=(1, 8, 8), num_classes=10)
    saved = save_checkpoint(tmp_path, model, metadata())
    digest = hashlib.sha256(saved.path.read_bytes()).hexdigest()
    assert saved.sha256 == sha256_of(saved.path) == digest
    assert saved.path.name == f"cnn-digits-sigma0.25-{digest[:8]}.safetensors"
    assert save_checkpoint(tmp_path, model, metadata()) == saved
    assert save_checkpoint(tmp_path, model, metadata(seed=2)) != saved
    assert len(list(tmp_path.iterdir())) == 2


def test_paths_in_names_become_file_names(tmp_path: Path) -> None:
    meta = metadata(model="my/net.py:make", dataset="folder:/data/my pets")
    path = save_checkpoint(tmp_path, nn.Linear(2, 2), meta).path
    assert path.parent == tmp_path
    assert path.name.startswith("net.py-make-folder-my-pets-sigma0.25-")


def test_tied_weights_can_be_saved(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    state = read_weights(save_checkpoint(tmp_path, model, metadata()).path)
    assert torch.equal(state.tensors["0.weight"], state.tensors["1.weight"])


def test_a_header_of_a_later_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    text = metadata().to_json().replace('{"accuracy_clean"', '{"a_new_field": 1, "accuracy_clean"')
    safetensors.torch.save_file({"w": torch.zeros(1)}, path, metadata={"rsuq": text})
    assert read_metadata(path) == metadata()


def test_files_of_others_have_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1)}, path)
    assert read_metadata(path) is None


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"bad\.safetensors"):
        read_metadata(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for read in (read_metadata, sha256_of):
        with pytest.raises(BadInput, match="absent"):
            read(tmp_path / "absent")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInput, match="No space left") as caught:
        write_atomically(path, b"new")
    assert str(path) in caught.value.message
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file/below"):
        write_atomically(tmp_path / "file" / "below", b"")
