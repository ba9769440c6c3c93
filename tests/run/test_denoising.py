"""A denoiser beside the networks behind it: what any of them was trained on calibrates nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from samples import blob_arrays, write_npz
from torch import nn

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.models.checkpoints import CheckpointMetadata, save_checkpoint
from rsuq_cli.models.denoiser import Denoiser
from rsuq_cli.models.denoising import build_denoiser
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.run.denoising import in_front


def packed(dataset: Dataset, *positions: Any) -> str:
    """Returns the hashes of these positions of the train file."""
    parts = [dataset.load("train"), dataset.load("calibration")]
    rows = torch.from_numpy(np.isin(np.concatenate([one.indices for one in parts]), np.concatenate(positions)))
    return SeenImages.of(torch.cat([one.images for one in parts])[rows]).packed()


def denoiser(folder: Path, dataset: Dataset, trained_on: str) -> Denoiser:
    metadata = CheckpointMetadata(
        model="dncnn", dataset=dataset.name, shape=dataset.shape, class_names=dataset.class_names, sigma=0.25,
        objective="denoise-mse", epochs=1, seed=0, accuracy_clean=1.0, accuracy_noisy=1.0, trained_on=trained_on,
    )  # fmt: skip
    saved = save_checkpoint(folder, build_denoiser("dncnn", 1), metadata)
    return Denoiser("dncnn", saved.sha256, saved.path)


def network(trained_on: str) -> LoadedModel:
    return LoadedModel(nn.Flatten(), "net", "", "", "net.pt", {"trained_on": trained_on} if trained_on else {})


def test_no_network_saw_what_takes_the_place_of_the_denoiser_s_images(tmp_path: Path) -> None:
    dataset = open_dataset(write_npz(tmp_path / "data.npz", **blob_arrays(train=200)))
    train, held_out = dataset.indices("train"), dataset.indices("calibration")
    wanted = denoiser(tmp_path, dataset, packed(dataset, held_out[:8]))
    networks = (network(packed(dataset, train[:-30])), network(packed(dataset, train[-30:-4])), network(""))
    found = in_front(wanted, networks, dataset, dataset.name, 0.25)
    assert found is not None
    np.testing.assert_array_equal(
        found.dataset.calibration_indices, np.sort(np.concatenate([held_out[8:], train[-4:]]))
    )
    (warning,) = found.warnings
    assert "8 of the 20 calibration images" in warning
