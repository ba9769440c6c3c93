"""The loop: it learns, it repeats itself, and an interrupted run ends as an uninterrupted one, bit for bit."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.dataset import Dataset, Split, pixels
from rsuq_cli.errors import BadInput
from rsuq_cli.models.zoo import build
from rsuq_cli.training.evaluation import accuracy, soft_acr
from rsuq_cli.training.loop import StepProgress, TrainResult, train
from rsuq_cli.training.resume import EpochRecord
from rsuq_cli.training.settings import TrainSettings, default_batch_size, default_epochs
from rsuq_cli.training.statistics import channel_statistics

CPU = torch.device("cpu")
SETTINGS = TrainSettings(sigma=0.25, epochs=4, batch_size=16)
Stripes = Callable[..., Dataset]


def network(seed: int = 0) -> nn.Module:
    """Returns a small network with batch norm and dropout, whose states and draws a resume must get right."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(16, 2)
    )


def same(first: nn.Module, second: nn.Module) -> bool:
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def without_seconds(result: TrainResult) -> list[EpochRecord]:
    return [replace(record, seconds=0.0) for record in result.history]


def interrupt_after(epochs: int) -> Callable[[EpochRecord], None]:
    def on_epoch(record: EpochRecord) -> None:
        if record.epoch == epochs:
            raise KeyboardInterrupt

    return on_epoch


def interrupt_in(epoch: int) -> Callable[[StepProgress], None]:
    def on_step(progress: StepProgress) -> None:
        if (progress.epoch, progress.step) == (epoch, 2):
            raise KeyboardInterrupt

    return on_step


def test_it_learns(stripes: Stripes) -> None:
    model = network()
    before = accuracy(model, stripes().load("test"), sigma=0.25, seed=0, device=CPU)
    result = train(model, stripes(), replace(SETTINGS, epochs=15), device=CPU)
    after = accuracy(model, stripes().load("test"), sigma=0.25, seed=0, device=CPU)
    assert after.clean == 1.0 > before.clean
    assert after.noisy >= 0.8
    assert result.history[-1].loss < result.history[0].loss
    assert result.epochs_done == 15
    assert (result.accuracy_clean, result.accuracy_noisy) == (1.0, result.history[-1].accuracy_noisy)
    assert result.seconds == pytest.approx(sum(record.seconds for record in result.history))
    assert not model.training


def test_the_same_call_gives_the_same_weights_and_another_seed_others(stripes: Stripes) -> None:
    models = [network() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        torch.manual_seed(hash(model) % 1000)  # the caller's global state must not matter
        train(model, stripes(crop=True, flip=True), replace(SETTINGS, seed=seed), device=CPU)
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


def test_a_model_in_eval_mode_is_trained_all_the_same(stripes: Stripes) -> None:
    first, second = network(), network().eval()
    for model in (first, second):
        train(model, stripes(), SETTINGS, device=CPU)
    assert same(first, second)


def test_the_callers_random_state_is_left_alone(stripes: Stripes) -> None:
    model = network()
    before = torch.get_rng_state()
    train(model, stripes(), SETTINGS, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("finished", [1, 3])
@pytest.mark.parametrize("at_step", [True, False])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    stripes: Stripes, tmp_path: Path, finished: int, at_step: bool
) -> None:
    data, state = stripes(crop=True, flip=True), tmp_path / "state"
    whole = network()
    uninterrupted = train(whole, data, SETTINGS, device=CPU)
    with pytest.raises(KeyboardInterrupt):
        train(
            network(),
            data,
            SETTINGS,
            device=CPU,
            resume_file=state,
            on_step=interrupt_in(finished + 1) if at_step else None,
            on_epoch=None if at_step else interrupt_after(finished),
        )
    resumed = network(seed=99)  # whatever the caller starts from, the state replaces it
    result = train(resumed, data, SETTINGS, device=CPU, resume_file=state)
    assert same(whole, resumed)
    assert result.resumed_after == finished
    assert result.restarted == ""
    assert without_seconds(result) == without_seconds(uninterrupted)


def test_an_interrupt_before_the_first_epoch_ends_leaves_no_state(stripes: Stripes, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(network(), stripes(), SETTINGS, device=CPU, resume_file=tmp_path / "state", on_step=interrupt_in(1))
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_trains_no_more(stripes: Stripes, tmp_path: Path) -> None:
    state, first, again = tmp_path / "state", network(), network(seed=5)
    train(first, stripes(), SETTINGS, device=CPU, resume_file=state)
    steps: list[StepProgress] = []
    result = train(again, stripes(), SETTINGS, device=CPU, resume_file=state, on_step=steps.append)
    assert not steps
    assert result.resumed_after == result.epochs_done == 4
    assert same(first, again)


@pytest.mark.parametrize("kind", ["settings", "damaged"])
def test_a_state_that_does_not_belong_is_replaced_and_said(stripes: Stripes, tmp_path: Path, kind: str) -> None:
    state, expected, model = tmp_path / "state", network(), network()
    train(network(), stripes(), replace(SETTINGS, epochs=2), device=CPU, resume_file=state)
    if kind == "damaged":
        state.write_bytes(b"damaged")
    result = train(model, stripes(), SETTINGS, device=CPU, resume_file=state)
    train(expected, stripes(), SETTINGS, device=CPU)
    assert str(state) in result.restarted
    assert ("damaged" in result.restarted) is (kind == "damaged")
    assert result.resumed_after == 0
    assert same(model, expected)
    assert train(model, stripes(), SETTINGS, device=CPU, resume_file=state).resumed_after == 4


def test_callbacks_see_every_step_and_epoch(stripes: Stripes) -> None:
    steps: list[StepProgress] = []
    epochs: list[EpochRecord] = []
    train(network(), stripes(), SETTINGS, device=CPU, on_step=steps.append, on_epoch=epochs.append)
    assert steps == [StepProgress(epoch, 4, step, 3) for epoch in (1, 2, 3, 4) for step in (1, 2, 3)]
    assert [record.epoch for record in epochs] == [1, 2, 3, 4]


@pytest.mark.parametrize(("count", "batch_size"), [(60, 16), (60, 60), (60, 64), (7, 2), (3, 2)])
def test_an_epoch_sees_every_image_once_in_batches_that_are_not_smaller(
    stripes: Stripes, count: int, batch_size: int
) -> None:
    seen: list[torch.Tensor] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(16, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(images.detach().clone())
            return self.inner(images.flatten(1))

    data = stripes((count, 20, 20))
    # Noise too small to tell images apart by anything but their own pixels.
    train(Watching(), data, TrainSettings(sigma=1e-9, epochs=1, batch_size=batch_size), device=CPU)
    rows = torch.cat(seen).flatten(1)
    expected = pixels(data.load("train").images).flatten(1)
    assert sorted(map(tuple, rows.mul(255).round().int().tolist())) == sorted(
        map(tuple, expected.mul(255).round().int().tolist())
    )
    assert min(map(len, seen)) >= min(batch_size, count)


def test_the_noise_is_fresh_in_every_step_and_epoch(stripes: Stripes) -> None:
    noises: list[torch.Tensor] = []
    images = pixels(stripes((2, 2, 2)).load("train").images)

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(16, 2)

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if self.training:
                noises.append(batch.detach().clone())
            return self.inner(batch.flatten(1))

    train(Watching(), stripes((2, 2, 2)), TrainSettings(sigma=0.25, epochs=5, batch_size=2), device=CPU)
    draws = torch.cat([batch - image for batch in noises for image in images])
    assert len(draws.unique(dim=0)) == len(draws)
    assert len(noises) == 5


def test_without_a_calibration_split_part_of_train_is_measured(stripes: Stripes) -> None:
    data = stripes((60, 0, 20))
    model = network()
    result = train(model, data, SETTINGS, device=CPU)
    measured = accuracy(model, data.load("train"), sigma=0.25, seed=0, device=CPU)
    assert (result.accuracy_clean, result.accuracy_noisy) == measured


def test_accuracy_counts_right_answers_and_restores_the_mode(stripes: Stripes) -> None:
    class Top(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack([images[:, :, :2].mean((1, 2, 3)), images[:, :, 2:].mean((1, 2, 3))], 1)

    split = stripes((700, 300, 0)).load("train")
    model = Top().train()
    assert accuracy(model, split, sigma=1e-6, seed=0, device=CPU) == (1.0, 1.0)
    assert model.training
    assert accuracy(model, split, sigma=100.0, seed=0, device=CPU).noisy == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_trained_is_refused(stripes: Stripes) -> None:
    with pytest.raises(BadInput, match="0 training images"):
        train(network(), stripes((0, 0, 4)), SETTINGS, device=CPU)
    with pytest.raises(BadInput, match="no parameters"):
        train(nn.Flatten(), stripes(), SETTINGS, device=CPU)


def test_a_run_that_diverges_says_so_and_keeps_no_state(stripes: Stripes, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="diverged in epoch 1"):
        train(
            nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Linear(16, 2)),
            stripes(),
            replace(SETTINGS, learning_rate=1e30),
            device=CPU,
            resume_file=tmp_path / "state",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_file_and_keeps_the_last_state(
    stripes: Stripes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_the_disk(record: EpochRecord) -> None:
        monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(BadInput, match="No space left") as caught:
        train(network(), stripes(), SETTINGS, device=CPU, resume_file=state, on_epoch=fill_the_disk)
    assert str(state) in caught.value.message
    monkeypatch.undo()
    assert train(network(), stripes(), SETTINGS, device=CPU, resume_file=state).resumed_after == 1


def test_too_little_device_memory_names_the_batch_size(stripes: Stripes) -> None:
    class Greedy(nn.Linear):
        def forward(self, _images: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 3 TiB")

    with pytest.raises(BadInput, match="batch size of 16"):
        train(Greedy(16, 2), stripes(), SETTINGS, device=CPU)


@pytest.mark.slow
def test_the_cnn_learns_the_digits_under_noise() -> None:
    data = open_dataset("digits")
    statistics = channel_statistics(data.load("train"))
    torch.manual_seed(0)
    model = build("cnn", shape=data.shape, num_classes=10, mean=statistics.mean, std=statistics.std)
    settings = TrainSettings(sigma=0.25, epochs=default_epochs("cnn", data), batch_size=default_batch_size(data))
    result = train(model, data, settings, device=CPU)
    assert result.accuracy_noisy > 0.95
    assert accuracy(model, data.load("test"), sigma=0.25, seed=0, device=CPU).clean > 0.97


def test_logits_that_are_no_numbers_name_no_class(stripes: Stripes) -> None:
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 2), torch.nan)

    assert accuracy(Broken(), stripes().load("test"), sigma=0.25, seed=0, device=CPU) == (0.0, 0.0)


def test_a_network_that_writes_into_its_input_is_measured_as_one_that_copies(stripes: Stripes) -> None:
    class Top(nn.Module):
        def __init__(self, *, inplace: bool) -> None:
            super().__init__()
            self.inplace = inplace

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            images = images.sub_(0.4).mul_(-3) if self.inplace else (images - 0.4) * -3
            return torch.stack([-images[:, :, :2].mean((1, 2, 3)), -images[:, :, 2:].mean((1, 2, 3))], 1)

    bytes_split = stripes((700, 300, 0)).load("train")
    split = replace(bytes_split, images=bytes_split.images.float() / 255)
    before = split.images.clone()
    inplace, copying = (accuracy(Top(inplace=one), split, sigma=0.5, seed=0, device=CPU) for one in (True, False))
    assert torch.equal(split.images, before)
    assert inplace == copying


# What they keep from step to step has to be kept over an interruption, too.
REMEMBERING: dict[str, dict[str, int | float | bool | str]] = {
    "catrs": {"noises": 2, "steps": 1, "momentum": 0.5},
    "acr": {"noises": 1, "steps": 1, "easy_from": 0.25, "refresh": 0.25, "least_right": 0.1},
    "reject": {"noises": 2, "base": "smoothadv"},
    "gaussian": {"noises": 2},
}


@pytest.mark.parametrize("objective", REMEMBERING)
@pytest.mark.parametrize("ema", [0.0, 0.5])
@pytest.mark.parametrize("finished", [1, 3])
def test_what_an_objective_remembers_and_averaged_weights_survive_an_interruption(
    stripes: Stripes, tmp_path: Path, objective: str, ema: float, finished: int
) -> None:
    data, state = stripes(crop=True), tmp_path / "state"
    settings = replace(SETTINGS, objective=objective, parameters=REMEMBERING[objective], ema=ema)
    whole, resumed = network(), network(seed=99)
    uninterrupted = train(whole, data, settings, device=CPU)
    with pytest.raises(KeyboardInterrupt):
        train(network(), data, settings, device=CPU, resume_file=state, on_epoch=stop_after(finished))
    result = train(resumed, data, settings, device=CPU, resume_file=state)
    assert result.resumed_after == finished
    assert same(whole, resumed)
    assert [one.loss for one in result.history] == [one.loss for one in uninterrupted.history]


def stop_after(epochs: int) -> Callable[[EpochRecord], None]:
    def stop(record: EpochRecord) -> None:
        if record.epoch == epochs:
            raise KeyboardInterrupt

    return stop


def test_averaged_weights_are_the_average_of_those_of_every_step(stripes: Stripes) -> None:
    model, weights = network(), []

    def look(_: StepProgress) -> None:
        weights.append([parameter.detach().clone() for parameter in model.parameters()])

    train(model, stripes(), replace(SETTINGS, epochs=2, ema=0.8), device=CPU, on_step=look)
    expected = weights[0]
    for later in weights[1:]:
        expected = [0.8 * one + 0.2 * other for one, other in zip(expected, later, strict=True)]
    for found, one in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-6)
        assert found.requires_grad


def test_the_soft_radius_is_that_of_the_mean_softmax(stripes: Stripes) -> None:
    split = stripes().load("calibration")
    last = nn.Linear(16, 2)
    model = nn.Sequential(nn.Flatten(), last).requires_grad_(False)
    for bias, radius in ((100.0, 0.5 * (3.0902 * 0.5)), (0.0, 0.0)):
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(torch.tensor([bias, 0.0]))
        # Half of the images are of the class that it always names, with more than it can promise.
        assert soft_acr(model, split, sigma=0.5, seed=0, device=CPU) == pytest.approx(radius, abs=1e-3)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([1.0, 0.0]))
    share = float(torch.sigmoid(torch.tensor(1.0)))
    expected = 0.5 * 0.5 * float(torch.special.ndtri(torch.tensor(share)))
    assert soft_acr(model, split, sigma=0.5, seed=0, device=CPU) == pytest.approx(expected, rel=1e-5)


def test_the_soft_radius_is_that_of_all_classes_where_images_stand_by_class() -> None:
    labels = torch.arange(10).repeat_interleave(50)
    split = Split(torch.rand(500, 1, 4, 4), labels, np.arange(500))
    last = nn.Linear(16, 10)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(100.0 * (torch.arange(10) == 0))
    # It always names the first class: right for a tenth of the images, with the most that it can promise.
    found = soft_acr(nn.Sequential(nn.Flatten(), last), split, sigma=0.5, seed=0, device=CPU)
    assert found == pytest.approx(0.1 * 0.5 * 3.0902, rel=1e-3)


class Refused(nn.Module):
    """What a compiler made that cannot run here: it draws noise, changes modes, and fails."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no C++ compiler\nis installed")


def test_where_the_compiler_fails_training_goes_on_as_without_it(
    stripes: Stripes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsuq_cli.training.loop.compiled", Refused)
    plain, other = network(), network()
    for objective in ("gaussian", "smoothadv"):
        settings = replace(SETTINGS, epochs=1, objective=objective)
        expected = train(plain, stripes(), settings, device=CPU)
        found = train(other, stripes(), replace(settings, compiled=True), device=CPU)
        assert same(plain, other)
        assert without_seconds(found) == without_seconds(expected)
        assert (expected.uncompiled, found.uncompiled) == ("", "RuntimeError: no C++ compiler is installed")


def test_a_compiled_training_is_another_one_and_keeps_the_weights_of_the_network(
    stripes: Stripes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def compiled(model: nn.Module) -> nn.Module:
        asked.append(model)
        return nn.Sequential(model)  # the same computation, as another module with the same parameters

    monkeypatch.setattr("rsuq_cli.training.loop.compiled", compiled)
    plain, other, file = network(), network(), tmp_path / "resume"
    expected = train(plain, stripes(), SETTINGS, device=CPU, resume_file=file)
    found = train(other, stripes(), replace(SETTINGS, compiled=True), device=CPU, resume_file=file)
    assert asked == [other]
    assert found.resumed_after == 0
    assert "other settings" in found.restarted
    assert same(plain, other)
    assert without_seconds(found) == without_seconds(expected)
    assert set(other.state_dict()) == set(network().state_dict())


@pytest.mark.slow
def test_torchs_compiler_trains_the_network_that_is_trained_without_it_but_for_rounding(stripes: Stripes) -> None:
    def drawn() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))

    plain, other, again = drawn(), drawn(), drawn()
    settings = replace(SETTINGS, epochs=2)
    train(plain, stripes(), settings, device=CPU)
    result = train(other, stripes(), replace(settings, compiled=True), device=CPU)
    train(again, stripes(), replace(settings, compiled=True), device=CPU)
    assert not result.uncompiled
    assert same(other, again)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-4)
