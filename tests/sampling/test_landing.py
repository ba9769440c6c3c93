"""What lands on the host is what was on the device; `pretend_checks.py` has what is waited for on CUDA."""

from __future__ import annotations

import numpy as np
import torch

from rsuq_cli.sampling.landing import Landing


def test_every_tensor_arrives_with_its_type_and_shape() -> None:
    tensors = [torch.arange(6, dtype=torch.int32).reshape(2, 3), torch.tensor([2**40]), torch.empty(0, 4)]
    landing = Landing(tensors)
    for _ in range(2):
        for found, tensor in zip(landing.arrays(), tensors, strict=True):
            assert found.dtype == tensor.numpy().dtype
            np.testing.assert_array_equal(found, tensor.numpy())
