"""What `rsuq fit-rejecter` is asked for.

Invariant: a `RejecterRequest` that exists names networks and how they are asked, a share to answer, and a bound on what
that may cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.results.names import NO_LABELS, Labels
from rsuq_cli.run.request import ANY_MACHINE, CertifyRequest, Machine, Sources, check_sigma
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor
from rsuq_cli.uncertainty.rejecter import KINDS, Kind

DEFAULT_MAX_CC_COST = 0.07


@dataclass(frozen=True)
class RejecterRequest:
    """The networks, how they are asked under noise of sigma, the coverage, and the largest loss of the average CC
    radius as a share of the standard one.

    Raises BadInput for impossible values.
    """

    sources: Sources
    sigma: float
    predictor: Predictor = PLAIN
    coverage: float = 0.9
    max_cc_cost: float = DEFAULT_MAX_CC_COST
    kind: Kind = "linear"
    noise: str = "gaussian"
    seed: int = 0
    folder: Path | None = None
    labels: Labels = NO_LABELS
    machine: Machine = ANY_MACHINE

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        if self.kind not in KINDS:
            raise BadInput(f"unknown kind {self.kind!r}", nearest(self.kind, KINDS))
        if not 0 < self.coverage < 1:
            raise BadInput(
                f"coverage {self.coverage:g} is not between 0 and 1", "give the share to answer, such as 0.9"
            )
        if not 0 <= self.max_cc_cost <= 1:
            raise BadInput(f"--max-cc-cost is {self.max_cc_cost:g}", "give a share between 0 and 1, such as 0.07")

    @property
    def sampling(self) -> CertifyRequest:
        """What opens the networks as they will be certified."""
        return CertifyRequest(
            self.sources, self.sigma, seed=self.seed, noise=self.noise, coverages=(self.coverage,),
            predictor=self.predictor, machine=self.machine._replace(compile=False),
        )  # fmt: skip
