"""Two sides' workers exchange masked ids: what comes twice, what is hostile, what lies in files."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from nodes.crew.crew import Crew
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.joint import chunks as sizes
from nodes.joint.aligner import AHEAD_SECONDS_MAX, Aligner, NotAligning
from nodes.joint.exchange import MASKED, REMASKED, salt
from nodes.joint.masks import Masks, read_places
from nodes.joint.records import RECORDS, Alignment, Chunk, ChunkRefused, IdsMatched
from nodes.joint.sides import Incoming, Known, Side, masking
from nodes.machine import Refused
from nodes.runtime.door import Later
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from schemas.errors import JobFailed
from schemas.events import Event
from schemas.ids import Address, address, derive_id

RENTER, PARTNER = address("A11", "A12"), address("C11", "C12")
JOB, NOW = derive_id("job", 1), 1_800_000_000.0
EACH = 4
"""Ids in a chunk, here."""
MINE = [f"person {each}" for each in (8, 3, 5, 21, 13, 2, 1, 34, 0, 55)]
THEIRS = [f"person {each}" for each in (0, 1, 2, 4, 8, 16, 3)]
COMMON = [each for each in MINE if each in THEIRS]
SALT = salt(JOB, b"r" * 32, b"p" * 32)


@dataclass
class Sent:
    """What a side published, as a `Post`."""

    me: Address
    events: list[Event] = field(default_factory=list)

    async def send(self, event_type: str, to: str, subject: str, **more: Any) -> None:
        body, attributes = more["body"], more["attributes"]
        event = Event(
            more["event_id"], event_type, self.me, Address(to), NOW, subject, body=body, attributes=attributes
        )
        self.events.append(event)


@dataclass
class Half:
    """One side: what its workers share, and the worker that is there now."""

    me: Address
    other: Address
    ids: list[str]
    folder: Path
    store: SqliteStore
    crew: Crew
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    sent: Sent = field(init=False)
    over: bool = False
    inputs: int = 0

    def __post_init__(self) -> None:
        self.sent = Sent(self.me)
        blocks = [Block(np.zeros((len(self.ids), 1)), (self.ids,))]
        self.table = write_table(self.folder / "table", [Column("id", "text"), Column("x")], blocks, id_column="id")

    @property
    def worker(self) -> Aligner:
        """A new one at each call: the one before was killed."""

        async def load(job: str, state: Alignment) -> Side:
            masks, places = Masks(self.folder / "alignment"), self.folder / "places"
            return Side(self.other, self.table, masking(self.secret, state), masks, places, self.me == RENTER)

        async def known(job: str) -> Known:
            return Known(self.other, b"key", over=self.over)

        return Aligner(self.store, self.crew, self.sent, lambda: NOW, load, known)  # type: ignore[arg-type]

    async def put(self, records: Mapping[str, Any]) -> None:
        """Into the store."""
        self.inputs += 1
        arguments: dict[str, Any] = {"owner": "o", "lease_until": NOW, "performs_max": 0}
        decision = Decision(NOW, put=dict(records))
        await self.store.apply([Input(f"event-{self.inputs}", JOB)], lambda _, __: decision, **arguments)

    async def mask(self) -> None:
        """Mask all ids, each chunk twice, and send them."""
        numbers = range(sizes.chunks(len(self.ids)))
        for number in (*numbers, *numbers):
            await self.worker.mask({"chunk": number}, JOB)
        if self.me == PARTNER:
            await self.worker.sort({}, JOB)
            for number in numbers:
                await self.worker.send({"chunk": number}, JOB)

    async def take(self, event: Event) -> None:
        """What came, recorded as the machine does."""
        key, incoming = await self.worker.sender(event)
        assert key == b"key"
        outcome = await self.worker.accept(event, incoming)
        assert outcome is not None
        way, data = outcome[0].removeprefix("chunk."), outcome[1]
        await self.put({f"chunk/{way}/{data.chunk}": Chunk(digest=data.digest)})  # type: ignore[attr-defined]
        if way == "taken":
            await self.worker.give_back({"chunk": data.chunk, "digest": data.digest}, JOB)  # type: ignore[attr-defined]

    async def match(self) -> IdsMatched:
        ((event_type, found),) = await self.worker.match({}, JOB)
        assert event_type == "ids.matched"
        assert isinstance(found, IdsMatched)
        return found

    def events(self, event_type: str) -> list[Event]:
        return [each for each in self.sent.events if each.type == event_type]


@dataclass
class Both:
    """Renter and partner."""

    renter: Half
    partner: Half

    async def exchange(self) -> None:
        """All chunks, the last first, and each twice."""
        pairs = ((self.renter, self.partner), (self.partner, self.renter))
        for half, other in pairs:
            await half.mask()
            for event in reversed(half.events(MASKED) * 2):
                await other.take(event)
        for half, other in pairs:
            for event in half.events(REMASKED):
                await other.take(event)


@pytest.fixture
async def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Both]:
    """Sides that know of each other's number of ids."""
    monkeypatch.setattr(sizes, "IDS_PER_CHUNK", EACH)
    crew, halves = Crew(1), []
    for me, other, ids, others in ((RENTER, PARTNER, MINE, THEIRS), (PARTNER, RENTER, THEIRS, MINE)):
        half = Half(me, other, ids, tmp_path / me, await SqliteStore.open(None, RECORDS), crew)
        await half.put({"alignment": Alignment(mine=len(ids), others=len(others), salt=SALT)})
        halves.append(half)
    yield Both(*halves)
    for half in halves:
        await half.store.close()
    await crew.close()


async def test_both_find_the_rows_in_common_in_the_renters_order_whoever_is_killed(both: Both) -> None:
    await both.exchange()
    assert [(await half.match()).rows for half in (both.renter, both.partner)] == [len(COMMON)] * 2
    for half in (both.renter, both.partner):
        assert [half.ids[row] for row in read_places(half.folder / "places")] == COMMON


async def test_a_worker_that_matches_after_another_did_says_nothing(both: Both) -> None:
    await both.exchange()
    await both.renter.match()
    await both.renter.put({"alignment": Alignment(mine=10, others=7, salt=SALT, matched=True)})
    assert await both.renter.worker.match({}, JOB) == []


async def test_what_is_done_again_is_the_same_under_the_same_id(both: Both) -> None:
    await both.renter.mask()
    first, second = both.renter.events(MASKED)[:3], both.renter.events(MASKED)[3:]
    assert first == second
    assert len({each.id for each in first}) == 3


def _other(event: Event, **changed: Any) -> Event:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__} | changed
    return Event(**fields)


async def _incoming(half: Half, event: Event) -> Incoming:
    _, incoming = await half.worker.sender(event)
    return incoming


OFF_CURVE = (2).to_bytes(32, "little")
HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "a point off the curve": ({"body": OFF_CURVE * EACH}, "ids-invalid"),
    "zeros": ({"body": bytes(32 * EACH)}, "ids-invalid"),
    "a number that is not reduced": ({"body": b"\xff" * 32 * EACH}, "ids-invalid"),
    "a byte less": ({"body": bytes(32 * EACH - 1)}, "ids-wrong-size"),
    "an id more": ({"body": bytes(32 * EACH + 32)}, "ids-wrong-size"),
    "nothing": ({"body": b""}, "ids-wrong-size"),
    "more in the last than was announced": ({"attributes": {"chunk": "1"}, "body": bytes(32 * EACH)}, "ids-wrong-size"),
    "a chunk after the last": ({"attributes": {"chunk": "2"}}, "ids-too-many"),
    "a chunk before the first": ({"attributes": {"chunk": "-1"}}, "ids-too-many"),
    "short double masks": ({"type": REMASKED, "body": bytes(16 * EACH - 16)}, "ids-wrong-size"),
    "double masks after the last": ({"type": REMASKED, "attributes": {"chunk": "3"}}, "ids-too-many"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_what_breaks_the_protocol_is_refused_and_nothing_of_it_is_kept(both: Both, case: str) -> None:
    changed, code = HOSTILE[case]
    await both.partner.mask()
    event = _other(both.partner.events(MASKED)[0], **changed)
    outcome = await both.renter.worker.accept(event, await _incoming(both.renter, event))
    assert outcome is not None
    assert (outcome[0], type(outcome[1])) == ("chunk.refused", ChunkRefused)
    assert getattr(outcome[1], "code", "") == code
    assert not (both.renter.folder / "alignment" / "taken").exists()


async def test_an_id_that_the_other_side_sends_twice_is_found_when_all_is_there(both: Both) -> None:
    await both.partner.mask()
    first, second = both.partner.events(MASKED)
    repeated = _other(second, body=bytes(first.body)[: len(second.body)])
    both.partner.sent.events = [first, repeated]
    await both.renter.mask()
    for event in (first, repeated):
        await both.renter.take(event)
    for event in both.renter.events(MASKED)[:3]:
        await both.partner.take(event)
    for event in both.partner.events(REMASKED):
        await both.renter.take(event)
    assert (await both.renter.match()).code == "ids-repeated"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"source": address("C11", "C13")}, "not-the-other-side"),
        ({"attributes": {}}, "bad-data"),
        ({"attributes": {"chunk": "one"}}, "bad-data"),
    ],
    ids=["of another", "without a number", "with a word"],
)
async def test_a_chunk_that_is_nobodys_is_set_aside(both: Both, changed: dict[str, Any], code: str) -> None:
    await both.partner.mask()
    with pytest.raises(Refused) as raised:
        await both.renter.worker.sender(_other(both.partner.events(MASKED)[0], **changed))
    assert raised.value.code == code


async def test_a_chunk_before_word_of_the_sizes_comes_again_for_a_while(both: Both) -> None:
    await both.partner.mask()
    event = both.partner.events(MASKED)[0]
    await both.renter.store.close()
    both.renter.store = await SqliteStore.open(None, RECORDS)
    with pytest.raises(Later):
        await both.renter.worker.sender(event)
    with pytest.raises(Refused) as raised:
        await both.renter.worker.sender(_other(event, time=NOW - AHEAD_SECONDS_MAX))
    assert raised.value.code == "not-aligning"
    with pytest.raises(NotAligning):
        await both.renter.worker.mask({"chunk": 0}, JOB)


async def test_a_chunk_of_what_is_over_is_of_no_use(both: Both) -> None:
    await both.partner.mask()
    event, state = both.partner.events(MASKED)[0], Alignment(mine=10, others=7, salt=SALT)
    for over, matched in ((True, False), (False, True)):
        both.renter.over = over
        await both.renter.put({"alignment": structs.replace(state, matched=matched)})
        assert await both.renter.worker.accept(event, await _incoming(both.renter, event)) is None


async def test_masked_ids_that_were_changed_on_disk_are_not_matched(both: Both) -> None:
    await both.exchange()
    path = sorted((both.renter.folder / "alignment" / "returned").iterdir())[0]
    path.write_bytes(bytes(len(path.read_bytes())))
    with pytest.raises(JobFailed, match="changed on disk"):
        await both.renter.worker.match({}, JOB)


async def test_nothing_but_masks_leaves_and_the_partners_are_sorted(both: Both) -> None:
    await both.renter.mask()
    await both.partner.mask()
    for half in (both.renter, both.partner):
        for event in half.sent.events:
            assert not any(each.encode() in bytes(event.body) for each in half.ids)
            assert half.secret not in bytes(event.body)
    masks = b"".join(bytes(each.body) for each in both.partner.events(MASKED))
    each = [masks[at : at + 32] for at in range(0, len(masks), 32)]
    assert each == sorted(each)
