"""Which inputs of a run one of several commands samples: the tasks of a job array have a share each.

Invariant: the shares of a run's k shards are disjoint, have every input together, and differ by at most one input. A
shard is no part of a run's configuration: all of them are one run.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.errors import BadInput


class Shard(NamedTuple):
    """The `number`-th of `many` shards, counted from 1."""

    number: int = 1
    many: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.many}"

    @property
    def is_whole(self) -> bool:
        """Whether it has all inputs."""
        return self.many == 1

    def of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Returns which of the positions `[N]` in a run are this shard's: every `many`-th, so classes are mixed."""
        mine: npt.NDArray[np.bool_] = positions % self.many == self.number - 1
        return mine


WHOLE = Shard()


def parse_shard(written: str | None) -> Shard:
    """Returns the shard that was written as `2/4`, all inputs for None; raises BadInput for anything else."""
    if written is None:
        return WHOLE
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", written.strip())
    if found is None:
        raise BadInput(f"--shard is {written!r}", "give its number and how many there are, such as 1/4")
    shard = Shard(int(found[1]), int(found[2]))
    if not 1 <= shard.number <= shard.many:
        raise BadInput(
            f"there is no shard {shard}", f"give 1/{max(1, shard.many)} to {max(1, shard.many)}/{max(1, shard.many)}"
        )
    return shard
