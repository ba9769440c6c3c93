"""What a `--model` value is: a name of the zoo, a library's model, or a factory. No torch, so that a request can ask.

Invariant: every value is exactly one of them.
"""

from __future__ import annotations

LIBRARIES = ("timm", "torchvision", "hf")


def is_library(spec: str) -> bool:
    """Returns whether a `--model` value names a model of another library."""
    library, colon, _ = spec.partition(":")
    return bool(colon) and library in LIBRARIES


def is_custom(spec: str) -> bool:
    """Returns whether a `--model` value names a factory rather than an architecture by name."""
    return (":" in spec or spec.endswith(".py")) and not is_library(spec)
