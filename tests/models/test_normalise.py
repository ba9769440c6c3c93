"""Normalisation against plain arithmetic."""

import pytest
import torch

from rsuq_cli.models.normalise import Normalise


def test_each_channel_is_shifted_and_scaled_by_its_own_numbers() -> None:
    layer = Normalise((0.5, 0.0, 1.0), (0.5, 2.0, 0.1))
    out = layer(torch.full((2, 3, 4, 5), 0.75))
    assert out.shape == (2, 3, 4, 5)
    assert torch.allclose(out[1, :, 3, 4], torch.tensor([0.5, 0.375, -2.5]))


def test_one_channel_becomes_three_equal_ones() -> None:
    images = torch.rand(2, 1, 4, 4)
    out = Normalise((0.2,), (0.5,), out_channels=3)(images)
    assert out.shape == (2, 3, 4, 4)
    for channel in range(3):
        assert torch.equal(out[:, channel], (images[:, 0] - 0.2) / 0.5)


def test_mean_and_deviation_travel_with_the_weights_and_are_not_trained() -> None:
    layer = Normalise((0.2,), (0.5,))
    assert set(layer.state_dict()) == {"mean", "std"}
    assert not list(layer.parameters())


@pytest.mark.parametrize(
    ("mean", "std", "out_channels"),
    [((0.1, 0.2), (1.0,), None), ((), (), None), ((0.1,), (0.0,), None), ((0.1, 0.2), (1.0, 1.0), 3)],
)
def test_what_cannot_be_normalised_is_refused(
    mean: tuple[float, ...], std: tuple[float, ...], out_channels: int | None
) -> None:
    with pytest.raises(ValueError, match=r"mean|deviation|channels"):
        Normalise(mean, std, out_channels=out_channels)
