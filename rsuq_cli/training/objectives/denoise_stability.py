"""Whether a network says of a denoised image what it says of the clean one (Salman et al. 2020, arXiv 2003.01908,
"Stab").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import Batch, UnderNoise, denoiser_of, draw, network_behind, repeated


@dataclass(frozen=True)
class DenoiseStability(UnderNoise):
    """CE(f(d(x + ε)), argmax f(x)): the network's own answer to the clean image is the label; true ones are not used.

    It is meant to go on from a denoiser trained for the mean squared error (`--init`).
    """

    of_denoiser: ClassVar[bool] = True

    def passes(self, sigma: float) -> float:
        """Returns what it costs: a step for each noise, and a forward pass on the clean images."""
        return self.noises + 1 / 3

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss; gradients pass through the network into the denoiser."""
        network, denoiser = network_behind(model), denoiser_of(model)
        with torch.no_grad():
            # A network may write into what it is given.
            answers = network(batch.images.clone()).argmax(dim=1)
        noisy = draw(batch.images, self.noises, batch.sigma, batch.generator).add_(repeated(batch.images, self.noises))
        return F.cross_entropy(network(denoiser(noisy)).float(), repeated(answers, self.noises))


OBJECTIVE = DenoiseStability
