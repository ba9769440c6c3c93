"""Class names, compared: those that a network was trained for, and those of the data.

Invariant: labels are matched by name, never by number alone. Names that do not agree are refused, since a class that
was renamed, and with it the alphabetical order, would move every label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.fitted import FittedDataset
from rsuq_cli.errors import BadInput

_SHOWN = 3


class Matched(NamedTuple):
    """The data with the classes in the network's order, a line that costs nothing, and what belongs to the run.

    `renamed` says that some have other names than the network knows.
    """

    dataset: Dataset
    note: str = ""
    warning: str = ""
    renamed: bool = False


def matched(dataset: Dataset, trained: Sequence[str], which: str, *, renamed: bool = False) -> Matched:
    """Returns the data set with its classes numbered as in `trained`, the names that `which` knows.

    With `renamed`, names that both have are matched, and the others one by one in their order. Raises BadInput where
    names differ otherwise. Where one side has no names but numbers there is nothing to compare.
    """
    own = dataset.class_names
    if tuple(trained) == own or len(trained) != len(own) or len(set(trained)) < len(trained):
        return Matched(dataset)
    if set(trained) == set(own):
        order = [own.index(name) for name in trained]
        warning = f"{dataset.name} has its classes in another order than {which}: they are matched by name"
        return Matched(FittedDataset(dataset, order=order), warning=warning)
    if _is_numbered(trained) or _is_numbered(own):
        who = which if _is_numbered(trained) else dataset.name
        return Matched(dataset, note=f"{who} has numbers for class names: they are taken in order, not compared")
    gone = [name for name in trained if name not in own]
    new = [name for name in own if name not in trained]
    if not renamed:
        raise BadInput(
            f"{which} knows the class{'es' if len(gone) > 1 else ''} {_some(gone)}, and {dataset.name} has "
            f"{_some(new)} instead",
            "name the classes as they were, or give --classes-renamed where only the names are others",
        )
    now = dict(zip(gone, new, strict=True))
    order = [own.index(now.get(name, name)) for name in trained]
    pairs = [f"{name} is {now[name]} now" for name in gone]
    return Matched(FittedDataset(dataset, order=order), warning=f"--classes-renamed: {', '.join(pairs)}", renamed=True)


def as_recorded(dataset: Dataset, recorded: Sequence[str] | None, run_id: int) -> Dataset:
    """Returns the data set with its classes numbered as a run recorded them; raises BadInput where names differ."""
    return dataset if recorded is None else matched(dataset, recorded, f"run {run_id}").dataset


def _is_numbered(names: Sequence[str]) -> bool:
    return tuple(names) == tuple(str(number) for number in range(len(names)))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
