"""Text that cannot be written as it is: characters that a stream lacks, and paths that are no UTF-8.

Invariant: writing never fails for want of a character. What is shown is spelled out for people, one way only (σ is
`sigma`); what is kept, a path, is spelled so that the very bytes of its name are found again: the byte E9 is `\\xe9`.
Text that can be written is never changed.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from pathlib import Path

# The name under which Python's codecs know how to spell out what an encoding lacks: `text.encode("cp1252", READABLE)`.
READABLE = "rsuq-readable"

# Each character, and what is written for it.
_PAIRS = """
    σ sigma  α alpha  θ theta  φ phi  π pi  Φ Phi  Δ Delta  ∞ inf  ⊥ _|_  √ sqrt  ∈ in  ≥ >=  ≤ <=  ≠ !=  ≈ ~  ± +/-
    × x  − -  · -  – -  — -  ‑ -  … ...  → ->  ← <-  • *  ⁄ /  “ "  ” "  „ "  ‘ '  ’ '  ß ss
    ─ -  ━ -  ═ -  ╌ -  ╍ -  ┄ -  ┅ -  ┈ -  ┉ -  ╴ -  ╶ -  ╸ -  ╺ -  ╼ -  ╾ -  │ |  ┃ |  ║ |
"""
_WORDS = dict(zip(_PAIRS.split()[::2], _PAIRS.split()[1::2], strict=True))
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")


def readable(text: str, encoding: str) -> str:
    """Returns `text` with every character that `encoding` lacks spelled out."""
    return text if text.isascii() else text.encode(encoding, READABLE).decode(encoding)


def spelled(path: str | Path) -> str:
    """Returns a path, or a text that holds one, as text that can be kept anywhere; `path_of` finds the file again."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 come as surrogates. In such a text a backslash is spelled too, or it could be read so.
        raw = text.replace("\\", r"\x5c").encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "backslashreplace")
    return text


def path_of(text: str) -> Path:
    """Returns the path that `spelled` made this text of; a file that is called like the text itself goes first."""
    # Where the locale is not UTF-8, a path is known to Python by its bytes only.
    written = Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
    if r"\x" not in text or os.path.lexists(written):
        return written
    raw = _BYTE.sub(lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "surrogateescape"))
    return Path(os.fsdecode(raw))


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_words_for(one) for one in error.object[error.start : error.end]), error.end


def _words_for(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a path that is no UTF-8
        return rf"\x{code - 0xDC00:02x}"
    if character in _WORDS:
        return _WORDS[character]
    if 0x2500 <= code <= 0x257F:
        return "+"
    if 0x2580 <= code <= 0x259F:
        return "#"
    parts = unicodedata.normalize("NFKD", character)
    plain = "".join(_WORDS.get(part, part) for part in parts if not unicodedata.combining(part))
    return plain if plain.isascii() and plain else character.encode("ascii", "backslashreplace").decode()


codecs.register_error(READABLE, _spell_out)
