"""Settings that differ between scorings and keep their figures from being compared.

Invariant: nothing is hidden for being incomparable; it is said. Settings that an experiment varies on purpose (model,
measure, threshold, sigma, objective) are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rsuq_cli.certificates.method import share_of_alpha
from rsuq_cli.results.figures import Figures

_SETTINGS: dict[str, Callable[[Figures], str]] = {
    "the data set": lambda one: one.dataset,
    "the rule": lambda one: one.rule,
    "how competitors are bounded": lambda one: competitors_text(one.competitors, one.bounds_version),
    "α": lambda one: f"{share_of_alpha(one.alpha, one.family_size):g}",
    "n": lambda one: f"{one.n:,}",
    "n0": lambda one: f"{one.n0:,}",
    "when inputs stop": lambda one: "once decided" if one.kind == "certify" and one.draws_at_max < 1 else "at n",
}


def competitors_text(competitors: str, bounds_version: int) -> str:
    """Returns how competitors are bounded; of bounds by class that an older rsuq made, that each took a share of α."""
    return competitors if competitors == "merged" or bounds_version > 1 else f"{competitors} (one bound each)"


def differences(figures: Sequence[Figures]) -> list[str]:
    """Returns one sentence for each setting that differs and makes the figures of these scorings incomparable."""
    found = []
    for name, value in _SETTINGS.items():
        values = list(dict.fromkeys(value(one) for one in figures))
        if len(values) > 1:
            found.append(f"{name} differs ({', '.join(values)}): compare figures only where it is the same")
    found += [
        f"the subset of {dataset} differs ({', '.join(subsets)}): it alone can move an ACR by several hundredths"
        for dataset in dict.fromkeys(one.dataset for one in figures)
        if len(subsets := _subsets([one for one in figures if one.dataset == dataset])) > 1
    ]
    return found


def _subsets(figures: Sequence[Figures]) -> list[str]:
    """Returns the subsets in words; two of the same words but with other inputs get the beginning of their digest.

    Imported logs come without images, so what they agree in with sampled runs is split, step and number of inputs.
    """
    described = {one.run_id: f"{_step(one.skip)}{one.inputs:,} {one.split} inputs" for one in figures}
    digests: dict[str, set[str]] = {}
    for one in figures:
        if one.kind != "import":
            digests.setdefault(described[one.run_id], set()).add(one.subset_sha256)
    return list(
        dict.fromkeys(
            f"{words} with digest {one.subset_sha256[:8]}"
            if len(digests.get(words, ())) > 1 and one.kind != "import"
            else words
            for one in figures
            for words in [described[one.run_id]]
        )
    )


def _step(skip: int) -> str:
    return "" if skip == 1 else f"every {skip}th, "
