"""One line for a whole study: its total is what was left when it began, and it ends where the work ends."""

from __future__ import annotations

from rsuq_cli.jobs.study.progress import Progress


class Heard:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.totals: list[int] = []
        self.done = 0
        self.ended = 0
        self.notes: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, total: int) -> None:
        self.totals.append(total)
        self.done = 0

    def advance(self, units: int, note: str = "") -> None:
        self.done += units
        self.notes.append(note)

    def end(self) -> None:
        self.ended += 1


def test_jobs_of_different_units_share_one_line() -> None:
    heard = Heard()
    progress = Progress(heard, [100, 300])
    progress.step("train")
    progress.begin("train", 10)
    for _ in range(10):
        progress.advance(1)
    progress.end()
    assert heard.done == 100
    progress.step("certify")
    progress.begin("certify", 5000)
    progress.advance(2500, "half")
    assert (heard.totals, heard.done) == ([400], 250)
    assert heard.notes[-1] == "certify: certify 50 %; half"
    progress.advance(2500)
    progress.close()
    assert (heard.done, heard.ended) == (400, 1)


def test_what_was_finished_before_is_not_part_of_the_total() -> None:
    heard = Heard()
    progress = Progress(heard, [100, 300, 50])
    progress.step("train")
    progress.say("trained already")
    progress.step("certify")
    progress.begin("certify", 10)
    progress.advance(10)
    progress.step("ood")
    assert heard.totals == [350]
    assert heard.lines == ["[1/3] trained already"]


def test_a_job_that_stops_early_has_done_its_part() -> None:
    heard = Heard()
    progress = Progress(heard, [100, 100])
    progress.step("one")
    progress.begin("one", 10)
    progress.advance(3)
    progress.step("two")
    assert heard.done == 100
    progress.close()


def test_a_finished_job_between_others_does_not_speed_the_line_up() -> None:
    heard = Heard()
    progress = Progress(heard, [100, 100, 100])
    progress.step("one")
    progress.begin("one", 1)
    progress.advance(1)
    progress.step("two")  # finished before: it never begins
    progress.step("three")
    progress.begin("three", 1)
    assert heard.totals == [300, 100]
    progress.advance(1)
    assert heard.done == 100
