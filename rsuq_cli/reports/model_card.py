"""The card of a checkpoint that leaves the house: what it is, how it was trained, what was certified, how to load it.

Invariant: every figure comes from the database or the file itself, with the settings it depends on and, for a share,
its 95 % interval.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsuq_cli.certificates.definitions import Figure, shown
from rsuq_cli.certificates.intervals import Share
from rsuq_cli.console import percent_text
from rsuq_cli.reports.audit import audit_table
from rsuq_cli.reports.comparison import curve_table, early_stops, figure_record
from rsuq_cli.reports.figures import figure_text, short_title
from rsuq_cli.reports.models import history_lines
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.ood.tables import difference_table
from rsuq_cli.reports.ood.view import View
from rsuq_cli.reports.runs import model_name
from rsuq_cli.results.audits import AuditSummary
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.ood_queries import OodRun
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.run.network.preprocessing import noise_line

if TYPE_CHECKING:
    from rsuq_cli.jobs.models import Described


@dataclass(frozen=True)
class CardContent:
    """A checkpoint, what its file says, the file's name on the card, and the results of the runs made with it.

    `program` is the name of the file that torch loads by itself, None where there is none, for the reason
    `no_program`; `preprocessing` is what the network does to an image that noise was added to.
    """

    checkpoint: CheckpointRow
    described: Described
    file: str
    figures: Sequence[Figures]
    audits: Sequence[AuditSummary]
    ood: Sequence[OodRun]
    program: str | None = None
    no_program: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


def model_card(content: CardContent) -> str:
    """Returns the card as Markdown."""
    checkpoint = content.checkpoint
    title = checkpoint.name or f"{model_name(checkpoint.model)} for {short_name(checkpoint.dataset)}"
    parts = [f"# {title}", _what(content), "## Training", _training(content), "## Certified", *_certified(content)]
    if content.ood:
        table = difference_table(View(content.ood))
        parts += ["## Inputs from elsewhere", table.title, table.markdown(), *_bullets(table.notes)]
    if content.audits:
        table = audit_table(content.audits)
        parts += ["## What was tried against it", table.title, table.markdown(), *_bullets(table.notes)]
    parts += ["## Loading it", _loading(content)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(content: CardContent) -> str:
    checkpoint, metadata, normalisation = content.checkpoint, *content.described
    classes = list(metadata.class_names) if metadata else list(checkpoint.configuration.get("class_names", []))
    shape = metadata.shape if metadata else checkpoint.configuration.get("shape")
    lines = [
        f"An image classifier ({model_name(checkpoint.model)}) for {short_name(checkpoint.dataset)}, to be smoothed "
        f"with Gaussian noise of σ = {checkpoint.sigma:g} (pixels are in [0, 1]).",
        "",
        f"- file: `{content.file}`, sha256 `{checkpoint.sha256}`",
        f"- input: {'×'.join(map(str, shape))} pixels in [0, 1]" if shape else "",
        f"- normalisation, a layer of the network: {normalisation.describe()}" if normalisation else
        "- normalisation: none in the weights",
        f"- {noise_line(content.preprocessing)}" if content.preprocessing else "",
        f"- classes, in the order of the logits: {', '.join(classes)}" if classes else "",
        f"- tags: {', '.join(checkpoint.tags)}" if checkpoint.tags else "",
        f"\n{checkpoint.note}" if checkpoint.note else "",
    ]  # fmt: skip
    return "\n".join(line for at, line in enumerate(lines) if line or at == 1)


def _training(content: CardContent) -> str:
    checkpoint, metadata = content.checkpoint, content.described.metadata
    settings = checkpoint.configuration
    shown = {
        name: settings[name] for name in ("epochs", "batch_size", "learning_rate", "schedule", "precision", "seed")
        if settings.get(name) is not None
    }  # fmt: skip
    lines = [f"- objective: {checkpoint.objective}", *(f"- {name.replace('_', ' ')}: {v}" for name, v in shown.items())]
    if checkpoint.accuracy_clean is not None:
        lines.append(
            f"- accuracy on calibration data that training never saw: {percent_text(checkpoint.accuracy_clean)} % "
            f"clean, {percent_text(checkpoint.accuracy_noisy)} % under noise of σ"
        )
    if metadata and metadata.calibration_indices:
        lines.append(f"- {len(metadata.calibration_indices):,} training inputs were held out for calibration")
    if metadata:
        lines.append("- " + ", ".join(f"{name} {version}" for name, version in sorted(metadata.versions.items())))
    return "\n".join([*lines, *(f"- {line}" for line in history_lines(checkpoint.history))])


def _certified(content: CardContent) -> list[str]:
    if not content.figures:
        return ["Nothing has been certified with it yet."]
    head = ["run", "data", "inputs", "n", "α", "uncertainty", "rule", *map(short_title, shown("card"))]
    rows = [_row(one) for one in content.figures]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
    curves = curve_table(content.figures)
    warnings = dict.fromkeys(f"run {one.run_id}: {w}" for one in content.figures for w in one.warnings)
    return [
        table,
        "Coverage: inputs answered with certainty; accuracy: right without rejection; ACR: average certified radius "
        "in pixel units over all inputs. CC: the class stays and so does its certainty; NCL: no other class is ever "
        "stated with confidence. In brackets: 95 % intervals over the inputs.",
        curves.markdown(),
        *_bullets([*curves.notes, *early_stops([figure_record(one) for one in content.figures]), *warnings]),
    ]  # fmt: skip


def _row(one: Figures) -> list[str]:
    threshold = "" if one.threshold is None else f" ≤ {one.threshold:.4g}"
    family = f" over {one.family_size}" if one.family_size > 1 else ""
    planned = f"{one.inputs:,}" + (f" of {one.planned:,}" if one.inputs < one.planned else "")
    return [
        str(one.run_id), f"{short_name(one.dataset)}, {one.split}", planned, f"{one.n:,}",
        f"{one.alpha:g}{family}", f"{one.measure}{threshold}", one.rule,
        *(_figure(figure, one) for figure in shown("card")),
    ]  # fmt: skip


def _figure(figure: Figure, one: Figures) -> str:
    if figure.counts:
        return _share(one.intervals[figure.name])
    return figure_text(figure, None if figure.of_rejection and one.rule == "standard" else one.values[figure.name])


def _share(share: Share) -> str:
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _loading(content: CardContent) -> str:
    checkpoint = content.checkpoint
    flags = ["--model", checkpoint.model, "--dataset", checkpoint.dataset, "--sigma", repr(checkpoint.sigma)]
    known = [] if content.described.metadata else flags
    return (
        f"{_alone(content)}\n\nWith rsuq:\n\n```sh\n"
        + shlex.join(["rsuq", "models", "import", content.file, *known])
        + "\n"
        + shlex.join(["rsuq", "certify", *flags])
        + "\n```\n\nThe certificates are about the smoothed classifier: `rsuq predict` answers as it does."
    )


def _alone(content: CardContent) -> str:
    """Returns how the network is loaded where there is no rsuq."""
    if content.program is None:
        return f"Without rsuq: the weights need the network's own code; no program is here, since {content.no_program}."
    return (
        "Without rsuq, with torch alone:\n\n```python\nimport torch\n\n"
        f'network = torch.export.load("{content.program}").module()\n'
        "logits = network(images)  # [N, C, H, W], float32 in [0, 1]: all else is in the network\n```\n\n"
        "This is the network itself. What is certified is its vote over "
        f"`images + {content.checkpoint.sigma:g} * torch.randn_like(images)`, which is not clipped. Settings and class "
        "names are in `configuration.json`."
    )


def _bullets(lines: Sequence[str] | dict[str, None]) -> list[str]:
    return ["\n".join(f"- {line}" for line in lines)] if lines else []
