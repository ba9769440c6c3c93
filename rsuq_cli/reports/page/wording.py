"""What the page says in words of a scoring: what its guarantees promise, with which probability, and what they do not.

Invariant: a promise is about the smoothed classifier's masses, never about one answer of it, and names the rule, the
threshold and the error that it holds with.
"""

from __future__ import annotations

from collections.abc import Mapping

from rsuq_cli.console import number_text, percent_text
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.rows import RunRow

_STANDARD = "without rejection, the smoothed classifier keeps its class: its mass stays the largest"
PROMISES: Mapping[str, Mapping[str, str]] = {
    "majority": {
        "standard": _STANDARD,
        "cc": "the smoothed classifier's certain mass of the class stays above a half (one answer is made of n "
        "samples, and may come out undecided)",
        "ncl": "the certain mass of every other class stays at or below a half, so none of them has a majority",
    },
    "plurality": {
        "standard": _STANDARD,
        "cc": "the certain mass of the class stays the largest, above that of every other class and of rejection",
        "ncl": "the class or rejection keeps the largest mass, so no other class has it",
    },
    "filtered": {
        "standard": _STANDARD,
        "cc": "the certain mass of the class stays above that of every other class",
        "ncl": "the same ball as CC, since this rule is never uncertain",
    },
    "standard": {"standard": _STANDARD},
}
NOT_COVERED = (
    "Changes that are not small in ℓ₂ over the pixels: rotations, shifts, blur, weather, patches, other norms. A "
    "radius says nothing about them, unless the change happens to be that small in ℓ₂, too.",
    "Inputs from elsewhere than this data set: accuracy, coverage and typical radii are those of these inputs. What "
    "was tried with others is listed here; of what is not listed, nothing is recorded.",
    "The network alone. The guarantees are about the smoothed classifier with this σ, threshold and precision, as "
    "rsuq predict runs it. It answers from samples: where the mass is near a half, a repeated answer may be "
    "undecided, inside the ball, too.",
    "Whether labels are right, training data were clean, or the network does what is wanted of it.",
)


def shows_rejection(figures: Figures) -> bool:
    """Returns whether there is rejection at all, and so CC and NCL beside standard."""
    return figures.rule != "standard"


def threshold_text(figures: Figures) -> str:
    """Returns a sentence on what makes a sample certain, and where the threshold comes from."""
    if not shows_rejection(figures) or figures.threshold is None:
        return "Nothing is rejected: every sample votes."
    told = f"A sample is certain where its {figures.measure} is at most θ = {figures.threshold:.4g}"
    if figures.threshold_coverage is None:
        return f"{told}; θ was given by the user, and is the same over the whole ball."
    share = percent_text(figures.threshold_coverage)
    return (
        f"{told}; θ was chosen beforehand, on noisy data kept out of training, so that {share} % of those samples are "
        "certain, and is the same over the whole ball."
    )


def probability_text(figures: Figures) -> str:
    """Returns a sentence on the error of a guarantee: for one input, and what that means over all of them."""
    alpha, expected = number_text(figures.alpha), figures.alpha * figures.inputs
    if figures.family_size > 1:
        about = f"All {figures.family_size} guarantees about one input hold together with probability"
        false = "inputs with any false guarantee"
    else:
        about = "Each guarantee about one input holds with probability"
        false = "false guarantees of each kind"
    return (
        f"{about} at least 1 - α, α = {alpha}, over the samples drawn for it. They do not all hold at once: over "
        f"{figures.inputs:,} inputs, at most {expected:.2g} {false} are to be expected."
    )


def units_text(figures: Figures, run: RunRow) -> str:
    """Returns a sentence on what a radius measures."""
    grid = run.configuration.get("noise") == "grid"
    exact = " Noise is drawn on a grid of integers, so the guarantees are about 8-bit inputs." if grid else ""
    samples = f"n = {figures.n:,} noisy samples an input" if figures.n else "an unknown number of samples"
    if figures.draws_mean < figures.n:
        samples = f"at most {samples}, {figures.draws_mean:,.0f} on average: sampling stopped where it was decided"
    return (
        f"Radii are ℓ₂ distances in pixel units (black 0, white 1): one value changed by r, or each of d by r/√d. "
        f"The noise has σ = {number_text(figures.sigma)}; a certificate comes from {samples}.{exact}"
    )
