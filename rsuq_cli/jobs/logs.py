"""Certification logs as the field has exchanged them since Cohen et al. 2019: reading and checking.

Invariant: a log is read whole or refused with the number of the line; what is odd and can still be read is read, and
becomes a warning. `correct` is never believed: it follows from `predict` and `label`.

A log is a text of tab-separated columns `idx label predict radius correct time`: the number of the input, its class,
the class answered (-1 for an abstention), the certified radius (pixel units, usually to three digits), 0 or 1 (or True
or False), and the time as seconds or h:mm:ss. What `rsuq export` wrote is known by its digits: it holds what a run had.
"""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from scipy.special import ndtr

from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")
_NEEDED = COLUMNS[:4]
# Every line of rsuq's own export, below its header.
_EXPORTED = re.compile(r"\d+\t\d+\t(?:-1|\d+)\t\d+\.\d{6}\t[01]\t\d+\.\d{3}")
# What other tools write for 1 and 0.
_WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
# What a database can hold.
_LARGEST = 2**63 - 1
_TIME = re.compile(r"(?:(\d+) days?, )?(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")
# The error probabilities that people state.
_USUAL_ALPHAS = (0.1, 0.05, 0.01, 0.005, 0.001, 0.0005, 0.0001, 1e-5, 1e-6)


class LogRow(NamedTuple):
    """One line of a log. `line` counts from 1, header included; `correct` is as stated, None where it is not."""

    line: int
    input_index: int
    label: int
    predict: int
    radius: float
    correct: float | None
    seconds: float
    digits: int  # decimals that the radius was written with

    @property
    def right(self) -> bool:
        """Whether the answer is the label, whatever the log says."""
        return self.predict == self.label


@dataclass(frozen=True)
class CertifyLog:
    """A log that was read: one row for each input, ascending, and what is odd about it.

    `exported` says that rsuq wrote it, so that no input is missing that its run had.
    """

    rows: tuple[LogRow, ...]
    skip: int
    warnings: tuple[str, ...]
    exported: bool = False

    @property
    def seconds(self) -> float:
        """The time of all rows together."""
        return math.fsum(row.seconds for row in self.rows)


def read_log(path: Path) -> CertifyLog:
    """Returns the log at `path`.

    Raises:
        BadInput: it cannot be read, is no such log, or a line is malformed (naming it).
    """
    try:
        content = _decoded(path.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}", "name a log file") from error
    except UnicodeDecodeError:
        raise BadInput(f"{path} is no text", f"a log has the columns {' '.join(COLUMNS)}") from None
    warnings: list[str] = []
    numbered = [(number, line) for number, line in enumerate(content.splitlines(), start=1) if line.strip()]
    if not numbered:
        raise BadInput(f"{path} is empty", f"a log has the columns {' '.join(COLUMNS)}")
    header, lines = _header(path, numbered, warnings)
    rows = _rows(path, header, lines, warnings, cut_off=not content.endswith("\n"))
    if not rows:
        raise BadInput(f"{path} has a header and no rows", "name a log with results")
    unique = _without_repeats(rows, warnings)
    exported = header == COLUMNS and all(_EXPORTED.fullmatch(line) for _, line in lines)
    skip, gaps = _step(unique)
    if exported:
        skip, gaps = (1 if gaps else skip), []
    _check_correct(rows, warnings)
    _check_abstentions(unique, warnings)
    return CertifyLog(tuple(unique), skip, (*warnings, *gaps), exported)


def check_radii(rows: Sequence[LogRow], *, sigma: float, n: int, alpha: float) -> list[str]:
    """Returns a warning where a radius is larger than `n` samples at `alpha` can give, with the alpha that would."""
    largest = max(rows, key=lambda row: row.radius)
    ceiling, tolerance = Method(sigma, alpha).ceiling(n), rounding(largest)
    if largest.radius <= ceiling + tolerance:
        return []
    # Every sample for the class: radius = sigma * ppf(alpha ** (1 / n)).
    least, most = (
        float(ndtr(max(r, 0.0) / sigma)) ** n for r in (largest.radius - tolerance, largest.radius + tolerance)
    )
    fitting = [usual for usual in _USUAL_ALPHAS if least <= usual <= most]
    if fitting:
        fits = f"it fits alpha = {fitting[0]:g}"
    elif least < 1:
        fits = f"it takes alpha = {least:.2g} or more"
    else:
        fits = "no alpha gives it: check sigma and n"
    return [
        f"line {largest.line}: radius {largest.radius:g} is more than sigma = {sigma:g}, n = {n:,} and "
        f"alpha = {alpha:g} can give ({ceiling:.4f}); {fits}"
    ]


def check_size(log: CertifyLog, *, dataset: str, size: int | None, classes: int | None) -> list[str]:
    """Returns warnings about inputs and labels that a data set of `size` test inputs and `classes` does not have.

    rsuq's own export has every input that its run had, in whichever split.
    """
    found = []
    size = None if log.exported else size
    if size is not None and (beyond := [row for row in log.rows if row.input_index >= size]):
        found.append(
            f"line {beyond[0].line}: input {beyond[0].input_index} is not among the {size:,} test inputs of {dataset}"
        )
    if classes is not None and (odd := [r for r in log.rows if r.label >= classes or r.predict >= classes]):
        found.append(
            f"line {odd[0].line}: class {max(odd[0].label, odd[0].predict)} is not among the {classes} of {dataset}"
        )
    if size is not None and not found and len(log.rows) < len(range(log.rows[0].input_index, size, log.skip)):
        found.append(f"{len(log.rows):,} rows do not reach the end of the {size:,} test inputs of {dataset}")
    return found


def rounding(row: LogRow) -> float:
    """Returns by how much the radius of a row may have been rounded: half of its last decimal, or of the third digit.

    Python's `{:.3}`, which most logs are written with, drops trailing zeros, so a short radius may be a rounded one.
    """
    third = math.floor(math.log10(row.radius)) - 2 if row.radius > 0 else -3
    return 0.5 * 10.0 ** (max(third, -row.digits) if row.digits >= 3 else third)


def _header(
    path: Path, numbered: list[tuple[int, str]], warnings: list[str]
) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    names = tuple(name.strip().lower() for name in numbered[0][1].split("\t"))
    if missing := [name for name in _NEEDED if name not in names]:
        if len(names) == len(COLUMNS) and all(_is_number(cell) for cell in names[:4]):
            warnings.append(f"there is no header: the columns are taken to be {' '.join(COLUMNS)}")
            return COLUMNS, numbered
        raise BadInput(
            f"{path}, line {numbered[0][0]}: there is no column {missing[0]!r}",
            f"a log has tab-separated columns {' '.join(COLUMNS)}",
        )
    return names, numbered[1:]


def _rows(
    path: Path, header: tuple[str, ...], lines: list[tuple[int, str]], warnings: list[str], *, cut_off: bool
) -> list[LogRow]:
    rows = []
    for number, line in lines:
        try:
            rows.append(_row(header, number, line))
        except ValueError as error:
            if cut_off and number == lines[-1][0]:
                warnings.append(f"line {number}: the log is cut off here ({error}); it is left out")
                break
            raise BadInput(f"{path}, line {number}: {error}", "mend the line, or remove it") from None
    return rows


def _row(header: tuple[str, ...], number: int, line: str) -> LogRow:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} columns, not {len(header)}")
    values = dict(zip(header, cells, strict=True))
    radius = _number("radius", values["radius"])
    if not 0 <= radius < math.inf:
        raise ValueError(f"radius {values['radius']} is not a number from 0 up")
    index, label, predict = (_whole(name, values[name]) for name in ("idx", "label", "predict"))
    if index < 0 or label < 0 or predict < -1:
        raise ValueError("idx and label are 0 or more, predict -1 or more")
    correct = _truth(values["correct"]) if values.get("correct") else None
    decimals = len(values["radius"].partition(".")[2]) if "e" not in values["radius"].lower() else 3
    return LogRow(number, index, label, predict, radius, correct, _seconds(values.get("time", "")), decimals)


def _without_repeats(rows: Sequence[LogRow], warnings: list[str]) -> list[LogRow]:
    first: dict[int, LogRow] = {}
    same: list[tuple[LogRow, LogRow]] = []
    other: list[tuple[LogRow, LogRow]] = []
    for row in rows:
        kept = first.setdefault(row.input_index, row)
        if kept is not row:
            (same if kept[2:5] == row[2:5] else other).append((kept, row))
    if same:
        warnings.append(f"{_rows_are(len(same))} there twice (line {same[0][1].line} repeats line {same[0][0].line})")
    if other:
        kept, row = other[0]
        warnings.append(
            f"{_rows_are(len(other))} there twice and differ: lines {kept.line} and {row.line} are both about input "
            f"{row.input_index}; the first of each is kept"
        )
    return sorted(first.values(), key=lambda row: row.input_index)


def _step(rows: Sequence[LogRow]) -> tuple[int, list[str]]:
    """Returns which every k-th input the rows are, most of them at least, and warnings where some are not there."""
    indices = [row.input_index for row in rows]
    steps = Counter(later - earlier for earlier, later in pairwise(indices))
    if not steps:
        return 1, []
    warnings = []
    step = steps.most_common(1)[0][0]
    present = set(indices)
    missing = [index for index in range(indices[0], indices[-1], step) if index not in present]
    if missing:
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        every = "" if step == 1 else f" of every {step}th"
        warnings.append(
            f"{len(missing):,} inputs{every} are missing: {', '.join(str(index) for index in missing[:3])}{more}"
        )
    if off := [index for index in indices if (index - indices[0]) % step]:
        warnings.append(f"most rows are every {step}th input, but {len(off):,} are not, such as input {off[0]}")
    return step, warnings


def _check_correct(rows: Sequence[LogRow], warnings: list[str]) -> None:
    stated = [row for row in rows if row.correct is not None]
    wrong = [row for row in stated if row.correct != float(row.right)]
    if not wrong:
        return
    total, running = 0, True
    for row in stated:
        total += row.right
        running = running and row.correct == total
    said = "it is a running total" if running else f"{len(wrong):,} rows contradict them"
    warnings.append(
        f"line {wrong[0].line}: correct is {wrong[0].correct:g} where predict and label say {int(wrong[0].right)}; "
        f"{said}. It is taken from predict and label"
    )


def _check_abstentions(rows: Sequence[LogRow], warnings: list[str]) -> None:
    if odd := [row for row in rows if row.predict == -1 and row.radius > 0]:
        warnings.append(
            f"line {odd[0].line}: an abstention with radius {odd[0].radius:g}; {len(odd):,} such radii count as 0"
        )


def _rows_are(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"


def _decoded(content: bytes) -> str:
    # Windows' shells write what they redirect as UTF-16.
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig")


def _whole(name: str, cell: str) -> int:
    value = int(cell) if cell.isdecimal() and len(cell) < 1000 else _number(name, cell)
    if value != int(value):
        raise ValueError(f"{name} {cell!r} is no whole number")
    if value > _LARGEST:
        raise ValueError(f"{name} {cell if len(cell) < 40 else cell[:37] + '...'} is too large")
    return int(value)


def _truth(cell: str) -> float:
    word = _WORDS.get(cell.lower())
    return _number("correct", cell) if word is None else word


def _number(name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{name} {cell!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} {cell!r} is no finite number")
    return value


def _seconds(cell: str) -> float:
    """Returns a duration in seconds; one that cannot be read is 0, since no certificate depends on it."""
    if found := _TIME.fullmatch(cell):
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    try:
        value = float(cell)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
