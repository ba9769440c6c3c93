"""Audit: search every certified ball for a point that breaks its guarantee, and judge what was found.

Invariant: the radii attacked are the stored ones, whatever the evidence says, on the function that was certified. The
attack, the first look at a point and its judgement use noise of their own, none of it the run's; over a whole audit a
guarantee that holds is called broken with probability at most alpha. The same audit again goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from rsuq_cli.auditing.attack import Attacker, Ball, Candidate
from rsuq_cli.auditing.judge import Verdict, claimed_mass, is_hopeless, judge, least_mass, masses_of
from rsuq_cli.auditing.statement import GUARANTEES, Masses, Statement
from rsuq_cli.certificates.evidence import MeasureEdges, float32_floor
from rsuq_cli.certificates.method import Method
from rsuq_cli.datasets.dataset import Split
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.readings.pages import Plan, certificates, pages
from rsuq_cli.results.audits import evidence_of
from rsuq_cli.results.database import Database, open_for_reading, open_for_writing
from rsuq_cli.results.exhibits import certificate_columns
from rsuq_cli.results.rows import AuditBallRow, NewAudit
from rsuq_cli.results.selection import Selection, chosen_scorings
from rsuq_cli.results.writer import load_edges, start_audit, store_balls
from rsuq_cli.run.network.preprocessing import noise_text
from rsuq_cli.run.request import check_alpha
from rsuq_cli.run.sampler import edges_at
from rsuq_cli.run.stored import Reopened, certify_run_row, reopen
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Stretch, Task

AttackChoice = Literal["pgd", "random", "both"]
# Enough samples to see whether a point is worth judging.
FIRST_LOOK = 1000
# Balls that are attacked before they are judged together, so that the engine's batches are full.
_GROUP = 12


@dataclass(frozen=True)
class AuditRequest:
    """One audit of a run. Raises BadInput for impossible values; None stands for what the run had."""

    run_id: int
    scorings: tuple[int, ...] = ()
    inputs: int = 10
    attack: AttackChoice = "both"
    steps: int = 20
    radius_scale: float = 1.0
    n: int | None = None
    alpha: float = 0.001
    seed: int = 0
    weights: Path | None = None
    data_dir: Path | None = None
    device: str | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        for name, value in (("--inputs", self.inputs), ("--steps", self.steps), ("--n", self.n)):
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}", "give at least 1")
        if self.seed < 0:
            raise BadInput(f"--seed is {self.seed}", "give 0 or more")
        if self.attack not in get_args(AttackChoice):
            raise BadInput(f"unknown attack {self.attack!r}", nearest(self.attack, get_args(AttackChoice)))
        if not 0 < self.radius_scale <= 1000:
            raise BadInput(f"--radius-scale is {self.radius_scale:g}", "give a positive factor, such as 1.1")


class _Target(NamedTuple):
    """A ball of a scoring; `lower` bounds the mass at the centre that its radius rests on."""

    input_index: int
    ball: Ball
    lower: float
    class_wise: bool


def audit_run(request: AuditRequest, database: str | Path | None, watcher: Watcher) -> list[int]:
    """Runs the audit to its end and returns the ids of its parts, one for each scoring.

    Raises BadInput for a run that cannot be audited: one without evidence, or whose model or data have changed.
    """
    with open_for_reading(database) as db:
        run = certify_run_row(db, request.run_id)
        scorings = _scorings(db, request)
    if run.finished < run.inputs:
        watcher.say(f"run {run.id} is not complete: {run.finished:,} of {run.inputs:,} inputs can be audited")
    if said := noise_text(run.configuration):
        watcher.say(said)
    opened = reopen(
        run,
        watcher,
        weights=request.weights,
        data_dir=request.data_dir,
        device=request.device,
        batch_size=request.batch_size,
    )
    split = opened.subset()
    with open_for_writing(database) as db:
        return [_Audit(db, opened, split, scoring, request, watcher).finish() for scoring in scorings]


def _scorings(db: Database, request: AuditRequest) -> list[Mapping[str, Any]]:
    with db.read() as connection:
        of_run: list[Mapping[str, Any]] = [
            dict(row) for row in chosen_scorings(connection, Selection(runs=(request.run_id,)))
        ]
    known = {scoring["scoring_id"]: scoring for scoring in of_run}
    if strangers := [scoring for scoring in request.scorings if scoring not in known]:
        raise BadInput(
            f"run {request.run_id} has no scoring {strangers[0]}", "it has " + ", ".join(map(str, sorted(known)))
        )
    return [known[one] for one in dict.fromkeys(request.scorings)] if request.scorings else of_run


@dataclass
class _Audit:
    """The audit of one scoring, under way."""

    db: Database
    opened: Reopened
    split: Split
    scoring: Mapping[str, Any]
    request: AuditRequest
    watcher: Watcher

    def finish(self) -> int:
        """Attacks and judges the balls that are left, and returns the audit's id."""
        request, run = self.request, self.opened.run
        n = request.n or run.n
        new = NewAudit(
            self.scoring["scoring_id"], request.attack, request.steps, request.radius_scale, request.inputs, n,
            request.alpha, request.seed, str(self.opened.sampling.device),
        )  # fmt: skip
        handle = start_audit(self.db, new)
        targets = self._targets()
        todo = [one for one in targets if (one.input_index, one.ball.statement.guarantee) not in handle.attacked]
        self.watcher.say(
            f"audit of scoring {new.scoring_id}: {len(targets)} balls"
            + (f", {len(targets) - len(todo)} of them done before" if len(todo) < len(targets) else "")
        )
        self.watcher.begin("audit", len(todo))
        try:
            for rows in self._judged(todo, n, request.alpha / max(len(targets), 1)):
                store_balls(self.db, handle.id, rows)
                self.watcher.advance(len(rows))
        finally:
            self.watcher.end()
        return handle.id

    @property
    def _threshold(self) -> float:
        """The scoring's threshold as the engine compares with it; one that rejects nothing is infinite."""
        stored = self.scoring["threshold"]
        return float("inf") if stored is None else float32_floor(stored)

    def _targets(self) -> list[_Target]:
        """Returns the balls of evenly chosen inputs that have any, input by input."""
        columns = certificate_columns(self.db, self.scoring["scoring_id"])
        radii = {name: columns[f"radius_{name}"].astype(float) for name in GUARANTEES}
        certified = np.flatnonzero(np.max(list(radii.values()), axis=0) > 0) if len(columns["label"]) else np.array([])
        if not len(certified):
            return []
        spread = np.linspace(0, len(certified) - 1, min(self.request.inputs, len(certified)))
        chosen = certified[np.unique(spread.round().astype(np.int64))]
        lower = self._lower_masses(columns, chosen.tolist())
        position = {int(index): at for at, index in enumerate(self.split.indices)}
        return [
            _Target(
                int(columns["input_index"][row]),
                Ball(
                    self.split.images[position[int(columns["input_index"][row])]],
                    Statement(
                        guarantee,
                        self.scoring["rule"],
                        int(columns["standard_class" if guarantee == "standard" else "class_index"][row]),
                    ),
                    float(radii[guarantee][row]) * self.request.radius_scale,
                ),
                lower[int(columns["input_index"][row]), guarantee],
                columns["competitors"][row] == "class-wise",
            )
            for row in chosen
            for guarantee in GUARANTEES
            if radii[guarantee][row] > 0
        ]

    def _lower_masses(self, columns: Mapping[str, Any], chosen: Sequence[int]) -> dict[tuple[int, str], float]:
        """Returns the lower bound behind each radius: under majority the one that it claims, else the evidence's."""
        sigma, rule = self.opened.run.sigma, self.scoring["rule"]
        if rule == "majority":
            return {
                (int(columns["input_index"][row]), g): claimed_mass(float(columns[f"radius_{g}"][row]), sigma)
                for row in chosen
                for g in GUARANTEES
            }
        measure = self.scoring["measure"]
        edges = MeasureEdges(*load_edges(self.db, self.opened.run.id)[measure])
        at = len(edges.edges) if self.scoring["threshold"] is None else edges.position(self.scoring["threshold"])
        method = Method.of_scoring(sigma, self.scoring, self.opened.run.configuration)
        found: dict[tuple[int, str], float] = {}
        inputs = [int(columns["input_index"][row]) for row in chosen]
        plan = Plan(measure, edges, np.array([at]), method)
        for page in pages(evidence_of(self.db, self.opened.run.id, inputs), {measure}):
            for _, read in certificates(page, [plan]):
                for g in GUARANTEES:
                    lower = read.bounds[g].lower[:, 0]
                    found |= {(int(index), g): float(one) for index, one in zip(page.inputs, lower, strict=True)}
        return found

    def _judged(self, targets: Sequence[_Target], n: int, alpha: float) -> Iterator[list[AuditBallRow]]:
        engine = self._engine()
        attacker = Attacker(
            self.opened.model.module.to(engine.device), sigma=self.opened.run.sigma, measure=self.scoring["measure"],
            threshold=self._threshold, device=engine.device, on_grid=self.opened.on_grid,
            predictor=engine.predictor, rejecter=engine.rejecter,
        )  # fmt: skip
        for first in range(0, len(targets), _GROUP):
            group, started = targets[first : first + _GROUP], time.monotonic()
            candidates = [
                attacker.worst(one.ball, self.request.attack, self.request.steps, self._attack_seed(one))
                for one in group
            ]
            verdicts = self._verdicts(engine, group, candidates, n, alpha)
            seconds = (time.monotonic() - started) / len(group)
            yield [self._row(*one, seconds) for one in zip(group, candidates, verdicts, strict=True)]

    def _verdicts(
        self, engine: Engine, targets: Sequence[_Target], candidates: Sequence[Candidate], n: int, alpha: float
    ) -> list[Verdict]:
        """Returns the verdicts: a first look at every point picks the rival, and fresh noise judges those in doubt."""
        points = torch.stack([one.point for one in candidates])
        keys = [len(GUARANTEES) * one.input_index + GUARANTEES.index(one.ball.statement.guarantee) for one in targets]
        everyone = range(len(targets))
        looked = self._count(engine, points, keys, Stretch(Stream.SELECTION, 0, min(n, FIRST_LOOK)), everyone)
        rivals = {i: targets[i].ball.statement.rival(looked[i]) for i in everyone}
        doubted = [i for i in everyone if not is_hopeless(targets[i].ball.statement.contests(looked[i], rivals[i]))]
        counted = looked | self._count(engine, points, keys, Stretch(Stream.ESTIMATION, 0, n), doubted)
        return [
            judge(targets[i].ball.statement, counted[i], rivals[i], alpha, class_wise=targets[i].class_wise)
            for i in everyone
        ]

    def _count(
        self, engine: Engine, points: torch.Tensor, keys: Sequence[int], stretch: Stretch, positions: Sequence[int]
    ) -> dict[int, Masses]:
        measure = self.scoring["measure"]
        tasks = [Task(position, (stretch,)) for position in positions]
        finished = engine.count(points, keys, edges_at(measure, self._threshold), tasks)
        return {
            one.position: masses_of(one.histograms[measure].votes(stretch.stream, 0))
            for part in finished
            for one in part
        }

    def _engine(self) -> Engine:
        """Returns the run's engine with noise of its own: the run's has chosen and certified what is attacked."""
        return self.opened.engine(seed=self._digest("judge"))

    def _attack_seed(self, target: _Target) -> int:
        return self._digest("attack", target.input_index, target.ball.statement.guarantee)

    def _digest(self, *purpose: object) -> int:
        key = repr((self.request.seed, self.opened.run.seed, self.scoring["scoring_id"], *purpose))
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1

    def _row(self, target: _Target, candidate: Candidate, verdict: Verdict, seconds: float) -> AuditBallRow:
        statement = target.ball.statement
        return AuditBallRow(
            input_index=target.input_index,
            guarantee=statement.guarantee,
            class_index=statement.class_index,
            radius=target.ball.radius,
            distance=candidate.distance,
            attack=candidate.attack,
            n=verdict.n,
            mass=verdict.mass,
            bound=least_mass(target.lower, candidate.distance, self.opened.run.sigma),
            excess=verdict.excess,
            excess_lower=verdict.excess_lower,
            seconds=seconds,
        )
