"""Both functions of every measure: they agree, and gradients pass through the soft one."""

from __future__ import annotations

import pytest
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.forms import FORMS, Outputs, form_of
from rsuq_cli.uncertainty.measures import MEASURES
from rsuq_cli.uncertainty.rejecter import Rejecter


def test_every_measure_has_a_form_and_no_form_is_of_nothing() -> None:
    assert set(FORMS) == set(MEASURES)


# They count votes: what climbs is what moves them.
COUNTED = {"variation_ratio", "disagreement"}
# Of three passes over five classes: their logarithms, the mean, and two leading classes.
REJECTER = Rejecter.of([0.01 * (place % 7 - 3) for place in range(3 * 5 + 5 + 2 * 5)], 0.1)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("decide", ["single", "mean"])
def test_the_soft_measure_is_the_measure_with_finite_gradients(measure: str, decide: str) -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 3, 5, generator=random) * torch.logspace(-2, 2.5, 50)[:, None, None]
    logits.requires_grad_()
    soft = form_of(measure).soft(Outputs(logits, decide, REJECTER))
    # Beyond these, a probability rounds to one and the measure itself loses its digits.
    deployed = form_of(measure).value(Outputs(logits.detach(), decide, REJECTER))
    if measure not in COUNTED:
        assert torch.allclose(soft[:30], deployed[:30], rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(soft.sum(), logits)
    assert bool(gradient.isfinite().all())
    assert bool(gradient.any())


def test_a_measure_that_there_is_not_is_one_line_with_the_nearest() -> None:
    with pytest.raises(BadInput) as refused:
        form_of("entropie")
    assert "entropie" in str(refused.value)
    assert "entropy" in (refused.value.hint or "")
