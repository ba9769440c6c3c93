"""A scoring as a certification log, the tab-separated text that the field's scripts read since Cohen et al. 2019.

Invariant: a radius is rounded down, so that no line claims more than was proven; `correct` is 1 only for an answer that
was given and is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from rsuq_cli.console import radius_text

Guarantee = Literal["standard", "cc", "ncl"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
# More than the three of published logs, so that a log that comes back loses nothing that matters.
DECIMALS = 6


def log_lines(rows: Iterable[Mapping[str, Any]], guarantee: Guarantee) -> Iterator[str]:
    """Yields the lines of a log, header first, about one guarantee.

    `standard` answers with the class of smoothing without rejection; `cc` abstains where the decision is not certain;
    `ncl` answers with the class that the guarantee is about, so a right line says "right or rejected within the
    radius". Abstentions are -1. `seconds` of a row that has none (imported) is 0.
    """
    yield HEADER
    for row in rows:
        predict = _answer(row, guarantee)
        radius = row[f"radius_{guarantee}"] if predict >= 0 else 0.0
        right = int(predict == row["label"])
        seconds = row.get("seconds") or 0.0
        text = radius_text(radius, DECIMALS)
        yield f"{row['input_index']}\t{row['label']}\t{predict}\t{text}\t{right}\t{seconds:.3f}"


def _answer(row: Mapping[str, Any], guarantee: Guarantee) -> int:
    if guarantee == "standard":
        return int(row["standard_class"]) if row["standard_decided"] else -1
    if guarantee == "cc":
        return int(row["class_index"]) if row["decision"] == "certain" else -1
    return int(row["class_index"]) if row["radius_ncl"] > 0 else -1
