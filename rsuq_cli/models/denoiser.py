"""A denoiser in front of a network, by name: no torch, so that a request can hold it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rsuq_cli.errors import BadInput, nearest

# Those that `rsuq train --denoiser` trains.
DENOISERS = ("dncnn", "unet")


def check_name(name: str) -> None:
    """Raises BadInput for a name that is not one of `DENOISERS`."""
    if name not in DENOISERS:
        raise BadInput(f"there is no denoiser {name!r}", nearest(name, DENOISERS))


class Denoiser(NamedTuple):
    """What is put in front of every network: one of `DENOISERS` with its weights, or a factory of one's own.

    `sha256` is that of the file of weights, or of a factory's source. `factory_file` is where a factory lies.
    """

    spec: str
    sha256: str
    file: Path | None = None
    factory_file: Path | None = None
