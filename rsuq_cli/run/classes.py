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
from rsuq_cli.models.libraries.prescription import plain

_SHOWN = 3


class Matched(NamedTuple):
    """The data with the classes in the network's order, a line that costs nothing, and what belongs to the run.

    `renamed` says that some have other names than the network knows.
    """

    dataset: Dataset
    note: str = ""
    warning: str = ""
    renamed: bool = False


def matched(
    dataset: Dataset,
    trained: Sequence[str],
    which: str,
    *,
    renamed: bool = False,
    synonyms: Sequence[Sequence[str]] = (),
) -> Matched:
    """Returns the data set with its classes numbered as in `trained`, the names that `which` knows.

    A network that knows more classes keeps them all: they are rivals that no input has. `synonyms` are all names of
    each of `trained`.

    With `renamed`, names that both have are matched, and the others one by one in their order. Raises BadInput where
    names differ otherwise. Where one side has no names but numbers there is nothing to compare.
    """
    own = dataset.class_names
    if synonyms and not (renamed and len(trained) == len(own)):
        return _among_synonyms(dataset, trained, synonyms, which)
    if len(trained) > len(own) and set(own) <= set(trained) and len(set(trained)) == len(trained):
        return Matched(FittedDataset(dataset, among=trained), warning=_more(dataset, trained, which))
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


def _among_synonyms(dataset: Dataset, trained: Sequence[str], synonyms: Sequence[Sequence[str]], which: str) -> Matched:
    """Returns the data with every class where the network has it, under the data's own name."""
    places: dict[str, set[int]] = {}
    for at, names in enumerate(synonyms):
        for name in names:
            places.setdefault(plain(name), set()).add(at)
    if _is_numbered(dataset.class_names) and len(trained) == dataset.num_classes:
        return Matched(dataset, note=f"{dataset.name} has numbers for class names: they are taken in order")
    found = [sorted(places.get(plain(name), ())) for name in dataset.class_names]
    unknown = [name for name, at in zip(dataset.class_names, found, strict=True) if not at]
    if unknown:
        raise BadInput(
            f"{which} knows {len(trained):,} classes, and {_some(unknown)} of {dataset.name} "
            f"{'is' if len(unknown) == 1 else 'are'} none of them",
            "name the classes as it does, or train it for these: rsuq train --model MODEL --pretrained --dataset DATA",
        )
    doubtful = [name for name, at in zip(dataset.class_names, found, strict=True) if len(at) > 1]
    taken = [at[0] for at in found]
    if doubtful or len(set(taken)) < len(taken):
        which_one = doubtful or [
            name for name, at in zip(dataset.class_names, taken, strict=True) if taken.count(at) > 1
        ]
        raise BadInput(
            f"{_some(which_one)} of {dataset.name} cannot be told apart among the classes of {which}",
            "name classes by their WordNet ids, such as n02012849",
        )
    among = list(trained)
    for name, at in zip(dataset.class_names, taken, strict=True):
        among[at] = name
    more = _more(dataset, among, which) if len(among) > len(taken) else ""
    return Matched(FittedDataset(dataset, among=among), warning=more)


def _more(dataset: Dataset, trained: Sequence[str], which: str) -> str:
    return (
        f"{which} knows {len(trained) - dataset.num_classes:,} classes that {dataset.name} has not: "
        "a vote for one of them is a wrong one"
    )


def as_recorded(dataset: Dataset, recorded: Sequence[str] | None, run_id: int) -> Dataset:
    """Returns the data set with its classes numbered as a run recorded them; raises BadInput where names differ."""
    return dataset if recorded is None else matched(dataset, recorded, f"run {run_id}").dataset


def _is_numbered(names: Sequence[str]) -> bool:
    return tuple(names) == tuple(str(number) for number in range(len(names)))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
