"""Where settings come from: flags over environment over a configuration file over defaults.

Invariant: the file holds defaults of flags and nothing else; a name in it that is no flag is an error.

The file is TOML, found at RSUQ_CONFIG, else ./rsuq.toml, else in the user's configuration directory. Keys at its top
apply to every command that has the flag, a table named after a command to that command:

    device = "cuda:0"
    [certify]
    n = 100000
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from rsuq_cli.errors import BadInput, nearest


def configuration_file() -> Path | None:
    """Returns the configuration file in force, None where there is none; raises BadInput if RSUQ_CONFIG names none."""
    if named := os.environ.get("RSUQ_CONFIG"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise BadInput(f"RSUQ_CONFIG names {path}, which is no file", "unset it, or write the file")
        return path
    for path in (Path("rsuq.toml"), Path(platformdirs.user_config_dir("rsuq")) / "config.toml"):
        if path.is_file():
            return path
    return None


def defaults_by_command(flags: Mapping[str, set[str]]) -> dict[str, dict[str, Any]]:
    """Returns the defaults that the configuration file sets, by command, given each command's flag names.

    Raises BadInput for a file that is no TOML and for a name in it that is no flag or command.
    """
    path = configuration_file()
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", "mend it, or set RSUQ_CONFIG to another") from error
    shared = {_flag(name): value for name, value in content.items() if not isinstance(value, dict)}
    everywhere = set().union(*flags.values())
    for name in shared:
        if name not in everywhere:
            raise BadInput(f"{path}: no command has a flag {name!r}", nearest(name, everywhere))
    chosen = {c: {n: v for n, v in shared.items() if n in known} for c, known in flags.items()}
    for command, table in content.items():
        if not isinstance(table, dict):
            continue
        if command not in flags:
            raise BadInput(f"{path}: there is no command {command!r}", nearest(command, flags))
        for name, value in table.items():
            if _flag(name) not in flags[command]:
                raise BadInput(f"{path}: rsuq {command} has no flag {name!r}", nearest(name, flags[command]))
            chosen[command][_flag(name)] = value
    return chosen


def _flag(name: str) -> str:
    return name.replace("-", "_")
