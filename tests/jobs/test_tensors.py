"""Certifying a tensor gives what `rsuq certify` gives, and the exact truth of a half-space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import rsuq
from samples import write_half_space
from torch import nn

import rsuq_cli
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.tensors import TensorResult, certify

DISTANCES = (0.5, 0.3, 0.05, -0.2, -0.38)


class HalfSpace(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signed = x.flatten(1).sum(1) - 0.8
        return torch.stack([signed, -signed], dim=1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.tensor(DISTANCES).mul(2).add(0.8).div(4)[:, None, None, None].expand(-1, 1, 2, 2).clamp(0, 1)


def certified(images: torch.Tensor, **changes: Any) -> TensorResult:
    settings: dict[str, Any] = {"sigma": 0.25, "n": 2000, "uncertainty": "confidence", "threshold": 0.4}
    return certify(HalfSpace(), images, [0, 0, 0, 1, 1], **(settings | changes))


def test_it_is_what_the_command_certifies(place: Any, images: torch.Tensor) -> None:
    sample = write_half_space(Path(), DISTANCES)
    flags = ("--sigma", 0.25, "--n", 2000, "--uncertainty", "confidence", "--threshold", 0.4)
    assert rsuq("certify", *sample.flags, *flags).exit_code == 0
    stored = rsuq_cli.samples(1)
    found = certified(torch.from_numpy(sample.inputs)).frame()
    names = [name for name in found if name in stored]
    assert len(names) == 13
    for name in names:
        assert found[name].tolist() == stored[name].tolist(), name


def test_no_radius_exceeds_the_truth(images: torch.Tensor) -> None:
    result = certified(images)
    signed = np.abs(images.flatten(1).sum(1).numpy() - 0.8)
    margin = np.log(0.6 / 0.4) / 2
    assert (result.radius_standard <= signed / 2 + 1e-6).all()
    assert (result.radius_cc <= np.maximum(signed - margin, 0) / 2 + 1e-6).all()
    assert (result.radius_ncl <= (signed + margin) / 2 + 1e-6).all()
    assert result.radius_standard[0] > 0.2
    assert result.class_index.tolist() == [0, 0, 0, 1, 1]
    assert set(result.decision) <= {"certain", "uncertain", "undecided"}


def test_the_batch_size_does_not_matter(images: torch.Tensor) -> None:
    one, other = (certified(images, batch_size=size).frame() for size in (32, 512))
    assert one.equals(other)


def test_calibration_images_give_a_threshold(images: torch.Tensor) -> None:
    result = certified(images, threshold=None, calibration=images, coverage=0.6)
    counted = result.certificates
    covered = 1 - (counted.uncertain_count / counted.n).mean()
    assert covered == pytest.approx(0.6, abs=0.05)


def test_bytes_are_pixels_too() -> None:
    values = torch.randint(0, 256, (3, 1, 2, 2), dtype=torch.uint8)
    settings: dict[str, Any] = {"sigma": 0.25, "n": 200, "threshold": 0.5}
    one, other = (certify(HalfSpace(), x, **settings).frame() for x in (values, values.float() / 255))
    assert one.equals(other)


def test_figures_need_labels(images: torch.Tensor) -> None:
    assert certified(images).figures(radii=[0.1]).clean_accuracy >= 0.8
    with pytest.raises(BadInput, match="need their labels"):
        certify(HalfSpace(), images, sigma=0.25, n=200, threshold=0.5).figures()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": None}, "neither a threshold nor calibration images"),
        ({"threshold": None, "calibration": torch.rand(3, 1, 4, 4)}, "calibration images have shape"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"n": 5}, "cannot certify anything"),
        ({"uncertainty": "entropie"}, "unknown uncertainty measure"),
        ({"rule": "mayority"}, "unknown rule"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_settings_that_cannot_certify_are_refused(images: torch.Tensor, changes: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        certified(images, **changes)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.rand(4, 2, 2), None, "images have shape"),
        (torch.rand(0, 1, 2, 2), None, "at least one image|images have shape"),
        (torch.rand(2, 1, 2, 2) * 2 + 1, None, "in \\[0, 1\\]"),
        (torch.rand(2, 1, 2, 2).double(), None, "uint8, or float32"),
        (torch.rand(2, 1, 2, 2), [1], "labels of shape"),
    ],
)
def test_images_that_are_none_are_refused(images: torch.Tensor, labels: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        certify(HalfSpace(), images, labels, sigma=0.25, threshold=0.5)


def test_a_model_that_gives_no_logits_is_refused() -> None:
    with pytest.raises(BadInput, match="the model gives shape"):
        certify(nn.Flatten(0), torch.rand(2, 1, 2, 2), sigma=0.25, threshold=0.5)


def test_a_model_whose_answers_depend_on_the_batch_is_refused(images: torch.Tensor) -> None:
    crowd = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(BadInput, match="depends on the others in its batch"):
        certify(crowd, images, sigma=0.25, threshold=0.5)
