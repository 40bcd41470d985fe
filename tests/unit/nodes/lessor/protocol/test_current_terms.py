"""A lessor holds contracts against the terms that it offers now, offline: its hubs may lie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import Struct, structs

from nodes.identity import verify
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.draft import Draft, Worker
from nodes.lessor.protocol.market import sell_order
from nodes.lessor.protocol.records import OFFERED, Offered
from nodes.lessor.protocol.terms import check_current
from nodes.machine import Context, Refused
from nodes.records import RecordSet
from schemas.contracts import Contract
from schemas.events import SubtaskAnnounced, SubtaskAssigned
from schemas.ids import derive_id
from schemas.limits import QUOTE_LEASE_SECONDS
from tests.unit.nodes.lessor.protocol.desk import NAME, NOW, Desk, rented, terms
from tests.unit.nodes.lessor.rentals import HUB_KEYS, IDENTITIES, LESSOR, contract

CONFIG = LessorConfig(me=LESSOR, key=IDENTITIES[LESSOR].public, hub_keys=HUB_KEYS)


def on_terms(since: float, starts_at: float, **terms: Any) -> Contract:
    sell = sell_order(replace(CONFIG, **terms), since, since, IDENTITIES[LESSOR].sign)
    return structs.replace(contract(now=NOW), sell=sell, price_micros=sell.price_micros, starts_at=starts_at)


def check(of: Contract, *, since: float) -> None:
    """As a worker does that offers the usual terms since then."""
    records = RecordSet()
    records.put(OFFERED, Offered(since=since))
    context = Context(LESSOR, NOW, bytes(32), "event", IDENTITIES[LESSOR].sign, verify)
    check_current(of, Draft(Worker(CONFIG, derive_id("worker", 1), "w1"), records, context))


@pytest.mark.parametrize("terms", [{"price_micros": 1}, {"units": 9}, {"memory_mib": 4096}])
def test_a_contract_on_terms_that_were_replaced_before_it_began_is_refused(terms: dict[str, Any]) -> None:
    late = on_terms(NOW - 100, NOW - 50 + QUOTE_LEASE_SECONDS + 1, **terms)
    with pytest.raises(Refused) as refused:
        check(late, since=NOW - 50)
    assert refused.value.code == "order-replaced"


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (on_terms(NOW - 100, NOW - 60, price_micros=1), "it began before"),
        (on_terms(NOW - 100, NOW - 50 + QUOTE_LEASE_SECONDS, price_micros=1), "it was quoted before"),
        (on_terms(NOW - 100, NOW), "the terms are the same"),
        (on_terms(NOW - 10, NOW, price_micros=1), "another worker has younger terms"),
    ],
    ids=lambda each: each.replace(" ", "-") if isinstance(each, str) else "",
)
def test_other_contracts_are_taken(of: Contract, why: str) -> None:
    check(of, since=NOW - 50)


def _late() -> Contract:
    """Signed by everybody, and it began when its price was no longer offered."""
    sell = sell_order(replace(CONFIG, price_micros=1), NOW - 100, NOW - 60, IDENTITIES[LESSOR].sign)
    return rented(sell=sell, price_micros=1, starts_at=NOW - 50 + QUOTE_LEASE_SECONDS + 1)


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("subtask.announced", SubtaskAnnounced(terms=terms(contract=_late()))),
        ("subtask.assigned", SubtaskAssigned(terms=terms(contract=_late()), worker=NAME, nonce=b"nonce")),
    ],
    ids=["announced", "assigned"],
)
def test_a_worker_takes_nothing_under_terms_that_were_replaced(event_type: str, data: Struct) -> None:
    desk = Desk().announce()
    desk.records.put(OFFERED, Offered(since=NOW - 50))
    with pytest.raises(Refused) as refused:
        desk.handle(event_type, data)
    assert refused.value.code == "order-replaced"
    assert desk.phase == "asked"
