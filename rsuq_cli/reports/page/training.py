"""Where the networks on the page come from: how each was trained, with its curves, or that nobody recorded it.

Invariant: what is told of training is what the checkpoint recorded; of a network from elsewhere, the file and its hash
alone are known, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rsuq_cli.console import number_text, percent_text
from rsuq_cli.readings.dossier import Dossier
from rsuq_cli.reports.markup import Cell, Html, element, joined, paragraph, rows_table, settings_table
from rsuq_cli.results.rows import CheckpointRow

MOST_NETWORKS = 8
# Epochs of a table, and points of a curve: spread evenly, the first and the last among them.
MOST_ROWS, MOST_POINTS = 12, 200
MOST_CLASSES = 40
_CURVES = ("loss", "accuracy_clean", "accuracy_noisy", "soft_acr")
_SETTINGS = ("epochs", "seed", "batch_size", "learning_rate", "momentum", "weight_decay", "schedule", "precision",
             "amp", "device")  # fmt: skip


def training_html(dossiers: Sequence[Dossier]) -> Html:
    """Returns a part for each network on the page: its weights, its training, its classes."""
    networks = _networks(dossiers)
    shown = [_network_html(part) for part in networks[:MOST_NETWORKS]]
    left = len(networks) - len(shown)
    return joined([*shown, paragraph(f"{left} more networks are left out.") if left else Html("")])


def training_data(dossiers: Sequence[Dossier]) -> dict[str, list[dict[str, float]]]:
    """Returns the curves of each recorded training, by checkpoint."""
    checkpoints = [part[0].checkpoint for part in _networks(dossiers)[:MOST_NETWORKS]]
    return {str(one.id): _some(_epochs(one), MOST_POINTS) for one in checkpoints if one and _epochs(one)}


def _networks(dossiers: Sequence[Dossier]) -> list[list[Dossier]]:
    """Returns the runs of each network together: those of one checkpoint, or of weights and source with one hash."""
    found: dict[object, list[Dossier]] = {}
    for one in dossiers:
        own = one.run.configuration
        key = (one.checkpoint.id,) if one.checkpoint else (
            one.run.model, one.run.source, own.get("weights_sha256"), own.get("source_sha256")
        )  # fmt: skip
        found.setdefault(key, []).append(one)
    return list(found.values())


def _network_html(part: Sequence[Dossier]) -> Html:
    run, checkpoint = part[0].run, part[0].checkpoint
    runs = ", ".join(str(one.run.id) for one in part)
    title = f"{run.model}, of run{'s' if len(part) > 1 else ''} {runs}"
    configuration = run.configuration
    weights = str((checkpoint.sha256 if checkpoint else "") or configuration.get("weights_sha256") or "")
    source = str(configuration.get("source_sha256") or "")
    told = [
        (
            "imported from" if run.kind == "import" else "weights from",
            checkpoint.file if checkpoint else run.source or "not recorded",
        ),
        ("SHA-256 of the weights", weights[:12]),
        ("SHA-256 of the source file", source[:12]),
        *(_trained(checkpoint) if checkpoint else []),
        ("classes", _classes(run.class_names)),
    ]
    return element(
        "div",
        element("h3", title),
        settings_table(told, "Weights and training"),
        *(_history(checkpoint) if checkpoint else [_unknown()]),
    )


def _trained(checkpoint: CheckpointRow) -> list[tuple[str, str]]:
    own = checkpoint.configuration
    parameters: Mapping[str, Any] = own.get("parameters") or {}
    accuracies = (("clean", checkpoint.accuracy_clean), ("under noise", checkpoint.accuracy_noisy))
    return [
        ("checkpoint", f"{checkpoint.id}" + (f", {checkpoint.name}" if checkpoint.name else "")),
        ("note", checkpoint.note or ""),
        ("tags", ", ".join(checkpoint.tags)),
        ("trained on", checkpoint.dataset),
        ("objective", checkpoint.objective),
        ("its parameters", ", ".join(f"{name} {_plain(value)}" for name, value in parameters.items())),
        ("averaged weights", f"decay {own['ema']:g}" if own.get("ema") else ""),
        ("began with", _began_with(own)),
        ("σ of the training noise", number_text(checkpoint.sigma)),
        *((name.replace("_", " "), _plain(own[name])) for name in _SETTINGS if own.get(name) not in (None, False)),
        ("accuracy on data kept out of training",
         ", ".join(f"{percent_text(share, 2)} % {name}" for name, share in accuracies if share is not None)),
        ("recorded", checkpoint.created_at),
    ]  # fmt: skip


def _began_with(configuration: Mapping[str, Any]) -> str:
    """Returns whose weights a training began with, and whose those did; "" where they were drawn."""
    told: list[str] = []
    while isinstance(one := configuration.get("began_with"), Mapping):
        if "checkpoint" in one:
            told.append(f"checkpoint {one['checkpoint']} ({one.get('objective')}, σ {_plain(one.get('sigma'))})")
        else:
            told.append(str(one.get("file")))
        configuration = one
    return ", which began with ".join(told)


def _unknown() -> Html:
    return paragraph("How it was trained is not recorded: it comes from elsewhere.")


def _history(checkpoint: CheckpointRow) -> list[Html]:
    epochs = _epochs(checkpoint)
    if not epochs:
        return [paragraph("Its training curves are not recorded.")]
    rows = [
        [Cell(f"{one['epoch']:g}"), Cell(f"{one['loss']:.4g}" if "loss" in one else "-"),
         *(Cell(percent_text(one.get(name), 2)) for name in _CURVES[1:3]),
         Cell(f"{one['soft_acr']:.4f}" if "soft_acr" in one else "-")]
        for one in _some(epochs, MOST_ROWS)
    ]  # fmt: skip
    titles = ("epoch", "training loss", "accuracy clean %", "accuracy under noise %", "soft ACR")
    table = rows_table(titles, rows, caption=f"Training of checkpoint {checkpoint.id}")
    some = f"{len(rows)} of {len(epochs):,} epochs; the curves have more." if len(rows) < len(epochs) else ""
    chart = element("div", class_="training", data_checkpoint=checkpoint.id)
    return [element("div", chart, element("div", table, paragraph(some, class_="settings")), class_="grid")]


def _epochs(checkpoint: CheckpointRow) -> list[dict[str, float]]:
    """Returns the recorded epochs as numbers, what is no number left out: the history is what somebody stored."""
    return [
        {name: float(one[name]) for name in ("epoch", *_CURVES) if _is_number(one.get(name))}
        for one in checkpoint.history or ()
        if isinstance(one, Mapping) and _is_number(one.get("epoch"))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _some(epochs: Sequence[dict[str, float]], most: int) -> list[dict[str, float]]:
    if len(epochs) <= most:
        return list(epochs)
    return [epochs[round(at * (len(epochs) - 1) / (most - 1))] for at in range(most)]


def _classes(names: Sequence[str] | None) -> str:
    if not names:
        return "not recorded"
    shown = ", ".join(
        f"{number} {name}" if name != str(number) else name for number, name in enumerate(names[:MOST_CLASSES])
    )
    return shown + (f", and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else "")


def _plain(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(value)
