"""Attacks stay inside their balls, and find the way out of a half-space."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsuq_cli.auditing.attack import Attacker, Ball
from rsuq_cli.auditing.statement import GUARANTEES, Guarantee, Statement
from rsuq_cli.errors import RunIncomplete
from rsuq_cli.uncertainty.predictor import Predictor

SIGMA = 0.25
SHAPE = (1, 4, 4)


class HalfSpace(nn.Module):
    """Class 0 on one side of a plane through the grey image, with a normal of length 1."""

    def __init__(self, *, hard: bool = False) -> None:
        super().__init__()
        normal = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3)).flatten()
        self.normal = normal / normal.norm()
        self.hard = hard

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        signed = (x.flatten(1) - 0.5) @ self.normal
        if self.hard:
            signed = signed.sign()
        return torch.stack([signed, -signed], dim=1) * 4

    def image(self, distance: float) -> torch.Tensor:
        return (0.5 + distance * self.normal).reshape(SHAPE)


def attacker(model: nn.Module, *, threshold: float = 0.3, on_grid: bool = False) -> Attacker:
    return Attacker(
        model, sigma=SIGMA, measure="confidence", threshold=threshold, device=torch.device("cpu"), on_grid=on_grid
    )


def alignment(model: HalfSpace, image: torch.Tensor, point: torch.Tensor) -> float:
    """Returns the cosine between the way taken and the shortest way out."""
    moved = (point - image).flatten()
    return float(-(moved @ model.normal) / moved.norm())


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_gradients_find_the_shortest_way_out(guarantee: Guarantee) -> None:
    model = HalfSpace()
    ball = Ball(model.image(0.4), Statement(guarantee, "majority", 0), 0.4)
    found = attacker(model).worst(ball, "pgd", 10, seed=0)
    assert found.attack == "pgd"
    # The shortest way to a class is the one on whose side the image lies; out of a class leads the opposite way.
    way = -1 if guarantee == "uncertain" else 1
    assert way * alignment(model, ball.image, found.point) > 0.99
    assert 0.399 < found.distance <= 0.4


@pytest.mark.parametrize("hard", [False, True])
def test_decisions_alone_find_a_way_out(hard: bool) -> None:
    model = HalfSpace(hard=hard)
    ball = Ball(model.image(0.3), Statement("standard", "majority", 0), 0.3)
    found = attacker(model, threshold=1.0).worst(ball, "random", 20, seed=0)
    assert found.attack == "random"
    assert alignment(model, ball.image, found.point) > 0.9


def test_a_network_without_gradients_is_attacked_all_the_same() -> None:
    model = HalfSpace(hard=True)
    ball = Ball(model.image(0.3), Statement("cc", "majority", 0), 0.3)
    assert attacker(model).worst(ball, "pgd", 3, seed=0).distance <= 0.3
    assert alignment(model, ball.image, attacker(model).worst(ball, "both", 20, seed=0).point) > 0.9


@pytest.mark.parametrize("attack", ["pgd", "random"])
@pytest.mark.parametrize("radius", [1e-6, 0.01, 0.7])
def test_a_point_lies_in_its_ball_and_depends_on_the_seed_alone(attack: str, radius: float) -> None:
    model = HalfSpace()
    ball = Ball(model.image(0.2), Statement("ncl", "majority", 0), radius)
    found = [attacker(model).worst(ball, attack, 4, seed) for seed in (0, 0, 1)]  # type: ignore[arg-type]
    assert torch.equal(found[0].point, found[1].point)
    for one in found:
        moved = float((one.point.double() - ball.image.double()).norm())
        assert moved == one.distance <= radius


@pytest.mark.parametrize("radius", [0.002, 0.05, 1.5])
def test_on_the_grid_points_are_8_bit_images(radius: float) -> None:
    model = HalfSpace()
    image = (model.image(0.3).clamp(0, 1) * 255).round().to(torch.uint8)
    found = attacker(model, on_grid=True).worst(Ball(image, Statement("cc", "majority", 0), radius), "both", 5, seed=0)
    assert found.point.dtype == torch.uint8
    moved = float((found.point.double() - image.double()).norm()) / 255
    assert moved == pytest.approx(found.distance)
    assert found.distance <= radius
    if radius > 0.04:
        assert found.distance > 0.5 * min(radius, 1.0)


@pytest.mark.parametrize("views", [1, 2])
def test_a_full_memory_has_the_same_gradient_in_parts(views: int) -> None:
    class Full(HalfSpace):
        most = 10**9

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    ball = Ball(Full().image(0.4), Statement("cc", "majority", 0), 0.4)
    found = []
    for most in (10**9, 40):
        model = Full()
        model.most = most
        attack = Attacker(
            model, sigma=SIGMA, measure="confidence", threshold=0.3, device=torch.device("cpu"),
            predictor=Predictor(views=views),
        )  # fmt: skip
        found.append(attack.worst(ball, "both", 4, seed=0))
        assert (attack._rows == 32) == (most == 40)
    torch.testing.assert_close(found[0].point, found[1].point, rtol=0, atol=1e-5)


def test_a_memory_that_is_full_for_the_smallest_part_ends_the_audit() -> None:
    class Never(HalfSpace):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RunIncomplete, match="out of memory even with a batch of 32"):
        attacker(Never()).worst(Ball(torch.rand(SHAPE), Statement("cc", "majority", 0), 0.1), "random", 1, seed=0)
