"""What a certify run is asked for, checked before anything heavy is imported or any file is touched.

Invariant: a `CertifyRequest` that exists can certify something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple, get_args

from rsuq_cli.certificates.guarantees import RULES, Rule
from rsuq_cli.certificates.method import (
    COMPETITORS,
    STATEMENTS,
    Competitors,
    Method,
    default_competitors,
    share_of_alpha,
)
from rsuq_cli.certificates.stopping import GUARANTEE_NAMES, GuaranteeName, Stopping
from rsuq_cli.datasets.names import parted
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.denoiser import Denoiser
from rsuq_cli.models.member import Member
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.models.rejecter_file import RejecterFile
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.statistics import Statistics, check_named
from rsuq_cli.results.names import NO_LABELS, Labels
from rsuq_cli.run.shard import WHOLE, Shard
from rsuq_cli.spelling import spelled
from rsuq_cli.uncertainty.measures import check_threshold
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor

SPLITS = ("test", "calibration", "train")
NOISES = ("gaussian", "grid")
DEFAULT_COVERAGE = 0.9
# Noise of more is no number in single precision.
LARGEST_SIGMA = 1e30


@dataclass(frozen=True)
class Sources:
    """Which model on which data, and where they come from.

    `normalise` names a normalisation, or `statistics` are its values, for weights that hold none; `assumed` is the one
    of a run that is opened again.
    `untrained` takes the weights that a factory of one's own draws; `factory_file` is where its source was when a run
    recorded it, for a spec that may have been written from another working directory. `classes_renamed` matches classes
    of other names in their order; `recorded_classes` are those of a run that is opened again. `checkpoint` names one by
    its number or name, `objective` takes the newest of those trained for it; `pretrained` takes the weights that the
    library of a model publishes. `members` are further networks, and all of them are asked under dropout as
    `monte_carlo` says, what they see having gone through the `denoiser`; `rejecter` was fitted to what they say.
    `NAME@16` is NAME with `image_size` 16.
    Raises BadInput for an unknown normalisation, and where two normalisations or sizes are given.
    """

    model: str
    dataset: str = "digits"
    weights: Path | None = None
    data_dir: Path | None = None
    image_size: int | None = None
    normalise: str | None = None
    statistics: Statistics | None = None
    assumed: Statistics | None = None
    untrained: bool = False
    factory_file: Path | None = None
    classes_renamed: bool = False
    recorded_classes: tuple[str, ...] | None = None
    checkpoint: str | None = None
    objective: str | None = None
    members: tuple[Member, ...] = ()
    pretrained: bool = False
    monte_carlo: MonteCarlo | None = None
    rejecter: RejecterFile | None = None
    denoiser: Denoiser | None = None

    def __post_init__(self) -> None:
        # Names are kept with results, and a path of any bytes may be in them.
        object.__setattr__(self, "model", spelled(self.model))
        object.__setattr__(self, "dataset", spelled(self.dataset))
        self._take_size_apart()
        if self.pretrained and not is_library(self.model):
            raise BadInput(
                f"--pretrained is for a model of a library, and {self.model} is none",
                "name one as timm:NAME, torchvision:NAME or hf:REPOSITORY",
            )
        if self.normalise is not None:
            check_named(self.normalise)
            if self.statistics is not None:
                raise BadInput("both --normalise and --mean are given", "give one of them")

    def _take_size_apart(self) -> None:
        """Reads a name as results are kept under it: `NAME@16` is NAME with images of 16×16."""
        dataset, image_size = parted(self.dataset)
        if image_size is None:
            return
        if self.image_size not in (None, image_size):
            raise BadInput(f"{self.dataset} and --image-size {self.image_size} name two sizes", "give one of them")
        object.__setattr__(self, "dataset", dataset)
        object.__setattr__(self, "image_size", image_size)


class Machine(NamedTuple):
    """Where a model runs: on which device, or several, in which precision, in how large batches and how many processes.

    `batch_size` None is found for the device, and `compile` None decides by the length of the job.
    """

    device: str = "auto"
    precision: str = "fp32"
    batch_size: int | None = None
    workers: int = 1
    compile: bool | None = None


ANY_MACHINE = Machine()


@dataclass(frozen=True)
class CertifyRequest:
    """One certify run: the subset, the sampling, and the scorings made of it. Raises BadInput for impossible values.

    Without `at_chance`, a network that is near chance under the noise is refused before it is sampled.
    """

    sources: Sources
    sigma: float
    n0: int = 100
    n: int = 10_000
    alpha: float = 0.001
    seed: int = 0
    noise: str = "gaussian"
    split: str = "test"
    skip: int = 1
    limit: int | None = None
    measures: tuple[str, ...] = ("entropy",)
    threshold: float | None = None
    coverages: tuple[float, ...] = ()
    rule: Rule = "majority"
    competitors: Competitors | None = None
    family_wise: bool = False
    fresh: bool = False
    at_chance: bool = True
    at_radius: float | None = None
    tolerance: float | None = None
    guarantees: tuple[GuaranteeName, ...] = ()
    predictor: Predictor = PLAIN
    labels: Labels = NO_LABELS
    machine: Machine = ANY_MACHINE
    shard: Shard = WHOLE

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        check_alpha(self.alpha)
        for name, value in (("--n0", self.n0), ("--n", self.n), ("--skip", self.skip), ("--limit", self.limit)):
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}", "give at least 1")
        if self.fresh and not self.shard.is_whole:
            raise BadInput(
                "both --fresh and --shard are given, and each shard would begin a run of its own",
                "delete the run (`rsuq runs delete`), or sample another --seed",
            )
        if self.seed < 0:
            raise BadInput(f"--seed is {self.seed}", "give 0 or more")
        if self.machine.batch_size is not None and self.machine.batch_size < 1:
            raise BadInput(f"--batch-size is {self.machine.batch_size}", "give at least 1, or auto")
        if self.split not in SPLITS:
            raise BadInput(f"unknown split {self.split!r}", nearest(self.split, SPLITS))
        if self.noise not in NOISES:
            raise BadInput(f"unknown noise {self.noise!r}", nearest(self.noise, NOISES))
        check_method(self.rule, self.competitors)
        self._check_thresholds()
        self._check_stopping()
        if self.ceiling == 0.0:
            raise BadInput(
                f"{self.n} samples at alpha {self.error_budget:g} cannot certify anything: alpha^(1/n) is at most 1/2",
                f"give --n {next(n for n in count(self.n + 1) if self.method.ceiling(n) > 0)} or more",
            )

    def _check_thresholds(self) -> None:
        if not self.measures:
            raise BadInput("no uncertainty measure is named", "give --uncertainty entropy, for example")
        for measure in self.measures:
            self.predictor.check(measure)
        if self.threshold is not None and self.coverages:
            raise BadInput("both --coverage and --threshold are given", "give one of them")
        for coverage in self.coverages:
            if not 0 < coverage <= 1:
                raise BadInput(f"coverage {coverage:g} is not in (0, 1]", "give the share to answer, such as 0.9")
        if self.threshold is not None:
            for measure in self.measures:
                check_threshold(measure, self.threshold)

    def _check_stopping(self) -> None:
        for name in self.guarantees:
            if name not in GUARANTEE_NAMES:
                raise BadInput(f"unknown guarantee {name!r}", nearest(name, GUARANTEE_NAMES))
        if self.at_radius is not None and self.tolerance is not None:
            raise BadInput("both --at-radius and --tolerance are given", "give one of them")
        if self.guarantees and self.stopping is None:
            raise BadInput("--guarantee is given, and nothing to stop for", "give --at-radius or --tolerance with it")
        for flag, value in (("--at-radius", self.at_radius), ("--tolerance", self.tolerance)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInput(f"{flag} is {value:g}", "give a positive number")
        if self.at_radius is not None and self.at_radius > self.ceiling > 0.0:
            raise BadInput(
                f"nothing reaches --at-radius {self.at_radius:g}: {self.n:,} samples certify {self.ceiling:.3f}",
                "give a larger --n or a smaller radius",
            )

    @property
    def stopping(self) -> Stopping | None:
        """When an input needs no more samples; None where all n are taken."""
        if self.at_radius is None and self.tolerance is None:
            return None
        return Stopping(self.n, self.guarantees or GUARANTEE_NAMES, self.at_radius, self.tolerance)

    @property
    def wanted_coverages(self) -> tuple[float, ...]:
        """The coverages to calibrate thresholds for; none where the threshold is given."""
        return () if self.threshold is not None else self.coverages or (DEFAULT_COVERAGE,)

    @property
    def family_size(self) -> int:
        """What alpha is split over: 1, or with --family-wise all guarantees that are printed for one input."""
        scorings = len(self.measures) * max(1, len(self.wanted_coverages))
        return STATEMENTS * scorings if self.family_wise else 1

    @property
    def error_budget(self) -> float:
        """The alpha of one guarantee."""
        return share_of_alpha(self.alpha, self.family_size)

    @property
    def ceiling(self) -> float:
        """The largest radius that n samples can certify, in pixel units."""
        return self.method.ceiling(self.n)

    @property
    def method(self) -> Method:
        """How the votes become certificates."""
        competitors = self.competitors or default_competitors(self.rule)
        last_look = None if self.stopping is None else self.stopping.looks[-1]
        return Method(self.sigma, self.alpha, self.rule, competitors, self.family_size, last_look=last_look)


def check_sigma(sigma: float) -> None:
    """Raises BadInput unless sigma is a positive number, small enough to be one in the network's own precision."""
    if not 0 < sigma <= LARGEST_SIGMA:
        raise BadInput(f"sigma is {sigma:g}", "give a positive noise level in pixel units, such as 0.25")


def check_alpha(alpha: float) -> None:
    """Raises BadInput unless alpha is a probability strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise BadInput(f"alpha is {alpha:g}", "give an error probability between 0 and 1, such as 0.001")


def check_method(rule: str, competitors: str | None) -> None:
    """Raises BadInput for an unknown rule or way to bound competitors."""
    if rule not in get_args(Rule):
        raise BadInput(f"unknown rule {rule!r}", nearest(rule, RULES))
    if competitors is not None and competitors not in COMPETITORS:
        raise BadInput(f"unknown competitors {competitors!r}", nearest(competitors, COMPETITORS))
