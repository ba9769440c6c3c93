"""The plan of a study, read from TOML.

Invariant: a `Plan` that exists has only names that are known and values of the right type; what a value may be is
checked where it is used, by the requests that are made of it (`grid`). A file that is wrong is one line: where, what,
and the nearest right name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic import ValidationError as _ValidationError

from rsuq_cli.errors import BadInput, nearest


def _several(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


def _called(key: str) -> BeforeValidator:
    """Returns what lets a table with one key alone be written as the value of that key."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


Numbers = Annotated[tuple[StrictFloat, ...], BeforeValidator(_several)]
Counts = Annotated[tuple[StrictInt, ...], BeforeValidator(_several)]
Words = Annotated[tuple[StrictStr, ...], BeforeValidator(_several)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def given(self) -> dict[str, Any]:
        """Returns the keys that the plan sets, with their values."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class TrainTable(_Table):
    """Flags of `rsuq train`; what is not set is what suits the network."""

    epochs: StrictInt | None = None
    batch_size: StrictInt | None = None
    learning_rate: StrictFloat | None = None
    schedule: StrictStr = "one-cycle"
    ema: StrictFloat = 0.0


class CertifyTable(_Table):
    """Flags of `rsuq certify`."""

    n0: StrictInt = 100
    n: StrictInt = 10_000
    alpha: StrictFloat = 0.001
    skip: StrictInt = 1
    limit: StrictInt | None = None
    split: StrictStr = "test"
    noise: StrictStr = "gaussian"
    rule: StrictStr = "majority"
    competitors: StrictStr | None = None
    seed: StrictInt = 0


class OodTable(_Table):
    """Flags of `rsuq ood`; without `n` the evidence of the certify run is the in-distribution side."""

    sets: Words
    near: Words = ()
    n: StrictInt | None = None
    limit: StrictInt | None = None


class Network(_Table):
    """A network, what it is called in the study, and what its training needs."""

    model: StrictStr
    label: StrictStr = ""
    train: TrainTable = TrainTable()

    @property
    def name(self) -> str:
        """What the study calls it: its label, or else the model's name without folders."""
        return self.label or self.model.rpartition("/")[2]


class Objective(_Table):
    """An objective with its parameters; `init` names the one whose network it begins with (fine-tuning)."""

    objective: StrictStr
    label: StrictStr = ""
    set: dict[str, StrictInt | StrictFloat | StrictBool | StrictStr] = {}
    init: StrictStr | None = None
    train: TrainTable = TrainTable()

    @property
    def name(self) -> str:
        """What the study calls it."""
        return self.label or self.objective


class Source(_Table):
    """Measures of uncertainty of one predictor; sources of the same predictor are read from one run.

    With `members`, the networks of all seeds are one ensemble; with `mc_dropout`, all are asked under `passes` masks.
    """

    uncertainty: Words
    views: StrictInt = 1
    members: StrictBool = False
    mc_dropout: StrictFloat | None = None
    passes: StrictInt | None = None
    decide: StrictStr | None = None


class Match(_Table):
    """Cells of the grid: those that agree in everything that is named."""

    network: Words = ()
    objective: Words = ()
    sigma: Numbers = ()
    seed: Counts = ()


class Override(Match):
    """Settings of the cells that match, in place of the plan's."""

    train: TrainTable = TrainTable()
    certify: CertifyTable | None = None
    ood: OodTable | None = None


class Plan(_Table):
    """A study as it was written. Lists multiply into a grid."""

    name: StrictStr
    dataset: StrictStr = "digits"
    sigma: Numbers
    seed: Counts = (0,)
    coverage: Numbers = (0.95, 0.9, 0.8, 0.7)
    network: Annotated[tuple[Annotated[Network, _called("model")], ...], BeforeValidator(_several)]
    objective: Annotated[tuple[Annotated[Objective, _called("objective")], ...], BeforeValidator(_several)] = (
        Objective(objective="gaussian"),
    )
    source: Annotated[tuple[Annotated[Source, _called("uncertainty")], ...], BeforeValidator(_several)]
    train: TrainTable = TrainTable()
    certify: CertifyTable = CertifyTable()
    ood: OodTable | None = None
    exclude: Annotated[tuple[Match, ...], BeforeValidator(_several)] = ()
    override: Annotated[tuple[Override, ...], BeforeValidator(_several)] = ()


_TABLES: Mapping[str, type[_Table]] = {
    "network": Network, "objective": Objective, "source": Source, "train": TrainTable, "certify": CertifyTable,
    "ood": OodTable, "exclude": Match, "override": Override,
}  # fmt: skip


def read_plan(path: Path) -> tuple[Plan, str]:
    """Returns the plan in a TOML file, and its text as it was written.

    Raises BadInput where it cannot be read, is no TOML, names what there is not, or has a value of another type.
    """
    try:
        written = path.read_text(encoding="utf-8")
        content = tomllib.loads(written)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(
            f"cannot read {path}: {error}", "`rsuq study --init plan.toml` writes one to begin with"
        ) from error
    return parsed(content, str(path)), written


def parsed(content: Mapping[str, Any], where: str) -> Plan:
    """Returns the plan that TOML holds; `where` is what a mistake is said to be in. Raises BadInput as `read_plan`."""
    try:
        plan = Plan.model_validate(content)
    except _ValidationError as error:
        raise _explained(error, where) from None
    for kind, labels in (
        ("network", [one.name for one in plan.network]),
        ("objective", [one.name for one in plan.objective]),
    ):
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise BadInput(f"{where}: two entries of {kind} are called {twice[0]}", "give one of them a label")
        for cells in (*plan.exclude, *plan.override):
            for name in getattr(cells, kind):
                if name not in labels:
                    raise BadInput(f"{where}: there is no {kind} {name!r} in the plan", nearest(name, labels))
    return plan


def _explained(error: _ValidationError, where: str) -> BadInput:
    """Returns the first mistake as one line: a key that is unknown or missing, or a value of the wrong type."""
    first = error.errors(include_url=False)[0]
    names = [part for part in first["loc"] if isinstance(part, str) and not part.startswith("function-")]
    table = next((_TABLES[name] for name in reversed(names[:-1]) if name in _TABLES), Plan)
    at = ".".join(names)
    if first["type"] == "extra_forbidden":
        inside = ".".join(names[:-1])
        return BadInput(
            f"{where}: {f'[{inside}] has' if inside else 'a plan has'} no key {names[-1]!r}",
            nearest(names[-1], table.model_fields),
        )
    if first["type"] == "missing":
        return BadInput(f"{where}: {at} is missing", "`rsuq study --init plan.toml` writes a plan to begin with")
    given = first.get("input")
    wanted = first["msg"].removeprefix("Input should be ")
    return BadInput(f"{where}: {at} is {given!r}", f"it must be {wanted}")
