"""Sealed results at the partner's door: from lessors under contract, in an open round, and valid; else with a code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from broker.names import routing_key
from broker.port import Message
from nodes.crew.crew import Crew
from nodes.crew.errors import HandLost
from nodes.data.making import make_table
from nodes.data.reading import Reading
from nodes.homomorphic.paillier import totals
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.inputs import RECEIVED, without
from nodes.partner.activities.aligning import partners_aligner
from nodes.partner.activities.answer import answer
from nodes.partner.activities.collect import AHEAD_SECONDS_MAX, Collector
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import (
    RECORD_TYPES,
    ContractRecord,
    Part,
    PartialRefused,
    PartialTaken,
    Round,
    RoundAnswered,
    Taken,
)
from nodes.programs.check import check
from nodes.runtime.door import Door
from nodes.runtime.hearing import Hearing
from nodes.store.blobs import BlobStore
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from schemas import codec
from schemas.events import Event, batch_attributes
from schemas.ids import Address
from schemas.jobs import Batch
from tests.support import together as joint
from tests.unit.nodes.hub.world import START, public_key, signer
from tests.unit.nodes.partner.world import IDENTITY, JOB, LESSOR, ME, RENTER, batch, contract, request
from tests.unit.nodes.renter.activities.test_collect import Arrived

ROWS, VALUE_BITS, RESULT_BITS = 40, 26, 22
OTHER = Address("B11.B13")


@dataclass
class Counter:
    """A collector, and what it told the machine."""

    services: Services
    told: list[tuple[str, Any]] = field(default_factory=list)

    async def submit(self, event_type: str, data: Any, aggregate: str, *, event_id: str) -> None:
        assert aggregate == JOB
        self.told.append((event_type, data))

    async def give(self, body: bytes, of: Batch, by: Address = LESSOR, age: float = AHEAD_SECONDS_MAX) -> str:
        """Settle one sealed result, sent so many seconds ago; how it was settled."""
        event = Event("e", "batch.sealed", by, ME, START - age, JOB, None, body, attributes=batch_attributes(of))
        headers, raw = codec.encode(event, signer(by))
        arrived = Arrived(Message(routing_key(ME, by, "result"), raw, headers, "e"))
        door = Door(ME, "partner", self.services.clock)
        aligner = partners_aligner(self.services, None)  # type: ignore[arg-type]
        hearing = Hearing(None, ME, "result", wait_seconds=60.0, clock=self.services.clock)  # type: ignore[arg-type]
        desk = Desk(self.services)
        collector = Collector(self.services, desk, None, door, self.submit, aligner, hearing)  # type: ignore[arg-type]
        await collector._serve(arrived)
        (settled,) = arrived.settled
        return settled


@pytest.fixture
async def counter(tmp_path: Path, secret: PaillierSecret) -> AsyncIterator[Counter]:
    """A part whose first round is open, with one lessor's contract."""
    case = joint.make_case(tmp_path, ROWS)
    program = check(joint.partner_program())
    store, crew = await SqliteStore.open(None, RECORD_TYPES), Crew(1)
    services = Services(
        identity=IDENTITY,
        store=store,
        blobs=BlobStore(tmp_path / "blobs"),
        jobs=tmp_path / "jobs",
        clock=lambda: START,
        crew=crew,
        policy=tmp_path / "policy.toml",
    )
    folder = services.folder(JOB)
    table = make_table(folder.table, case.partner, without(program, RECEIVED), Reading(id_column="id"))
    folder.digest.write_text(table.digest)
    await put(
        services,
        part=Part(
            job=JOB,
            renter=RENTER,
            renter_key=public_key(RENTER),
            phase="accepted",
            dataset="claims",
            columns=table.columns,
            rows=ROWS,
            received=4,
            outputs=2,
            rounds=2,
        ),
        request=request(program=program.canonical, public_key=secret.public.to_bytes(), rows=ROWS),
        **{
            f"contract/{contract().id}": ContractRecord(contract=contract()),
            "round/1": Round(number=1, phase="open", value_bits=VALUE_BITS, result_bits=RESULT_BITS),
        },
    )
    yield Counter(services)
    await crew.close()
    await store.close()


async def put(services: Services, **records: Any) -> None:
    decision = Decision(START, put=records)
    arguments: dict[str, Any] = {"owner": "o", "lease_until": START, "performs_max": 0}
    name = f"event-{len(records)}-{','.join(records)}"
    await services.store.apply([Input(name, JOB)], lambda _, __: decision, **arguments)


def sealed(secret: PaillierSecret, values: np.ndarray) -> bytes:
    return secret.public.encrypt(np.rint(np.ldexp(values, RESULT_BITS)).astype(np.int64))


async def test_a_round_comes_out_as_the_sum_of_its_results(
    counter: Counter, secret: PaillierSecret, tmp_path: Path
) -> None:
    received = np.random.default_rng(1).uniform(-16, 16, size=(ROWS, 4))
    for number, (first, count) in enumerate(((0, 25), (25, 15))):
        of = batch(number, first, count)
        assert await counter.give(sealed(secret, received[first : first + count]), of) == "ack"
        event_type, taken = counter.told[-1]
        assert event_type == "partial.taken"
        assert isinstance(taken, PartialTaken)
        assert await answer(counter.services, Desk(counter.services), {"round": 1}, JOB) == [] or number
        found = Taken(batch=number, first_row=first, rows=count, lessor=LESSOR, digest=taken.digest)
        await put(counter.services, **{f"taken/1/{number}": found})
    ((_, made),) = await answer(counter.services, Desk(counter.services), {"round": 1}, JOB)
    assert isinstance(made, RoundAnswered)
    output = totals.opened(secret, counter.services.blobs.get(made.digest), 2)
    theirs = joint.make_case(tmp_path, ROWS).theirs
    expected = (received @ joint.RECEIVED_WEIGHTS + theirs @ joint.LOCAL_WEIGHTS).sum(axis=0)
    assert np.abs(np.ldexp(np.array(output, float), -made.bits) - expected).max() <= 1e-6 * np.abs(expected).max()


async def test_what_earlier_rounds_were_added_up_from_goes_with_the_next(
    counter: Counter, secret: PaillierSecret
) -> None:
    folder = counter.services.folder(JOB)
    await put(counter.services, **{"round/2": Round(number=2, phase="open", value_bits=26, result_bits=22)})
    body = sealed(secret, np.zeros((ROWS, 4)))
    for number in (1, 2):
        assert await counter.give(body, batch(0, 0, ROWS, number)) == "ack"
    _, taken = counter.told[-1]
    await put(counter.services, **{"taken/2/0": Taken(batch=0, first_row=0, rows=ROWS, lessor="", digest=taken.digest)})
    await answer(counter.services, Desk(counter.services), {"round": 2}, JOB)
    assert [path.name.partition("-")[0] for path in (folder.path / "partials").iterdir()] == ["0002"]


async def test_a_round_that_lacks_rows_has_no_output(counter: Counter) -> None:
    found = Taken(batch=0, first_row=0, rows=25, lessor=LESSOR, digest="0" * 64)
    await put(counter.services, **{"taken/1/0": found})
    ((_, made),) = await answer(counter.services, Desk(counter.services), {"round": 1}, JOB)
    assert isinstance(made, RoundAnswered)
    assert made.code == "rows-not-covered"


async def test_a_round_whose_values_leave_no_room_has_no_output(counter: Counter) -> None:
    found = Taken(batch=0, first_row=0, rows=ROWS, lessor=LESSOR, digest="0" * 64)
    wide = Round(number=1, phase="open", value_bits=52, result_bits=40)
    await put(counter.services, **{"taken/1/0": found, "round/1": wide})
    ((_, made),) = await answer(counter.services, Desk(counter.services), {"round": 1}, JOB)
    assert isinstance(made, RoundAnswered)
    assert made.code == "no-room"
    assert await counter.give(b"body", batch(0, 0, ROWS)) == "ack"
    ((event_type, told),) = counter.told
    assert (event_type, told.code) == ("round.made", "no-room")


@pytest.mark.parametrize(
    ("of", "by", "settled"),
    [
        (batch(0, 0, ROWS), OTHER, "no-contract"),
        (structs.replace(batch(0, 0, ROWS), contract="contract-0123456789abcdef01234567"), LESSOR, "no-contract"),
        (batch(0, 0, ROWS, 2), LESSOR, "unknown-round"),
        (batch(0, 1, ROWS), LESSOR, "wrong-batch"),
    ],
    ids=["another lessor", "a contract that nobody showed", "a round that was not opened", "rows past the last"],
)
async def test_what_was_not_asked_of_this_lessor_is_set_aside(
    counter: Counter, of: Batch, by: Address, settled: str
) -> None:
    assert await counter.give(b"body", of, by) == settled
    assert not counter.told


async def test_a_result_that_overtook_its_contract_comes_again(counter: Counter) -> None:
    early = structs.replace(batch(0, 0, ROWS), contract="contract-0123456789abcdef01234567")
    assert await counter.give(b"body", early, age=0.0) == "retry"
    assert await counter.give(b"body", batch(0, 0, ROWS, 2), age=0.0) == "retry"


async def test_what_is_no_ciphertext_is_held_against_its_lessor(counter: Counter, secret: PaillierSecret) -> None:
    body = bytes(secret.public.body_bytes(ROWS, 4))
    assert await counter.give(body, batch(0, 0, ROWS)) == "ack"
    ((event_type, refused),) = counter.told
    assert event_type == "partial.refused"
    assert isinstance(refused, PartialRefused)
    assert (refused.lessor, refused.code) == (LESSOR, "ciphertext-invalid")


@pytest.mark.parametrize(("deaths", "told"), [(1, "partial.taken"), (2, "partial.refused")])
async def test_a_lessor_is_to_blame_only_for_what_kills_two_processes(
    counter: Counter, secret: PaillierSecret, monkeypatch: pytest.MonkeyPatch, deaths: int, told: str
) -> None:
    call, left = Crew.call, iter([True] * deaths)

    async def dying(crew: Crew, *task: Any) -> Any:
        if next(left, False):
            raise HandLost("the process that computed this ended with code -9")
        return await call(crew, *task)

    monkeypatch.setattr(Crew, "call", dying)
    assert await counter.give(sealed(secret, np.zeros((ROWS, 4))), batch(0, 0, ROWS)) == "ack"
    assert [event_type for event_type, _ in counter.told] == [told]


@pytest.mark.parametrize(("phase", "settled"), [("withdrawn", "ended"), ("finished", "ended")])
async def test_a_result_for_a_part_that_is_over_is_set_aside(counter: Counter, phase: Any, settled: str) -> None:
    part = (await counter.services.store.get(JOB, ["part"]))["part"]
    assert isinstance(part, Part)
    await put(counter.services, part=structs.replace(part, phase=phase))
    assert await counter.give(b"body", batch(0, 0, ROWS)) == settled


async def test_a_result_of_a_round_that_was_answered_is_done_with(counter: Counter) -> None:
    answered = Round(number=1, phase="answered", value_bits=VALUE_BITS, result_bits=RESULT_BITS)
    await put(counter.services, **{"round/1": answered})
    assert await counter.give(b"body", batch(0, 0, ROWS)) == "ack"
    assert not counter.told
