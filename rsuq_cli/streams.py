"""The process's own stdout and stderr: they take every character, and a reader that leaves ends the program quietly.

Invariant: printing raises neither UnicodeEncodeError nor BrokenPipeError, in whichever library and at whatever moment
it happens. Where the reader has seen enough, such as `head`, the exit code is 141, as a shell reports SIGPIPE; a full
disk is one line and exit code 2.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsuq_cli.spelling import READABLE

READER_LEFT = 141  # 128 + SIGPIPE


class _Descriptor(io.FileIO):
    """A file descriptor that may fail: the program ends then, and what is still written goes nowhere."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # Libraries catch BrokenPipeError and call it an error of their own; Python tries again when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(READER_LEFT) from None
            print(f"error: the output cannot be written: {error.strerror}; make room", file=sys.stderr)
            raise SystemExit(2) from None


@contextlib.contextmanager
def own_streams() -> Iterator[None]:
    """Makes streams that never fail of stdout and stderr, and sees to it that all is written at the end."""
    sys.stdout, sys.stderr = _robust(sys.stdout), _robust(sys.stderr)
    try:
        yield
    finally:
        # Not left to the end of the interpreter, which would complain of a reader that has left.
        sys.stdout.flush()
        sys.stderr.flush()


def _robust(stream: Any) -> io.TextIOWrapper:
    if stream is None:  # closed before the program began: `rsuq … >&-`
        return Path(os.devnull).open("w", encoding="utf-8")
    assert isinstance(stream, io.TextIOWrapper)
    if os.name != "posix":  # consoles elsewhere are no plain descriptors, and there is no SIGPIPE
        stream.reconfigure(errors=READABLE)
        return stream
    stream.flush()
    raw = _Descriptor(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors=READABLE, line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )  # fmt: skip
