"""The pages say what the program does: those that are generated are up to date, and names in the others exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from rsuq_cli.app import app
from rsuq_cli.certificates.definitions import FIGURES
from rsuq_cli.reports.comparison import figure_record
from rsuq_cli.results.figures import Figures

if TYPE_CHECKING:
    from conftest import Place

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = [*DOCS.glob("*.md"), ROOT / "README.md"]


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["command-line.md", "schema.md"])
def test_a_generated_page_is_up_to_date(place: Place, page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == generator().PAGES[page](), "run python docs/generate.py"


def test_every_column_is_explained() -> None:
    lines = (DOCS / "schema.md").read_text(encoding="utf-8").splitlines()
    columns = [line for line in lines if re.match(r"\| `\w+` \|", line)]
    assert len(columns) > 80
    assert [line for line in columns if line.endswith("|  |")] == []


def test_every_figure_of_a_machine_format_is_explained() -> None:
    known: dict[str, Any] = dict.fromkeys(Figures.__dataclass_fields__)
    empty = {"intervals": {}, "warnings": (), "values": {one.name: None for one in FIGURES}} | {
        f"certified_{name}": () for name in ("standard", "cc", "ncl")
    }
    names = figure_record(Figures(**known | empty))
    page = (DOCS / "reading-figures.md").read_text(encoding="utf-8").partition("## Names")[2]
    explained = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)))
    assert set(explained) == set(names)
    assert len(explained) == len(set(explained))


def commands() -> dict[str, set[str]]:
    """Returns every command as it is typed, with its flags."""
    found: dict[str, set[str]] = {}

    def walk(group: Any, path: str) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                walk(command, f"{path} {name}")
            else:
                flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
                found[f"{path} {name}"] = flags | {"--help"}

    walk(typer.main.get_command(app), "rsuq")
    return found


def test_every_command_is_on_the_page_and_none_else() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (rsuq .*)$", page, re.MULTILINE) == sorted(commands())


@pytest.mark.parametrize("path", [*WRITTEN, *(ROOT / "examples").glob("*")], ids=lambda path: path.name)
def test_commands_that_are_shown_exist(path: Path) -> None:
    if not path.is_file() or path.name == "command-line.md":
        return
    known = commands()
    for line in re.findall(r"(?:^|`|\s)(rsuq [a-z][^`\n]*)", path.read_text(encoding="utf-8")):
        words = line.split(" #")[0].split()
        name = next((" ".join(words[:size]) for size in (3, 2) if " ".join(words[:size]) in known), None)
        if name is None:
            assert words[1] not in {command.split()[1] for command in known}, line
            continue
        flags = {re.split(r"[=\])]", word)[0] for word in words if re.match(r"--[a-z]", word)}
        assert flags <= known[name], line


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (path.parent / target).exists(), target
    for named in re.findall(r"`((?:examples|docs|benchmarks)/[\w./-]+\.\w+)`", text):
        assert (ROOT / named).exists(), named
