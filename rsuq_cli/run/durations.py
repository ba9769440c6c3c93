"""Durations as people say them."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Returns a duration in its largest unit, at least a second."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
