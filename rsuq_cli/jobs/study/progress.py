"""One progress line for a whole study, from the progress of the jobs that it runs.

Invariant: what is counted is work, in forward passes of one network as if all cost the same; work that was finished
before an earlier call ended is not part of the total, so that the time left is that of what is left.
"""

from __future__ import annotations

from rsuq_cli.run.watcher import Watcher


class Progress:
    """Watches the jobs of a study for somebody who watches the study: a `Watcher` itself.

    `works` is the work of every step, in the order in which they come.
    """

    def __init__(self, watcher: Watcher, works: list[int]) -> None:
        self._watcher = watcher
        self._works = works
        self._at = -1
        self._what = ""
        self._shown = False
        self._done = 0
        self._task, self._units, self._of = "", 0, 1

    def step(self, what: str) -> None:
        """The next step begins; the one before has ended, whatever it did of its work."""
        self._finish()
        self._at += 1
        self._what = what

    def close(self) -> None:
        """The study has ended."""
        self._finish()
        if self._shown:
            self._watcher.end()
        self._shown = False

    def say(self, line: str) -> None:
        """Passes a line on, with the step that it is about."""
        self._watcher.say(f"[{self._at + 1}/{len(self._works)}] {line}")

    def begin(self, task: str, total: int) -> None:
        """A task of the step begins; only now it is known that there is something to do."""
        self._task, self._units, self._of = task, 0, max(1, total)
        if not self._shown:
            self._watcher.begin("study", max(1, sum(self._works[self._at :])))
            self._shown = True

    def advance(self, units: int, note: str = "") -> None:
        """So many units of the task are done."""
        self._units = min(self._of, self._units + units)
        gone = self._work * self._units // self._of - self._done
        self._done += gone
        share = 100 * self._units // self._of
        self._watcher.advance(gone, f"{self._what}: {self._task} {share} %" + (f"; {note}" if note else ""))

    def end(self) -> None:
        """The task has ended; the line stays, since the study goes on."""

    @property
    def _work(self) -> int:
        return self._works[self._at] if 0 <= self._at < len(self._works) else 0

    def _finish(self) -> None:
        """Closes a step: the line of a step that had nothing to do begins anew without it."""
        if self._at < 0 or not self._shown:
            self._done = 0
            return
        if self._done == 0:
            self._watcher.end()
            self._shown = False
        elif self._done < self._work:
            self._watcher.advance(self._work - self._done)
        self._done = 0
