"""When an input needs no more samples.

Invariant: whether to stop depends on the counts of the input so far alone, and is asked at numbers of samples that are
fixed beforehand. The certificates at that moment come from bounds that hold at every number of samples at once
(`anytime`), so each guarantee is wrong with probability at most alpha over the whole path, whatever the rule
(Ville 1939). That further samples look hopeless is no proof of anything, and needs none: stopping for it can only cost
a certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.anytime import looks
from rsuq_cli.certificates.certificate import certify, hoped
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method

GuaranteeName = Literal["standard", "cc", "ncl"]
GUARANTEE_NAMES: tuple[GuaranteeName, ...] = get_args(GuaranteeName)


@dataclass(frozen=True)
class Stopping:
    """Stops at the latest after `n` samples, earlier once every one of `guarantees` is decided.

    With `at_radius` (pixel units) a guarantee is decided when its radius is at least that, or when going on to n cannot
    be expected to get it there. With `tolerance` (units of sigma) it is decided when going on to n cannot be expected
    to add more than that. What to expect at best is `certificate.hoped`.
    """

    n: int
    guarantees: tuple[GuaranteeName, ...] = GUARANTEE_NAMES
    at_radius: float | None = None
    tolerance: float | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of samples after which `decided` is asked."""
        return looks(self.n)

    def decided(self, selection: Counts, estimation: Counts, method: Method) -> npt.NDArray[np.bool_]:
        """Returns which inputs need no more samples, `[...]`, from votes `[..., K]` as `certificate.certify` takes."""
        now, hope = certify(selection, estimation, method), hoped(selection, estimation, method, self.n)
        done = np.ones(now.decision.shape, dtype=np.bool_)
        for name in self.guarantees:
            reached, reachable = getattr(now, f"radius_{name}"), getattr(hope, f"radius_{name}")
            if self.at_radius is not None:
                done &= (reached >= self.at_radius) | (reachable < self.at_radius)
            if self.tolerance is not None:
                done &= reachable - reached <= self.tolerance * method.sigma
        return done

    def configuration(self) -> dict[str, Any]:
        """Returns what the number of samples depends on, for the run's record."""
        return {
            "guarantees": list(self.guarantees), "at_radius": self.at_radius, "tolerance": self.tolerance,
            "looks": list(self.looks),
        }  # fmt: skip
