"""Plans: what is written is what is read, and every mistake is one line with the nearest right name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.study.plan import parsed, read_plan
from rsuq_cli.jobs.study.template import TEMPLATE

WRITTEN = """
name = "digits"
sigma = 0.25
network = ["cnn", { model = "nets/own.py:make", train = { epochs = 3 } }]
objective = ["gaussian", { objective = "gaussian", label = "longer", train = { epochs = 9 } }]
source = ["entropy", { uncertainty = ["margin", "gen"], views = 2 }]
certify = { n = 1000 }
"""


def content(**changes: Any) -> dict[str, Any]:
    return tomllib.loads(WRITTEN) | changes


def test_names_stand_for_tables_and_one_value_for_a_list_of_one() -> None:
    plan = parsed(content(), "plan.toml")
    assert plan.sigma == (0.25,)
    assert [one.name for one in plan.network] == ["cnn", "own.py:make"]
    assert [one.name for one in plan.objective] == ["gaussian", "longer"]
    assert [one.uncertainty for one in plan.source] == [("entropy",), ("margin", "gen")]
    assert plan.certify.given() == {"n": 1000}
    assert plan.coverage == (0.95, 0.9, 0.8, 0.7)


def test_the_template_is_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TEMPLATE, encoding="utf-8")
    plan, written = read_plan(path)
    assert (plan.name, written) == ("digits", TEMPLATE)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sigmas": 1}, "plan.toml: a plan has no key 'sigmas'; did you mean sigma?"),
        ({"certify": {"nn": 1}}, "plan.toml: [certify] has no key 'nn'; did you mean n or n0?"),
        ({"certify": {"n": 1.5}}, "plan.toml: certify.n is 1.5; it must be a valid integer"),
        ({"sigma": "big"}, "plan.toml: sigma is 'big'; it must be a valid number"),
        (
            {"network": [{"model": "cnn", "train": {"epoch": 3}}]},
            "[network.train] has no key 'epoch'; did you mean epo",
        ),
        ({"source": [{"uncertanty": "gen"}]}, "source.uncertainty is missing"),
        ({"exclude": [{"network": "cmn"}]}, "there is no network 'cmn' in the plan; did you mean cnn?"),
        ({"override": [{"objective": "long"}]}, "there is no objective 'long' in the plan; did you mean longer?"),
        ({"network": ["cnn", "cnn"]}, "two entries of network are called cnn; give one of them a label"),
        ({"ood": {"limit": 3}}, "ood.sets is missing"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsed(content(**changes), "plan.toml")
    said = f"{caught.value.message}; {caught.value.hint}"
    assert line in said
    assert "\n" not in said


@pytest.mark.parametrize("missing", ["name", "sigma", "network", "source"])
def test_what_a_plan_must_have(missing: str) -> None:
    whole = content()
    del whole[missing]
    with pytest.raises(BadInput, match=f"{missing} is missing"):
        parsed(whole, "plan.toml")


def test_no_toml_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("name = ")
    with pytest.raises(BadInput, match=r"cannot read .*plan\.toml"):
        read_plan(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_plan(tmp_path / "nowhere.toml")
