"""The names of data sets, taken apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rsuq_cli.datasets.names import held_out_name, kept_under, parted, without
from rsuq_cli.errors import BadInput


@pytest.mark.parametrize(
    ("kept", "dataset", "size"),
    [
        ("digits", "digits", None),
        ("digits@16", "digits", 16),
        ("digits-without-8,9@16", "digits-without-8,9", 16),
        ("digits@", "digits@", None),
        ("digits@x16", "digits@x16", None),
        ("digits@016", "digits@016", None),
        ("folder:/gone/pets@16", "folder:/gone/pets", 16),
        ("npz:/gone/me@home.npz", "npz:/gone/me@home.npz", None),
    ],
)
def test_the_size_is_what_stands_after_the_last_at_sign(kept: str, dataset: str, size: int | None) -> None:
    assert parted(kept) == (dataset, size)
    assert kept_under(dataset, size) == kept


def test_a_path_that_is_there_as_it_is_written_is_never_taken_apart(tmp_path: Path) -> None:
    for name in ("set@32", "pets-without-cat"):
        (tmp_path / name).mkdir()
    assert parted(f"folder:{tmp_path}/set@32") == (f"folder:{tmp_path}/set@32", None)
    assert parted(f"folder:{tmp_path}/set@32@16") == (f"folder:{tmp_path}/set@32", 16)
    assert parted(f"folder:{tmp_path}/set@32-without-a@16") == (f"folder:{tmp_path}/set@32-without-a", 16)
    assert held_out_name(f"folder:{tmp_path}/pets-without-cat") is None
    assert held_out_name(f"folder:{tmp_path}/pets-without-cat-without-dog") == (
        f"folder:{tmp_path}/pets-without-cat",
        ("dog",),
    )
    with pytest.raises(BadInput, match="pets-without-cat is there"):
        without(f"folder:{tmp_path}/pets", "cat")


def test_a_name_that_no_file_can_have_is_taken_apart_all_the_same() -> None:
    assert parted(f"folder:/{'x' * 5000}@16") == (f"folder:/{'x' * 5000}", 16)
    assert parted("folder:/a\0b@16") == ("folder:/a\0b", 16)


def test_reading_a_name_needs_no_torch() -> None:
    code = "import sys, rsuq_cli.datasets.names, rsuq_cli.run.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
