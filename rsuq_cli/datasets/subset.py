"""Which inputs of a split are taken where not all are: every k-th, and at most so many.

Invariant: the choice is a function of the split's labels and of what is asked for. Data that lie class by class, as
folders do, are never cut off after their first classes: what is taken of them is spread evenly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rsuq_cli.datasets.dataset import Dataset, Indices, SplitName


class Subset(NamedTuple):
    """Positions of inputs, ascending, and whether they are spread evenly for want of a mixed order."""

    indices: Indices
    evenly: bool


def subset(dataset: Dataset, split: SplitName, skip: int, limit: int | None) -> Subset:
    """Returns every `skip`-th input of a split and of those at most `limit`.

    They are the first ones where classes are mixed, and spread evenly where they lie one after the other.
    """
    every = dataset.indices(split)[::skip]
    evenly = limit is not None and limit < len(every) and in_class_order(dataset.labels(split))
    return Subset(same_subset(dataset, split, skip, limit, evenly=evenly), evenly)


def same_subset(dataset: Dataset, split: SplitName, skip: int, limit: int | None, *, evenly: bool) -> Indices:
    """Returns the positions that `subset` chose, known to be spread `evenly` or to be the first ones."""
    every = dataset.indices(split)[::skip]
    return spread(every, limit) if evenly else every[:limit]


def spread(indices: Indices, count: int | None) -> Indices:
    """Returns at most `count` of the indices, evenly over all of them."""
    if count is None or count >= len(indices):
        return indices
    return indices[np.arange(count) * len(indices) // count]


def in_class_order(labels: Indices) -> bool:
    """Returns whether inputs with these labels `[N]` lie class by class, roughly at least.

    Neighbours then differ in their class less than half as often as they would in an order by chance.
    """
    if len(labels) < 2:
        return False
    _, sizes = np.unique(labels, return_counts=True)
    # Of two inputs drawn by chance, how often their classes differ.
    by_chance = 1 - float((sizes * (sizes - 1.0)).sum()) / (len(labels) * (len(labels) - 1.0))
    return float((labels[1:] != labels[:-1]).mean()) < by_chance / 2
