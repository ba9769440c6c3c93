"""What the quickstart's tables mean, in sentences, and where to go on."""

from __future__ import annotations

from collections.abc import Sequence

from rsuq_cli.console import radius_text
from rsuq_cli.results.figures import Figures

NEXT = (
    ("rsuq report --format json", "every figure with its interval, for a script"),
    ("rsuq certify --n {n} --uncertainty gen --coverage 0.8", "another measure or coverage: no new sampling"),
    ("rsuq ood --ood constant --ood folder:PATH", "can it tell inputs from elsewhere? Sets of your own"),
    ("rsuq train --sigma 0.5 && rsuq certify --sigma 0.5", "more noise: larger radii, lower accuracy"),
    ("rsuq radius --sigma 0.25 --certain 0:9000 --uncertain 0:700 --uncertain 1:300", "the radii of any counts"),
    ("rsuq certify --help", "your own model (file.py:factory) and data (folder:PATH, npz:PATH)"),
)


def guide(figures: Sequence[Figures]) -> str:
    """Returns a paragraph that reads the first scoring aloud, and the commands to go on with."""
    one = figures[0]
    gain = f"{one.gain:.0%} farther than" if one.gain is not None else "beside"
    lines = [
        f"What this says: smoothed with noise of sigma {one.sigma:g}, the network is right on {one.clean_accuracy:.0%} "
        f"of {one.inputs} digits. With its {one.measure} as a reason to abstain it answers {one.coverage:.0%}, and "
        f"{_answered(one)} of these answers are right. On average the smoothed network keeps a right "
        f"class, and stays certain of it, while the pixels move less than {radius_text(one.acr_cc)} in l2 (CC), and it "
        f"states no other digit with confidence below {radius_text(one.acr_ncl)} (NCL): {gain} the "
        f"{radius_text(one.acr_standard)} that it certifies without abstaining. Each statement about an input is "
        f"wrong with probability at most {one.alpha / one.family_size:g}.",
        "",
        "Go on with:",
    ]
    commands = [(command.format(n=one.n), what) for command, what in NEXT]
    width = max(len(command) for command, _ in commands)
    return "\n".join([*lines, *(f"  {command:<{width}}  # {what}" for command, what in commands)])


def _answered(figures: Figures) -> str:
    return "none" if figures.accuracy_answered is None else f"{figures.accuracy_answered:.1%}"
