"""Writes `docs/command-line.md` and `docs/schema.md` from the program itself: `python docs/generate.py`.

Invariant: nothing is written by hand that the program knows; a test holds both pages to it.
"""

from __future__ import annotations

import inspect
import re
import sqlite3
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import typer
from sqlmodel import SQLModel
from typer.models import ArgumentInfo, OptionInfo

from rsuq_cli.app import app
from rsuq_cli.commands.examples import examples_of
from rsuq_cli.commands.options import OUTPUT
from rsuq_cli.results import tables
from rsuq_cli.results.database import SCHEMA_HEAD, open_for_writing

FOLDER = Path(__file__).parent
_KINDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
NOTE = "<!-- Written by docs/generate.py. Do not edit. -->"

# What a name means wherever it stands; units: radii and sigma in pixel units (pixels are in [0, 1]), times in UTC.
MEANINGS = {
    "id": "number of the row",
    "run_id": "the run that it belongs to",
    "scoring_id": "the scoring that it belongs to",
    "audit_id": "the audit that it belongs to",
    "checkpoint_id": "the checkpoint that was certified, none for weights of another program",
    "checkpoint_tag.checkpoint_id": "the checkpoint that it belongs to",
    "model": "name in the zoo, or your own `file.py:factory`",
    "dataset": "name or path of the data set, with `@SIZE` where images were resized",
    "sigma": "noise level, pixel units",
    "objective": "what was minimised in training",
    "file": "where the weights lie",
    "sha256": "digest of the weights' file: what identifies a checkpoint",
    "accuracy_clean": "accuracy on held-out calibration data, share in [0, 1]",
    "accuracy_noisy": "the same under noise of sigma",
    "configuration": "everything that the result depends on, JSON",
    "configuration_hash": "digest of that: what identifies a run, with `edges_hash` and `attempt`",
    "edges_hash": "digest of the bins",
    "attempt": "1, and one more for each `--fresh`",
    "kind": "`certify`, `import` (a published log), or what another command sampled",
    "status": "`running`, `complete` or `interrupted`",
    "split": "part of the data set: test, calibration or train",
    "skip": "every how many inputs one was taken, 1 for all",
    "subset_limit": "at most so many inputs, none for all",
    "inputs": "how many inputs were asked for",
    "subset_sha256": "digest of the inputs themselves (of an imported log: of indices and labels)",
    "n0": "selection samples for each input, which choose the class",
    "n": "estimation samples for each input, at most",
    "seed": "seed of the noise",
    "device": "where it ran",
    "precision": "fp32, tf32 or bf16: the certificate is about the function in this precision",
    "versions": "versions of the libraries, JSON",
    "source": "where model or log came from",
    "warnings": "what should be known about the run, JSON list",
    "class_names": "names of the classes in the order of their numbers, JSON list",
    "created_at": "ISO 8601, UTC",
    "updated_at": "ISO 8601, UTC",
    "seconds": "time spent",
    "measure": "uncertainty measure, `none` for an imported log",
    "bin_edges.measure": "a measure that the run's evidence has counts of",
    "edges": "upper ends of the bins, little-endian float64; counts are exact at each of them",
    "coverages": "share of noisy calibration samples up to each edge, little-endian float64",
    "input_index": "number of the input in its data set; the noise depends on it",
    "label": "the true class",
    "counts": "selection and estimation samples by class and bin for every measure, packed",
    "threshold": "θ: a sample is certain when its uncertainty is at most this; none: nothing is rejected",
    "coverage": "the coverage that the threshold was calibrated for, none where it was given",
    "threshold_coverage": "the coverage that the threshold was calibrated for, none where it was given",
    "rule": "how votes decide: majority, plurality, filtered or standard",
    "competitors": "how other classes are bounded: merged, class-wise or auto",
    "alpha": "error probability of an input's guarantees",
    "family_size": "what alpha is split over: each guarantee gets alpha / family_size",
    "class_index": "the class that the certificate is about; -1 for an abstention in an imported log",
    "standard_class": "the class of smoothing without rejection; -1 as above",
    "decision": "`certain`, `uncertain`, or `undecided` (deployed as uncertain)",
    "correct": "certain, and the class is the label",
    "is_uncertain": "not certain",
    "standard_decided": "smoothing without rejection answers at all",
    "at_ceiling": "every sample speaks for the class: the radius measures n",
    "certain_count": "certain votes for the class; 0 in an imported log, which does not say",
    "uncertain_count": "uncertain samples of any class",
    "vote_count": "votes for `standard_class`, certain or not",
    "radius_standard": "within it the classifier without rejection keeps its class, pixel units",
    "radius_cc": "within it the class stays and so does its certainty (CC), pixel units; 0 unless certain",
    "radius_ncl": "within it no other class is stated with confidence (NCL), pixel units",
    "radius_explicit": "standard smoothing with explicit competitors, pixel units; null where NCL is not class-wise",
    "bounds_version": "2: one bound for all other classes, half of alpha for a last look; 1: as older releases bounded",
    "radius_uncertain": "within it the decision stays uncertain, pixel units; 0 unless uncertain",
    "attack": "how the ball was attacked: pgd, random or both",
    "steps": "steps of an attack on one ball",
    "radius_scale": "balls of so many times the certified radius were attacked",
    "guarantee": "the guarantee that was attacked: standard, cc or ncl",
    "distance": "ℓ2 distance of the worst point from the input, pixel units",
    "mass": "share of fresh samples there for what the guarantee keeps large",
    "bound": "the least that the theory allows of it there",
    "excess": "by how much the other side wins there, as a share above one half; negative where it does not",
    "excess_lower": "lower confidence bound of the excess",
    "broken": "the excess is above 0 with confidence: the guarantee does not hold there",
    "ood_set": "the set scored, the data set's own name for in-distribution inputs",
    "score": "which score",
    "value": "its value",
    "name": "what somebody called it",
    "metric.name": "which figure",
    "study_id": "the study that it belongs to",
    "study_run.seed": "seed of the training",
    "plan": "the plan as it was given, TOML",
    "network": "what the plan calls the network",
    "study_run.objective": "what the plan calls the objective",
    "predictor": "what was sampled of the network",
    "note": "what somebody wrote about it",
    "tag": "a word that somebody gave it",
    "history": "what each epoch of the training came to, JSON list; none where it is not known",
    "unanswered": "samples whose logits were not all finite: they count against every class",
    "radius": "radius of an attack or ball, pixel units",
    "low": "lower end of the interval",
    "high": "upper end of the interval",
    "planned": "how many inputs were asked for",
    "gain": "acr_ncl / acr_standard - 1",
    "cc_cost": "1 - acr_cc / acr_standard",
    "clean_accuracy": "share right without rejection",
    "accuracy": "share right and certain",
    "acr_standard": "average certified radius, pixel units; 0 where the class is wrong",
    "acr_cc": "the same of CC",
    "acr_ncl": "the same of NCL",
}


class Flag(NamedTuple):
    """An argument or option of a command, as its function declares it."""

    name: str
    kind: Any
    info: OptionInfo | ArgumentInfo
    default: Any

    @property
    def is_argument(self) -> bool:
        """Whether it is given by its place."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def panel(self) -> str:
        """Where `--help` shows it."""
        return str(self.info.rich_help_panel or OUTPUT)

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def spelled(self) -> str:
        """The flag as it is typed."""
        declared = [one for one in self.info.param_decls or () if one.startswith("-")]
        return ", ".join(declared) or "--" + self.name.replace("_", "-")


def command_line() -> str:
    """Returns the page of every command with its arguments and options."""
    parts = ["# Command line", NOTE, _sentences(app.info.help or "")]
    parts.append(
        "Every option can be set in `rsuq.toml` too (a table for each command; the file that `RSUQ_CONFIG` names goes "
        "first), and some by an environment variable. An option on the command line wins over the environment, and "
        "that over the file. Exit codes: 0 done, 1 a bug, 2 usage or bad input, 3 run incomplete, 4 database, "
        "130 interrupted, 141 the reader of the output (such as `head`) had seen enough."
    )
    for name, function in sorted(_commands(app, "rsuq")):
        flags = list(_flags(function))
        parts += [f"## {name}", _sentences(function.__doc__ or ""), f"```\n{_usage(name, flags)}\n```"]
        for panel in dict.fromkeys(flag.panel for flag in flags):
            lines = [_line(flag) for flag in flags if flag.panel == panel]
            parts.append("\n".join([f"| {panel} | default | |", "|---|---|---|", *lines]))
        shown = [f"# {one.purpose}\n{one.line}" for one in examples_of(name)]
        parts.append("```sh\n" + "\n".join(shown) + "\n```")
    return "\n\n".join(parts) + "\n"


def schema() -> str:
    """Returns the page of every table and view of the database."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "schema.db"
        open_for_writing(path).close()
        with closing(sqlite3.connect(path)) as connection:
            parts = [_table(connection, name) for name in _tables(connection)]
            views = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name"
            ).fetchall()
    parts += [f"## {name} (view)\n\n```sql\n{sql.strip()}\n```" for name, sql in views]
    head = [
        "# The database",
        NOTE,
        f"SQLite, or PostgreSQL with `--db postgresql://…`; schema {SCHEMA_HEAD}. Names, once published, stay. Radii "
        "and sigma are in pixel units (pixels are in [0, 1]), times in UTC. `rsuq db upgrade` brings an older database "
        "up to date, after a copy; `examples/queries.sql` has queries for any SQLite browser.",
    ]
    return "\n\n".join([*head, *parts]) + "\n"


def _commands(group: typer.Typer, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in group.registered_commands:
        function = command.callback
        if function is not None and not command.hidden:
            yield f"{path} {command.name or function.__name__.replace('_', '-')}", function
    for member in group.registered_groups:
        if member.typer_instance is not None:
            yield from _commands(member.typer_instance, f"{path} {member.name}")


def _flags(function: Callable[..., Any]) -> Iterator[Flag]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if get_origin(hints[name]) is Annotated:
            kind, *infos = get_args(hints[name])
            yield from (
                Flag(name, kind, info, parameter.default)
                for info in infos
                if isinstance(info, (OptionInfo, ArgumentInfo)) and not info.hidden
            )


def _usage(name: str, flags: list[Flag]) -> str:
    shown = [f"{_metavar(flag)}{'...' if _is_list(flag.kind) else ''}" for flag in flags if flag.is_argument]
    optional = [not flag.required for flag in flags if flag.is_argument]
    bracketed = [f"[{text}]" if left_out else text for text, left_out in zip(shown, optional, strict=True)]
    needed = [f"{flag.spelled} {_metavar(flag)}" for flag in flags if flag.required and not flag.is_argument]
    return " ".join([name, *bracketed, *needed, "[options]"])


def _line(flag: Flag) -> str:
    if flag.is_argument:
        shown = f"`{_metavar(flag)}`"
    elif _plain(flag.kind) is bool:
        shown = f"`{flag.spelled}`"
    else:
        shown = f"`{flag.spelled}` {_cell(_metavar(flag))}"
    help_text = _cell(_sentences(flag.info.help or ""))
    if flag.info.envvar:
        help_text += f" Environment: `{flag.info.envvar}`."
    if _is_list(flag.kind) and not flag.is_argument and not re.search("repeat|twice", help_text):
        help_text += " May be repeated."
    return f"| {shown} | {_cell(_default(flag))} | {help_text.strip()} |"


def _default(flag: Flag) -> str:
    if flag.required:
        return "required"
    if isinstance(flag.info.show_default, str):
        return flag.info.show_default
    if flag.default is None or flag.default is False:
        return ""
    return f"`{getattr(flag.default, 'value', flag.default)}`"


def _metavar(flag: Flag) -> str:
    if flag.info.metavar:
        return flag.info.metavar
    kind = _plain(flag.kind)
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return flag.name.upper() if flag.is_argument else _KINDS.get(kind, "TEXT")


def _is_list(kind: Any) -> bool:
    return any(get_origin(arm) is list for arm in (kind, *get_args(kind)))


def _plain(kind: Any) -> Any:
    """Returns the type of one value: without None, and of a list that of its members."""
    if isinstance(kind, types.UnionType):
        (kind,) = (arm for arm in get_args(kind) if arm is not types.NoneType)
    return get_args(kind)[0] if get_origin(kind) is list else kind


def _tables(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'rsuq_version'"
    )
    order = {name: place for place, name in enumerate(SQLModel.metadata.tables)}
    return sorted((row[0] for row in found), key=lambda name: (order.get(name, len(order)), name))


def _table(connection: sqlite3.Connection, name: str) -> str:
    classes = {str(one.__tablename__): one for one in vars(tables).values() if hasattr(one, "__tablename__")}
    described = inspect.getdoc(classes[name]) if name in classes else ""
    keys = {row[3]: f"{row[2]}.{row[4]}" for row in connection.execute(f'PRAGMA foreign_key_list("{name}")')}
    lines = []
    for _, column, kind, required, _, position in connection.execute(f'PRAGMA table_info("{name}")'):
        marks = ["key"] if position else []
        marks += [f"→ {keys[column]}"] if column in keys else []
        marks += [] if required or position else ["may be null"]
        meaning = MEANINGS.get(f"{name}.{column}", MEANINGS.get(column, ""))
        lines.append(f"| `{column}` | {kind.lower()} | {', '.join(marks)} | {_cell(meaning)} |")
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    checks = [f"- `{_cell(check)}`" for check in _checks(sql)]
    parts = [f"## {name}", described or "", "\n".join(["| column | type | | |", "|---|---|---|---|", *lines])]
    if checks:
        parts.append("Holds, whoever writes:\n\n" + "\n".join(checks))
    return "\n\n".join(part for part in parts if part)


def _checks(sql: str) -> Iterator[str]:
    for start in re.finditer(r"CHECK \(", sql):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        yield " ".join(sql[start.end() : end - 1].split())


def _sentences(text: str) -> str:
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PAGES = {"command-line.md": command_line, "schema.md": schema}


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
