"""How a job looks: in one line, and in a notebook. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from nodes.views.jobs import JobReport

STAGES: Final = ("submitted", "preparing", "ordering", "running", "assembling", "completed")


def line(report: JobReport) -> str:
    """A job in one line."""
    said = [report.id, report.phase]
    if report.code:
        said.append(f"({report.code})")
    if report.rows and not report.ended:
        said.append(f"{report.rows_done:,} of {report.rows:,} rows")
    return f"<{' '.join(said)}>"


def html(report: JobReport) -> str:
    """The stages with the present one marked, how far it is, and what is known."""
    bar = ""
    if report.rows and not report.ended:
        done = min(1.0, report.rows_done / report.rows)
        bar = f"<progress value='{done:.3f}' style='width:20em'></progress>"
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(name)}</td><td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in _facts(report)
    )
    return f"<div><code>{escape(report.id)}</code> {_stages(report)} {bar}</div><table>{rows}</table>"


def _stages(report: JobReport) -> str:
    if report.phase not in STAGES:
        return f"<b>{escape(report.phase)}</b>"
    return " › ".join(f"<b>{each}</b>" if each == report.phase else each for each in STAGES)


def _facts(report: JobReport) -> Iterator[tuple[str, str]]:
    if report.reason:
        yield "reason", f"{report.code}: {report.reason}"
    if report.protection:
        yield "protection", f"{report.protection}: {report.confidential}" if report.contracts else report.protection
    if report.columns:
        yield "columns", ", ".join(report.columns[:10]) + (", …" if len(report.columns) > 10 else "")
    if report.rows:
        yield "rows", f"{report.rows_done:,} of {report.rows:,}"
    for each in report.contracts:
        yield each.lessor, f"{each.rows:,} rows, {each.subtask or each.state}"
    if report.ended_at:
        yield "time", f"{report.seconds:.1f} s"
