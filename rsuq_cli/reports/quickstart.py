"""What the quickstart's tables mean, in sentences, and where to go on."""

from __future__ import annotations

from collections.abc import Sequence

from rsuq_cli.certificates.method import share_of_alpha
from rsuq_cli.console import percent_text
from rsuq_cli.reports.figures import acr_text
from rsuq_cli.results.figures import Figures

NEXT = (
    ("rsuq report --details", "all of it again, with every score and radius"),
    ("rsuq report --format json", "every figure with its interval, for a script"),
    ("rsuq certify --n {n} --uncertainty gen --coverage 0.8", "another measure or coverage: no new sampling"),
    ("rsuq ood --ood constant --ood folder:PATH", "can it tell inputs from elsewhere? Sets of your own"),
    ("rsuq train --sigma 0.5 && rsuq certify --sigma 0.5", "more noise: larger radii, lower accuracy"),
    ("rsuq radius --sigma 0.25 --certain 0:9000 --uncertain 0:700 --uncertain 1:300", "the radii of any counts"),
    ("rsuq certify --help", "your own model (file.py:factory) and data (folder:PATH, npz:PATH)"),
)


def guide(figures: Sequence[Figures]) -> list[str]:
    """Returns lines that read the first scoring aloud, and the commands to go on with, each below what it is for."""
    one = figures[0]
    gain = f"{percent_text(one.gain)} % farther than" if one.gain is not None else "beside"
    said = (
        f"What this says: smoothed with noise of sigma {one.sigma:g}, the network is right on "
        f"{percent_text(one.clean_accuracy)} % of {one.inputs} digits. With its {one.measure} as a reason to abstain "
        f"it answers {percent_text(one.coverage)} %, and {_answered(one)} of these answers are right. On average the "
        f"smoothed network keeps a right class, and stays certain of it, while the pixels move less than "
        f"{acr_text(one.acr_cc)} in l2 (CC), and it states no other digit with confidence below "
        f"{acr_text(one.acr_ncl)} (NCL): {gain} the {acr_text(one.acr_standard)} that it certifies without abstaining. "
        "Each statement about an input is wrong with probability at most "
        f"{share_of_alpha(one.alpha, one.family_size):g}."
    )
    commands = [line for command, what in NEXT for line in (f"  # {what}", f"  {command.format(n=one.n)}")]
    return [said, "", "Go on with:", *commands]


def _answered(figures: Figures) -> str:
    return "none" if figures.accuracy_answered is None else f"{percent_text(figures.accuracy_answered)} %"
