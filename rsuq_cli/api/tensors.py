"""Certify any network on a tensor of images, without files and without a database.

Invariant: the same noise, counts and certificates as `rsuq certify` makes: input i of the tensor has the noise of input
i of a data set, so the result does not depend on the batch size.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from rsuq_cli.api.given import a_number, a_whole_number, a_word, images_given, labels_given, numbers_of
from rsuq_cli.certificates.certificate import DECISIONS, Certificates
from rsuq_cli.certificates.certificate import certify as certify_votes
from rsuq_cli.certificates.evidence import Histogram, stacked
from rsuq_cli.certificates.figures import Figures, figures
from rsuq_cli.certificates.method import Method
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.errors import BadInput
from rsuq_cli.models.dropout import with_dropout
from rsuq_cli.models.loading import answer_of, check_output
from rsuq_cli.models.members import Members
from rsuq_cli.models.network import Network, as_network
from rsuq_cli.run.cautions import PROBABILITIES
from rsuq_cli.run.record import masks_of
from rsuq_cli.run.request import CertifyRequest, Machine, Sources
from rsuq_cli.run.unanswered import check_answers, refuse_silent_calibration, silence
from rsuq_cli.sampling.device import check_precision, resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.uncertainty.predictor import Predictor
from rsuq_cli.uncertainty.thresholds import SAMPLES, calibrated_edges, chosen_thresholds, draws_for, out_of_reach

if TYPE_CHECKING:
    import pandas as pd

# Images whose noisy outputs are looked at, to see whether they are logits.
_LOOKED_AT = 32
Labels = Sequence[int] | npt.NDArray[Any] | torch.Tensor


@dataclass(frozen=True)
class TensorResult:
    """The certificates of a tensor of images, in its order. Radii in pixel units, all arrays `[N]`."""

    certificates: Certificates
    labels: npt.NDArray[np.int64] | None
    measure: str
    threshold: float
    method: Method

    @property
    def class_index(self) -> npt.NDArray[np.int64]:
        """The class that each certificate is about."""
        return self.certificates.class_index

    @property
    def decision(self) -> npt.NDArray[np.str_]:
        """certain, uncertain or undecided (deployed as uncertain)."""
        return np.asarray(DECISIONS)[self.certificates.decision]

    @property
    def radius_standard(self) -> npt.NDArray[np.float64]:
        """Within it the classifier without rejection keeps its class."""
        return self.certificates.radius_standard

    @property
    def radius_cc(self) -> npt.NDArray[np.float64]:
        """Consistent and confident: within it the smoothed classifier keeps this class, certain; 0 unless certain.

        That is about masses: an answer from samples may be undecided where the class's mass is barely enough.
        """
        return self.certificates.radius_cc

    @property
    def radius_ncl(self) -> npt.NDArray[np.float64]:
        """No confident label change: within it no other class is ever stated with confidence."""
        return self.certificates.radius_ncl

    def figures(self, radii: Sequence[float] = ()) -> Figures:
        """Returns accuracy, coverage, average radii, gain and certified curves.

        Raises BadInput without labels, and for radii that are none.
        """
        if self.labels is None:
            raise BadInput("figures over the images need their labels", "give labels to certify")
        try:
            return figures(self.labels, self.certificates, radii=radii)
        except ValueError as error:
            raise BadInput(str(error), "give numbers from 0 up, such as [0, 0.25, 0.5]") from error

    def frame(self) -> pd.DataFrame:
        """Returns one row for each image."""
        import pandas as pd

        found = self.certificates
        columns: dict[str, Any] = {} if self.labels is None else {"label": self.labels}
        columns |= {"class_index": found.class_index, "standard_class": found.standard_class, "decision": self.decision}
        names = ("at_ceiling", "n", "certain_count", "uncertain_count", "vote_count", "radius_standard", "radius_cc",
                 "radius_ncl", "radius_uncertain")  # fmt: skip
        return pd.DataFrame(columns | {name: getattr(found, name) for name in names})


def certify(
    model: nn.Module,
    images: torch.Tensor,
    labels: Labels | None = None,
    *,
    sigma: float,
    uncertainty: str = "entropy",
    threshold: float | None = None,
    coverage: float = 0.9,
    calibration: torch.Tensor | None = None,
    n0: int = 100,
    n: int = 10_000,
    alpha: float = 0.001,
    rule: str = "majority",
    competitors: str | None = None,
    views: int = 1,
    members: Sequence[nn.Module] = (),
    mc_dropout: float | None = None,
    passes: int = 8,
    decide: str | None = None,
    indices: Sequence[int] | Literal["content"] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
) -> TensorResult:
    """Returns the certificates of `images` under `model`, smoothed with noise of `sigma` (pixel units).

    `model` maps images `[N, C, H, W]`, uint8 or floats in [0, 1] before any normalisation, to logits `[N, K]` (or a
    dict or object that has them as `logits`); it is put in eval mode. A sample is certain where its `uncertainty` is at
    most `threshold`. Instead of a threshold, `calibration` images that are neither `images` nor training data let one
    be chosen for `coverage`. With `views` the model is asked about the mirror image of every sample, too (2), and about
    both moved by a pixel (4, 8): the views reject, or `decide="mean"` lets their mean name the class. `members` are
    further networks of an ensemble, and `mc_dropout` keeps dropout on in so many `passes`, at this rate before the last
    layer of a network without dropout of its own; their mean names the class unless `decide="single"` leaves that to
    `model`.     Numbers may be Python's, numpy's or torch's.

    The noise of an image depends on the seed and a number: its position in this call, so that image i has the noise of
    input i of a data set, and two calls with one image each share one noise: their errors are not independent. With
    `indices` the numbers are yours, or "content" takes them from the pixels, so that every image has noise of its own
    wherever it stands. The rest is as in `rsuq certify`. Source: Cohen et al. 2019; Däubener et al. 2024
    (arXiv 2410.20432).

    Raises:
        BadInput: settings that cannot certify anything, images, calibration images or labels that are none, no
            threshold, a model without logits or in half precision, and one whose answer to an image depends on chance
            or on the other images of its batch; numbers of images that are none, or given twice.
    """
    device = str(device)
    where = resolve_device(device)
    sigma, alpha, coverage = a_number("sigma", sigma), a_number("alpha", alpha), a_number("coverage", coverage)
    threshold = None if threshold is None else a_number("threshold", threshold)
    n0, n, seed = a_whole_number("n0", n0), a_whole_number("n", n), a_whole_number("seed", seed)
    batch_size = None if batch_size is None else a_whole_number("batch_size", batch_size)
    uncertainty, rule, precision = (
        a_word("uncertainty", uncertainty),
        a_word("rule", rule),
        a_word("precision", precision),
    )
    competitors = None if competitors is None else a_word("competitors", competitors)
    request = CertifyRequest(
        Sources("model"), sigma, n0=n0, n=n, alpha=alpha, machine=Machine(device, precision, batch_size), seed=seed,
        measures=(uncertainty,), threshold=threshold, coverages=() if threshold is not None else (coverage,),
        rule=rule, competitors=competitors,  # type: ignore[arg-type]
        predictor=_predictor(views, decide, model, members, mc_dropout, passes),
    )  # fmt: skip
    images = images_given("images", images)
    calibration = None if calibration is None else images_given("calibration", calibration)
    if calibration is not None and threshold is None:
        _warn_of_shared(images, calibration)
    shape = _shape(images)
    networks = [_network(one, shape).to(where).eval() for one in (model, *members)]
    num_classes = _classes(networks[0], shape, where)
    truth = None if labels is None else labels_given(labels, len(images), num_classes)
    for one in networks:
        check_output(one, one.spec, shape, num_classes, where)
    modules = [with_dropout(one, masks_of(request.predictor, seed), shape, one.spec) for one in networks]
    engine = Engine(
        Members(modules) if members else modules[0], shape=shape, num_classes=num_classes, sigma=sigma, seed=seed,
        device=where, precision=check_precision(precision, where), batch_size=batch_size,
        predictor=request.predictor,
    )  # fmt: skip
    numbers = numbers_of(images, indices)
    check_answers(engine, images, numbers)
    _warn_of_probabilities(engine, images[:_LOOKED_AT])
    edges = _edges(engine, request, calibration)
    for line in out_of_reach(edges, request.measures, request.wanted_coverages):
        warnings.warn(line, stacklevel=2)
    chosen = chosen_thresholds(
        edges, request.measures, threshold=threshold, coverages=request.wanted_coverages
    )[0]  # fmt: skip
    at = edges[uncertainty].position(chosen.value)
    histograms: dict[int, Histogram] = {}
    for finished in engine.sample(images, numbers, edges, n0=n0, n=n):
        histograms |= {one.position: one.histograms[uncertainty] for one in finished}
    ordered = [histograms[position] for position in range(len(images))]
    _warn(ordered, n0 + n)
    selection, estimation = (stacked([one.votes(stream, at) for one in ordered]) for stream in (0, 1))
    certificates = certify_votes(selection, estimation, request.method)
    return TensorResult(certificates, truth, uncertainty, chosen.value, request.method)


def _warn_of_probabilities(engine: Engine, images: torch.Tensor) -> None:
    if engine.answers(images, range(len(images)), draws=1).are_probabilities:
        warnings.warn(PROBABILITIES, stacklevel=3)


def _warn_of_shared(images: torch.Tensor, calibration: torch.Tensor) -> None:
    """Warns where the threshold is chosen on what is certified: its coverage is then that of these very images."""
    if shared := int(SeenImages.of(calibration).among(images).sum()):
        said = f"{shared:,} of the {len(images):,} images are among those that calibrate the threshold: give others"
        warnings.warn(said, stacklevel=3)


def _warn(histograms: Sequence[Histogram], samples: int) -> None:
    """Warns where samples had no answer."""
    unanswered = [sum(one.unanswered) for one in histograms]
    if any(unanswered):
        said = silence(sum(unanswered), samples * len(unanswered), sum(map(bool, unanswered)), len(unanswered))
        warnings.warn(said, stacklevel=3)


def _edges(engine: Engine, request: CertifyRequest, calibration: torch.Tensor | None) -> Any:
    (measure,) = request.measures
    if request.threshold is not None:
        return calibrated_edges(
            {}, measures=engine.predictor.measures, thresholds={measure: (request.threshold,)}, coverages=()
        )
    if calibration is None:
        raise BadInput(
            "neither a threshold nor calibration images are given",
            "give threshold=..., or calibration=... and the coverage to reach",
        )
    if _shape(calibration) != engine.shape:
        raise BadInput(f"calibration images have shape {_shape(calibration)}, not {engine.shape}", "use the same kind")
    draws = draws_for(min(len(calibration), SAMPLES))
    values = engine.uncertainties(calibration[:SAMPLES], range(min(len(calibration), SAMPLES)), draws=draws)
    refuse_silent_calibration(values[measure])
    return calibrated_edges(
        values, measures=engine.predictor.measures, thresholds={}, coverages=request.wanted_coverages
    )


def _predictor(
    views: int,
    decide: str | None,
    model: nn.Module,
    members: Sequence[nn.Module],
    mc_dropout: float | None,
    passes: int,
) -> Predictor:
    if any(one is model for one in members):
        raise BadInput("members holds the model itself", "it would count twice in the mean: give further networks")
    decides = (
        ("single" if not members and mc_dropout is None else "mean") if decide is None else a_word("decide", decide)
    )
    views = a_whole_number("views", views)
    rate = None if mc_dropout is None else a_number("mc_dropout", mc_dropout)
    masks = 1 if rate is None else a_whole_number("passes", passes)
    others = tuple(str(id(one)) for one in members)
    return Predictor(views, decides, others, rate, masks)  # type: ignore[arg-type]


def _shape(images: torch.Tensor) -> tuple[int, int, int]:
    _, channels, height, width = images.shape
    return channels, height, width


def _network(model: nn.Module, shape: tuple[int, int, int]) -> Network:
    if not isinstance(model, nn.Module):
        raise BadInput(f"the model is a {type(model).__name__}, not a torch.nn.Module", "give the network itself")
    return as_network(model, "the model", shape)


def _classes(network: Network, shape: tuple[int, int, int], device: torch.device) -> int:
    logits = answer_of(network, network.spec, torch.zeros(1, *shape, device=device))
    if logits.ndim != 2 or len(logits) != 1 or logits.shape[1] < 2:
        raise BadInput(
            f"the model gives shape {list(logits.shape)} for one image", "it must give logits [N, K], K >= 2"
        )
    return int(logits.shape[1])
