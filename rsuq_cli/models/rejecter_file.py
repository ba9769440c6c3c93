"""A fitted rejecter, by its file: no torch, so that a request can hold it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class RejecterFile(NamedTuple):
    """The file of a fitted rejecter, and its sha256."""

    file: Path
    sha256: str
