"""How a job looks: in one line, and in a notebook. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from nodes.views.models import figures
from nodes.views.parts import summed
from nodes.views.report import JobReport
from schemas.joint import Learned

STAGES: Final = ("submitted", "preparing", "ordering", "running", "assembling", "completed")
JOINT_STAGES: Final = ("submitted", "preparing", "agreeing", "joining", "ordering", *STAGES[3:])


def line(report: JobReport) -> str:
    """A job in one line."""
    said = [report.id, report.phase]
    if report.code:
        said.append(f"({report.code})")
    if report.rows and not report.ended:
        said.append(f"{report.rows_done:,} of {report.rows:,} rows")
    return f"<{' '.join(said)}>"


def ledger(lines: tuple[Learned, ...]) -> Iterator[str]:
    """What each party learned, a line per kind."""
    for party, kind, rounds, count, shape in summed(lines):
        yield f"{party:<8} {kind:<22} {count:>9,}  {shape}" + (f", in {rounds} rounds" if rounds > 1 else "")


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
    stages = STAGES if report.joint is None else JOINT_STAGES
    if report.phase not in stages:
        return f"<b>{escape(report.phase)}</b>"
    return " › ".join(f"<b>{each}</b>" if each == report.phase else each for each in stages)


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
    if report.joint is not None:
        yield "partner", f"{report.joint.partner}, {report.joint.dataset}"
    if report.joint is not None and report.joint.fit is not None:
        fit = report.joint.fit
        of = f"{fit.rows:,} rows, {len(fit.columns)} columns here, {fit.partner_columns} at the partner"
        yield "model", f"{fit.algorithm} of {fit.label}: {of}"
        yield "scored" if fit.scored else "fit", figures(fit) + (f" of {fit.scored:,} rows" if fit.scored else "")
    if report.ended_at:
        yield "time", f"{report.seconds:.1f} s"
