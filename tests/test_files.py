"""A file that was asked for is whole, or it is not there and what was there before still is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.files import check_output, new_file, replaced


def test_the_content_is_there_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with new_file(path) as stream:
        stream.write(b"half")
        assert not path.exists()
        stream.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_an_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError):
        _fail_while_writing(path)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def _fail_while_writing(path: Path) -> None:
    with new_file(path, force=True) as stream:
        stream.write(b"newer")
        raise ZeroDivisionError


def test_a_file_that_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("older")
    with pytest.raises(BadInput, match="exists") as caught, new_file(path):
        pytest.fail("nothing may be written")
    assert "--force" in caught.value.hint
    with new_file(path, force=True) as stream:
        stream.write(b"newer")
    assert path.read_text() == "newer"


def test_a_library_that_opens_by_name_finds_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    with replaced(path) as temporary:
        assert temporary.suffix == ".svg"
        temporary.write_text("<svg/>")
    assert path.read_text() == "<svg/>"


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "is a folder"), ("missing/report.csv", "there is no folder"), ("file/report.csv", "cannot")],
)
def test_a_place_that_cannot_be_written_is_known_beforehand(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=message):
        check_output(tmp_path / name)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BadInput, match="does not allow it"):
            check_output(tmp_path / "report.csv")
    finally:
        tmp_path.chmod(0o700)
