"""Mean and standard deviation of a split, for the model's normalisation.

Invariant: computed from training data only, in float64, in bounded memory.
"""

from __future__ import annotations

import torch

from rsuq_cli.datasets.dataset import Split, pixels
from rsuq_cli.errors import BadInput
from rsuq_cli.models.statistics import Statistics

CHUNK = 1024  # images turned into float64 at once


def channel_statistics(split: Split) -> Statistics:
    """Returns mean and standard deviation per channel over all pixels, in pixel units.

    A channel that never changes gets 1, so that it can be divided by. Raises BadInput for an empty split.
    """
    if len(split) == 0:
        raise BadInput("there are no training images to normalise by", "give a data set with a train split")
    channels = split.images.shape[1]
    total, squares, count = torch.zeros(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64), 0
    for chunk in torch.split(split.images, CHUNK):
        values = pixels(chunk).to(torch.float64).transpose(0, 1).reshape(channels, -1)
        total += values.sum(1).cpu()
        squares += values.square().sum(1).cpu()
        count += values.shape[1]
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    std = torch.where(std < 1e-6, torch.ones_like(std), std)
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()))
