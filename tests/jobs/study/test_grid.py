"""The grid: which cells there are, in which order, and with which settings; impossible values before anything runs."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.study.grid import Cell, Surroundings, cells_of
from rsuq_cli.jobs.study.plan import parsed
from rsuq_cli.models.member import Member
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.run.request import ANY_MACHINE, Machine

WRITTEN = """
name = "digits"
sigma = [0.25, 0.5]
seed = [0, 1]
coverage = [0.9, 0.8]
network = ["cnn", "mlp"]
source = ["entropy", { uncertainty = ["margin", "entropy"] }]
[train]
epochs = 5
[certify]
n = 1000
limit = 30
"""


def cells(text: str = "", **changes: Any) -> list[Cell]:
    plan = parsed(tomllib.loads(WRITTEN + text) | changes, "plan.toml")
    return cells_of(plan, Surroundings(ANY_MACHINE), "plan.toml")


def test_lists_multiply_into_a_grid() -> None:
    found = cells()
    assert [tuple(cell.place) for cell in found] == [
        (network, "gaussian", sigma, seed) for network, sigma, seed in product(("cnn", "mlp"), (0.25, 0.5), (0, 1))
    ]
    for cell in found:
        assert (cell.training.epochs, cell.training.sigma, cell.training.seed) == (5, cell.place.sigma, cell.place.seed)
        (sampling,) = cell.samplings  # measures of one pass are read from one run
        assert sampling.certify.measures == ("entropy", "margin")
        assert sampling.certify.coverages == (0.9, 0.8)
        assert (sampling.certify.n, sampling.certify.limit, sampling.certify.seed) == (1000, 30, 0)
        assert sampling.of(7).sources.checkpoint == "7"


def test_it_trains_on_the_first_of_several_devices_and_samples_on_all() -> None:
    plan = parsed(tomllib.loads(WRITTEN), "plan.toml")
    for cell in cells_of(plan, Surroundings(Machine("cuda:1,cuda:0", workers=2)), "plan.toml"):
        assert (cell.training.machine.device, cell.training.machine.workers) == ("cuda:1", 1)
        assert [one.certify.machine.device for one in cell.samplings] == ["cuda:1,cuda:0"]


def test_cells_are_left_out_and_settings_overridden() -> None:
    found = cells(
        """
[[exclude]]
network = "mlp"
sigma = 0.5
[[override]]
sigma = 0.5
seed = 1
train = { epochs = 9 }
certify = { n = 2000 }
"""
    )
    assert ("mlp", 0.5) not in {(cell.place.network, cell.place.sigma) for cell in found}
    assert len(found) == 6
    for cell in found:
        changed = (cell.place.sigma, cell.place.seed) == (0.5, 1)
        assert cell.training.epochs == (9 if changed else 5)
        assert cell.samplings[0].certify.n == (2000 if changed else 1000)
        assert cell.samplings[0].certify.limit == 30


def test_a_network_that_others_begin_with_comes_before_them() -> None:
    tuned = {"objective": "gaussian", "label": "tuned", "init": "gaussian", "train": {"epochs": 1}}
    found = cells(objective=[tuned, "gaussian"], network="mlp", sigma=0.25, seed=0)
    assert [cell.place.objective for cell in found] == ["gaussian", "tuned"]
    base, last = found
    assert (base.begins_with, last.begins_with) == (None, base.place)
    assert last.beginning_with(4).init == "4"


def test_the_ood_run_takes_the_certify_run_where_both_sample_alike() -> None:
    (alike,) = cells(network="mlp", sigma=0.25, seed=0, ood={"sets": ["noise:smooth"], "limit": 20})
    (apart,) = cells(network="mlp", sigma=0.25, seed=0, ood={"sets": ["noise:smooth"], "n": 200})
    requests = [cell.samplings[0].ood_of(3, 8) for cell in (alike, apart)]
    assert [request and request.run for request in requests] == [8, None]
    assert [request and request.certify.n for request in requests] == [1000, 200]
    assert all(request and request.certify.sources.checkpoint == "3" for request in requests)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"network": ["cnm"]}, "there is no model named 'cnm'; did you mean cnn?"),
        ({"objective": ["gausian"]}, "there is no objective 'gausian'; did you mean gaussian?"),
        ({"objective": [{"objective": "gaussian", "set": {"nothing": 1}}]}, "has no parameter 'nothing'"),
        ({"source": ["entropi"]}, "unknown uncertainty measure 'entropi'; did you mean entropy"),
        ({"sigma": -1.0}, "sigma is -1"),
        ({"coverage": 1.5}, "coverage 1.5 is not in (0, 1]"),
        ({"certify": {"n": 5}}, "5 samples at alpha 0.001 cannot certify anything"),
        ({"ood": {"sets": []}}, "no out-of-distribution set is named"),
        ({"objective": [{"objective": "gaussian", "init": "x"}]}, "begins with x, which is no objective of the plan"),
        ({"objective": [{"objective": "gaussian", "init": "gaussian"}]}, "gaussian begins with gaussian"),
        ({"exclude": [{"network": ["cnn", "mlp"]}]}, "every cell is excluded"),
    ],
)
def test_what_no_command_would_take_is_refused_before_anything_runs(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(BadInput) as caught:
        cells(**changes)
    assert line in f"{caught.value.message}; {caught.value.hint}"
    assert caught.value.message.startswith("plan.toml: ")


def test_sources_of_one_predictor_share_a_run_and_others_have_their_own() -> None:
    views = [
        {"uncertainty": "own_margin", "views": 2},
        {"uncertainty": ["mutual_information"], "views": 2},
        {"uncertainty": "own_margin", "views": 4, "decide": "mean"},
    ]
    (cell,) = cells(network="mlp", sigma=0.25, seed=0, source=["entropy", *views])
    assert [(one.predictor, one.certify.measures) for one in cell.samplings] == [
        ("one pass", ("entropy",)),
        ("2 views reject", ("own_margin", "mutual_information")),
        ("mean of 4 views", ("own_margin",)),
    ]
    with pytest.raises(BadInput, match="own_margin compares several passes"):
        cells(source="own_margin")
    with pytest.raises(BadInput, match="--views is 3"):
        cells(source=[{"uncertainty": "own_margin", "views": 3}])


def test_members_are_the_networks_of_the_other_seeds_once_all_are_trained() -> None:
    several = [{"uncertainty": "own_margin", "members": True, "views": 2}, "margin"]
    found = cells(network="mlp", sigma=0.25, seed=[0, 1, 2], source=several, ood={"sets": ["noise:smooth"]})
    assert [[one.predictor for one in cell.samplings] for cell in found] == [
        ["one pass"], ["one pass"], ["mean of 3 networks × 2 views", "one pass"],
    ]  # fmt: skip
    ensemble = found[-1].samplings[0]
    assert ensemble.beside == (found[0].place, found[1].place)
    members = tuple(Member("mlp", Path(f"{name}.safetensors"), name) for name in ("a", "b"))
    certify, ood = ensemble.of(3, members), ensemble.ood_of(3, 8, members)
    assert ood is not None
    for request in (certify, ood.certify):
        assert (request.sources.checkpoint, request.sources.members) == ("3", members)
        assert (request.predictor.members, request.predictor.views) == (("a", "b"), 2)
    with pytest.raises(BadInput, match=r"a source has members, and mlp, .* seed 0 has one seed"):
        cells(network="mlp", sigma=0.25, seed=0, source=several)


def test_an_ensemble_is_of_the_seeds_that_are_not_excluded() -> None:
    members = [{"uncertainty": "own_margin", "members": True}]
    found = cells(network="mlp", sigma=0.25, seed=[0, 1, 2], source=members, exclude=[{"seed": 2}])
    assert [[one.beside for one in cell.samplings] for cell in found] == [[], [(found[0].place,)]]


def test_dropout_has_masks_of_the_sampling_s_seed() -> None:
    sources = [
        {"uncertainty": "mutual_information", "mc_dropout": 0.2},
        {"uncertainty": "margin", "mc_dropout": 0.2, "passes": 4, "decide": "single"},
    ]
    (cell,) = cells(network="mlp", sigma=0.25, seed=5, source=sources)
    assert [(one.predictor, one.certify.sources.monte_carlo) for one in cell.samplings] == [
        ("mean of 8 dropout masks", MonteCarlo(0.2, 8, 0, plain=False)),
        ("4 dropout masks reject", MonteCarlo(0.2, 4, 0, plain=True)),
    ]
    with pytest.raises(BadInput, match="--mc-dropout is 2"):
        cells(source=[{"uncertainty": "margin", "mc_dropout": 2.0}])
