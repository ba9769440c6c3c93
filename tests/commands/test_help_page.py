"""The pages of `--help`: panels in one order, two columns that line up, no word cut, and examples that can be typed."""

from __future__ import annotations

import re
import shlex
import shutil
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import typer
from commandline import ANSI, rsuq
from made_up import made_up_run

from rsuq_cli.app import app
from rsuq_cli.certificates.guarantees import RULES
from rsuq_cli.certificates.method import COMPETITORS
from rsuq_cli.commands import options
from rsuq_cli.commands.examples import EXAMPLES
from rsuq_cli.datasets import catalogue, ood_sets
from rsuq_cli.models import statistics, zoo
from rsuq_cli.reports.layout import GROUPINGS
from rsuq_cli.reports.plots import PANELS
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.run.request import NOISES, SPLITS
from rsuq_cli.training.settings import PRECISIONS, SCHEDULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Place

PROGRAM: Any = typer.main.get_command(app)


def commands(group: Any = PROGRAM, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every command with its path below `rsuq`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands())
LINES = [one.line for examples in EXAMPLES.values() for one in examples]


def flags_by_panel(command: Any) -> dict[str, list[str]]:
    """Returns the flags of a command, without arguments, by panel, in their order."""
    found: dict[str, list[str]] = {}
    for parameter in command.params:
        if parameter.param_type_name == "option":
            found.setdefault(parameter.rich_help_panel, []).append(parameter.opts[0])
    return found


def page(monkeypatch: pytest.MonkeyPatch, path: str, width: int) -> list[str]:
    """Returns the lines of a help page on a screen of some width."""
    monkeypatch.setenv("COLUMNS", str(width))
    return ANSI.sub("", rsuq(*path.split(), "--help").stdout).splitlines()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_flag_stands_in_a_panel_and_panels_stand_in_one_order(path: str) -> None:
    panels = list(flags_by_panel(COMMANDS[path]))
    assert set(panels) <= set(options.PANELS)
    assert panels == sorted(panels, key=options.PANELS.index)


def test_flags_of_two_commands_stand_in_the_same_order() -> None:
    for (first, one), (second, other) in combinations(COMMANDS.items(), 2):
        left, right = flags_by_panel(one), flags_by_panel(other)
        for panel in left.keys() & right.keys():
            shared = set(left[panel]) & set(right[panel])
            ordered = [[flag for flag in flags[panel] if flag in shared] for flags in (left, right)]
            assert ordered[0] == ordered[1], f"{first} and {second} differ in {panel!r}"


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("path", ["", "db", *COMMANDS])
def test_a_page_fits_its_screen_and_cuts_no_word(monkeypatch: pytest.MonkeyPatch, path: str, width: int) -> None:
    lines = page(monkeypatch, path, width)
    assert max(map(len, lines)) <= width
    assert {len(line) for line in lines if line.startswith(("╭", "│", "╰"))} == {width}
    words = set(re.split(r"[\s│]+", "\n".join(lines)))
    command = PROGRAM
    for name in path.split():
        command = command.commands[name]
    told = [command.help, *(parameter.help for parameter in command.params)]
    assert {word for text in told for word in (text or "").split()} <= words
    assert {one.line for one in EXAMPLES.get(path, ())} <= {line.strip() for line in lines}


@pytest.mark.parametrize("path", COMMANDS)
def test_explanations_begin_in_one_column_on_the_whole_page(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    flags = [line for line in page(monkeypatch, path, 80) if line.startswith("│ --")]
    starts = {found.end() for line in flags if (found := re.match(r"│ --\S+( \S+)*  +(?=\S)", line))}
    assert len(starts) == 1
    assert max(starts) <= 34


def test_a_page_on_a_wide_screen_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(map(len, page(monkeypatch, "certify", 240))) <= 100


@pytest.mark.parametrize("path", COMMANDS)
def test_what_stands_for_a_value_is_a_word(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if parameter.param_type_name == "option" and not parameter.is_flag:
            assert parameter.metavar, f"{path} {parameter.name}: give it a metavar"


def test_every_command_has_three_examples_and_no_other_has_any() -> None:
    assert EXAMPLES.keys() == {"", *COMMANDS}
    assert all(len({one.line for one in examples}) == 3 for examples in EXAMPLES.values())


def test_an_example_is_about_its_command_and_fits_a_screen() -> None:
    for path, examples in EXAMPLES.items():
        for one in examples:
            assert f"rsuq {path}".rstrip() in one.line
            assert max(len(one.line), len(one.purpose) + 2) <= 76, one.line


@pytest.mark.parametrize("line", LINES)
def test_an_example_can_be_typed_as_it_stands(line: str) -> None:
    for part in re.findall(r"rsuq [^&)|]+", line):
        words = shlex.split(part)[1:]
        command = PROGRAM
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        with command.make_context("rsuq", words) as context:
            assert not context.args


QUICK = (
    "radius", "report", "rescore", "export", "db path", "db check", "db runs", "db upgrade", "db merge", "db backup",
    "db vacuum",
)  # fmt: skip


@pytest.mark.parametrize("path", QUICK)
def test_a_quick_example_runs(place: Place, path: str) -> None:
    with open_for_writing(place.database) as database:
        made_up_run(database, measures=("entropy",) if path == "export" else ("entropy", "margin"), coverages=(0.9,))
    for name in ("other", "theirs", "backup", "node2", "all"):
        shutil.copy(place.database, place.work / f"{name}.db")
    for one in EXAMPLES[path]:
        for part in re.findall(r"^rsuq [^&]+|(?<=&& )rsuq .+", one.line):
            result = rsuq(*shlex.split(part)[1:])
            assert result.exit_code == 0, f"{part}: {result.stderr}"


def test_names_that_help_lists_are_those_that_there_are() -> None:
    assert options.MODELS == zoo.NAMES
    assert (*catalogue.EMBEDDED, *catalogue.TORCHVISION) == options.DATASETS
    assert set(options.OOD_SETS) == set(ood_sets.MADE)
    assert statistics.NAMES == options.NORMALISATIONS
    assert options.RULES == RULES
    assert options.COMPETITORS == COMPETITORS
    assert (options.SPLITS, options.NOISES, options.PRECISIONS) == (SPLITS, NOISES, PRECISIONS)
    assert SCHEDULES == options.SCHEDULES
    assert (tuple(GROUPINGS), PANELS) == (options.GROUPINGS, options.PICTURE_PANELS)
