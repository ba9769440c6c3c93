"""Which training inputs are held out for calibration.

Invariant: the choice is a function of the labels and a seed alone, the same on every machine and for every release of
the libraries, so a checkpoint and the calibration that follows it agree on what training has not seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rsuq_cli.datasets.dataset import Indices

CALIBRATION_SHARE = 0.1
CALIBRATION_MOST = 2000
SEED = 20241


class Division(NamedTuple):
    """Positions in the train file, both ascending: what training sees, and what calibration sees."""

    train: Indices
    calibration: Indices


def hold_out(labels: Indices, *, seed: int = SEED) -> Division:
    """Returns a stratified division of a train file with labels [N]: 10 % (rounded up), at most 2,000, calibrate."""
    count = min(int(np.ceil(len(labels) * CALIBRATION_SHARE)), CALIBRATION_MOST)
    calibration = stratified_sample(labels, count, seed=seed)
    return Division(np.setdiff1d(np.arange(len(labels), dtype=np.int64), calibration), calibration)


def stratified_sample(labels: Indices, count: int, *, seed: int) -> Indices:
    """Returns about `count` positions of `labels` [N], ascending, each class in proportion to its size.

    Shares are rounded by largest remainder, ties to the lower class. A class never gives away its last input, so fewer
    than `count` come back where classes are tiny.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    if count <= 0 or not len(classes):
        return np.empty(0, np.int64)
    shares = count * sizes / len(labels)
    takes = np.floor(shares).astype(np.int64)
    largest_remainders = np.argsort(takes - shares, kind="stable")[: count - takes.sum()]
    takes[largest_remainders] += 1
    takes = np.minimum(takes, sizes - 1)
    # RandomState's stream is frozen by numpy; that of default_rng may change from one release to the next.
    random = np.random.RandomState(seed)
    chosen = [random.permutation(np.flatnonzero(labels == c))[:k] for c, k in zip(classes, takes, strict=True)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
