"""Where the noise is added that a radius is about: to images of the data's size, or of the size that the network sees.

Invariant: what a library does to an image before its network sees it comes after the noise, whichever size is taken,
and the record of a run says which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.spec import is_library
from rsuq_cli.run.request import Sources

# What a run records of it.
PREPROCESSING = "preprocessing"
PLACES = ("data", "model")


def with_noise_at(sources: Sources, place: str) -> Sources:
    """Returns the sources with images of the size that noise is to be added at: the data's, or the network's.

    For the latter they are resized as `--image-size` does. Raises BadInput for another place, and where the size that a
    network sees is not known, not square, or another than one that is given.
    """
    if place not in PLACES:
        raise BadInput(f"--noise-at is {place!r}", nearest(place, PLACES))
    if place == "data":
        return sources
    if not is_library(sources.model):
        raise BadInput(
            f"--noise-at model is for a model of a library, and {sources.model} is none",
            "give --image-size with the size that it sees",
        )
    from rsuq_cli.models.library import prescribed

    _, height, width = prescribed(sources.model).size
    if height != width:
        raise BadInput(
            f"{sources.model} sees {height}×{width}, and images are resized to squares", "resize them before"
        )
    if sources.image_size not in (None, height):
        raise BadInput(
            f"{sources.model} sees {height}×{width}, and --image-size is {sources.image_size}", "give one of the two"
        )
    return replace(sources, image_size=height)


def noise_line(preprocessing: Mapping[str, Any]) -> str:
    """Returns in words at which size noise is added, and what the network sees of it."""
    at, seen = (_size(preprocessing[name]) for name in ("noise_at", "seen_at"))
    if at == seen:
        return f"noise is added at {at} pixels, the size that the network sees"
    return f"noise is added at {at} pixels, the data's size; the network sees {seen} of it"


def noise_text(configuration: Mapping[str, Any]) -> str | None:
    """Returns the line of a stored run, None for one whose network takes the data as they are."""
    stored = configuration.get(PREPROCESSING)
    return None if stored is None else noise_line(stored)


def recorded(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a configuration says; nothing for a network that takes the data as they are."""
    return {PREPROCESSING: dict(preprocessing)} if preprocessing else {}


def _size(shape: list[int]) -> str:
    return f"{shape[1]}×{shape[2]}"
