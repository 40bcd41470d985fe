"""Journals replay to identical effects, and any change to one is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from nodes.identity import Identity, verify
from nodes.machine import TIMER_FIRED, Context, Records, Step, TimerFired
from nodes.runtime.decider import Decider, Given
from nodes.runtime.journal import Header, JournalMismatch, export_lines, read_export, replay, replay_export
from nodes.store.port import GENESIS, Input, View
from schemas.events import Event, OrderCancelled
from schemas.ids import Address, derive_id
from tests.support.toy_machine import ToyMachine, WorkDone

ME = Identity.from_seed(Address("A11.A12"), b"\x01" * 32)
PEER = Identity.from_seed(Address("A11.B12"), b"\x02" * 32)
MACHINE = ToyMachine({PEER.address: PEER.public})


def _events() -> list[Event]:
    def wire(n: int, reason: str) -> Event:
        data = OrderCancelled(order=derive_id("sell", n), reason=reason)
        return Event(
            id=derive_id("event", n),
            type="order.sell.cancelled",
            source=PEER.address,
            to=ME.address,
            time=100.0 + n,
            subject="job",
            data=data,
            cause="cause",
            attributes={"extra": "x"},
        )

    def own(n: int, event_type: str, data: Any) -> Event:
        me = ME.address
        return Event(
            id=derive_id("own", n), type=event_type, source=me, to=me, time=100.0 + n, subject="job", data=data
        )

    return [
        wire(0, "answer"),
        wire(1, "work"),
        own(2, "work.done", WorkDone(number=3)),
        wire(3, "refuse"),
        wire(4, "timer 500.25"),
        own(5, TIMER_FIRED, TimerFired(name="alarm", at=500.25)),
        wire(6, "answer again"),
    ]


@pytest.fixture(scope="module")
def entries() -> list[bytes]:
    """A journal as the runtime's decider writes it."""
    decide = Decider(MACHINE, ME.address, ME.sign, verify)
    records: dict[str, Any] = {}
    lines: list[bytes] = []
    for n, event in enumerate(_events()):
        last = hashlib.sha256(lines[-1]).hexdigest() if lines else GENESIS
        given = Given(event, 1000.0 + n, bytes([n]) * 32)
        decision = decide(Input(event.id, "job", given), View(records, len(lines), last))
        records.update(decision.put)
        lines.append(decision.entry)
    return lines


def _replay(lines: list[bytes], machine: ToyMachine = MACHINE) -> None:
    replay(lines, machine, ME.address, ME.public, verify)


def _code(lines: list[bytes], machine: ToyMachine = MACHINE) -> str:
    with pytest.raises(JournalMismatch) as caught:
        _replay(lines, machine)
    return caught.value.code


def _changed(lines: list[bytes], n: int, change: Callable[[Any], None]) -> list[bytes]:
    """The journal with one entry changed and the chain after it made to fit again, as a careful forger would."""
    out: list[bytes] = []
    for number, line in enumerate(lines):
        entry = orjson.loads(line)
        entry["prev"] = hashlib.sha256(out[-1]).hexdigest() if out else GENESIS
        if number == n:
            change(entry)
        out.append(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS))
    return out


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(entry: Any) -> None:
        for name in path[:-1]:
            entry = entry[name]
        assert entry[path[-1]] != to
        entry[path[-1]] = to

    return change


def test_a_journal_replays_to_identical_effects(entries: list[bytes]) -> None:
    _replay(entries)
    assert [bool(orjson.loads(line)["refused"]) for line in entries] == [False] * 3 + [True] + [False] * 3


def test_an_unchanged_forgery_is_the_journal_itself(entries: list[bytes]) -> None:
    assert _changed(entries, 0, lambda _: None) == entries


@pytest.mark.parametrize(
    ("n", "change", "code"),
    [
        (0, _set("n", to=1), "broken-chain"),
        (1, _set("prev", to="0" * 64), "broken-chain"),
        (0, _set("event", "id", to=derive_id("event", 99)), "bad-signature"),
        (0, _set("event", "type", to="no.such.type"), "bad-entry"),
        (0, _set("event", "source", to="A11.C12"), "different-effects"),
        (0, _set("event", "subject", to="other"), "different-effects"),
        (0, _set("event", "data", "reason", to="other"), "bad-signature"),
        (0, _set("event", "data", to=None), "bad-entry"),
        (3, _set("event", "data", "reason", to="answer"), "bad-signature"),
        (0, _set("event", "data", "reason", to="refuse"), "different-refusal"),
        (1, _set("entropy", to="00" * 32), "different-effects"),
        (1, _set("entropy", to="zz"), "bad-entry"),
        (0, _set("signatures", 0, to="00" * 64), "bad-signature"),
        (0, _set("signatures", 0, to="zz"), "bad-entry"),
        (0, _set("signatures", to=[]), "bad-signature"),
        (3, _set("signatures", to=["00" * 64]), "bad-signature"),
        (0, _set("effects", 1, "to", to="A11.C12"), "different-effects"),
        (0, _set("effects", 1, "data", "reason", to="other"), "different-effects"),
        (1, _set("effects", 1, "params", "of", to="other"), "different-effects"),
        (4, _set("effects", 1, "at", to=500.5), "different-effects"),
        (0, _set("effects", to=[]), "different-effects"),
        (3, _set("refused", to=["told-to", "another reason"]), "different-refusal"),
        (3, _set("refused", to=None), "different-refusal"),
        (0, _set("refused", to=["told-to", "the event says so"]), "different-refusal"),
        (0, lambda entry: entry.pop("now"), "bad-entry"),
        (0, lambda entry: entry.update(more=1), "bad-entry"),
    ],
)
def test_a_changed_field_is_found_although_the_chain_fits(
    entries: list[bytes], n: int, change: Callable[[Any], None], code: str
) -> None:
    assert _code(_changed(entries, n, change)) == code


@pytest.mark.parametrize(
    "change",
    [
        _set("now", to=5.0),
        _set("event", "type", to="order.buy.cancelled"),
        _set("event", "time", to=5.0),
        _set("event", "cause", to="other"),
        _set("event", "attributes", to={}),
        _set("event", "to", to="A11.C12"),
        _set("event", "data", "order", to=derive_id("sell", 99)),
    ],
)
def test_a_changed_field_without_influence_on_effects_breaks_the_chain_or_the_trailer(
    entries: list[bytes], change: Callable[[Any], None]
) -> None:
    rechained = _changed(entries, 0, change)
    assert _code([rechained[0], *entries[1:]]) == "broken-chain"
    with pytest.raises(JournalMismatch) as caught:
        read_export([*_export(entries)[:1], *rechained, _export(entries)[-1]], verify)
    assert caught.value.code == "incomplete"


@pytest.mark.parametrize("lost", [0, 2, 5])
def test_a_lost_entry_breaks_the_chain(entries: list[bytes], lost: int) -> None:
    assert _code(entries[:lost] + entries[lost + 1 :]) == "broken-chain"


def test_two_entries_cannot_change_places(entries: list[bytes]) -> None:
    assert _code([entries[0], entries[2], entries[1], *entries[3:]]) == "broken-chain"


def test_another_nodes_key_does_not_fit(entries: list[bytes]) -> None:
    with pytest.raises(JournalMismatch) as caught:
        replay(entries, MACHINE, ME.address, PEER.public, verify)
    assert caught.value.code == "bad-signature"


def test_a_machine_that_now_behaves_otherwise_is_found(entries: list[bytes]) -> None:
    class Changed(ToyMachine):
        def handle(self, records: Records, event: Event, context: Context) -> Step:
            step = super().handle(records, event, context)
            return Step(put=step.put, effects=step.effects[:1])

    assert _code(entries, Changed({})) == "different-effects"


def _export(entries: list[bytes]) -> list[bytes]:
    header = Header(me=ME.address, public_key=ME.public, machine="hub", aggregate="job", config={"a": 1})
    return export_lines(header, entries, ME.sign)


def test_an_export_reads_back_and_replays(entries: list[bytes]) -> None:
    export = read_export(_export(entries), verify)
    assert (export.header.config, export.entries) == ({"a": 1}, tuple(entries))
    replay_export(export, MACHINE, verify)


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (lambda lines: [*lines[:-2], lines[-1]], "incomplete"),
        (lambda lines: lines[:-1], "bad-entry"),
        (lambda lines: lines[:1], "incomplete"),
        (lambda lines: [lines[0].replace(b'"a":1', b'"a":2'), *lines[1:]], "bad-signature"),
        (lambda lines: [lines[0].replace(b"A11.A12", b"A11.A13"), *lines[1:]], "bad-signature"),
        (lambda lines: [lines[0].replace(b'"format":1', b'"format":2'), *lines[1:]], "bad-entry"),
        (lambda lines: [*lines[:-2], lines[-2].replace(b"again", b"other"), lines[-1]], "incomplete"),
        (lambda lines: [b"{", *lines[1:]], "bad-entry"),
    ],
)
def test_a_shortened_or_changed_export_is_found(
    entries: list[bytes], forge: Callable[[list[bytes]], list[bytes]], code: str
) -> None:
    lines = _export(entries)
    forged = forge(lines)
    assert forged != lines
    with pytest.raises(JournalMismatch) as caught:
        read_export(forged, verify)
    assert caught.value.code == code


def test_an_export_of_another_role_is_refused(entries: list[bytes]) -> None:
    header = Header(me=ME.address, public_key=ME.public, machine="renter", aggregate="job")
    export = read_export(export_lines(header, entries, ME.sign), verify)
    with pytest.raises(JournalMismatch) as caught:
        replay_export(export, MACHINE, verify)
    assert caught.value.code == "wrong-machine"
