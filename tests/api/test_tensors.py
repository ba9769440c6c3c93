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
from rsuq_cli.api.tensors import TensorResult, certify
from rsuq_cli.errors import BadInput

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
    with pytest.warns(UserWarning, match="5 of the 5 images are among those that calibrate the threshold"):
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
        ({"rule": None}, "rule is None"),
        ({"competitors": 3}, "competitors is 3"),
        ({"uncertainty": ["entropy"]}, "uncertainty is \\['entropy'\\]"),
        ({"n": 2**70}, "n is 1180591620717411303424"),
        ({"seed": 2**63}, "seed is 9223372036854775808"),
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
        (torch.eye(2, dtype=torch.uint8).expand(2, 1, 2, 2), None, "they are black"),
        (torch.rand(2, 1, 2, 2), [1], "labels of shape"),
        (torch.rand(2, 1, 2, 2).to_sparse(), None, "images are a tensor that is torch.sparse_coo"),
        (torch.rand(2, 1, 2, 2).to("meta"), None, r"images are a tensor that is without values \(meta\)"),
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


class Odd(nn.Module):
    """The half-space, as networks in the wild answer: writing into their input, in a dict, in a tuple of two."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> Any:
        signed = (x.mul_(2) if self.kind == "in place" else x * 2).flatten(1).sum(1) / 2 - 0.8
        logits = torch.stack([signed, -signed], dim=1)
        return {"in place": logits, "dict": {"logits": logits}, "tuple": (logits, x)}[self.kind]


@pytest.mark.parametrize("kind", ["in place", "dict"])
def test_odd_networks_are_certified_and_leave_the_images_alone(images: torch.Tensor, kind: str) -> None:
    mine = images.clone()
    settings: dict[str, Any] = {"sigma": 0.25, "n": 2000, "uncertainty": "confidence", "calibration": mine}
    found = certify(Odd(kind), mine, [0, 0, 0, 1, 1], coverage=0.6, **settings)
    expected = certified(images, threshold=None, calibration=images, coverage=0.6)
    assert torch.equal(mine, images)
    assert found.threshold == expected.threshold
    assert found.frame().equals(expected.frame())


def test_a_tuple_is_refused_by_what_is_in_it(images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match=r"a tuple of \[1, 2\], \[1, 1, 2, 2\], not a tensor of logits"):
        certify(Odd("tuple"), images, sigma=0.25, threshold=0.5)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_in_one_line(images: torch.Tensor, kind: torch.dtype) -> None:
    with pytest.raises(BadInput, match=r"images are b?float16"):
        certify(HalfSpace(), images.to(kind), sigma=0.25, threshold=0.5)
    with pytest.raises(BadInput, match="raised RuntimeError") as caught:
        certify(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).to(kind), images, sigma=0.25, threshold=0.5)
    assert "call .float()" in caught.value.hint


def test_numbers_of_every_library_are_numbers(images: torch.Tensor) -> None:
    expected = certified(images).frame()
    numbers: dict[str, Any] = {
        "sigma": torch.tensor(0.25), "n": 2e3, "n0": np.int32(100), "threshold": np.float64(0.4), "seed": np.uint8(0),
        "alpha": np.array(0.001), "batch_size": torch.tensor(64), "device": torch.device("cpu"),
    }  # fmt: skip
    assert certified(images, **numbers).frame().equals(expected)
    assert certified(images.clone().requires_grad_()).frame().equals(expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1000.5}, "n is 1000.5"),
        ({"n": float("nan")}, "n is nan"),
        ({"n": True}, "n is True"),
        ({"sigma": torch.tensor([0.1, 0.2])}, r"sigma is a Tensor of shape \[2\]"),
        ({"sigma": "0.25"}, "sigma is '0.25'"),
        ({"sigma": None}, "sigma is None"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"alpha": [0.1]}, r"alpha is \[0.1\]"),
        ({"threshold": "auto"}, "threshold is 'auto'"),
        ({"threshold": None, "calibration": torch.rand(3, 1, 2, 2) * 3 - 1}, "calibration lie between"),
        ({"threshold": None, "calibration": torch.rand(3, 1, 2, 2).double()}, "calibration are float64"),
        ({"threshold": None, "calibration": torch.full((3, 1, 2, 2), torch.nan)}, "calibration lie between nan"),
        ({"threshold": None, "calibration": np.zeros((3, 1, 2, 2))}, "calibration are a ndarray"),
    ],
)
def test_arguments_that_are_none_of_theirs_are_named(images: torch.Tensor, changes: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        certified(images, **changes)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 0, 1, 1.7], "label 1.7 of image 4"),
        ([float("nan"), 1, 0, 1, 1], "label nan of image 0"),
        ([0, 1, 2, 1, 1], "label 2 of image 2 is no class of the model: it has classes 0 to 1"),
        ([0, 1, -1, 1, 1], "label -1 of image 2"),
        (["a", "b", "c", "d", "e"], "labels are of the kind"),
        ([[0, 1], [1]], "labels are"),
        (torch.zeros(5, 2), r"labels of shape \[5, 2\]"),
        (3, r"labels of shape \[\]"),
    ],
)
def test_labels_that_are_none_are_refused(images: torch.Tensor, labels: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        certify(HalfSpace(), images, labels, sigma=0.25, n=200, threshold=0.5)


def test_whole_labels_of_any_type_are_labels(images: torch.Tensor) -> None:
    for labels in (torch.tensor([0.0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1], dtype=np.uint8)):
        found = certify(HalfSpace(), images, labels, sigma=0.25, n=200, threshold=0.5)
        assert found.labels is not None
        assert found.labels.tolist() == [0, 0, 0, 1, 1]


def test_what_is_no_model_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(BadInput, match="the model is a function"):
        certify(lambda x: x, images, sigma=0.25, threshold=0.5)  # type: ignore[arg-type]


def counts(images: torch.Tensor, **changes: Any) -> list[int]:
    settings: dict[str, Any] = {"sigma": 0.25, "n": 2000, "uncertainty": "confidence", "threshold": 0.4}
    found: list[int] = certify(HalfSpace(), images, **(settings | changes)).certificates.certain_count.tolist()
    return found


def test_the_noise_of_an_image_follows_its_number_and_not_its_place(images: torch.Tensor) -> None:
    whole = counts(images)
    assert counts(images.flip(0), indices=[4, 3, 2, 1, 0]) == whole[::-1]
    # One image a call: all of them have the noise of number 0, unless they are numbered.
    assert [counts(images[at : at + 1], indices=[at])[0] for at in range(5)] == whole
    assert [counts(images[at : at + 1])[0] for at in range(5)] != whole
    assert counts(images, indices=torch.arange(100, 105)) != whole


def test_the_content_of_an_image_can_be_its_number(images: torch.Tensor) -> None:
    whole = counts(images, indices="content")
    assert [counts(images[at : at + 1], indices="content")[0] for at in range(5)] == whole
    assert whole != counts(images)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ("position", "indices are 'position'"),
        ([0], "indices are"),
        ([0.5] * 5, "indices are"),
        (["a"] * 5, "indices are"),
        (range(-1, 4), "indices lie between -1"),
        (range(2**31 - 1, 2**31 + 4), "indices lie between"),
        ([0] * 5, "an index is given twice"),
    ],
    ids=str,
)
def test_numbers_that_are_none_are_refused(images: torch.Tensor, indices: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        counts(images, indices=indices)
