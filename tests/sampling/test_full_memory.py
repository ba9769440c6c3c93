"""A device whose memory is full has smaller batches, wherever it is noticed; what says something else passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rsuq_cli.errors import BadInput, RunIncomplete
from rsuq_cli.sampling import forward
from rsuq_cli.sampling.clean import clean_pass
from rsuq_cli.sampling.device import room_for, smaller_batch
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.forward import Forward

CPU = torch.device("cpu")
SHAPE = (1, 2, 2)
FULL = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


class Full(nn.Module):
    """Has no memory for more than so many rows, and tells what it was asked for."""

    def __init__(self, most: int, error: Exception = FULL) -> None:
        super().__init__()
        self.linear, self.most, self.error = nn.Linear(4, 3), most, error
        self.rows: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.rows.append(len(images))
        if len(images) > self.most:
            raise self.error
        answers: torch.Tensor = self.linear(images.flatten(1))
        return answers


@pytest.mark.parametrize(
    ("device", "rows", "smaller"),
    [("cpu", 256, 128), ("cpu", 96, 32), ("cpu", 64, 32), ("cuda:0", 256, 128), ("cuda:0", 5, 2), ("cuda:0", 2, 1)],
)
def test_the_next_batch_is_half_as_large(
    device: str, rows: int, smaller: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    assert smaller_batch(rows, torch.device(device), FULL) == smaller
    assert bool(emptied) == device.startswith("cuda")


@pytest.mark.parametrize(("device", "least"), [("cpu", 32), ("cuda:0", 1)])
def test_there_is_a_smallest_batch(device: str, least: int) -> None:
    with pytest.raises(RunIncomplete, match=f"{device} is out of memory even with a batch of {least}"):
        smaller_batch(least, torch.device(device), FULL)


def test_other_errors_pass_as_they_are() -> None:
    other = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        smaller_batch(64, CPU, other)
    assert caught.value is other
    with pytest.raises(RuntimeError, match="cannot be multiplied"), room_for("the model", CPU, "a hint"):
        raise other
    with pytest.raises(BadInput, match="cpu has no memory for the model"), room_for("the model", CPU, "a hint"):
        raise FULL


def test_the_clean_pass_goes_on_and_asks_everybody_once() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((300, *SHAPE), dtype=np.float32))
    model = Full(64).eval()
    asked = Forward(model, SHAPE, CPU, "fp32", compiled=False)
    model.rows.clear()
    found = clean_pass(asked, images, batch_size=256)
    assert model.rows == [256, 128, *[64] * 5]
    with torch.no_grad():
        assert found.classes.tolist() == model.linear(images.flatten(1)).argmax(1).tolist()
    assert all(len(values) == 300 for values in found.values.values())


def test_compiling_is_tried_with_smaller_batches_and_full_memory_is_no_failure_to_compile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "constant", lambda module, device: module)
    engine = Engine(
        Full(64), shape=SHAPE, num_classes=3, sigma=0.5, seed=0, device=CPU, batch_size=256, compiled=True
    )  # fmt: skip
    assert engine.batch_size == 64
    assert engine.preparation.compiled
    assert engine.notices == [f"cpu is out of memory: going on with batches of {rows}" for rows in (128, 64)]


def test_a_network_that_does_not_fit_at_all_is_refused_in_one_line() -> None:
    class Huge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def to(self, *_: object, **__: object) -> nn.Module:  # type: ignore[override]
            raise FULL

    with pytest.raises(BadInput, match="cpu has no memory for the model") as caught:
        Engine(Huge(), shape=SHAPE, num_classes=3, sigma=0.5, seed=0, device=CPU)
    assert caught.value.hint == "use a smaller model or another device"
