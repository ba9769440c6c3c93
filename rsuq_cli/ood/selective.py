"""Selective classification: how often the answers are wrong when the least certain inputs are left out.

Invariant: inputs with equal uncertainty have no order, so figures are averages over all their orders.

Sources: Geifman et al. 2019 (arXiv 1805.08206) for AURC and E-AURC, Traub et al. 2024 (arXiv 2407.01032) for AUGRC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import CERTAIN, Certificates
from rsuq_cli.certificates.figures import risk_coverage

Array = npt.NDArray[np.float64]
COVERAGES: tuple[float, ...] = tuple(step / 20 for step in range(1, 21))


@dataclass(frozen=True)
class Selective:
    """`aurc` is the mean risk over all coverages, `e_aurc` how much of it a perfect order would save, `augrc` the mean
    share of all inputs that are answered wrongly. `risk` is the curve at `COVERAGES`, `[20]`.
    """

    aurc: float
    e_aurc: float
    augrc: float
    risk: Array


def selective(uncertainty: npt.ArrayLike, wrong: npt.ArrayLike) -> Selective:
    """Returns the figures of answering the least uncertain of N inputs first, from two rows `[N]`.

    The risk at a coverage is that of the smallest number of inputs that reaches it. Raises ValueError for shapes that
    differ, for no inputs, and for NaN.
    """
    curve = risk_coverage(uncertainty, wrong)
    best = risk_coverage(wrong, wrong)
    at = np.ceil(np.array(COVERAGES) * len(curve.risk) - 1e-9).astype(np.int64) - 1
    return Selective(
        aurc=curve.aurc,
        e_aurc=max(curve.aurc - best.aurc, 0.0),
        augrc=float((curve.risk * curve.coverage).mean()),
        risk=curve.risk[at],
    )


def certified_risk(labels: npt.ArrayLike, certificates: Certificates, radii: npt.ArrayLike) -> Array:
    """Returns the largest selective risk that an attacker can cause within each radius, `[R]`.

    Inputs that NCL certifies as never stated wrongly can at worst be rejected, unless CC certifies that they stay
    answered rightly; all others count as answered wrongly. 1 where nothing is certified. Däubener et al. 2024.
    """
    right = certificates.class_index == np.asarray(labels)
    at = np.asarray(radii, dtype=np.float64)[:, None]
    never_wrong = right & (certificates.radius_ncl > 0) & (certificates.radius_ncl >= at)
    stays_right = right & (certificates.decision == CERTAIN) & (certificates.radius_cc >= at)
    wrong, answered = (~never_wrong).sum(axis=1), (~never_wrong | stays_right).sum(axis=1)
    risk: Array = np.where(answered > 0, wrong / np.maximum(answered, 1), 0.0)
    return risk
