"""Fingerprints: equal for equal functions whatever rounds, different for functions that differ under noise alone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.models.fingerprint import PROBES, fingerprint_of, probes

SHAPE = (1, 4, 4)


class Net(nn.Module):
    """A linear network of `classes` whose pixels and logits pass through functions first."""

    def __init__(
        self,
        classes: int = 3,
        before: Callable[[torch.Tensor], torch.Tensor] = lambda x: x,
        after: Callable[[torch.Tensor], torch.Tensor] = lambda x: x,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.before, self.after = nn.Linear(16, classes), before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.fc(self.before(x).flatten(1)))


def taken(network: nn.Module) -> Fingerprint:
    return fingerprint_of(network.eval(), SHAPE)


def test_probes_are_noisy_and_always_the_same() -> None:
    assert torch.equal(probes(SHAPE), probes(SHAPE))
    assert probes(SHAPE).shape == (PROBES, *SHAPE)
    assert all((image < 0).any() or (image > 1).any() for image in probes((3, 8, 8)))
    assert len({image.numpy().tobytes() for image in probes(SHAPE)}) == PROBES


@pytest.mark.parametrize("classes", [2, 12, 13, 1000])
def test_rounding_and_json_do_not_tell_networks_apart(classes: int) -> None:
    known = taken(Net(classes))
    assert known.agrees(taken(Net(classes, after=lambda z: z * (1 + 1e-5))))
    stored = json.dumps(known.to_json(), allow_nan=False)
    assert Fingerprint.of_json(json.loads(stored)) == known
    assert len(stored) < 4096


@pytest.mark.parametrize(
    "changed",
    [
        Net(after=lambda z: -z),
        Net(after=lambda z: z.flip(1)),
        Net(after=lambda z: 1.001 * z),
        Net(before=lambda x: x.clamp(0, 1)),  # the same on every picture, another under noise
        Net(before=lambda x: x.clamp(-2, 2)),
        Net(before=lambda x: x.flip(-1)),
        Net(4),
    ],
)
def test_another_function_of_the_same_weights_is_told(changed: nn.Module) -> None:
    assert not taken(Net()).agrees(taken(changed))


def test_one_of_a_thousand_logits_is_enough() -> None:
    def last(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([z[:, :-1], -z[:, -1:]], dim=1)

    assert not taken(Net(1000)).agrees(taken(Net(1000, after=last)))


def masked(z: torch.Tensor) -> torch.Tensor:
    """Leaves the last five classes in, as a network does that is meant for a part of its classes."""
    return torch.cat([torch.full_like(z[:, :-5], -1e9), z[:, -5:]], dim=1)


@pytest.mark.parametrize("classes", [6, 10, 13, 100])
@pytest.mark.parametrize("common", [masked, lambda z: z + 1e4, lambda z: z - 1e5])
def test_what_all_answers_have_in_common_hides_no_change(
    classes: int, common: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    known = taken(Net(classes, after=common))
    assert known.agrees(taken(Net(classes, after=lambda z: common(z * (1 + 1e-6)))))
    assert not known.agrees(taken(Net(classes, after=lambda z: common(z.roll(1, 1)))))
    assert not known.agrees(taken(Net(classes, after=lambda z: common(3 * z))))
    assert not known.agrees(taken(Net(classes, before=lambda x: x.clamp(0, 1), after=common)))


def test_answers_that_are_no_numbers_are_part_of_it() -> None:
    gamma = taken(Net(before=lambda x: x ** (1 / 2.2)))
    assert None in gamma.rows[0]
    json.dumps(gamma.to_json(), allow_nan=False)
    assert gamma.agrees(taken(Net(before=lambda x: x ** (1 / 2.2))))
    assert not gamma.agrees(taken(Net(before=lambda x: x.clamp(min=0) ** (1 / 2.2))))


def test_small_logits_are_compared_on_their_own_scale() -> None:
    small = taken(Net(after=lambda z: 1e-9 * z))
    assert not small.agrees(taken(Net(after=lambda z: 1.01e-9 * z)))
    assert taken(Net(after=lambda z: 0 * z)).agrees(taken(Net(after=lambda z: 0 * z)))
    assert not taken(Net(after=lambda z: 0 * z)).agrees(small)


def test_a_network_that_writes_into_its_input_answers_alike_twice() -> None:
    def spoil(x: torch.Tensor) -> torch.Tensor:
        return x.sub_(0.5).div_(0.2)

    assert taken(Net(before=spoil)) == taken(Net(before=spoil))
