"""Certification logs: every published habit is read, and what is odd is said with the number of its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.logs import CertifyLog, check_radii, check_size, read_log, rounding

HEADER = "idx\tlabel\tpredict\tradius\tcorrect\ttime"
GOOD = ["0\t3\t3\t0.529\t1\t0:00:08.591588", "1\t8\t-1\t0.0\t0\t15.4", "2\t1\t4\t0.31\t0\t1 day, 0:00:01"]


@pytest.fixture
def write(tmp_path: Path):
    def log(*lines: str, header: str | None = HEADER, end: str = "\n") -> Path:
        path = tmp_path / "log.tsv"
        path.write_text("\n".join([*([] if header is None else [header]), *lines]) + end)
        return path

    return log


def rows(*inputs: int) -> list[str]:
    return [f"{index}\t1\t1\t0.5\t1\t1.0" for index in inputs]


def test_a_log_is_read_as_it_is_written(write) -> None:
    log = read_log(write(*GOOD))
    assert [(row.line, *row[1:5]) for row in log.rows] == [(2, 0, 3, 3, 0.529), (3, 1, 8, -1, 0.0), (4, 2, 1, 4, 0.31)]
    assert [row.right for row in log.rows] == [True, False, False]
    assert log.seconds == pytest.approx(8.591588 + 15.4 + 86401)
    assert (log.skip, log.warnings) == (1, ())


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("15.4", 15.4), ("0:01:02.5", 62.5), ("2:00:00", 7200), ("01:30", 90), ("2 days, 0:00:01", 172801), ("soon", 0)],
)
def test_times_of_every_kind(write, cell: str, seconds: float) -> None:
    assert read_log(write(f"0\t1\t1\t0.5\t1\t{cell}")).seconds == pytest.approx(seconds)


def test_columns_may_come_in_another_order_and_without_what_is_not_needed(write) -> None:
    (row,) = read_log(write("0.5\t7\t2\t2", header="radius\tidx\tlabel\tpredict")).rows
    assert (row.input_index, row.radius, row.correct, row.right) == (7, 0.5, None, True)


def test_windows_lines_a_byte_order_mark_and_empty_lines_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{GOOD[0]}\r\n\r\n{GOOD[1]}\r\n".encode())
    log = read_log(path)
    assert (len(log.rows), log.rows[1].line, log.warnings) == (2, 4, ())


@pytest.mark.parametrize(
    ("lines", "skip", "warning"),
    [
        (rows(0, 20, 40, 60), 20, None),
        (rows(0, 1, 2, 4, 5), 1, "1 inputs are missing: 3"),
        (rows(0, 20, 60, 80, 100), 20, "1 inputs of every 20th are missing: 40"),
        (rows(*range(3), *range(9, 12)), 1, "6 inputs are missing: 3, 4, 5 and 3 more"),
        (rows(0, 20, 40, 45, 60), 20, "but 1 are not, such as input 45"),
        ([*rows(0, 1, 2), *rows(1)], 1, "1 row is there twice (line 5 repeats line 3)"),
        ([*rows(0, 1), "1\t1\t2\t0.1\t0\t1"], 1, "lines 3 and 4 are both about input 1; the first of each is kept"),
        ([*rows(0), "1\t1\t-1\t0.3\t0\t1"], 1, "line 3: an abstention with radius 0.3; 1 such radii count as 0"),
    ],
)  # fmt: skip
def test_rows_that_are_missing_or_there_twice(write, lines, skip, warning) -> None:
    log = read_log(write(*lines))
    assert log.skip == skip
    assert [warning in said for said in log.warnings] == ([] if warning is None else [True])
    indices = [row.input_index for row in log.rows]
    assert indices == sorted(set(indices))


def test_correct_follows_from_predict_and_label(write) -> None:
    total, lines = 0, []
    for index in range(9):
        right = index % 3 > 0
        total += right
        lines.append(f"{index}\t1\t{1 if right else 2}\t0.5\t{total}\t1")
    (warning,) = read_log(write(*lines)).warnings
    assert warning.startswith("line 4: correct is 2 where predict and label say 1; it is a running total")
    (warning,) = read_log(write(*rows(0), "1\t1\t2\t0.5\t1\t1", *rows(2))).warnings
    assert warning.startswith("line 3: correct is 1 where predict and label say 0; 1 rows contradict them")


def test_a_log_without_header_is_taken_for_the_usual_one(write) -> None:
    log = read_log(write(*rows(0, 1), header=None))
    assert (len(log.rows), log.rows[0].line) == (2, 1)
    assert "there is no header" in log.warnings[0]


def test_a_log_that_is_cut_off_keeps_its_whole_lines(write) -> None:
    log = read_log(write(*rows(0, 1), "2\t1", end=""))
    assert len(log.rows) == 2
    assert "line 4: the log is cut off here" in log.warnings[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2\t1\t1\t0.5\t1", "line 3: 5 columns, not 6"),
        ("2\t1\t1\thigh\t1\t1", "line 3: radius 'high' is no number"),
        ("2\t1\t1\t-0.5\t1\t1", "line 3: radius -0.5"),
        ("2\t1\t1\tnan\t1\t1", "line 3: radius 'nan' is no finite number"),
        ("2\t1.5\t1\t0.5\t1\t1", "line 3: label '1.5' is no whole number"),
        ("-2\t1\t1\t0.5\t1\t1", "line 3: idx and label are 0 or more"),
        ("2\t1\t-2\t0.5\t1\t1", "line 3: idx and label are 0 or more, predict -1"),
    ],
)
def test_a_malformed_line_is_named(write, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_log(write(*rows(0), line, *rows(3)))


def test_what_is_no_log_is_refused(tmp_path: Path, write) -> None:
    binary = tmp_path / "image.png"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    for path, message in (
        (tmp_path / "missing.tsv", "cannot read"),
        (tmp_path, "cannot read"),
        (binary, "is no text"),
    ):
        with pytest.raises(BadInput, match=message):
            read_log(path)
    for lines, header, message in (
        ((), "", "is empty"),
        ((), HEADER, "has a header and no rows"),
        (rows(0), "idx,label,predict,radius,correct,time", "line 1: there is no column 'idx'"),
    ):
        with pytest.raises(BadInput, match=message):
            read_log(write(*lines, header=header))


def certified(radius: str) -> CertifyLog:
    from rsuq_cli.jobs.logs import _row

    return CertifyLog((_row(tuple(HEADER.split("\t")), 2, f"0\t1\t1\t{radius}\t1\t1"),), 1, ())


@given(
    alpha=st.sampled_from([0.05, 0.01, 0.001]),
    n=st.sampled_from([1000, 100_000]),
    sigma=st.sampled_from([0.12, 0.25, 1.0]),
)
def test_the_ceiling_in_any_rounding_is_no_warning_and_tells_its_alpha(alpha: float, n: int, sigma: float) -> None:
    ceiling = sigma * ndtri(alpha ** (1 / n))
    for written in (f"{ceiling:.3}", f"{ceiling:.6f}", repr(float(ceiling))):
        assert check_radii(certified(written).rows, sigma=sigma, n=n, alpha=alpha) == []
    (warning,) = check_radii(certified(f"{ceiling:.6f}").rows, sigma=sigma, n=n, alpha=alpha / 100)
    assert warning.endswith(f"it fits alpha = {alpha:g}")


def test_a_radius_of_no_usual_alpha_says_what_it_takes() -> None:
    (warning,) = check_radii(certified("0.910").rows, sigma=0.25, n=100_000, alpha=1e-9)
    needed = float(warning.partition("it takes alpha = ")[2].partition(" or more")[0])
    assert 0.25 * ndtri(needed ** (1 / 100_000)) == pytest.approx(0.91, abs=1e-3)
    (warning,) = check_radii(certified("25.0").rows, sigma=0.25, n=100_000, alpha=0.001)
    assert "no alpha gives it: check sigma and n" in warning


@pytest.mark.parametrize(
    ("written", "half"), [("0.953", 5e-4), ("1.91", 5e-3), ("0.0802", 5e-5), ("0.5", 5e-4), ("0", 5e-4)]
)
def test_a_radius_may_have_been_rounded_by_half_its_last_digit(written: str, half: float) -> None:
    assert rounding(certified(written).rows[0]) == pytest.approx(half)


def test_inputs_and_classes_that_the_data_set_does_not_have(write) -> None:
    log = read_log(write(*rows(*range(0, 100, 20))))
    assert check_size(log, dataset="cifar10", size=100, classes=10) == []
    assert check_size(log, dataset="mine", size=None, classes=None) == []
    (beyond,) = check_size(log, dataset="cifar10", size=50, classes=10)
    assert beyond == "line 5: input 60 is not among the 50 test inputs of cifar10"
    (classes,) = check_size(log, dataset="cifar10", size=100, classes=1)
    assert "class 1 is not among the 1" in classes
    (short,) = check_size(log, dataset="cifar10", size=10_000, classes=10)
    assert short == "5 rows do not reach the end of the 10,000 test inputs of cifar10"
    assert math.isclose(log.seconds, 5.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{2**63}\t1\t1\t0.5\t1\t1", f"line 3: idx {2**63} is too large"),
        ("9" * 5000 + "\t1\t1\t0.5\t1\t1", "line 3: idx '9+' is no finite number"),
        ("1e300\t1\t1\t0.5\t1\t1", "line 3: idx 1e300 is too large"),
        ("inf\t1\t1\t0.5\t1\t1", "line 3: idx 'inf' is no finite number"),
        (f"2\t{2**63}\t1\t0.5\t1\t1", "line 3: label .* is too large"),
        (f"2\t1\t{2**64}\t0.5\t1\t1", "line 3: predict .* is too large"),
        ("2\t1\t1\tinf\t1\t1", "line 3: radius 'inf' is no finite number"),
        ("2\t1\t1\t0.5\tperhaps\t1", "line 3: correct 'perhaps' is no number"),
        ("total\t4\t\t\t\t0:10:00", "line 3: radius '' is no number"),
    ],
)
def test_what_no_database_can_hold_is_named_by_its_line(write, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_log(write(*rows(0), line, *rows(3)))
    assert read_log(write(f"{2**63 - 1}\t1\t1\t0.5\t1\t1")).rows[0].input_index == 2**63 - 1


@pytest.mark.parametrize(
    ("right", "wrong"), [("True", "False"), ("true", "false"), ("TRUE", "FALSE"), ("yes", "no"), ("1.0", "0.0")]
)
def test_correct_may_be_a_word(write, right: str, wrong: str) -> None:
    lines = [f"0\t1\t1\t0.5\t{right}\t1", f"1\t1\t2\t0.5\t{wrong}\t1"]
    log = read_log(write(*lines))
    assert ([row.correct for row in log.rows], log.warnings) == ([1.0, 0.0], ())
    (warning,) = read_log(write(*lines, header=None)).warnings
    assert warning.startswith("there is no header")
    (warning,) = read_log(write(f"0\t1\t1\t0.5\t{wrong}\t1")).warnings
    assert warning.startswith("line 2: correct is 0 where predict and label say 1")


def test_columns_in_another_order_and_without_a_time_are_read(write) -> None:
    log = read_log(write("0.5\t1\t2\t7", header="radius\tlabel\tpredict\tidx"))
    row = log.rows[0]
    assert (row.input_index, row.label, row.predict, row.radius, row.correct, row.seconds) == (7, 1, 2, 0.5, None, 0.0)


def test_what_windows_redirects_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.tsv"
    path.write_bytes(f"{HEADER}\r\n{GOOD[0]}\r\n".encode("utf-16"))
    assert len(read_log(path).rows) == 1


def test_an_export_of_rsuq_has_no_gaps_and_another_log_has(write) -> None:
    own = [f"{index}\t1\t1\t0.250000\t1\t0.010" for index in (1, 4, 9, 16)]
    log = read_log(write(*own))
    assert (log.exported, log.skip, log.warnings) == (True, 1, ())
    assert check_size(log, dataset="digits", size=10, classes=2) == []
    (warning,) = check_size(log, dataset="digits", size=10, classes=1)
    assert "class 1 is not among the 1" in warning
    other = read_log(write(*own, "25\t1\t1\t0.25\t1\t0.010"))
    assert not other.exported
    assert "are missing" in other.warnings[0]
