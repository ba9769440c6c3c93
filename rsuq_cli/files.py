"""A file that a user asked for: whole or not there at all.

Invariant: what is written appears under its name only when it is complete, so a reader never meets half a file and a
failure leaves an older one as it was. A file that exists is replaced only where the user said so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rsuq_cli.errors import BadInput


def check_output(path: Path, *, force: bool = False) -> None:
    """Raises BadInput where `path` cannot be written, or exists and `force` is not given; before any work is done."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder", "name a file in it")
    if path.exists() and not force:
        raise BadInput(f"{path} exists", "--force replaces it")
    if not path.parent.is_dir():
        raise BadInput(f"cannot write {path}: there is no folder {path.parent}", "make the folder first")
    if not os.access(path.parent, os.W_OK):
        raise BadInput(f"cannot write {path}: the folder does not allow it", "choose another folder")


@contextlib.contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """Yields a binary stream whose content is at `path` when the block ends well; nothing is left where it fails.

    Raises:
        BadInput: the file exists and `force` is not given, or it cannot be written.
    """
    check_output(path, force=force)
    with replaced(path) as temporary:
        try:
            stream = temporary.open("xb")
        except OSError as error:
            raise BadInput(f"cannot write {path}: {error.strerror or error}", "choose another place") from error
        with stream:
            yield stream


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`, for libraries that open files by name; it takes `path`'s place at the end.

    Raises:
        BadInput: the file cannot be written or put in its place.
    """
    # The suffix is kept, since libraries choose the kind of file by it.
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BadInput(f"cannot write {path}: {error.strerror or error}", "choose another place") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
