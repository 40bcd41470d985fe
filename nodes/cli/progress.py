"""A job's progress, on stderr: a bar on a terminal, a line per phase elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nodes.cli.console import Output
from nodes.views.report import JobReport
from nodes.views.waiting import over_lost_links

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


async def follow(reports: AsyncIterator[JobReport], output: Output) -> JobReport:
    """Show a watched job until it has ended; its last report."""
    last: JobReport | None = None
    with JobProgress(output) as progress:
        async for last in reports:
            progress.show(last)
    assert last is not None, "a watch says how the job ended"
    return last


async def ended(reports: AsyncIterator[JobReport]) -> JobReport:
    """A watched job's last report."""
    return [report async for report in reports][-1]


class JobProgress:
    """Shows reports of one job."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._phase = ""
        self._lost: list[str] = []

    def __enter__(self) -> Self:
        if self._output.progress.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

            rows = TextColumn("{task.fields[rows]}")
            columns = (TextColumn("{task.description}"), BarColumn(), rows, TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._output.progress, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("submitted", total=None, rows="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, report: JobReport) -> None:
        """The job as it is now."""
        rows = f"{report.rows_done:,} of {report.rows:,} rows" if report.rows else ""
        if self._bar is not None and self._task is not None:
            total = report.rows or None
            self._bar.update(self._task, description=report.phase, completed=report.rows_done, total=total, rows=rows)
        elif report.phase != self._phase:
            self._output.note(f"{report.id} {report.phase}" + (f" {rows}" if rows else ""))
        self._phase = report.phase
        lost = over_lost_links(report)
        for each in lost:
            if each not in self._lost:
                self._output.note(f"{report.id} waits: {each}")
        self._lost = lost
