"""Recorded jobs replay to identical effects, and a journal that was tampered with does not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from nodes.identity import Identity, verify
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import RenterMachine
from nodes.runtime import journal
from nodes.runtime.journal import Export, JournalMismatch, export_lines, read_export, replay_export
from schemas.ids import Address

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.jsonl"))


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def replay(lines: list[bytes]) -> None:
    export = read_export(lines, verify)
    replay_export(export, machine_of(export), verify)


def machine_of(export: Export) -> RenterMachine:
    return RenterMachine(msgspec.convert(export.header.config, RenterConfig))


def test_there_is_a_journal_of_every_protection_and_of_jobs_with_a_partner() -> None:
    assert [path.stem for path in JOURNALS] == ["enclave", "homomorphic", "joint", "model", "sealed-result"]


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_a_recorded_job_replays_to_identical_effects(path: Path) -> None:
    lines = lines_of(path)
    replay(lines)
    types = [orjson.loads(line)["event"]["type"] for line in lines[1:-1]]
    assert types[0] == "job.submitted"
    assert "job.assembled" in types


@pytest.mark.parametrize("path", JOURNALS, ids=lambda path: path.stem)
def test_leaving_an_entry_out_is_found(path: Path) -> None:
    lines = lines_of(path)
    with pytest.raises(JournalMismatch) as found:
        replay(lines[:5] + lines[6:])
    assert found.value.code == "incomplete"


def tampered(entries: list[bytes], at: int, change: dict[str, Any]) -> list[bytes]:
    """The entries with one changed and everything after it chained anew."""
    entry = orjson.loads(entries[at])
    merge(entry, change)
    entries[at] = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    return rechained(entries, at)


def rechained(entries: list[bytes], at: int) -> list[bytes]:
    """Entries whose hashes fit again from `at` on."""
    for number in range(at + 1, len(entries)):
        entry = orjson.loads(entries[number])
        entry["prev"] = hashlib.sha256(entries[number - 1]).hexdigest()
        entries[number] = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
    return entries


def merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = value


def find(lines: list[bytes], event_type: str) -> int:
    return next(n for n, line in enumerate(lines[1:-1]) if orjson.loads(line)["event"]["type"] == event_type)


@pytest.mark.parametrize(
    ("event_type", "change", "codes"),
    [
        ("job.prepared", {"event": {"data": {"facts": {"free_cores": 1.25}}}}, {"different-effects"}),
        ("job.prepared", {"now": 1.0}, {"different-effects", "bad-signature"}),
        ("result.accepted", {"event": {"data": {"batch": 4097}}}, {"different-refusal"}),
        ("job.submitted", {"event": {"data": {"spec": {"lessors": 3}}}}, {"different-effects", "bad-signature"}),
        ("job.submitted", {"effects": []}, {"different-effects"}),
    ],
)
def test_a_rewritten_entry_is_found_though_its_chain_fits(
    event_type: str, change: dict[str, Any], codes: set[str]
) -> None:
    lines = lines_of(JOURNALS[1])
    export = read_export(lines, verify)
    entries = tampered(list(export.entries), find(lines, event_type), change)
    with pytest.raises(JournalMismatch) as found:
        journal.replay(entries, machine_of(export), Address(export.header.me), export.header.public_key, verify)
    assert found.value.code in codes


def test_a_journal_signed_by_somebody_else_is_found() -> None:
    lines = lines_of(JOURNALS[1])
    export = read_export(lines, verify)
    forger = Identity.from_seed(Address("A11.A12"), b"\x01" * 32)
    header = msgspec.structs.replace(export.header, public_key=forger.public)
    with pytest.raises(JournalMismatch) as found:
        replay(export_lines(header, export.entries, forger.sign))
    assert found.value.code == "bad-signature"


def test_a_changed_entry_with_the_old_trailer_is_found() -> None:
    lines = lines_of(JOURNALS[1])
    changed = lines[3].replace(b'"n":2', b'"n":3')
    assert changed != lines[3]
    with pytest.raises(JournalMismatch):
        replay([*lines[:3], changed, *lines[4:]])
