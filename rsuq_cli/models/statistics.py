"""Normalisations that networks are published with, by name, and what a command line says of one.

Invariant: values are in pixel units, for pixels in [0, 1]; nothing heavy is imported here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from rsuq_cli.errors import BadInput, nearest


class Statistics(NamedTuple):
    """Mean and standard deviation per channel, in pixel units; both of length C, or of length 1 for every channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def describe(self) -> str:
        """Returns them in a few digits."""
        return " ".join(
            f"{name} {','.join(f'{v:.4g}' for v in values)}"
            for name, values in (("mean", self.mean), ("std", self.std))
        )

    def for_channels(self, channels: int, taken: int) -> Statistics | None:
        """Returns them for images of `channels` and a network that takes `taken`; None where they do not fit.

        A single value serves every channel. Grey images are normalised as the colours that the network makes of them,
        or by the average of the colours where it takes one channel.
        """
        if len(self.mean) == channels or (channels == 1 and len(self.mean) == taken):
            return self
        if len(self.mean) == 1:
            return Statistics(self.mean * channels, self.std * channels)
        if channels == 1:
            return Statistics((sum(self.mean) / len(self.mean),), (sum(self.std) / len(self.std),))
        return None


NONE = Statistics((0.0,), (1.0,))
# The usual ones of training scripts. CIFAR-10's deviations are those of Cohen et al. 2019 and what descends from it.
KNOWN = {
    "none": NONE,
    "half": Statistics((0.5,), (0.5,)),
    "cifar10": Statistics((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": Statistics((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": Statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mnist": Statistics((0.1307,), (0.3081,)),
}
# The data's own, of its training inputs.
OF_DATA = "data"
NAMES = (*KNOWN, OF_DATA)
# Above this a value is meant for pixels of 0 to 255.
_MOST = 10.0


def customary(dataset: str) -> str:
    """Returns the name of the normalisation that weights without one are taken to have on a data set."""
    return dataset if dataset in ("cifar10", "cifar100") else "none"


def check_named(name: str) -> None:
    """Raises BadInput unless there is a normalisation of that name."""
    if name not in NAMES:
        raise BadInput(f"unknown normalisation {name!r}", nearest(name, NAMES) + ", or give --mean and --std")


def given_statistics(mean: str | None, std: str | None) -> Statistics | None:
    """Returns what `--mean` and `--std` say, such as `0.49,0.48,0.45`, None where neither is given.

    Raises BadInput where one of them is missing, is no list of numbers, or a deviation is not above 0.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise BadInput(f"only --{'std' if mean is None else 'mean'} is given", "give both --mean and --std")
    statistics = Statistics(_numbers("--mean", mean), _numbers("--std", std))
    if len(statistics.mean) != len(statistics.std):
        raise BadInput(
            f"--mean has {len(statistics.mean)} values and --std {len(statistics.std)}", "give one for each channel"
        )
    if any(value <= 0 for value in statistics.std):
        raise BadInput(f"--std is {std}", "give deviations above 0, in pixel units")
    if max(map(abs, (*statistics.mean, *statistics.std))) > _MOST:
        raise BadInput(f"--mean {mean} --std {std} are not in pixel units", "pixels are in [0, 1]: divide by 255")
    return statistics


def _numbers(flag: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"{flag} is {text!r}", "give numbers such as 0.485,0.456,0.406") from None
    if not all(map(math.isfinite, values)):
        raise BadInput(f"{flag} is {text!r}", "give finite numbers")
    return values
