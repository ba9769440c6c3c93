"""One step of a diffusion model as the denoiser in front of a network (Carlini et al. 2022, arXiv 2206.10550).

    pip install diffusers
    DIFFUSION=google/ddpm-cifar10-32 DIFFUSION_SIGMA=0.25 \
        rsuq certify --model MODEL --weights FILE --dataset cifar10 --sigma 0.25 \
        --denoiser examples/diffusion_denoiser.py:denoiser

DIFFUSION names a model of the diffusers library, by its repository or its folder; DIFFUSION_SIGMA is the noise level of
the certificate. Nothing is drawn here: the noisy input is taken for a step of the diffusion, and the model's estimate
of its noise is taken off once. More steps would add noise of their own, which is no part of a certificate.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn


def time_step(alphas_cumprod: torch.Tensor, sigma: float) -> int:
    """Returns the step of a diffusion whose images, scaled back, have the noise of `sigma` (pixel units in [0, 1]).

    Diffusion models see pixels in [−1, 1], where that noise is 2σ; at step t an image is √ᾱ_t x + √(1 − ᾱ_t) ε, so its
    noise is √((1 − ᾱ_t)/ᾱ_t) of the image's own scale, and t is where that is nearest to 2σ, as a ratio. Raises
    ValueError for noise that no step has.
    """
    ratio = (1 - alphas_cumprod.double()) / alphas_cumprod.double()
    wanted = (2 * sigma) ** 2
    if not ratio[0] / 2 <= wanted <= ratio[-1]:
        low, high = (float(end) ** 0.5 / 2 for end in (ratio[0], ratio[-1]))
        raise ValueError(f"the steps of this model have noise of sigma {low:.3g} to {high:.3g}, and not {sigma:g}")
    return int((ratio.log() - torch.tensor(wanted, dtype=torch.float64).log()).abs().argmin())


class OneStep(nn.Module):
    """Maps noisy images `[N, C, H, W]`, pixels of the clean ones in [0, 1], to an estimate of the clean images."""

    alpha: torch.Tensor
    step: torch.Tensor

    def __init__(
        self, unet: nn.Module, alphas_cumprod: torch.Tensor, sigma: float, prediction: str = "epsilon"
    ) -> None:
        super().__init__()
        if prediction not in ("epsilon", "sample", "v_prediction"):
            raise ValueError(f"this example knows no prediction of {prediction}")
        self.unet, self.prediction = unet, prediction
        step = time_step(alphas_cumprod, sigma)
        # Buffers, so that another step is another denoiser to rsuq, which hashes them.
        self.register_buffer("step", torch.tensor(step))
        self.register_buffer("alpha", alphas_cumprod[step].float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scaled = self.alpha.sqrt() * (2 * images - 1)
        told: Any = self.unet(scaled, self.step.expand(len(images)))
        # Models that learn their variances have them in further channels.
        found = told.sample[:, : images.shape[1]]
        if self.prediction == "epsilon":
            clean = (scaled - (1 - self.alpha).sqrt() * found) / self.alpha.sqrt()
        elif self.prediction == "v_prediction":
            clean = self.alpha.sqrt() * scaled - (1 - self.alpha).sqrt() * found
        else:
            clean = found
        return (clean.clamp(-1, 1) + 1) / 2


def denoiser() -> nn.Module:
    """Returns the denoiser that the environment names."""
    from diffusers import DDPMScheduler, UNet2DModel

    place, sigma = os.environ["DIFFUSION"], float(os.environ["DIFFUSION_SIGMA"])
    folder = {"subfolder": "unet"} if (Path(place) / "unet").is_dir() else {}
    scheduler = DDPMScheduler.from_pretrained(place, **({"subfolder": "scheduler"} if folder else {}))
    unet = UNet2DModel.from_pretrained(place, **folder).eval()
    return OneStep(unet, scheduler.alphas_cumprod, sigma, scheduler.config.prediction_type)
