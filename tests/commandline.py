"""The command line as the tests drive it: in this process for most, as a process of its own where signals matter."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import typer.testing
from typer.main import get_command
from typer.testing import CliRunner

from rsuq_cli.app import app

# A process builds its commands once, and so do the tests: of every call, that took longer than most of what is tested.
built = functools.cache(get_command)
setattr(typer.testing, "_get_command", built)  # noqa: B010

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Long enough for a loaded machine to import torch and train a little; a test that waits for it has failed.
PATIENCE = 120.0


class Result(NamedTuple):
    """How a command ended and what it printed, without colours."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be JSON and nothing else."""
        return json.loads(self.stdout)


def rsuq(*arguments: object) -> Result:
    """Runs `rsuq` in this process. A bug is raised as it is; what users can cause comes back as a result."""
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return Result(outcome.exit_code, ANSI.sub("", outcome.stdout), ANSI.sub("", outcome.stderr))


def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Starts `rsuq` as a process of its own, in the working directory and environment of the test."""
    return subprocess.Popen(
        [sys.executable, "-m", "rsuq_cli", *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> Result:
    """Waits for a process and returns its result; the exit code of a killed one is minus the signal."""
    stdout, stderr = process.communicate(timeout=PATIENCE)
    return Result(process.returncode, ANSI.sub("", stdout), ANSI.sub("", stderr))


def stop_when(process: subprocess.Popen[str], reached: Callable[[], bool], how: signal.Signals) -> Result:
    """Sends a signal to a running process as soon as `reached` says so, and returns its result."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"the process ended too soon: {finished(process)}")
        time.sleep(0.005)
    process.send_signal(how)
    return finished(process)


def figures(result: Result) -> list[dict[str, Any]]:
    """Returns the records of a JSON answer without ids and moments, in which equal runs differ."""
    own = {"run_id", "scoring_id", "created_at"}
    return [{name: value for name, value in record.items() if name not in own} for record in result.json]


def refused(result: Result, exit_code: int = 2) -> str:
    """Returns the one line with which a command refused, having seen that there was no more to it.

    Before it, a command may say which checkpoint it took, and nothing else.
    """
    *said, line = result.stderr.splitlines()
    assert line.startswith("error: "), result.stderr
    assert all(before.startswith(("checkpoint ", "no checkpoint ")) for before in said), result.stderr
    assert (result.exit_code, result.stdout) == (exit_code, "")
    return line


def snapshot(root: Path) -> dict[str, bytes]:
    """Returns every file below `root` with its bytes.

    The bookkeeping of SQLite readers and Python's compiled files are left out: they come and go, and hold no data.
    """
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(("-shm", "-wal"))
    }


def query(database: Path, statement: str, *values: object) -> list[Any]:
    """Returns the rows that SQLite itself gives, apart from the program's own queries."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
        return connection.execute(statement, values).fetchall()


def evidence(database: Path, run_id: int = 1) -> list[Any]:
    """Returns the evidence of a run, byte for byte, without how long it took."""
    columns = "input_index, label, n0, n, counts"
    return query(database, f"SELECT {columns} FROM evidence WHERE run_id = ? ORDER BY input_index", run_id)


def committed(database: Path, run_id: int = 1) -> int:
    """Returns how many inputs of a run are safe by now, 0 where there is no such table yet."""
    try:
        return int(query(database, "SELECT COUNT(*) FROM evidence WHERE run_id = ?", run_id)[0][0])
    except sqlite3.OperationalError:
        return 0
