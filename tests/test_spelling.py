"""Characters that a stream lacks, and paths that are no UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsuq_cli.spelling import READABLE, path_of, readable, spelled


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("σ = 0.5 · n ≥ 3 × 2…", "ascii", "sigma = 0.5 - n >= 3 x 2..."),
        ("σ = 0.5 · n ≥ 3 × 2…", "cp1252", "sigma = 0.5 · n >= 3 × 2…"),
        ("σ = 0.5 · n ≥ 3 × 2…", "utf-8", "σ = 0.5 · n ≥ 3 × 2…"),
        ("ℓ₂ ≤ ∞, −1 — café", "ascii", "l2 <= inf, -1 - cafe"),
        ("│─┼─╮█", "ascii", "|-+-+#"),
        ("犬", "latin-1", "\\u72ac"),
        ("caf\udce9", "utf-8", "caf\\xe9"),
        ("plain", "ascii", "plain"),
    ],
)
def test_what_an_encoding_lacks_is_spelled_out(text: str, encoding: str, shown: str) -> None:
    assert readable(text, encoding) == shown
    assert text.encode(encoding, READABLE).decode(encoding) == shown


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\\x41\xff", b"caf\xc3\xa9", b"plain\\x41", b"\xff\xfe"])
def test_a_path_of_any_bytes_is_found_again(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.mkdir()
    kept = spelled(path)
    assert kept.encode().decode() == kept
    assert spelled(kept) == kept
    assert path_of(kept) == path
    assert path_of(kept).is_dir()


def test_only_what_cannot_be_kept_is_spelled() -> None:
    assert spelled("a\\x41") == "a\\x41"
    assert spelled("café") == "café"
    assert spelled("a\\x41\udce9") == "a\\x5cx41\\xe9"
