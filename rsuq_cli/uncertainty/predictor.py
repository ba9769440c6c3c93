"""What is certified, where that is more than one pass: several views of every noisy input, and who decides.

Invariant: a predictor is a deterministic function of the noisy input, so that its certain regions are events in noise
space and every certificate holds for it as it holds for a network. One plain pass records nothing: runs from before
there were predictors are runs of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.uncertainty.measures import MEASURES, measure_named

Decide = Literal["single", "mean"]
DECIDES: tuple[Decide, ...] = get_args(Decide)
VIEWS = (1, 2, 4, 8)
# What a configuration holds of a predictor that is more than one plain pass.
PREDICTOR = "predictor"


@dataclass(frozen=True)
class Predictor:
    """Which networks are asked how often about a noisy input, and who decides.

    `views` are the input itself, its mirror image, and both moved by a pixel (`views`). `decide` is "single", where the
    plain pass names the class and the views only reject, or "mean", where the mean of the softmax over all passes does.
    `members` are the sha256 of the weights of further networks, which are asked about the same views. With a rate
    `mc_dropout`, every network is asked under `mc_passes` masks, and where the plain pass decides, without one besides.
    `rejecter` is the sha256 of the file of a fitted one, which gives a measure of its own.
    `denoiser` is the sha256 of what every noisy input goes through first, "" where it goes to the network as it is.
    Raises BadInput for another number of views, a rate or number of passes that there is not, a network given twice,
    and where there is no mean to decide by.
    """

    views: int = 1
    decide: Decide = "single"
    members: tuple[str, ...] = ()
    mc_dropout: float | None = None
    mc_passes: int = 1
    rejecter: str | None = None
    denoiser: str = ""

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise BadInput(f"--views is {self.views}", f"give one of {', '.join(map(str, VIEWS))}")
        if self.decide not in DECIDES:
            raise BadInput(f"unknown --decide {self.decide!r}", nearest(self.decide, DECIDES))
        if len(set(self.members)) < len(self.members):
            raise BadInput("--members names a network twice", "it would count twice in the mean: name each once")
        if self.mc_dropout is not None and not 0 < self.mc_dropout < 1:
            raise BadInput(f"--mc-dropout is {self.mc_dropout:g}", "give the share that is dropped, between 0 and 1")
        if self.mc_passes < 1 or (self.mc_dropout is None and self.mc_passes > 1):
            raise BadInput(f"--passes is {self.mc_passes}", "give 1 or more of them, and --mc-dropout with it")
        if self.passes == 1 and self.mc_dropout is None and self.decide == "mean":
            raise BadInput(
                "--decide mean of one pass is that pass", "give --views, --members or --mc-dropout, or leave it out"
            )

    @property
    def passes(self) -> int:
        """Passes through the network for every noise sample: what it costs beside a plain one."""
        masked = 1 if self.mc_dropout is None else self.mc_passes + (self.decide == "single")
        return self.views * (1 + len(self.members)) * masked

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that it has, in the order of the registry."""
        return tuple(
            name
            for name, measure in MEASURES.items()
            if (self.passes > 1 or not measure.of_passes) and (self.rejecter is not None or not measure.fitted)
        )

    def check(self, measure: str) -> None:
        """Raises BadInput for a measure that there is not, for one of several passes where there is only one, and for
        that of a fitted rejecter where there is none.
        """
        if measure_named(measure).fitted and self.rejecter is None:
            raise BadInput(
                f"{measure} is the measure of a fitted rejecter, and none is given",
                "`rsuq fit-rejecter` fits one, for --rejecter",
            )
        if measure_named(measure).of_passes and self.passes == 1:
            raise BadInput(
                f"{measure} compares several passes, and one is asked for",
                "give --views 2 or more with it, --members or --mc-dropout",
            )

    def recorded(self) -> dict[str, Any]:
        """Returns what a run's configuration holds of it: nothing of one plain pass."""
        if self == PLAIN:
            return {}
        members = {"members": list(self.members)} if self.members else {}
        dropout = {} if self.mc_dropout is None else {"mc_dropout": self.mc_dropout, "mc_passes": self.mc_passes}
        rejecter = {} if self.rejecter is None else {"rejecter": self.rejecter}
        denoiser = {"denoiser": self.denoiser} if self.denoiser else {}
        asked = {"views": self.views, "decide": self.decide}
        return {PREDICTOR: {**asked, **members, **dropout, **rejecter, **denoiser}}

    @property
    def unfitted(self) -> Predictor:
        """What is asked, without the rejecter that was fitted for it."""
        return replace(self, rejecter=None)

    def __str__(self) -> str:
        if self.rejecter is not None:
            return f"{self.unfitted}, fitted rejecter {self.rejecter[:8]}"
        if self == PLAIN:
            return "one pass"
        networks = f"{1 + len(self.members)} networks" if self.members else ""
        masks = "" if self.mc_dropout is None else f"{self.mc_passes} dropout masks"
        what = " × ".join(filter(None, [networks, f"{self.views} views" if self.views > 1 else "", masks]))
        asked = "one pass" if not what else f"mean of {what}" if self.decide == "mean" else f"{what} reject"
        return f"{asked}, behind denoiser {self.denoiser[:8]}" if self.denoiser else asked


PLAIN = Predictor()


def predictor_of(configuration: Mapping[str, Any]) -> Predictor:
    """Returns the predictor of a stored run; raises BadInput where a newer release recorded more than is known here."""
    stored = dict(configuration.get(PREDICTOR, {}))
    try:
        return Predictor(**stored | {"members": tuple(stored.get("members", ()))})
    except TypeError as error:
        raise BadInput(f"the run's predictor is {stored}, which this release of rsuq does not have",
                       "use the release that made it") from error  # fmt: skip
