"""A job's journal: as lines for people, and as a signed export that replays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from nodes.machine import Sign
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.runtime.journal import Header, export_lines
from nodes.store.port import Store
from nodes.views.errors import UnknownJob


async def explain(store: Store, job_id: str) -> list[dict[str, Any]]:
    """The journal as lines: time, event, from whom, and what followed, with the numbers of every decision.

    Raises:
        UnknownJob: there is no such job.
    """
    return [_line(orjson.loads(entry)) for entry in await _entries(store, job_id)]


async def export(store: Store, job_id: str, config: RenterConfig, sign: Sign) -> list[bytes]:
    """The journal as `nodes.runtime.journal.read_export` reads it, line by line; signed by the renter.

    Raises:
        UnknownJob: there is no such job.
    """
    header = Header(
        me=config.me,
        public_key=config.key,
        machine=RenterMachine.name,
        aggregate=job_id,
        config=msgspec.to_builtins(config),
    )
    return export_lines(header, await _entries(store, job_id), sign)


async def _entries(store: Store, job_id: str) -> Sequence[bytes]:
    entries = await store.journal(job_id)
    if not entries:
        raise UnknownJob(job_id)
    return entries


def _line(entry: dict[str, Any]) -> dict[str, Any]:
    event = entry["event"]
    effects: list[dict[str, Any]] = entry["effects"]
    return {
        "time": entry["now"],
        "type": event["type"],
        "from": event["source"],
        "refused": entry["refused"],
        "sent": [f"{each['type']} → {each['to']}" for each in effects if each["effect"] == "publish"],
        "started": [each["activity"] for each in effects if each["effect"] == "perform"],
        "notes": [_note(each) for each in effects if each["effect"] == "note"],
    }


def _note(effect: dict[str, Any]) -> dict[str, Any]:
    return {name: effect[name] for name in ("kind", "text", "details")}
