"""What a worker does to align rows: masks in the crew, sends, keeps what comes, and finds what is in common.

Everything can be done again by any worker with the same result: the mask's secret is derived of the job's, and files
are named by number and digest, or made whole of what is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from nodes.crew.crew import Crew
from nodes.joint import alignment, exchange
from nodes.joint.alignment import Masking
from nodes.joint.chunks import chunks, span
from nodes.joint.errors import BadPeer
from nodes.joint.masks import Way, write_places
from nodes.joint.records import (
    Alignment,
    Chunk,
    ChunkRefused,
    ChunkReturned,
    ChunkTaken,
    IdsMatched,
    MaskMade,
    MasksSorted,
)
from nodes.joint.sides import Incoming, Known, Side
from nodes.kept import Kept
from nodes.machine import Refused
from nodes.runtime.door import Later
from nodes.runtime.post import Post
from nodes.store.port import Store
from schemas.errors import SubletError
from schemas.events import Event
from schemas.ids import derive_id

SIDES_AT_HAND_MAX: Final = 8
AHEAD_SECONDS_MAX: Final = 30.0
"""Masked ids may come this long before word of how many there are: order is not assumed."""

Outcome = tuple[str, Struct]


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
        if side.is_renter or not await asyncio.to_thread(side.masks.has_own, number):
            ids = await asyncio.to_thread(side.table.ids, *span(state.mine, number))
            body = (await self.crew.call(alignment.masked, side.kit, ids)).result
            if side.is_renter:
                await self._send(exchange.MASKED, side, job, number, body)
            else:
                await asyncio.to_thread(side.masks.keep_own, number, body)
        return [("mask.made", MaskMade(chunk=number))]

    async def sort(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `sort-ids`: the partner's masks in an order that says nothing of its table."""
        side, state = await self._at_hand(job)
        await asyncio.to_thread(side.masks.sort, state.mine)
        return [("masks.sorted", MasksSorted())]

    async def send(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `send-ids`: a chunk of the partner's sorted masks."""
        number, (side, state) = int(params["chunk"]), await self._at_hand(job)
        body = await asyncio.to_thread(side.masks.sorted, state.mine, number)
        await self._send(exchange.MASKED, side, job, number, body)
        return []

    async def give_back(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `return-ids`: a chunk of the other's, masked again."""
        number, (side, _) = int(params["chunk"]), await self._at_hand(job)
        body = await asyncio.to_thread(side.masks.to_return, number, str(params["digest"]))
        await self._send(exchange.REMASKED, side, job, number, body)
        return []

    async def match(self, params: dict[str, Any], job: str) -> list[Outcome]:
        """Activity `match-ids`: this side's rows in common, in the renter's order."""
        side, state = await self._at_hand(job)
        if state.matched:  # by another worker, which took this one for lost
            return []
        records = await self.store.read(job)

        def digests(way: Way, ids: int) -> list[str]:
            return [_digest(records.get(f"chunk/{way}/{number}")) for number in range(chunks(ids))]

        own, others = digests("returned", state.mine), digests("taken", state.others)
        try:
            rows = await asyncio.to_thread(side.masks.matched, own, others, is_renter=side.is_renter)
        except BadPeer as error:
            return [("ids.matched", IdsMatched(code=error.code, reason=str(error)))]
        await asyncio.to_thread(write_places, side.places, rows)
        return [("ids.matched", IdsMatched(rows=len(rows)))]

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
                return "chunk.refused", ChunkRefused(code=made.code, reason=made.reason)
            digest = await asyncio.to_thread(side.masks.keep, "taken", number, made.body)
            return "chunk.taken", ChunkTaken(chunk=number, digest=digest)
        digest = await asyncio.to_thread(side.masks.keep, "returned", number, body)
        return "chunk.returned", ChunkReturned(chunk=number, digest=digest)

    # ---------------------------------------------------------------- means

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


def _digest(record: Struct | None) -> str:
    if not isinstance(record, Chunk):
        raise SubletError("a chunk of masked ids is not recorded: matched before all were there")
    return record.digest
