"""What holds of every objective: its parameters, its randomness, its cost, and that it leaves the network alone."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.training.objectives.names import objective_names
from rsuq_cli.training.objectives.registry import objective_named, parameters_of
from training.objectives.made import batch, network

# Those of denoisers are held to it in `test_denoise`.
NAMES = tuple(name for name in objective_names() if not objective_named(name).of_denoiser)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_it_gives_every_parameter_a_finite_gradient(name: str, sigma: float) -> None:
    model = network(norm=True)
    loss = objective_named(name, sigma=sigma)(model, batch(sigma=sigma))
    assert loss.ndim == 0
    loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


@pytest.mark.parametrize("name", NAMES)
def test_all_randomness_is_the_generators(name: str) -> None:
    model, objective = network(), objective_named(name)
    first = objective(model, batch(seed=3)).item()
    torch.manual_seed(99)
    assert objective(model, batch(seed=3)).item() == first
    assert objective(model, batch(seed=4)).item() != first


@pytest.mark.parametrize("name", NAMES)
def test_it_leaves_images_modes_and_gradients_as_they_were(name: str) -> None:
    model, of = network(norm=True), batch()
    model[1].eval()  # a part that somebody froze
    images, labels = of.images.clone(), of.labels.clone()
    objective_named(name)(model, of)
    assert torch.equal(of.images, images)
    assert torch.equal(of.labels, labels)
    assert model.training
    assert not model[1].training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_batch_statistics_are_taken_of_what_is_trained_on_and_of_no_attack(name: str) -> None:
    model = network(norm=True)
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    objective_named(name)(model, batch())
    passes = {"reject": 2, "catrs": 2}.get(name, 1)
    assert int(norm.num_batches_tracked) <= passes  # type: ignore[arg-type]
    assert int(norm.num_batches_tracked) >= 1  # type: ignore[arg-type]


class Counting(nn.Module):
    """Counts the rows that are passed forward."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside, self.rows = inside, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.rows += len(images)
        logits: torch.Tensor = self.inside(images)
        return logits


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_the_cost_that_it_states_is_what_it_passes_forward(name: str, sigma: float) -> None:
    model, objective = Counting(network(scale=0.01)), objective_named(name, sigma=sigma)
    objective(model, batch(images=6, sigma=sigma))
    # What only images get that are right under all noises may be less.
    assert model.rows <= 6 * objective.passes(sigma)
    assert model.rows >= 6 * (objective.noises if name == "catrs" else objective.passes(sigma))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_published_is_taken_for_the_nearest_sigma_and_what_is_set_wins(name: str) -> None:
    kind: Any = type(objective_named(name))
    for sigma, published in kind.published.items():
        near = parameters_of(objective_named(name, sigma=sigma * 1.1))
        assert all(near.get(key, 1) == value for key, value in published.items())
        for key in published:
            assert getattr(objective_named(name, {key: kind.published[sigma][key]}, sigma=0.25), key) == published[key]
    assert objective_named(name, {"noises": 7}, sigma=0.25).noises == 7


# The published settings, at sigma 0.25, 0.5 and 1; warm-ups and the like are shares of 150 epochs.
PUBLISHED: dict[str, dict[str, tuple[float, float, float]]] = {
    "gaussian": {"noises": (1, 1, 1)},
    "stability": {"noises": (1, 1, 1), "weight": (2, 2, 1)},
    "smoothadv": {"noises": (4, 8, 2), "epsilon": (1, 1, 2), "steps": (10, 10, 10), "warm_up": (10 / 150,) * 3},
    "macer": {"noises": (16, 16, 16), "sharpness": (16, 16, 16), "margin": (8, 8, 8), "weight": (12, 6, 12),
              "deferred": (0, 0, 50 / 150)},
    "consistency": {"noises": (2, 2, 2), "weight": (20, 10, 10), "entropy_weight": (0.5, 0.5, 0.5)},
    "smoothmix": {"noises": (2, 2, 2), "steps": (4, 4, 4), "step_size": (0.5, 1, 2), "weight": (5, 5, 5),
                  "one_step": (False, True, True), "warm_up": (10 / 150,) * 3},
    "catrs": {"noises": (4, 4, 4), "steps": (4, 4, 4), "epsilon": (1, 1, 1), "weight": (0.5, 1, 2)},
    "acr": {"noises": (4, 4, 4), "easy_from": (60 / 150, 70 / 150, 60 / 150), "least_right": (0.5, 0.4, 0.4),
            "steps": (3, 6, 4), "step_size": (0.25, 0.25, 0.5), "refresh": (10 / 150,) * 3},
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name != "reject"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_settings_are_those_that_were_published(name: str, place: int) -> None:
    objective = objective_named(name, sigma=(0.25, 0.5, 1.0)[place])
    taken = {key: getattr(objective, key) for key in PUBLISHED[name]}
    assert taken == pytest.approx({key: values[place] for key, values in PUBLISHED[name].items()})


@pytest.mark.parametrize("name", NAMES)
def test_an_impossible_value_of_any_parameter_is_refused(name: str) -> None:
    for field in fields(type(objective_named(name))):
        if isinstance(field.default, bool):
            continue
        impossible = "nothing such" if isinstance(field.default, str) else -1
        with pytest.raises(BadInput):
            objective_named(name, {field.name: impossible})(network(), batch())


def test_the_same_word_means_the_same_everywhere() -> None:
    words: dict[str, set[type]] = {}
    for name in NAMES:
        for field in fields(type(objective_named(name))):
            words.setdefault(field.name, set()).add(type(field.default))
    assert all(len(types) == 1 for types in words.values()), words
