"""Jobs and orders of a running network, as a node's store has them; submitting and cancelling jobs.

Reads the store beside the node's own workers; changes nothing there. What is to be done, workers get as an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from nodes.bootstrap import connect, evidence_policy, new_job_id, renter_config
from nodes.cli import show
from nodes.cli.alone import copy_result, print_result
from nodes.cli.console import JobProgress, Output, table, to_json
from nodes.cli.inputs import Inputs
from nodes.config import NodeConfig
from nodes.hub.records import RECORD_TYPES as HUB_RECORDS
from nodes.hub.records import BuyRecord, SellRecord
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.records import RECORD_TYPES as RENTER_RECORDS
from nodes.renter.protocol.records import ContractRecord
from nodes.renter.submission import JobOptions, publish_cancel, publish_job, stage
from nodes.runtime.journal import Header, export_lines
from nodes.store.blobs import BlobStore
from nodes.store.port import Store
from nodes.store.sqlite import SqliteStore
from nodes.views.jobs import JobReport, explain, report
from nodes.views.jobs import list_jobs as reports
from schemas.errors import BadConfig, PolicyRefused

CONNECT_SECONDS_MAX: Final = 5.0
"""A person waits: shorter than what node processes allow a starting broker."""
WATCH_SECONDS: Final = 0.2
"""How often a watched job is looked at."""


async def submit_job(config: NodeConfig, inputs: Inputs, wishes: JobOptions, output: Output, *, wait: bool) -> int:
    """Stage and publish a job; with `wait`, the exit code is the job's.

    Raises:
        SubletError: the files cannot be used, a policy forbids it, or the broker cannot be reached.
    """
    _check_policy(config, wishes)
    identity, job = config.identity(), new_job_id()
    for folder in (config.data_dir, config.jobs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = functools.partial(stage, jobs=config.jobs, blobs=BlobStore(config.blobs), job_id=job)
    try:
        spec = await asyncio.to_thread(staging, inputs.data, inputs.program, inputs.local_program, wishes)
        broker = await connect(config, timeout_seconds=CONNECT_SECONDS_MAX)
        try:
            await publish_job(broker, identity, spec, time.time)
        finally:
            await broker.close()
    except BaseException:
        shutil.rmtree(config.jobs / job, ignore_errors=True)
        raise
    if wait:
        output.note(f"submitted {job}")
        return await watch_job(config, job, output)
    output.text(job)
    output.result({"job": job, "state": "submitted"})
    return 0


def _check_policy(config: NodeConfig, wishes: JobOptions) -> None:
    """What this renter would refuse later anyway.

    Raises:
        PolicyRefused: saying which option or setting would allow it.
        BadConfig: the renter's policy file.
    """
    accepted = evidence_policy(config)
    if wishes.accept_software_enclave and not accepted.accept_software:
        raise PolicyRefused(
            f"{config.address} never accepts software enclaves: its [renter] settings or policy file forbid them"
        )
    if accepted.kinds or wishes.accept_software_enclave:
        return
    if wishes.protection in ("enclave", "sealed-result"):
        raise PolicyRefused(
            f"--protection {wishes.protection} finds only software enclaves, which are not confidential: accept that "
            "by --accept-software-enclave, or use --protection homomorphic"
        )


async def cancel_job(config: NodeConfig, job: str, output: Output) -> None:
    """Ask the renter's workers to take the job back."""
    async with _store(config) as store:
        await _report(store, job, config)
    broker = await connect(config, timeout_seconds=CONNECT_SECONDS_MAX)
    try:
        await publish_cancel(broker, config.identity(), job, time.time)
    finally:
        await broker.close()
    output.text(f"{job}: cancellation requested")
    output.result({"job": job, "state": "cancellation requested"})


async def list_jobs(config: NodeConfig, output: Output) -> None:
    """All jobs."""
    async with _store(config) as store:
        found = await reports(store, config.jobs)
    made = table("", "job", "state", "protection", "#rows", "#done", "#seconds", "submitted", "reason")
    for each in found:
        counts = (f"{each.rows:,}", f"{each.rows_done:,}", f"{each.seconds:.1f}" if each.ended else "")
        protection = each.protection or each.asked
        made.add_row(each.id, each.phase, protection, *counts, show.when(each.submitted_at), each.reason)
    output.text(made)
    output.result([show.as_value(each) for each in found])


async def show_job(config: NodeConfig, job: str, output: Output) -> None:
    """One job, with its orders."""
    async with _store(config) as store:
        found = await _report(store, job, config)
        records = await store.read(job)
    if found.contracts:
        output.text(show.orders_table(records))
    show.show(output, found)


async def watch_job(config: NodeConfig, job: str, output: Output) -> int:
    """Follow a job to its end; its exit code. A job that the workers have not taken yet is waited for."""
    last: JobReport | None = None
    async with _store(config, make=True) as store:
        with JobProgress(output) as progress:
            while last is None or not last.ended:
                with contextlib.suppress(LookupError):
                    now = await report(store, job, config.jobs)
                    if now != last:
                        last = now
                        progress.show(now)
                if last is None and not (config.jobs / job).is_dir():
                    raise _unknown(job)
                if last is None or not last.ended:
                    await asyncio.sleep(WATCH_SECONDS)
    show.show(output, last)
    if last.phase == "failed":
        output.note(f"sublet: {job} failed: {last.reason}")
    return show.exit_code(last)


async def job_result(config: NodeConfig, job: str, out: Path | None, output: Output) -> int:
    """A completed job's output to `out` or stdout.

    Raises:
        BadConfig: the job has none (yet).
    """
    async with _store(config) as store:
        found = await _report(store, job, config)
    if found.output is None:
        why = f": {found.reason}" if found.reason else ", it has no result yet"
        if found.phase == "failed":
            output.note(f"{job} failed{why}")
            output.result(show.as_value(found))
            return show.exit_code(found)
        raise BadConfig(f"{job} is {found.phase}{why}", field="job")
    if out is not None:
        copy_result(found.output, out)
        output.text(f"{out}")
    elif not output.as_json:
        print_result(found.output)
    output.result(show.as_value(found) | {"output": out or found.output})
    return 0


async def explain_job(config: NodeConfig, job: str, output: Output) -> None:
    """The job's journal in words."""
    async with _store(config) as store:
        try:
            lines = await explain(store, job)
        except LookupError as error:
            raise _unknown(job) from error
    for line in lines:
        _explain_line(line, lines[0]["time"], output)
    output.result(lines)


async def list_orders(config: NodeConfig, output: Output) -> None:
    """The hub's book, or the orders behind a renter's contracts.

    Raises:
        BadConfig: a lessor keeps no orders.
    """
    if config.role == "lessor":
        raise BadConfig(f"{config.address} is a lessor and has no store: ask its hub", field="config")
    async with _store(config) as store:
        if config.role == "hub":
            rows = _book(await store.read("hub"))
        else:
            names = await store.aggregates("job-")
            rows = [row for name in names for row in _of_contracts(await store.read(name))]
    made = table("", "order", "kind", "by", "#units", "#free", "#price/h", "protections", "state", "until")
    for row in rows:
        until = show.when(float(row["until"]))
        free = "" if row["free"] is None else str(row["free"])
        amounts = (str(row["units"]), free, show.price(row["price_micros"]))
        made.add_row(row["order"], row["kind"], row["by"], *amounts, ", ".join(row["protections"]), row["state"], until)
    output.text(made)
    output.result(rows)


async def export_events(config: NodeConfig, job: str, out: Path | None) -> None:
    """The job's journal as signed JSON lines to `out` or stdout."""
    identity = config.identity()
    async with _store(config) as store:
        entries = await store.journal(job)
    if not entries:
        raise _unknown(job)
    header = Header(
        me=config.address,
        public_key=identity.public,
        machine=RenterMachine.name,
        aggregate=job,
        config=msgspec.to_builtins(renter_config(config, identity)),
    )
    text = b"".join(line + b"\n" for line in export_lines(header, entries, identity.sign))
    if out is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        return
    try:
        await asyncio.to_thread(out.write_bytes, text)
    except OSError as error:
        raise BadConfig(f"cannot write {out}: {error.strerror or error}", field="out") from error


@contextlib.asynccontextmanager
async def _store(config: NodeConfig, *, make: bool = False) -> AsyncIterator[Store]:
    """The node's store; an empty one in memory where the node has not run yet, unless `make`."""
    types = HUB_RECORDS if config.role == "hub" else RENTER_RECORDS
    store = await SqliteStore.open(config.database if make or config.database.exists() else None, types)
    try:
        yield store
    finally:
        await store.close()


async def _report(store: Store, job: str, config: NodeConfig) -> JobReport:
    try:
        return await report(store, job, config.jobs)
    except LookupError as error:
        raise _unknown(job) from error


def _unknown(job: str) -> BadConfig:
    return BadConfig(f"there is no job {job} here; `sublet job list` shows those there are", field="job")


def _explain_line(line: Mapping[str, Any], start: float, output: Output) -> None:
    output.text(f"{line['time'] - start:+9.3f} s  {line['type']}  from {line['from']}")
    if line["refused"]:
        output.text(f"             refused: {': '.join(line['refused'])}")
    for note in line["notes"]:
        plain = {name: value for name, value in note["details"].items() if not isinstance(value, (dict, list))}
        numbers = _numbers(plain)
        output.text(f"             {note['kind']}: {note['text']}" + (f" ({numbers})" if numbers else ""))
        for name, value in note["details"].items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    output.text(f"               {name}: {_numbers(each)}")
    for verb, what in (("sent", line["sent"]), ("started", line["started"])):
        for name, times in Counter(what).items():
            output.text(f"             {verb} {name}" + (f" ×{times}" if times > 1 else ""))


def _numbers(details: Mapping[str, Any], prefix: str = "") -> str:
    """Names and values in one line; what a value holds itself gets both names."""
    return ", ".join(
        _numbers(value, f"{prefix}{name}.") if isinstance(value, dict) else f"{prefix}{name}={_number(value)}"
        for name, value in details.items()
        if value is not None
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else to_json(value) if isinstance(value, list) else str(value)


def _book(records: Mapping[str, Struct]) -> list[dict[str, Any]]:
    rows = []
    for record in records.values():
        if isinstance(record, SellRecord):
            order = record.order
            state = "cancelled" if record.cancelled else "silent" if record.silent else "open"
            row = _row("sell", order.id, order.lessor, order.units, record.free, order.price_micros)
            rows.append(row | {"protections": order.protections, "state": state, "until": order.expires_at})
        elif isinstance(record, BuyRecord):
            buy = record.order
            row = _row("buy", buy.id, buy.renter, buy.units, None, buy.price_micros_max)
            rows.append(row | {"protections": (buy.protection,), "state": record.state, "until": buy.match_by})
    return rows


def _of_contracts(records: Mapping[str, Struct]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for record in records.values():
        if isinstance(record, ContractRecord):
            buy, sell = record.contract.buy, record.contract.sell
            ends = {"state": "ended" if record.ended else "rented", "until": record.contract.ends_at}
            row = _row("buy", buy.id, buy.renter, buy.units, None, buy.price_micros_max)
            rows[buy.id] = row | {"protections": (buy.protection,), **ends}
            row = _row("sell", sell.id, sell.lessor, sell.units, None, sell.price_micros)
            rows[sell.id] = row | {"protections": sell.protections, **ends}
    return list(rows.values())


def _row(kind: str, order: str, by: str, units: int, free: int | None, price_micros: int) -> dict[str, Any]:  # noqa: PLR0917
    return {"order": order, "kind": kind, "by": by, "units": units, "free": free, "price_micros": price_micros}
