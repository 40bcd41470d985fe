"""How jobs look: assessment, orders, contracts, route and state, as text and tables, and as JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from nodes.cli.console import Output, table
from nodes.renter.protocol import handshakes
from nodes.renter.protocol.records import ContractRecord
from nodes.views.jobs import JobReport
from schemas.ids import Address, hub_of
from schemas.jobs import Assessment, Candidate, Costs

if TYPE_CHECKING:
    from rich.table import Table

POLICY_CODES: Final = handshakes.POLICY_CODES | {"no-enclave"}
MIB: Final = 1024 * 1024
INPUT_CODES: Final = frozenset({"bad-input", "no-file", "bad-split", "not-linear"})


def exit_code(report: JobReport) -> int:
    """Of a command that waited for this job: 0, or why it failed (the README's table)."""
    if report.phase != "failed":
        return 0
    return 2 if report.code in INPUT_CODES else 4 if report.code in POLICY_CODES else 1


def as_value(report: JobReport) -> dict[str, Any]:
    """A job for programs."""
    return {
        "job": report.id,
        "state": report.phase,
        "protection": report.protection,
        "asked": report.asked,
        "assessment": report.assessment,
        "spent": report.spent,
        "rows": report.rows,
        "rows_done": report.rows_done,
        "batches": report.batches,
        "batches_done": report.batches_done,
        "seconds": round(report.seconds, 3),
        "contracts": report.contracts,
        "route": report.route,
        "confidential": report.confidential,
        "code": report.code,
        "reason": report.reason,
        "output": report.output,
    }


def job_lines(report: JobReport) -> list[str | Table]:
    """A job for people."""
    lines: list[str | Table] = [
        f"job         {report.id}: {report.phase}" + (f", {report.code}" if report.code else "")
    ]
    if report.reason:
        lines.append(f"reason      {report.reason}")
    if report.assessment is not None:
        lines += assessment_lines(report.assessment)
    if report.contracts:
        lines += [contracts_table(report.contracts), *(f"route       {way}" for way in report.route)]
    if report.rows:
        batches = f"{report.batches_done} of {report.batches} batches"
        lines.append(f"progress    {report.rows_done:,} of {report.rows:,} rows, {batches}")
    if report.spent is not None:
        lines.append(f"spent       {costs_line(report.spent)}")
    if report.confidential and report.contracts:
        lines.append(f"protection  {report.protection}: {report.confidential}")
    if report.ended_at:
        lines.append(f"time        {report.seconds:.2f} s, submitted {when(report.submitted_at)}")
    return lines


def assessment_lines(assessment: Assessment) -> list[str | Table]:
    """The decision of A1 and A2, with every number that led to it."""
    lines: list[str | Table] = [f"assessment  {assessment.chosen}: {assessment.reason}"]
    if assessment.scheme is not None:
        noise = f", {assessment.noise} noise" if assessment.noise else ""
        lines.append(f"            scheme {assessment.scheme}{noise}")
    size = f"{assessment.rows:,} rows × {assessment.columns} columns for lessors"
    cores = f"{assessment.free_cores:.2f} free of {assessment.cores} cores"
    lines.append(f"            {size}; {cores}; error at most {assessment.max_error:g}")
    for candidate in assessment.candidates:
        scheme = f" ({candidate.scheme})" if candidate.scheme else ""
        mark = "+" if candidate.possible else "-"
        lines.append(f"            {mark} {candidate.protection}{scheme}: {candidate.reason}")
        if candidate.costs is not None:
            lines.append(f"              {costs_line(candidate.costs)}{_error(candidate)}")
    return lines


def costs_line(costs: Costs) -> str:
    """Costs for people."""
    return (
        f"core-seconds: encrypt {costs.encrypt_seconds:.3g}, lessors {costs.lessor_seconds:.3g}, "
        f"decrypt {costs.decrypt_seconds:.3g}; {costs.bytes_sent / MIB:.3g} MiB out, {costs.bytes_back / MIB:.3g} back"
    )


def _error(candidate: Candidate) -> str:
    return "" if candidate.error_bound is None else f"; error ≤ {candidate.error_bound:.1e}"


def contracts_table(contracts: Iterable[Mapping[str, Any]]) -> Table:
    """Who computes what under which contract (R4, S1)."""
    made = table("", "contract", "lessor", "hubs", "#units", "#price/h", "#rows", "#batches", "subtask", "state")
    for each in contracts:
        hubs = " + ".join(dict.fromkeys(hub_of(Address(each[name])) for name in ("renter_hub", "lessor_hub")))
        counts = (str(each["units"]), price(each["price_micros"]), f"{each['rows']:,}", str(each["batches"]))
        made.add_row(each["id"], each["lessor"], hubs, *counts, each["subtask"], each["state"])
    return made


def orders_table(records: Mapping[str, Struct]) -> Table:
    """The orders that the job's contracts bind together (R1)."""
    made = table("", "order", "by", "#units", "#price/h", "protections")
    rows: dict[str, tuple[str, ...]] = {}
    for record in records.values():
        if isinstance(record, ContractRecord):
            buy, sell = record.contract.buy, record.contract.sell
            most = f"≤ {price(buy.price_micros_max)}"
            rows[buy.id] = (f"buy  {buy.id}", buy.renter, str(buy.units), most, buy.protection)
            rows[sell.id] = (
                f"sell {sell.id}",
                sell.lessor,
                str(sell.units),
                price(sell.price_micros),
                ", ".join(sell.protections),
            )
    for row in rows.values():
        made.add_row(*row)
    return made


def show(output: Output, report: JobReport) -> None:
    """A job's report, in either form."""
    output.text(*job_lines(report))
    output.result(as_value(report))


def price(micros: int) -> str:
    """Millionths of the currency as a number of it."""
    return f"{micros / 1e6:,.6f}".rstrip("0").rstrip(".")


def when(seconds: float) -> str:
    """A time for people, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"
