"""Help: every command and flag is explained, quickly, and what is documented exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import built, finished, refused, rsuq, start

from rsuq_cli import __version__
from rsuq_cli.app import app
from rsuq_cli.reports.quickstart import NEXT

README = Path(__file__).parents[2] / "README.md"
COMMANDS = ("quickstart", "train", "certify", "report", "radius", "db", "db path", "db upgrade", "db check", "db runs")
HEAVY = ("torch", "torchvision", "sklearn", "scipy", "numpy", "pandas", "sqlmodel", "sqlalchemy", "alembic")


def command_named(words: list[str]) -> Any:
    """Returns the command that a line begins with, None where there is none."""
    command: Any = built(app)
    for word in words:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        command = command.commands.get(word)
    return command


def complaint(line: str) -> str | None:
    """Returns what is wrong with a documented `rsuq` line: a command or flag that does not exist."""
    words = shlex.split(line, comments=True)[1:]
    command = command_named(words)
    if command is None:
        return f"no such command: {line}"
    known = {name for parameter in command.params for name in parameter.opts} | {"--help", "--version"}
    unknown = [word for word in words if re.match(r"--\w", word) and word.partition("=")[0] not in known]
    return f"no such flag: {unknown[0]} in {line}" if unknown else None


def documented(markdown: str) -> Iterator[str]:
    """Yields the `rsuq` command lines in the code blocks of a Markdown text."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", markdown, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            plain = re.sub(r"\s#.*$", "", line.removeprefix("$ "))
            for part in re.split(r"&&|\|\||;|\|", plain):
                if re.match(r"\s*rsuq(\s|$)", part):
                    yield part.strip()


def test_the_root_lists_every_command() -> None:
    result = rsuq("--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    for command in COMMANDS[:6]:
        assert re.search(rf"│ {command} ", result.stdout), command
    assert "rsuq quickstart" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_is_explained(command: str) -> None:
    result = rsuq(*command.split(), "--help")
    assert result.exit_code == 0
    named = command_named(command.split())
    assert len(named.help.split()) >= 4
    for parameter in named.params:
        assert parameter.help, f"{command} {parameter.name}"
        for flag in parameter.opts:
            if flag.startswith("--"):
                assert flag in result.stdout


def test_the_version() -> None:
    assert rsuq("--version").stdout == f"rsuq {__version__}\n"


def test_no_command_is_help_and_an_unknown_one_is_not_done() -> None:
    assert "certify" in rsuq().stdout + rsuq().stderr
    result = rsuq("certfy")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "certify" in result.stderr


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr))\n"
    )
    result = finished(start("--help", PYTHONPATH=str(tmp_path)))
    assert result.exit_code == 0
    assert "typer" in result.stderr.split()
    assert set(HEAVY).isdisjoint(result.stderr.split())


def test_a_configuration_file_with_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSUQ_CONFIG", str(tmp_path / "mine.toml"))
    assert "which is no file" in refused(rsuq("db", "path"))
    for content, says in (
        ("sigmaa = 1", "no command has a flag 'sigmaa'; did you mean sigma"),
        ("[certfy]\nn = 1", "there is no command 'certfy'; did you mean certify"),
        ("[certify]\nnn = 1", "rsuq certify has no flag 'nn'"),
        ("sigma = ", "cannot read"),
    ):
        (tmp_path / "mine.toml").write_text(content)
        assert says in refused(rsuq("db", "path"))


def test_what_is_documented_is_found_and_checked() -> None:
    text = (
        "```sh\npip install . && rsuq quickstart  # all\n$ rsuq radius \\\n  --nosuch 1\nrsuq certfy | tee log\n```\n"
    )
    lines = list(documented(text))
    assert lines[0] == "rsuq quickstart"
    assert [complaint(line) is None for line in lines] == [True, False, False]


def test_the_readme_names_only_what_exists() -> None:
    lines = list(documented(README.read_text(encoding="utf-8")))
    assert [found for found in map(complaint, lines) if found] == []
    assert any(line.startswith("rsuq quickstart") for line in lines)


def test_the_quickstart_recommends_only_what_exists() -> None:
    lines = [part.strip() for command, _ in NEXT for part in command.split("&&")]
    assert [found for found in map(complaint, lines) if found] == []
