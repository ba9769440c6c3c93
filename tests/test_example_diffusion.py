"""examples/diffusion_denoiser.py: the step against closed forms, the estimate by hand, and a tiny model end to end."""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from commandline import refused, rsuq
from samples import write_npz
from torch import nn

if TYPE_CHECKING:
    from conftest import Place

EXAMPLE = Path(__file__).parent.parent / "examples" / "diffusion_denoiser.py"
STEPS = 1000
SIGMAS = (0.05, 0.12, 0.25, 0.5, 1.0)


@pytest.fixture(scope="module")
def diffusion() -> Any:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLE)))


def cosine(t: torch.Tensor) -> torch.Tensor:
    """Returns ᾱ at a time (Nichol & Dhariwal 2021, arXiv 2102.09672, equation 17)."""
    return torch.cos((t / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_step_of_the_cosine_schedule_is_its_inverse(diffusion: Any, sigma: float) -> None:
    alphas = cosine(torch.arange(1, STEPS, dtype=torch.float64))
    # ᾱ = 1 / (1 + (2σ)²), solved for the time.
    alpha = 1 / (1 + (2 * sigma) ** 2)
    angle = math.acos(math.sqrt(alpha) * math.cos(0.008 / 1.008 * math.pi / 2))
    time = STEPS * (angle * 2 / math.pi * 1.008 - 0.008)
    assert abs(diffusion.time_step(alphas, sigma) + 1 - time) <= 0.75


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_step_of_the_linear_schedule_is_that_of_its_integral(diffusion: Any, sigma: float) -> None:
    first, last = 1e-4, 2e-2
    alphas = torch.cumprod(1 - torch.linspace(first, last, STEPS, dtype=torch.float64), dim=0)
    # −log ᾱ is nearly ∫ β = first t + (last − first) t²/(2 T), a quadratic equation in t; −log(1 − β) ≈ β + β²/2.
    wanted, slope = math.log(1 + (2 * sigma) ** 2), (last - first) / STEPS
    time = (-first + math.sqrt(first**2 + 2 * slope * wanted)) / slope
    assert abs(diffusion.time_step(alphas, sigma) + 0.5 - time) <= 1 + 0.01 * time


def test_the_step_is_not_that_of_sigma_itself_nor_of_one_minus_alpha(diffusion: Any) -> None:
    alphas = cosine(torch.arange(1, STEPS, dtype=torch.float64))
    step = diffusion.time_step(alphas, 0.5)
    noise = math.sqrt((1 - alphas[step]) / alphas[step])
    assert noise == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("sigma", [1e-4, 500.0])
def test_noise_that_no_step_has_is_refused(diffusion: Any, sigma: float) -> None:
    alphas = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, STEPS), dim=0)
    with pytest.raises(ValueError, match="have noise of sigma"):
        diffusion.time_step(alphas, sigma)


class Answer(NamedTuple):
    sample: torch.Tensor


class Knowing(nn.Module):
    """Knows the clean image, and tells exactly what a model that predicts `kind` is to tell."""

    def __init__(self, clean: torch.Tensor, alphas: torch.Tensor, kind: str) -> None:
        super().__init__()
        self.clean, self.alphas, self.kind = clean, alphas, kind

    def forward(self, scaled: torch.Tensor, step: torch.Tensor) -> Answer:
        alpha = self.alphas[step][:, None, None, None].float()
        epsilon = (scaled - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        told = {
            "epsilon": epsilon, "sample": self.clean, "v_prediction": alpha.sqrt() * epsilon
            - (1 - alpha).sqrt() * self.clean,
        }  # fmt: skip
        return Answer(torch.cat([told[self.kind], torch.full_like(scaled, 9.0)], dim=1))


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_model_that_knows_gives_the_clean_image_back(diffusion: Any, kind: str) -> None:
    alphas, images = cosine(torch.arange(1, STEPS, dtype=torch.float64)), torch.rand(4, 3, 8, 8)
    noisy = images + 0.25 * torch.randn_like(images)
    made = diffusion.OneStep(Knowing(2 * images - 1, alphas, kind), alphas, 0.25, kind)
    torch.testing.assert_close(made(noisy), images, atol=1e-5, rtol=0)


@pytest.fixture
def tiny(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A diffusion model of a few weights, saved as the library does."""
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    folder = place.work / "diffusion"
    unet.save_pretrained(folder / "unet")
    diffusers.DDPMScheduler().save_pretrained(folder / "scheduler")
    monkeypatch.setenv("DIFFUSION", str(folder))
    monkeypatch.setenv("DIFFUSION_SIGMA", "0.25")
    return folder


BRIGHT = """
import torch
from torch import nn

class Bright(nn.Module):
    def forward(self, x):
        light = x.flatten(1).mean(1, keepdim=True) - 0.5
        return 20 * torch.cat([light, -light], dim=1)

def make():
    return Bright()
"""


@pytest.mark.usefixtures("tiny")
@pytest.mark.slow
def test_it_is_certified_audited_and_another_step_is_another_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.work / "bright.py").write_text(BRIGHT)
    random, labels = np.random.default_rng(0), np.arange(24) % 2
    images = (0.3 + 0.4 * (labels == 0))[:, None, None, None] + 0.1 * random.standard_normal((24, 1, 8, 8))
    images = images.clip(0, 1).astype(np.float32)
    data = write_npz(place.work / "d.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    flags = (
        "certify", "--model", f"{place.work / 'bright.py'}:make", "--dataset", data, "--sigma", 0.25, "--n", 100,
        "--threshold", 0.6, "--denoiser", f"{EXAMPLE}:denoiser", "--format", "json",
    )  # fmt: skip
    first = rsuq(*flags)
    assert first.exit_code == 0, first.stderr
    assert rsuq("audit", 1, "--inputs", 1, "--steps", 2, "--format", "json").exit_code == 0
    monkeypatch.setenv("DIFFUSION_SIGMA", "0.5")
    assert "other weights than in run 1" in refused(rsuq("audit", 1, "--inputs", 1))
    assert rsuq(*flags).json[0]["run_id"] == 2
