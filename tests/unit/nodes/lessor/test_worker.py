"""A lessor's worker believes only contracts that bind it, and only messages that their renter signed."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs

from broker.embedded import EmbeddedServer
from broker.names import dead_queue, queue_name, routing_key
from broker.network import Hub, Link, Network, Participant
from broker.port import Broker, Message
from nodes.bootstrap.lessor import lessor_worker
from nodes.crew.crew import Crew
from nodes.lessor.lane import take_lane
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.protocol.market import sell_order
from nodes.lessor.refusals import last_refusal
from nodes.lessor.worker import LessorWorker, _Shift
from nodes.machine import SetTimer
from schemas import codec
from schemas.contracts import Receipt
from schemas.errors import BadConfig
from schemas.events import (
    CATALOGUE,
    ContractClosed,
    Event,
    KeySealed,
    SubtaskAnnounced,
    SubtaskAssigned,
    SubtaskCompleted,
    SubtaskRefused,
)
from schemas.ids import Address, derive_id
from tests.unit.nodes.lessor.rentals import HUB_B, HUB_KEYS, IDENTITIES, LESSOR, OTHER, RENTER, contract, terms

SECONDS_MAX = 20


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    lessors = tuple(Participant(name=name, role="lessor", lanes=1) for name in ("B12", "B13"))
    renter = Participant(name="A12", role="renter", lanes=0)
    hubs = (Hub(name="A11", participants=(renter,)), Hub(name="B11", participants=lessors))
    running = EmbeddedServer(Network(hubs=hubs, links=(Link(hubs=("A11", "B11")),)))
    yield running
    await running.close()


def worker_of(server: EmbeddedServer, who: Address = LESSOR) -> LessorWorker:
    config = LessorConfig(me=who, key=IDENTITIES[who].public, hub_keys=HUB_KEYS, lanes=1)
    return lessor_worker(
        config, IDENTITIES[who], server.connect(who), Crew(1), Path(tempfile.mkdtemp(prefix="lessor-")) / "receipts"
    )


@pytest.fixture
async def worker(server: EmbeddedServer) -> AsyncIterator[LessorWorker]:
    running = worker_of(server)
    task = asyncio.create_task(running.run())
    await asyncio.wait_for(running.ready.wait(), SECONDS_MAX)
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def send(
    broker: Broker,
    event_type: str,
    data: Struct | None,
    *,
    source: Address = RENTER,
    signer: Address = RENTER,
    body: bytes = b"",
    lane: str = "",
) -> None:
    event = Event(
        id=f"event-{event_type}",
        type=event_type,
        source=source,
        to=LESSOR,
        time=time.time(),
        subject="subtask",
        data=data,
        body=body,
    )
    headers, raw = codec.encode(event, IDENTITIES[signer].sign)
    key = routing_key(LESSOR, source, lane or CATALOGUE[event_type].kind)
    await broker.publish(Message(key=key, body=raw, headers=headers, id=event.id), timeout_seconds=SECONDS_MAX)


async def reason_of_the_dead_letter(server: EmbeddedServer) -> str:
    hub = server.connect(HUB_B)
    async with asyncio.timeout(SECONDS_MAX), hub.consume(dead_queue("B11"), prefetch=1) as consumer:
        async for delivery in consumer:
            await delivery.ack()
            return str(delivery.message.headers["x-sublet-reason"])
    raise AssertionError("the consumer ended")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"lessor": OTHER}, "not-my-contract"),
        ({"ends_in": -1.0}, "contract-ended"),
        ({"renter_hub": HUB_B}, "wrong-hub"),
        ({"price_micros": 1}, "price"),
    ],
)
async def test_a_contract_that_does_not_bind_this_lessor_is_refused(
    server: EmbeddedServer, worker: LessorWorker, made: dict[str, Any], reason: str
) -> None:
    await send(server.connect(RENTER), "subtask.announced", SubtaskAnnounced(terms=terms(contract(**made))))
    assert await reason_of_the_dead_letter(server) == reason


async def test_a_contract_that_a_hub_did_not_sign_is_refused(server: EmbeddedServer, worker: LessorWorker) -> None:
    forged = structs.replace(contract(), lessor_hub_signature=b"\0" * 64)
    await send(server.connect(RENTER), "subtask.announced", SubtaskAnnounced(terms=terms(forged)))
    assert await reason_of_the_dead_letter(server) == "lessor-hub-signature"
    async with asyncio.timeout(SECONDS_MAX):
        while (noted := last_refusal(worker.refusals.folder)) is None:  # noqa: ASYNC110 - a file is asked
            await asyncio.sleep(0.01)  # a file tells nobody
    assert (noted.source, noted.code) == (RENTER, "lessor-hub-signature")


async def test_only_the_contracts_renter_may_announce(server: EmbeddedServer, worker: LessorWorker) -> None:
    announced = SubtaskAnnounced(terms=terms(contract()))
    await send(server.connect(RENTER), "subtask.announced", announced, signer=OTHER)
    assert await reason_of_the_dead_letter(server) == "bad-signature"


async def test_an_announced_subtask_is_asked_for_on_the_workers_lane(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    renter = server.connect(RENTER)
    await send(renter, "subtask.announced", SubtaskAnnounced(terms=terms(contract())))
    async with asyncio.timeout(SECONDS_MAX), renter.consume(queue_name(RENTER, "control"), prefetch=1) as consumer:
        asked = codec.decode((delivery := await anext(aiter(consumer))).message.headers, delivery.message.body).event
        await delivery.ack()
    assert asked.type == "subtask.requested"
    assert getattr(asked.data, "lane", "") == worker.lane


async def test_answers_to_whoever_had_the_lane_before_are_nobodys_fault(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    renter, mine, other = server.connect(RENTER), terms(contract()), derive_id("worker", "before")
    sealed = KeySealed(subtask=mine.subtask, worker=other, sealed=b"", signature=b"", claims=b"", policy_digest=b"")
    refusal = SubtaskRefused(subtask=mine.subtask, contract=contract(), worker=other, code="x", reason="x")
    late: dict[str, Struct | None] = {
        "subtask.assigned": SubtaskAssigned(terms=mine, worker=other),
        "subtask.refused": refusal,
        "program.published": None,
        "public-key.published": None,
        "key.sealed": sealed,
    }
    for event_type, data in late.items():
        await send(renter, event_type, data, body=b"" if data else b"piece", lane=worker.lane)
    await send(renter, "subtask.announced", SubtaskAnnounced(terms=mine), lane=worker.lane)
    assert await reason_of_the_dead_letter(server) == "wrong-queue"
    noted = last_refusal(worker.refusals.folder)
    assert noted is None or noted.code == "wrong-queue"


async def test_a_receipt_that_the_renter_did_not_sign_is_not_countersigned(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    signed = contract()
    receipt = Receipt(
        contract=signed.id,
        job=signed.buy.job,
        subtask=derive_id("subtask", signed.id),
        rows=1,
        batches=1,
        started_at=1.0,
        ended_at=2.0,
        cost_micros=1,
        renter_signature=b"\0" * 64,
    )
    await send(server.connect(RENTER), "subtask.completed", SubtaskCompleted(contract=signed, receipt=receipt))
    assert await reason_of_the_dead_letter(server) == "bad-receipt"


async def test_a_worker_hears_of_ended_contracts_from_others_of_its_lessor_and_from_nobody_else(
    server: EmbeddedServer, worker: LessorWorker
) -> None:
    over = contract()
    closed = ContractClosed(contract=over.id, until=over.ends_at)
    await send(server.connect(RENTER), "contract.closed", closed, lane=worker.lane)
    assert await reason_of_the_dead_letter(server) == "wrong-role"
    await send(server.connect(LESSOR), "contract.closed", closed, source=LESSOR, signer=LESSOR, lane=worker.lane)
    for _ in range(20):  # the lane is another queue than theirs: some may come before
        await send(server.connect(RENTER), "subtask.announced", SubtaskAnnounced(terms=terms(over)))
        await asyncio.sleep(0)
    assert await reason_of_the_dead_letter(server) == "contract-ended"


async def test_a_worker_without_a_free_lane_says_so_and_ends(server: EmbeddedServer, worker: LessorWorker) -> None:
    with pytest.raises(BadConfig, match=r"all 1 lanes of B11\.B12 have workers"):
        await worker_of(server).run()


async def test_a_lane_is_free_again_when_its_worker_is_gone(server: EmbeddedServer) -> None:
    for _ in range(2):
        running = worker_of(server)
        task = asyncio.create_task(running.run())
        await asyncio.wait_for(running.ready.wait(), SECONDS_MAX)
        assert running.lane == "w1"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_lessor_has_one_order_which_is_renewed_or_gets_other_terms() -> None:
    config, sign = LessorConfig(me=LESSOR, key=IDENTITIES[LESSOR].public), IDENTITIES[LESSOR].sign
    first, later = (sell_order(config, 90.0, now, sign) for now in (100.0, 120.0))
    dearer = sell_order(replace(config, price_micros=2), 130.0, 130.0, sign)
    assert first.id == later.id == dearer.id
    assert later.expires_at == first.expires_at + 20
    assert later.has_terms_of(first)
    assert not dearer.has_terms_of(first)


async def test_a_worker_that_is_told_to_end_takes_its_order_back(server: EmbeddedServer) -> None:
    running, stop = worker_of(server), asyncio.Event()
    task = asyncio.create_task(running.run(stop))
    await asyncio.wait_for(running.ready.wait(), SECONDS_MAX)
    stop.set()
    await asyncio.wait_for(task, SECONDS_MAX)
    hub, said = server.connect(HUB_B), []
    async with asyncio.timeout(SECONDS_MAX), hub.consume(queue_name(HUB_B, "control"), prefetch=2) as consumer:
        for _ in range(2):
            delivery = await anext(aiter(consumer))
            said.append(codec.decode(delivery.message.headers, delivery.message.body).event)
            await delivery.ack()
    assert [each.type for each in said] == ["order.sell.placed", "order.sell.cancelled"]
    assert {getattr(each.data, "worker", "") for each in said} == {running.name}


async def test_a_timer_that_fires_while_its_worker_ends_says_nothing(server: EmbeddedServer) -> None:
    loop, errors, running = asyncio.get_running_loop(), list[dict[str, Any]](), worker_of(server)
    loop.set_exception_handler(lambda _, context: errors.append(context))
    async with take_lane(running.broker, LESSOR, 1) as lane:
        shift = _Shift(running, lane)
        task = asyncio.create_task(shift.run(asyncio.Event()))
        await asyncio.wait_for(running.ready.wait(), SECONDS_MAX)
        task.cancel()
        loop.call_soon(shift._fire, SetTimer(name="renew", at=time.time()))  # once it ends, before it has ended
        await asyncio.gather(task, return_exceptions=True)
    assert errors == []
