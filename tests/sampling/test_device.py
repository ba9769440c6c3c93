"""Devices and precisions: absent ones are refused, and the process is left as it was found."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.device import PRECISIONS, Precision, check_precision, inference, is_out_of_memory, resolve_device

CPU = torch.device("cpu")
BackendFlags = tuple[bool, bool, bool, bool]


def backend_flags() -> BackendFlags:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_the_cpu_is_what_there_always_is(name: str) -> None:
    assert resolve_device(name) == CPU


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize(("name", "word"), [("cuda", "CUDA"), ("cuda:0", "CUDA"), ("mps", "MPS")])
def test_an_absent_device_is_refused(name: str, word: str) -> None:
    with pytest.raises(BadInput, match=f"{word} was asked for and is not available here") as caught:
        resolve_device(name)
    assert "--device cpu" in caught.value.hint


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("name", "index"), [("auto", 0), ("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_a_gpu_has_an_index(name: str, index: int) -> None:
    assert resolve_device(name) == torch.device("cuda", index)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_too_many_is_refused() -> None:
    with pytest.raises(BadInput, match="no CUDA device 2") as caught:
        resolve_device("cuda:2")
    assert "has 2" in caught.value.hint


def test_mps_is_taken_where_there_is_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device("mps") == torch.device("mps")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "meta", "xpu"])
def test_an_unknown_device_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(BadInput, match=r"unknown device|is not supported") as caught:
        resolve_device(name)
    assert "auto, cpu, cuda" in caught.value.hint


@pytest.mark.usefixtures("two_gpus")
def test_a_list_is_refused_where_there_is_room_for_one() -> None:
    with pytest.raises(BadInput, match="--device cuda:0,cuda:1 lists several, and this runs on one") as caught:
        resolve_device("cuda:0,cuda:1")
    assert caught.value.hint == "name one of them"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gpu_has_every_precision(precision: str) -> None:
    assert check_precision(precision, torch.device("cuda")) == precision


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_tf32_is_refused_where_there_is_none(device: str) -> None:
    with pytest.raises(BadInput, match="tf32") as caught:
        check_precision("tf32", torch.device(device))
    assert device in caught.value.hint


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_tf32_is_refused_on_a_card_without(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], refused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    if not refused:
        assert check_precision("tf32", torch.device("cuda:0")) == "tf32"
        return
    with pytest.raises(BadInput, match="cuda:0 has no tf32"):
        check_precision("tf32", torch.device("cuda:0"))


# What a file of a user's may have set, and whether TF32 is on inside: looked at in a process of its own.
TF32_PROGRAM = """
import torch
b = torch.backends
{line}
def now():
    return [b.fp32_precision, b.cuda.matmul.fp32_precision, b.cudnn.fp32_precision, b.cudnn.conv.fp32_precision]
from rsuq_cli.sampling.device import inference
from rsuq_cli.training.loop import _precision
from rsuq_cli.training.settings import TrainSettings
def training(precision):
    return _precision(TrainSettings(sigma=0.5, epochs=1, precision=precision), torch.device("cuda"))
def sampling(precision):
    return inference(torch.device("cpu"), precision)
before = now()
for within, using in ((sampling, ("tf32",)), (training, ("tf32", "bf16"))):
    for precision in ("fp32", "tf32", "bf16"):
        with within(precision):
            for found in (b.cuda.matmul.fp32_precision, b.cudnn.conv.fp32_precision):
                assert (found == "tf32") == (precision in using), (within, precision, found)
                assert found != "none", "what others set would decide"
        assert now() == before, (before, now())
"""


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="a torch without these settings")
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("b.fp32_precision = 'tf32'", marks=pytest.mark.slow),
        pytest.param("b.cuda.matmul.fp32_precision = 'tf32'", marks=pytest.mark.slow),
        pytest.param("b.cudnn.conv.fp32_precision = 'ieee'", marks=pytest.mark.slow),
        "torch.set_float32_matmul_precision('high')",
    ],
)
def test_tf32_is_as_asked_whatever_a_users_file_has_set(line: str) -> None:
    ended = subprocess.run([sys.executable, "-c", TF32_PROGRAM.format(line=line)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown precision 'fp16'") as caught:
        check_precision("fp16", CPU)
    assert "fp32, tf32, bf16" in caught.value.hint


@pytest.fixture
def unusual_flags() -> object:
    """Sets every flag to the opposite of what inference in fp32 sets."""
    before = backend_flags()
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = True, True, True, False
    yield
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.usefixtures("unusual_flags")
@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_inference_sets_the_flags_and_restores_them(precision: Precision, tf32: bool) -> None:
    before = backend_flags()
    with inference(CPU, precision):
        assert backend_flags() == (tf32, tf32, False, True)
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
    assert backend_flags() == before == (True, True, True, False)
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.usefixtures("unusual_flags")
def test_inference_restores_the_flags_after_a_failure() -> None:
    before = backend_flags()
    with pytest.raises(RuntimeError, match="halfway"), inference(CPU, "bf16"):
        raise RuntimeError("halfway")
    assert backend_flags() == before
    assert not torch.is_autocast_enabled("cpu")


def test_inference_computes_in_the_precision_asked_for() -> None:
    layer, x = torch.nn.Linear(3, 3), torch.ones(1, 3)
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with inference(CPU, precision):  # type: ignore[arg-type]
            assert layer(x).dtype == dtype


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 18 GB)"), True),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory, says somebody else"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_a_full_memory_is_told_from_other_errors(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
