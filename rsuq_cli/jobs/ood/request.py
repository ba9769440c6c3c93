"""What an out-of-distribution run is asked for, checked before anything heavy is imported or any file is touched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import get_args

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.ood.metrics import CONVENTIONS, Convention
from rsuq_cli.ood.scores import chosen, score_names
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.uncertainty.measures import MEASURES

FEWEST_INPUTS = 2


@dataclass(frozen=True)
class OodRequest:
    """The in-distribution side and the sampling (`certify`), the sets from elsewhere, and how they are compared.

    `near` names those of `sets` that count as near; `run` is a finished run whose evidence is the in-distribution side;
    `radii` are in pixel units; `simultaneous` splits alpha over every bound of the run. Raises BadInput for values that
    are impossible.
    """

    certify: CertifyRequest
    sets: tuple[str, ...]
    radii: tuple[float, ...]
    near: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    convention: Convention = "ood-positive"
    run: int | None = None
    simultaneous: bool = False

    def __post_init__(self) -> None:
        if not self.sets:
            raise BadInput(
                "no out-of-distribution set is named",
                "give --ood noise:smooth, --ood photo-patches, --ood folder:PATH, …; it may be repeated",
            )
        if self.convention not in get_args(Convention):
            raise BadInput(f"unknown convention {self.convention!r}", nearest(self.convention, CONVENTIONS))
        for name in self.near:
            if name not in self.sets:
                raise BadInput(f"--near {name} is not among the --ood sets", nearest(name, self.sets))
        limit = self.certify.limit
        if limit is not None and limit < FEWEST_INPUTS:
            raise BadInput(f"--limit is {limit}", f"give at least {FEWEST_INPUTS}, so that there is an order")
        self.chosen_scores(self.certify.predictor.measures)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the thresholds: `measure@coverage`, or `measure@theta…` where the user gives it."""
        request = self.certify
        if request.threshold is not None:
            return tuple(f"{measure}@theta{request.threshold:g}" for measure in request.measures)
        return tuple(f"{measure}@{c:g}" for measure in request.measures for c in request.wanted_coverages)

    def chosen_scores(self, measures: Collection[str]) -> list[str]:
        """Returns the names of the scores to show of a run with these measures; raises BadInput for unknown ones."""
        for score in self.scores:
            measure = score.partition(":")[2].partition("@")[0]
            if measure in MEASURES and measure not in measures:
                raise BadInput(
                    f"the run has no counts of {measure}, so there is no score {score}",
                    "sample another run with --fresh, and without --run",
                )
        return chosen(score_names(measures, self.labels), self.scores)
