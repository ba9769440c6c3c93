"""A further network of an ensemble, by name: no torch, so that a request can hold it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    """A further network of an ensemble: its model, the file of its weights with its sha256, and where a factory lies.

    `factory_file` is where the source of a network of one's own was when a run recorded it.
    """

    spec: str
    file: Path
    sha256: str
    factory_file: Path | None = None
