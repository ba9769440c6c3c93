"""The engine: the same evidence whatever the batches, and the counts of the textbook loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rsuq_cli.certificates.evidence import MeasureEdges, decode, encode
from rsuq_cli.errors import BadInput, RunIncomplete
from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.engine import Engine, automatic_batch_size
from rsuq_cli.sampling.noise import Copies, GaussianNoise, Stream
from rsuq_cli.sampling.packing import Stretch, Task
from rsuq_cli.sampling.watch import Watch
from rsuq_cli.uncertainty.predictor import PLAIN
from rsuq_cli.uncertainty.scores import score
from rsuq_cli.uncertainty.thresholds import calibrated_edges

CPU = torch.device("cpu")
SIGMA = 0.5
# Neither divides a block of noise or a batch.
N0, N = 17, 133
BATCH_SIZES = (1, 37, 64, 100, 500, 1000)
LARGE_BATCH = 4096
DIGITS, CIFAR, THUMBNAILS = (1, 8, 8), (3, 32, 32), (3, 8, 8)
Shape = tuple[int, int, int]
Edges = dict[str, MeasureEdges]


# Models and images


class Shapeless(nn.Module):
    """Logits for one row less than asked, or for twice the classes, as soon as a batch is no pair."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = x.flatten(1)[:, :3]
        if len(x) == 2:
            return logits
        return logits[:-1] if self.kind == "rows" else torch.cat([logits, logits], dim=1)


@pytest.mark.parametrize(("kind", "said"), [("rows", r"\[31, 3\] for 32"), ("classes", r"\[32, 6\] for 32")])
def test_logits_of_another_shape_in_a_batch_are_refused(kind: str, said: str) -> None:
    engine = Engine(
        Shapeless(kind), shape=(1, 2, 2), num_classes=3, sigma=0.25, seed=0, device=torch.device("cpu"), batch_size=32
    )
    with pytest.raises(BadInput, match=f"logits of shape {said} inputs"):
        engine.trial(torch.rand(4, 1, 2, 2), range(4))


def trained_looking(name: str, shape: Shape, num_classes: int = 10) -> nn.Module:
    """Returns a model of the zoo whose answers vary: other statistics in its batch norms, larger logits."""
    torch.manual_seed(0)
    model = build(name, shape=shape, num_classes=num_classes)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    nn.init.normal_(last.weight)
    return model


class Inspected(nn.Module):
    """A linear model that keeps what it was given; `most_rows` is all that fits into the memory of its device."""

    def __init__(
        self, *, num_classes: int = 3, most_rows: int = 10**9, error: Exception | None = None, fails_at: int = 0
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, num_classes)
        nn.init.normal_(self.linear.weight, std=5.0)
        self.most_rows, self.error, self.fails_at = most_rows, error, fails_at
        self.batches: list[torch.Tensor] = []

    @property
    def rows(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(x.clone())
        if len(x) > self.most_rows and len(self.batches) > self.fails_at:
            raise self.error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.linear(x.flatten(1))


SMALL = (1, 2, 2)


class Case(NamedTuple):
    """A model, images `[N, C, H, W]`, their numbers in the data set, and bin edges."""

    model: nn.Module
    images: torch.Tensor
    indices: list[int]
    edges: Edges
    num_classes: int


def random_images(shape: Shape, inputs: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (inputs, *shape), dtype=np.uint8))


def engine_for(model: nn.Module, shape: Shape, num_classes: int = 10, batch_size: int | None = 64) -> Engine:
    return Engine(
        model, shape=shape, num_classes=num_classes, sigma=SIGMA, seed=5, device=CPU, batch_size=batch_size
    )  # fmt: skip


def case_of(model: nn.Module, shape: Shape, *, inputs: int = 4, num_classes: int = 10, draws: int = 100) -> Case:
    """Returns a case whose edges are calibrated on the model itself, so that samples spread over the bins."""
    images, indices = random_images(shape, inputs), [3, 1, 40, 7][:inputs]
    values = engine_for(model, shape, num_classes).uncertainties(images[:2], [900, 901], draws=draws)
    edges = calibrated_edges(values, thresholds={"entropy": (0.4,)}, coverages=(0.9,))
    return Case(model, images, indices, edges, num_classes)


def evidence(
    case: Case, *, batch_size: int = 64, order: Sequence[int] | None = None, engine: Engine | None = None, n0: int = N0,
    n: int = N,
) -> dict[int, bytes]:  # fmt: skip
    """Returns the evidence of every input by its number in the data set, as the bytes that would be stored."""
    at = list(range(len(case.images))) if order is None else list(order)
    channels, height, width = case.images.shape[1:]
    engine = engine or engine_for(case.model, (channels, height, width), case.num_classes, batch_size)
    indices = [case.indices[p] for p in at]
    found: dict[int, bytes] = {}
    for finished in engine.sample(case.images[at], indices, case.edges, n0=n0, n=n):
        for one in finished:
            assert indices[one.position] not in found
            found[indices[one.position]] = encode(one.histograms, one.sums)
    assert sorted(found) == sorted(indices)
    return found


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Returns a function that sets the number of torch's threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# The same evidence


MODELS = [
    pytest.param("mlp", DIGITS, BATCH_SIZES, id="mlp"),
    pytest.param("cnn", DIGITS, BATCH_SIZES, id="cnn"),
    pytest.param("resnet20", CIFAR, BATCH_SIZES, id="resnet20", marks=pytest.mark.slow),
    pytest.param("resnet18", CIFAR, BATCH_SIZES, id="resnet18", marks=pytest.mark.slow),
    pytest.param("densenet121", CIFAR, (37, 100, 500), id="densenet121", marks=pytest.mark.slow),
    pytest.param("vit_b_16", CIFAR, (37, 100, 500), id="vit_b_16", marks=pytest.mark.slow),
]


# On some processors the matrix products of these are cut up by the number of threads: sums are then rounded otherwise.
SPLIT_BY_THREADS = ("densenet121", "vit_b_16")


def moved_votes(some: dict[int, bytes], others: dict[int, bytes]) -> int:
    """Returns how many votes of all inputs together are for another class in one evidence than in the other."""
    return sum(
        int(abs(ours.estimation.sum(axis=1) - theirs.estimation.sum(axis=1)).sum()) // 2
        for index in some
        for ours, theirs in [(decode(some[index])["entropy"], decode(others[index])["entropy"])]
    )


@pytest.mark.parametrize(("name", "shape", "batch_sizes"), MODELS)
def test_evidence_does_not_depend_on_batches_order_resume_or_threads(
    name: str, shape: Shape, batch_sizes: tuple[int, ...], threads: Callable[[int], None]
) -> None:
    threads(1)
    inputs, n = (4, N) if shape == DIGITS else (2, 53)
    case = case_of(trained_looking(name, shape), shape, inputs=inputs, draws=50)
    expected = evidence(case, n=n)
    for batch_size in batch_sizes:
        assert evidence(case, batch_size=batch_size, n=n) == expected
    threads(2)
    for batch_size in (64, 1000) if shape == DIGITS else (64,):
        found = evidence(case, batch_size=batch_size, n=n)
        if name in SPLIT_BY_THREADS:
            assert moved_votes(found, expected) <= 1
        else:
            assert found == expected
    if name in SPLIT_BY_THREADS:
        threads(1)
    order = list(reversed(range(inputs)))
    half = inputs // 2
    assert evidence(case, order=order, batch_size=100, n=n) == expected
    resumed = evidence(case, order=order[:half], n=n) | evidence(case, order=order[half:], batch_size=37, n=n)
    assert resumed == expected


@pytest.mark.parametrize(("name", "shape"), [("mlp", DIGITS), ("cnn", DIGITS), ("resnet20", THUMBNAILS)])
def test_uncertainties_have_the_same_bits_in_any_batch(name: str, shape: Shape, threads: Callable[[int], None]) -> None:
    """Sharper than counts: every last bit of every measure, and it varies enough for bits to tell."""
    model, images = trained_looking(name, shape), random_images(shape, 2)
    threads(1)
    expected = engine_for(model, shape).uncertainties(images, [0, 1], draws=50)
    for batch_size, count in ((1, 1), (37, 2), (100, 1), (160, 2)):
        threads(count)
        found = engine_for(model, shape, batch_size=batch_size).uncertainties(images, [0, 1], draws=50)
        for measure in PLAIN.measures:
            np.testing.assert_array_equal(found[measure], expected[measure])
            assert len(np.unique(expected[measure])) > 80


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_uncertainties_have_the_same_bits_in_the_largest_batch(name: str, threads: Callable[[int], None]) -> None:
    model, images = trained_looking(name, DIGITS), random_images(DIGITS, 2)
    threads(1)
    expected = engine_for(model, DIGITS).uncertainties(images, [0, 1], draws=3000)
    for count in (1, 2):
        threads(count)
        found = engine_for(model, DIGITS, batch_size=LARGE_BATCH).uncertainties(images, [0, 1], draws=3000)
        for measure in PLAIN.measures:
            np.testing.assert_array_equal(found[measure], expected[measure])


def test_one_engine_can_be_used_again() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    engine = engine_for(case.model, DIGITS)
    assert evidence(case, engine=engine) == evidence(case, engine=engine)


def test_another_seed_sigma_or_number_is_other_evidence() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    expected = evidence(case)
    for seed, sigma in ((6, SIGMA), (5, 0.51)):
        engine = Engine(
            case.model, shape=DIGITS, num_classes=10, sigma=sigma, seed=seed, device=CPU, batch_size=64
        )  # fmt: skip
        assert all(blob != expected[number] for number, blob in evidence(case, engine=engine).items())
    renumbered = case._replace(indices=[100 + number for number in case.indices])
    assert all(blob != expected[number - 100] for number, blob in evidence(renumbered).items())


# The textbook loop


class Truth(NamedTuple):
    """Counts `[K, bins]` of one measure for the two streams, and the mean softmax of the estimation samples `[K]`."""

    histograms: dict[str, list[npt.NDArray[np.int64]]]
    probabilities: npt.NDArray[np.float64]


def textbook(case: Case, position: int, n0: int, n: int) -> Truth:
    """Returns what Cohen et al. 2019's loop would count: one input, its own noise, votes counted on the host."""
    shape = tuple(case.images.shape[1:])
    noise = GaussianNoise(seed=5, sigma=SIGMA, shape=shape)
    counted: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in PLAIN.measures}
    probabilities = np.empty(0)
    for stream, samples in ((Stream.SELECTION, n0), (Stream.ESTIMATION, n)):
        noisy = torch.empty((samples, *shape))
        noise.write(noisy, case.images[position, None], [Copies(stream, case.indices[position], 0, samples)])
        with torch.inference_mode():
            logits = case.model.eval()(noisy)
        classes, values = logits.argmax(dim=1).numpy(), score(logits).numpy()
        probabilities = logits.double().softmax(dim=1).mean(dim=0).numpy()
        for row, name in enumerate(PLAIN.measures):
            edges = case.edges[name].edges
            histogram = np.zeros((case.num_classes, len(edges) + 1), dtype=np.int64)
            for c, u in zip(classes, values[row], strict=True):
                histogram[c, int((u > edges).sum())] += 1  # certain at an edge when u <= edge
            counted[name].append(histogram)
    return Truth(counted, probabilities)


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize(("n0", "n"), [(17, 133), (100, 300), (1, 1)])
def test_counts_are_those_of_the_textbook_loop(num_classes: int, n0: int, n: int) -> None:
    case = case_of(trained_looking("mlp", DIGITS, num_classes), DIGITS, num_classes=num_classes)
    engine = engine_for(case.model, DIGITS, num_classes, batch_size=100)
    found = [one for finished in engine.sample(case.images, case.indices, case.edges, n0=n0, n=n) for one in finished]
    assert [one.position for one in found] == [0, 1, 2, 3]
    for one in found:
        truth = textbook(case, one.position, n0, n)
        for name in PLAIN.measures:
            np.testing.assert_array_equal(one.histograms[name].selection, truth.histograms[name][0])
            np.testing.assert_array_equal(one.histograms[name].estimation, truth.histograms[name][1])
        means = one.sums.probabilities[1] / (n * 2.0**24)
        np.testing.assert_allclose(means, truth.probabilities, atol=1e-6)
    if n > 1:
        spread = np.sum([one.histograms["entropy"].estimation for one in found], axis=0)
        assert (spread.sum(axis=1) > 0).sum() >= 2
        assert (spread.sum(axis=0) > 0).sum() > 20


def test_every_measure_counts_every_sample_in_the_same_class() -> None:
    case = case_of(trained_looking("cnn", DIGITS), DIGITS)
    for finished in engine_for(case.model, DIGITS).sample(case.images, case.indices, case.edges, n0=N0, n=N):
        for one in finished:
            votes = one.histograms["entropy"].estimation.sum(axis=1)
            for name in PLAIN.measures:
                selection, estimation, unanswered = one.histograms[name]
                assert unanswered == (0, 0)
                assert (selection.sum(), estimation.sum()) == (N0, N)
                assert estimation.shape == (10, len(case.edges[name].edges) + 1)
                np.testing.assert_array_equal(estimation.sum(axis=1), votes)


def test_float_images_are_not_rounded_to_bytes() -> None:
    model = Inspected()
    engine = Engine(model, shape=SMALL, num_classes=3, sigma=1e-30, seed=0, device=CPU, batch_size=32)
    image = torch.tensor([[[[0.1, 0.2345678], [1e-6, 0.9999999]]]])
    engine.uncertainties(image, [0], draws=32)
    assert torch.equal(model.batches[0], image.expand(32, *SMALL))


def test_bytes_are_the_same_as_their_floats() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    assert evidence(case._replace(images=case.images.float() / 255)) == evidence(case)


def test_what_is_no_number_votes_for_no_class_at_any_threshold() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = x.flatten(1)[:, :3] * 3
            return torch.where(x.flatten(1)[:, 3:] > 0.5, torch.nan, logits)

    case = case_of(Breaks(), SMALL, num_classes=3)
    for finished in engine_for(case.model, SMALL, 3).sample(case.images, case.indices, case.edges, n0=N0, n=N):
        for one in finished:
            noisy = torch.empty((N, *SMALL))
            noise = GaussianNoise(seed=5, sigma=SIGMA, shape=SMALL)
            copies = Copies(Stream.ESTIMATION, case.indices[one.position], 0, N)
            noise.write(noisy, case.images[one.position, None], [copies])
            broken = int((noisy.flatten(1)[:, 3] > 0.5).sum())
            assert 0 < broken < N
            answers = noisy[noisy.flatten(1)[:, 3] <= 0.5].flatten(1)[:, :3].argmax(dim=1)
            for name in PLAIN.measures:
                histogram = one.histograms[name]
                assert histogram.unanswered.estimation == broken
                assert histogram.draws == N
                assert histogram.estimation.sum(axis=1).tolist() == torch.bincount(answers, minlength=3).tolist()


def test_tasks_are_counted_apart_and_may_follow_from_reports() -> None:
    """Looks at growing numbers of samples add up to the counts of all at once."""
    case = case_of(trained_looking("mlp", DIGITS), DIGITS, inputs=1)
    engine = engine_for(case.model, DIGITS, batch_size=64)
    looks = [(0, 40), (40, 90), (90, N)]
    reported: list[Any] = []

    def tasks() -> Iterator[Task | None]:
        for number, (start, end) in enumerate(looks):
            assert len(reported) == number
            yield Task(0, (Stretch(Stream.ESTIMATION, start, end - start),))
            yield None

    for counted in engine.count(case.images, case.indices, case.edges, tasks()):
        reported += counted
    whole = next(one for done in engine.sample(case.images, case.indices, case.edges, n0=1, n=N) for one in done)
    for name in PLAIN.measures:
        total = sum(one.histograms[name].estimation for one in reported)
        np.testing.assert_array_equal(total, whole.histograms[name].estimation)


def test_inputs_are_reported_as_soon_as_their_batch_is_done() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    engine = engine_for(case.model, DIGITS, batch_size=160)
    yielded = [len(done) for done in engine.sample(case.images, case.indices, case.edges, n0=20, n=140)]
    assert yielded == [1, 1, 1, 1]


class WorksAhead(str):
    """A device that torch takes for the CPU and the engine for one that runs beside the host."""

    type = "cuda"


def test_a_device_that_works_ahead_reports_the_same_one_batch_later() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    expected = evidence(case, batch_size=160)
    engine = engine_for(case.model, DIGITS, batch_size=160)
    engine.device = WorksAhead("cpu")  # type: ignore[assignment]
    assert evidence(case, engine=engine) == expected
    yielded = [len(done) for done in engine.sample(case.images, case.indices, case.edges, n0=20, n=140)]
    assert yielded == [0, 1, 1, 1, 1]


def test_what_is_counted_is_what_there_are_edges_for_and_the_same_whatever_else_is() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    names = ["margin", "entropy"]
    every, some = (
        next(filter(None, engine_for(case.model, DIGITS).sample(case.images, case.indices, edges, n0=20, n=140)))[0]
        for edges in (case.edges, {name: case.edges[name] for name in names})
    )
    assert list(some.histograms) == list(some.sums.measures) == sorted(names)
    for name in names:
        assert some.sums.measures[name] == every.sums.measures[name]
        for ours, theirs in zip(some.histograms[name][:2], every.histograms[name][:2], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(some.sums.probabilities, every.sums.probabilities)


def test_a_measure_that_there_is_not_cannot_be_counted() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    edges = {"entropie": case.edges["entropy"]}
    with pytest.raises(BadInput, match="cannot compute the uncertainty measure 'entropie'"):
        list(engine_for(case.model, DIGITS).sample(case.images, case.indices, edges, n0=1, n=1))


# Batches and memory


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked twice, so that the forward passes are those of the batches."""
    monkeypatch.setattr(Watch, "keep", lambda watch, noisy, used: None)


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize(("batch_size", "rows"), [(1, 32), (32, 32), (33, 64), (100, 128)])
def test_batches_are_full_and_the_last_is_padded_to_a_multiple_of_32(batch_size: int, rows: int) -> None:
    model = Inspected()
    case = case_of(model, SMALL, num_classes=3)
    model.batches.clear()
    evidence(case, batch_size=batch_size)
    full, rest = divmod(4 * (N0 + N), rows)  # packed across inputs
    assert model.rows == [rows] * full + ([-(-rest // 32) * 32] if rest else [])


@pytest.mark.usefixtures("unwatched")
def test_a_device_other_than_the_cpu_sees_one_shape_only() -> None:
    model = Inspected()
    case = case_of(model, SMALL, num_classes=3)
    engine = engine_for(model, SMALL, 3, batch_size=320)
    model.batches.clear()
    expected = evidence(case, engine=engine)
    assert model.rows == [320, 288]
    engine.device = WorksAhead("cpu")  # type: ignore[assignment]
    model.batches.clear()
    assert evidence(case, engine=engine) == expected
    assert model.rows == [320, 320]


@pytest.mark.parametrize("n", [100, 10_000])
def test_no_batch_grows_with_n(n: int) -> None:
    model = Inspected()
    case = case_of(model, SMALL, num_classes=3, inputs=2)
    model.batches.clear()
    evidence(case, batch_size=64, n0=10, n=n)
    assert max(model.rows) == 64


class LargestTensor(TorchDispatchMode):
    """Watches every operation for the largest tensor that it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, torch.Tensor):
                self.values = max(self.values, one.numel())
        return made


def test_no_tensor_grows_with_n() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS, inputs=1)
    largest = []
    for n in (1_000, 10_000):
        with LargestTensor() as watched:
            evidence(case, n=n)
        largest.append(watched.values)
    assert largest[0] == largest[1] > 0


def test_the_meter_counts_samples_and_their_time() -> None:
    case = case_of(trained_looking("mlp", DIGITS), DIGITS)
    engine = engine_for(case.model, DIGITS)
    assert engine.meter.rate == 0
    evidence(case, engine=engine)
    assert engine.meter.samples == 4 * (N0 + N)
    assert engine.meter.rate == engine.meter.samples / engine.meter.seconds > 0
    engine.uncertainties(case.images, case.indices, draws=10)
    assert engine.meter.samples == 4 * (N0 + N) + 40


@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
@pytest.mark.parametrize("shape", [DIGITS, (1, 28, 28), CIFAR, (3, 224, 224), (3, 2000, 2000)])
def test_a_batch_without_a_size_is_a_multiple_of_32_and_bounded(shape: Shape, device: torch.device) -> None:
    rows = automatic_batch_size(shape, device)
    assert rows % 32 == 0
    assert 32 <= rows <= 8192
    if device == CPU and max(shape) < 2000:  # an engine takes the memory of its batch at once
        assert engine_for(nn.Flatten(), shape, batch_size=None).batch_size == rows


def test_larger_images_get_smaller_batches() -> None:
    rows = [automatic_batch_size(shape, torch.device("cuda")) for shape in (DIGITS, CIFAR, (3, 224, 224))]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] > rows[-1]


def test_a_model_is_sampled_in_eval_mode_without_gradients() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.linear = nn.Dropout(0.5), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert not torch.is_grad_enabled()
            return self.linear(self.dropout(x.flatten(1)))

    case = case_of(Noisy().train(), SMALL, num_classes=3)
    assert evidence(case) == evidence(case)


# Out of memory


@pytest.mark.parametrize("fails_at", [0, 3])
def test_a_full_memory_halves_the_batch_and_changes_nothing_else(fails_at: int) -> None:
    case = case_of(Inspected(), SMALL, num_classes=3)
    expected = evidence(case)
    model = Inspected(most_rows=64, fails_at=fails_at)
    engine = engine_for(model, SMALL, 3, batch_size=256 if fails_at == 0 else 128)
    assert evidence(case, engine=engine) == expected
    assert engine.batch_size == 64
    said = [128, 64] if fails_at == 0 else [64]
    assert engine.notices == [f"cpu is out of memory: going on with batches of {rows}" for rows in said]
    # Once halved it stays so: the next run does not try the large batch again.
    model.batches.clear()
    assert evidence(case, engine=engine) == expected
    assert max(model.rows) == 64
    assert len(engine.notices) == len(said)


def test_a_full_memory_halves_the_batch_of_a_calibration_too() -> None:
    images = random_images(SMALL, 2)
    expected = engine_for(Inspected(), SMALL, 3).uncertainties(images, [0, 1], draws=150)
    engine = engine_for(Inspected(most_rows=96), SMALL, 3, batch_size=320)
    found = engine.uncertainties(images, [0, 1], draws=150)
    assert engine.batch_size <= 96
    for measure in PLAIN.measures:
        np.testing.assert_array_equal(found[measure], expected[measure])


def test_memory_that_is_full_at_the_least_batch_ends_the_run() -> None:
    case = case_of(Inspected(), SMALL, num_classes=3)
    engine = engine_for(Inspected(most_rows=31), SMALL, 3, batch_size=128)
    with pytest.raises(RunIncomplete, match="out of memory even with a batch of 32") as caught:
        evidence(case, engine=engine)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert len(engine.notices) == 2


def test_inputs_that_were_finished_before_the_memory_ran_out_have_been_yielded() -> None:
    case = case_of(Inspected(), SMALL, num_classes=3)
    engine = engine_for(Inspected(most_rows=31, fails_at=6), SMALL, 3, batch_size=32)
    sampled = engine.sample(case.images, case.indices, case.edges, n0=10, n=70)
    assert [one.position for _ in range(5) for one in next(sampled)] == [0, 1]
    with pytest.raises(RunIncomplete):
        next(sampled)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("a bug")])
def test_other_errors_of_a_model_pass_as_they_are(error: Exception) -> None:
    case = case_of(Inspected(), SMALL, num_classes=3)
    engine = engine_for(Inspected(most_rows=0, error=error), SMALL, 3)
    with pytest.raises(type(error)) as caught:
        evidence(case, engine=engine)
    assert caught.value is error
    assert engine.notices == []
