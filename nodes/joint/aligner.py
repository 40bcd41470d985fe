"""What a worker does to align rows: masks in the crew, sends, keeps what comes, and finds what is in common.

Everything can be done again by any worker with the same result: the mask's secret is derived of the job's, and files
are named by number and digest, or made whole of what is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from nodes.crew.crew import Crew, Kit
from nodes.data.table import Table
from nodes.joint import alignment, exchange
from nodes.joint.alignment import Masking, Places
from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES, chunks, span
from nodes.joint.errors import BadPeer
from nodes.joint.exchange import Alignment, Chunk, ChunkReturned, ChunkTaken, IdsMatched, MaskMade, MasksSorted
from nodes.kept import Kept
from nodes.machine import Refused
from nodes.runtime.door import Later
from nodes.runtime.post import Post
from nodes.secrets import derived
from nodes.store.port import Store
from nodes.whole import write_whole
from schemas.errors import JobFailed, SubletError
from schemas.events import Event
from schemas.ids import derive_id

SIDES_AT_HAND_MAX: Final = 8
AHEAD_SECONDS_MAX: Final = 30.0
"""Masked ids may come this long before word of how many there are: order is not assumed."""

Outcome = tuple[str, Struct]


@dataclass(frozen=True, slots=True)
class MasksFolder:
    """Where masked ids lie, in the job's folder."""

    path: Path

    def chunk(self, way: str, number: int, digest: str = "") -> Path:
        """Of this side's (`masked`, `returned`) or the other's (`taken`)."""
        return self.path / way / f"{number:06d}{digest and '-'}{digest[:16]}.bin"

    @property
    def sorted(self) -> Path:
        """All masks of this side in the order in which they travel."""
        return self.path / "sorted.bin"

    @property
    def order(self) -> Path:
        """Which of this side's rows each of those is of."""
        return self.path / "order.i8"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of one job's alignment."""

    other: str
    """Address."""
    table: Table
    kit: Kit[Masking]
    folder: MasksFolder
    places: Path
    """The file that will hold this side's rows in common, in the renter's order."""
    is_renter: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the sender of a chunk."""

    other: str
    key: bytes
    """Of the other side; Ed25519."""
    over: bool
    """Whether nothing of its ids is wanted any more."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A chunk that came, of a side that may send it."""

    job: str
    chunk: int
    state: Alignment | None
    """None where it is of no use any more."""


class NotAligning(SubletError):  # noqa: N818 - reads as the sentence it is
    """What was to be done for a job's alignment is of no use any more."""


class Masked(Struct, frozen=True):
    """Masks; or the code and reason for which there are none."""

    body: bytes = b""
    code: str = ""
    reason: str = ""


def remasked(masking: Masking, received: bytes) -> Masked:
    """The other side's masks once more; a task for one chunk."""
    try:
        return Masked(alignment.remasked(masking, received))
    except BadPeer as error:
        return Masked(code=error.code, reason=str(error))


@dataclass(frozen=True, slots=True)
class Aligner:
    """Of one node."""

    store: Store
    crew: Crew
    post: Post
    clock: Callable[[], float]
    """Seconds since 1970 (UTC)."""
    load: Callable[[str, Alignment], Awaitable[Side]]
    """This role's side of a job; raises a SubletError where the job is over."""
    known: Callable[[str], Awaitable[Known]]
    """The other side of a job; raises Refused where there is none."""
    _sides: Kept[Side] = field(default_factory=lambda: Kept(SIDES_AT_HAND_MAX))

    async def forget(self, job: str) -> None:
        """Drop an ended job's secret, from the crew too."""
        side = self._sides.drop(job)
        if side is not None:
            await self.crew.forget(side.kit)

    # ---------------------------------------------------------------- activities

    async def mask(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `mask-ids`: a chunk of this side's ids; the renter's is sent at once."""
        number, (side, state) = int(params["chunk"]), await self._at_hand(job)
        path = side.folder.chunk("masked", number)
        if side.is_renter or not await asyncio.to_thread(path.exists):
            ids = await asyncio.to_thread(side.table.ids, *span(state.mine, number))
            body = (await self.crew.call(alignment.masked, side.kit, ids)).result
            if side.is_renter:
                await self._send(exchange.MASKED, side, job, number, body)
            else:
                await asyncio.to_thread(write_whole, path, body)
        return [("mask.made", MaskMade(chunk=number))]

    async def sort(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `sort-ids`: the partner's masks in an order that says nothing of its table."""
        side, state = await self._at_hand(job)
        await asyncio.to_thread(_sort, side.folder, chunks(state.mine))
        return [("masks.sorted", MasksSorted())]

    async def send(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `send-ids`: a chunk of the partner's sorted masks."""
        number, (side, state) = int(params["chunk"]), await self._at_hand(job)
        first, count = span(state.mine, number)
        body = await asyncio.to_thread(_slice, side.folder.sorted, first * MASKED_BYTES, count * MASKED_BYTES)
        await self._send(exchange.MASKED, side, job, number, body)
        return []

    async def give_back(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `return-ids`: a chunk of the other's, masked again."""
        number, (side, _) = int(params["chunk"]), await self._at_hand(job)
        path, digest = side.folder.chunk("taken", number, str(params["digest"])), str(params["digest"])
        await self._send(exchange.REMASKED, side, job, number, await asyncio.to_thread(_read, path, digest))
        return []

    async def match(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `match-ids`: this side's rows in common, in the renter's order."""
        side, state = await self._at_hand(job)
        records = await self.store.read(job)
        kept = {
            way: [
                side.folder.chunk(way, number, digest)
                for number in range(chunks(ids))
                for digest in (_digest(records.get(f"chunk/{way}/{number}")),)
            ]
            for way, ids in (("returned", state.mine), ("taken", state.others))
        }
        try:
            rows = await asyncio.to_thread(_match, side, kept["returned"], kept["taken"])
        except BadPeer as error:
            return [("ids.matched", IdsMatched(code=error.code, reason=str(error)))]
        return [("ids.matched", IdsMatched(rows=rows))]

    # ---------------------------------------------------------------- what comes

    async def sender(self, event: Event) -> tuple[bytes, Incoming]:
        """The other side's key, once it is sure that it may send this chunk; raises Refused or Later."""
        try:
            number = int(event.attributes["chunk"])
        except (KeyError, ValueError) as error:
            raise Refused("bad-data", "masked ids without the number of their chunk") from error
        known = await self.known(event.subject)
        if event.source != known.other:
            raise Refused("not-the-other-side", f"{event.source} takes no part in {event.subject}")
        state = None if known.over else await self._state(event.subject)
        if state is not None and state.matched:
            state = None
        elif state is None and not known.over:
            if self.clock() - event.time < AHEAD_SECONDS_MAX:
                raise Later(f"masked ids of {event.source} came before word of how many")
            raise Refused("not-aligning", f"the rows of {event.subject} are not aligned by masked ids")
        return known.key, Incoming(event.subject, number, state)

    async def accept(self, event: Event, incoming: Incoming) -> Outcome | None:
        """Keep a chunk, masked again where it is the other's; what became of it, or None where it is of no use."""
        state, number, body = incoming.state, incoming.chunk, bytes(event.body)
        if state is None:
            return None
        refused = exchange.refusal(state, event.type, number, len(body))
        if refused is not None:
            return "chunk.refused", refused
        side = await self._side(incoming.job, state)
        if event.type == exchange.MASKED:
            made = (await self.crew.call(remasked, side.kit, body)).result
            if made.code:
                return "chunk.refused", exchange.ChunkRefused(code=made.code, reason=made.reason)
            return "chunk.taken", ChunkTaken(chunk=number, digest=await self._keep(side, "taken", number, made.body))
        return "chunk.returned", ChunkReturned(chunk=number, digest=await self._keep(side, "returned", number, body))

    # ---------------------------------------------------------------- means

    async def _keep(self, side: Side, way: str, number: int, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        await asyncio.to_thread(write_whole, side.folder.chunk(way, number, digest), body)
        return digest

    async def _send(self, event_type: str, side: Side, job: str, number: int, body: bytes) -> None:
        event_id = derive_id("ids", self.post.me, job, event_type, number)
        attributes = {"chunk": str(number)}
        await self.post.send(event_type, side.other, job, event_id=event_id, body=body, attributes=attributes)

    async def _at_hand(self, job: str) -> tuple[Side, Alignment]:
        state = await self._state(job)
        if state is None:
            raise NotAligning(f"the rows of {job} are not aligned by masked ids, or not any more")
        return await self._side(job, state), state

    async def _side(self, job: str, state: Alignment) -> Side:
        async def load() -> Side:
            return await self.load(job, state)

        return await self._sides.get(job, load)

    async def _state(self, job: str) -> Alignment | None:
        state = (await self.store.get(job, ["alignment"])).get("alignment")
        return state if isinstance(state, Alignment) else None


def masking(secret: bytes, state: Alignment) -> Kit[Masking]:
    """What tasks share, of the job's secret."""
    return Kit.of(Masking(derived(secret, "alignment"), state.salt))


def read_places(path: Path) -> Places:
    """This side's rows in common, in the renter's order: int64, from 0."""
    return np.fromfile(path, dtype="<i8").astype(np.int64)


def _digest(record: Struct | None) -> str:
    if not isinstance(record, Chunk):
        raise SubletError("a chunk of masked ids is not recorded: matched before all were there")
    return record.digest


def _sort(folder: MasksFolder, count: int) -> None:
    masks = b"".join([folder.chunk("masked", number).read_bytes() for number in range(count)])
    in_order, order = alignment.sorted_masks(masks)
    write_whole(folder.order, order.astype("<i8").tobytes())
    write_whole(folder.sorted, in_order)


def _match(side: Side, returned: list[Path], taken: list[Path]) -> int:
    own, others = (b"".join([_checked(path) for path in paths]) for paths in (returned, taken))
    if side.is_renter:
        rows, _ = alignment.matched(own, others, np.arange(len(others) // REMASKED_BYTES))
    else:
        _, rows = alignment.matched(others, own, np.fromfile(side.folder.order, dtype="<i8").astype(np.int64))
    write_whole(side.places, rows.astype("<i8").tobytes())
    return len(rows)


def _checked(path: Path) -> bytes:
    raw = path.read_bytes()
    if not path.stem.endswith(hashlib.sha256(raw).hexdigest()[:16]):
        raise JobFailed(f"masked ids were changed on disk: {path.name}")
    return raw


def _read(path: Path, digest: str) -> bytes:
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != digest:
        raise JobFailed(f"masked ids were changed on disk: {path.name}")
    return raw


def _slice(path: Path, first: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first)
        return file.read(size)
