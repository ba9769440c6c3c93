"""Attacks: points inside a ball where the smoothed decision is as far from its guarantee as can be found.

Invariant: every point returned lies inside its ball, in float64 arithmetic, and is an input that the guarantee is about
(on the 8-bit grid where that is all it covers). Attacks draw noise of their own; a judge must draw other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from rsuq_cli.auditing.judge import excess
from rsuq_cli.auditing.statement import UNCERTAIN, Masses, Statement
from rsuq_cli.certificates.certificate import NOBODY
from rsuq_cli.datasets.dataset import pixels
from rsuq_cli.sampling.device import smaller_batch
from rsuq_cli.uncertainty.forms import Outputs, form_of
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter
from rsuq_cli.uncertainty.scores import scores
from rsuq_cli.uncertainty.views import passes_of

AttackName = Literal["pgd", "random"]


class Ball(NamedTuple):
    """What is attacked: a guarantee in the l2 ball of `radius` (pixel units) around `image` `[C, H, W]`."""

    image: torch.Tensor
    statement: Statement
    radius: float


class Candidate(NamedTuple):
    """A point of a ball `[C, H, W]`, of the image's type, its distance from the centre, and who found it."""

    point: torch.Tensor
    distance: float
    attack: AttackName


class _Sampled(NamedTuple):
    """What the model says of noisy copies of a point: class and certainty of each `[m]`, and the soft masses.

    A copy without an answer has the class NOBODY, and is not certain.
    """

    classes: torch.Tensor
    certain: torch.Tensor
    soft: Masses


class Attacker:
    """Attacks a model smoothed with Gaussian noise, certain where a measure is at most a threshold.

    `model` maps `[N, C, H, W]` to logits, in eval mode on `device`, and is asked as `predictor` says: gradients go
    through all of its passes. `samples` noisy copies (an even number) stand for
    the smoothed model in every step. On the grid, points are 8-bit images.
    """

    def __init__(
        self, model: nn.Module, *, sigma: float, measure: str, threshold: float, device: torch.device,
        samples: int = 128, on_grid: bool = False, predictor: Predictor = PLAIN,
        rejecter: Rejecter | None = None,
    ) -> None:  # fmt: skip
        self.model, self.sigma, self.device = model, sigma, device
        self.measure, self.threshold = measure, threshold
        self.samples, self.on_grid = samples, on_grid
        self._rows = 4 * samples  # in a pass; fewer once the device's memory has been full
        self._soft_measure, self.predictor, self.rejecter = form_of(measure).soft, predictor, rejecter

    def worst(self, ball: Ball, attack: Literal["pgd", "random", "both"], steps: int, seed: int) -> Candidate:
        """Returns the worst point that the attack finds in so many steps; the same for the same seed.

        Raises RunIncomplete where the device has no memory for one copy.
        """
        while True:
            try:
                return self._worst(ball, attack, steps, seed)
            except RuntimeError as error:
                self._rows = smaller_batch(self._rows, self.device, error)

    def _worst(self, ball: Ball, attack: Literal["pgd", "random", "both"], steps: int, seed: int) -> Candidate:
        generator = torch.Generator(self.device).manual_seed(seed)
        image = ball.image.to(self.device)
        ball = ball._replace(image=image)
        found: list[Candidate] = []
        if attack in ("pgd", "both"):
            found += [self._inside(ball, shift, "pgd") for shift in self._pgd(ball, steps, generator)]
        if attack in ("random", "both"):
            found += [self._inside(ball, shift, "random") for shift in self._random(ball, steps, generator)]
        noise = self._noise(image, generator, 4 * self.samples)
        # Common noise makes points comparable; where no sample is on the wrong side, soft masses tell them apart.
        return max(found, key=lambda one: self._badness(ball.statement, pixels(one.point), noise))

    def _pgd(self, ball: Ball, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yields the end of an ascent on the soft excess, and its direction drawn out to the sphere.

        Gradients go through the smoothed, soft certain masses, as in the attacks on smoothed classifiers of Salman et
        al. 2019 (SmoothAdv), with normalised steps that shrink and projection on the ball.
        """
        centre = pixels(ball.image)
        shift, direction = torch.zeros_like(centre), torch.zeros_like(centre)
        for step in range(steps):
            noise = self._noise(centre, generator, self.samples)
            gradient = self._gradient(ball.statement, centre + shift, noise)
            if not gradient.any():
                gradient = torch.randn(centre.shape, generator=generator, device=self.device)
            direction = 0.7 * direction + gradient / gradient.norm()
            length = 2.5 * ball.radius / steps * (1 - 0.9 * step / steps)
            shift = shift + direction * (length / direction.norm().clamp_min(1e-12))
            shift = shift * (ball.radius / shift.norm().clamp_min(1e-12)).clamp_max(1.0)
        yield shift
        yield shift * (ball.radius / shift.norm().clamp_min(1e-12))

    def _random(self, ball: Ball, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yields the end of a search that sees decisions only.

        It proposes random changes of direction, and the direction in which noise has changed the votes: Stein's
        estimate of the gradient of a smoothed function, which needs no gradient of the model.
        """
        centre = pixels(ball.image)
        evidence = torch.zeros_like(centre)
        best: torch.Tensor | None = None
        for _ in range(steps):
            noise = self._noise(centre, generator, self.samples)
            proposals = [torch.randn(centre.shape, generator=generator, device=self.device)]
            if best is not None:
                proposals[0] = best / best.norm() + 0.5 * proposals[0] / proposals[0].norm()
                proposals.append(best)
            if evidence.any():
                proposals.append(evidence)
            shifts = [proposal * (ball.radius / proposal.norm()) for proposal in proposals]
            best = max(shifts, key=lambda shift: self._badness(ball.statement, centre + shift, noise))
            for start in (torch.zeros_like(best), best):
                evidence = evidence + self._towards(ball.statement, centre + start, noise)
        assert best is not None
        yield best
        if evidence.any():
            yield evidence * (ball.radius / evidence.norm())

    def _noise(self, like: torch.Tensor, generator: torch.Generator, samples: int) -> torch.Tensor:
        """Returns noise `[samples, C, H, W]` in pairs of opposite sign: odd errors of an average cancel."""
        half = torch.randn((samples // 2, *like.shape), generator=generator, device=self.device) * self.sigma
        return torch.cat([half, -half])

    def _gradient(self, statement: Statement, point: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns the gradient of the soft excess at a point; 0 where the model gives none."""
        with torch.enable_grad():
            moving = point.detach().clone().requires_grad_()
            soft = self._sampled(moving + noise).soft
            rival = statement.rival(soft)
            shares = [contest.wins / (contest.trials + 1e-12) for contest in statement.contests(soft, rival)]
            lowest = min(shares, key=lambda share: share.item())
            if not lowest.requires_grad:
                return torch.zeros_like(point)
            (gradient,) = torch.autograd.grad(lowest, moving, allow_unused=True)
        return torch.zeros_like(point) if gradient is None else gradient.nan_to_num(0.0, 0.0, 0.0)

    def _badness(self, statement: Statement, point: torch.Tensor, noise: torch.Tensor) -> tuple[float, float]:
        """Returns how far the votes at a point contradict the guarantee, counted and soft."""
        with torch.no_grad():
            sampled = self._sampled(point + noise)
        counted = self._counted(sampled)
        hard = excess(statement.contests(counted, statement.rival(counted)))
        return hard, excess(statement.contests(sampled.soft, statement.rival(sampled.soft)))

    def _towards(self, statement: Statement, point: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Returns the average of noise times what it did to the votes, `[C, H, W]`."""
        with torch.no_grad():
            sampled = self._sampled(point + noise)
        counted = self._counted(sampled)
        rival = statement.rival(counted)
        own = (sampled.classes == statement.class_index) & sampled.certain
        against = ~sampled.certain if rival == UNCERTAIN else (sampled.classes == rival) & sampled.certain
        if statement.guarantee == "standard" or statement.rule == "standard":
            own, against = sampled.classes == statement.class_index, sampled.classes == rival
        elif statement.rule == "majority" and statement.guarantee == "cc":
            against = ~own
        elif statement.guarantee == "uncertain":
            own = ~sampled.certain
        gain = against.float() - own.float()
        return torch.einsum("m,m...->...", gain - gain.mean(), noise) / len(noise)

    def _counted(self, sampled: _Sampled) -> Masses:
        classes, total = len(sampled.soft.votes), len(sampled.classes)
        votes = torch.bincount(sampled.classes[sampled.classes != NOBODY], minlength=classes).cpu()
        certain = torch.bincount(sampled.classes[sampled.certain], minlength=classes).cpu()
        return Masses(certain, votes, total - int(certain.sum()), total, total - int(votes.sum()))

    def _sampled(self, noisy: torch.Tensor) -> _Sampled:
        passes = self._passes(noisy)
        with torch.no_grad():
            found = scores(passes, (self.measure,), self.predictor.decide, self.rejecter)
            certain = found.answered & (found.values[0] <= self.threshold)
        answered = found.answered
        filled = passes.masked_fill(~answered[:, None, None], 0.0)
        outputs = Outputs(filled, self.predictor.decide, self.rejecter)
        lead = _lead(outputs.deciding)
        soft_votes = torch.sigmoid(lead / _scale(lead)) * answered[:, None]
        soft_certain = torch.ones_like(lead[:, 0])
        if math.isfinite(self.threshold):
            slack = (self.threshold - self._soft_measure(outputs))[:, None]
            soft_certain = torch.sigmoid(slack / _scale(slack))[:, 0]
        soft_certain = soft_certain * answered
        soft = Masses(
            (soft_votes * soft_certain[:, None]).mean(0), soft_votes.mean(0), (1 - soft_certain).mean(),
            torch.ones((), device=passes.device), (~answered).float().mean(),
        )  # fmt: skip
        return _Sampled(found.classes.where(answered, NOBODY), certain, soft)

    def _passes(self, noisy: torch.Tensor) -> torch.Tensor:
        """Returns the logits of every pass `[N, T, K]`; in parts, where they do not fit, which gradients make anew."""
        if len(noisy) <= self._rows:
            return passes_of(self.model, noisy, self.predictor.views)
        ask = partial(passes_of, self.model, views=self.predictor.views)
        parts = torch.split(noisy, self._rows)
        if not (torch.is_grad_enabled() and noisy.requires_grad):
            return torch.cat([ask(part).clone() for part in parts])
        return torch.cat([checkpoint(ask, part, use_reentrant=False).clone() for part in parts])

    def _inside(self, ball: Ball, shift: torch.Tensor, attack: AttackName) -> Candidate:
        """Returns centre + shift as an input that the guarantee is about, moved inwards where rounding takes it out."""
        scale, shrink, centre = 1.0, 1e-6, ball.image
        # A radius that single precision takes for 0 leaves no direction: the centre is inside.
        shift = shift if bool(shift.isfinite().all()) else torch.zeros_like(shift)
        while True:
            if self.on_grid:
                levels = centre.to(torch.int32) + (shift * (255 * scale)).round().to(torch.int32)
                point = levels.clamp(0, 255).to(torch.uint8)
                moved = (point.to(torch.int32) - centre.to(torch.int32)).cpu().double() / 255
            else:
                point = pixels(centre) + shift * scale
                moved = point.cpu().double() - pixels(centre).cpu().double()
            distance = float(moved.norm())
            if distance <= ball.radius:
                return Candidate(point, distance, attack)
            scale = max(0.0, scale - shrink)
            shrink *= 2


def _lead(logits: torch.Tensor) -> torch.Tensor:
    """Returns by how much each class leads the best of the others, `[N, K]`."""
    top = logits.topk(2, dim=1)
    others = top.values[:, :1].expand_as(logits)
    is_best = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, top.indices[:, :1], True)
    return logits - torch.where(is_best, top.values[:, 1:2], others)


def _scale(values: torch.Tensor) -> torch.Tensor:
    """Returns the width of a soft step for each column of `[N, K]`, so that samples on neither side are saturated."""
    with torch.no_grad():
        spread = values.std(dim=0, correction=0) + 0.25 * values.mean(dim=0).abs()
        return spread.nan_to_num(1.0, 1.0, 1.0).clamp_min(1e-9)
