"""What `--mc-dropout` asks for: no torch, so that a request can hold it."""

from __future__ import annotations

from typing import NamedTuple


class MonteCarlo(NamedTuple):
    """So many passes under masks of `seed`, beside a plain one where `plain`; `rate` is that of a network without
    dropout of its own.
    """

    rate: float
    passes: int
    seed: int
    plain: bool

    @property
    def total(self) -> int:
        """Passes through the network's last part for every noise sample."""
        return self.passes + self.plain
