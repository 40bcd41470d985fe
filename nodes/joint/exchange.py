"""How two sides exchange masked ids in chunks, whatever comes twice or in another order, and whoever is killed. Pure.

    each side:   mask-ids, chunk by chunk ──► ids.masked to the other
                 ids.masked of the other  ──► masked again, kept: chunk.taken
                 ids.remasked, its own back ──► kept: chunk.returned
                 all taken, all returned  ──► match-ids ──► ids.matched

The partner sorts its masks before it sends any, so it masks all of them first (`sort-ids`). And it gives the renter's
chunks back only when it knows how many rows are in common: its policy may ask for more, and then the renter learns no
more than that. How many ids each side has is announced before, and held to.

Chunks lie in the job's folder under their number and digest. A chunk is recorded once; the same again changes nothing,
and another under a number that was there ends the job.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from msgspec import structs

from nodes.draft import Draft
from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES, chunks, span
from nodes.joint.records import Alignment, Chunk, ChunkRefused, ChunkReturned, ChunkTaken
from nodes.machine import Perform, Refused

MASK_WINDOW: Final = 4
"""Chunks that are masked at a time in one job: others want the machine too."""
SEND_WINDOW: Final = 8
"""The partner's chunks under way at a time: as one comes back, the next goes out. So queues stay short."""

MASKED: Final = "ids.masked"
REMASKED: Final = "ids.remasked"
CHUNKS: Final = frozenset({MASKED, REMASKED})
"""Types of the events that bring a chunk."""


def refusal(state: Alignment, event_type: str, number: int, size: int) -> ChunkRefused | None:
    """What is wrong with a chunk of `size` bytes that the other side sent, before anything of it is read."""
    ids, each = (state.others, MASKED_BYTES) if event_type == MASKED else (state.mine, REMASKED_BYTES)
    if not 0 <= number < chunks(ids):
        reason = f"chunk {number} of {ids} ids, which take {chunks(ids)}: it must send what was announced"
        return ChunkRefused(code="ids-too-many", reason=reason)
    _, count = span(ids, number)
    if size != count * each:
        reason = f"chunk {number} has {size} bytes, not {each} for each of {count} ids: it must send what was announced"
        return ChunkRefused(code="ids-wrong-size", reason=reason)
    return None


def salt(job: str, renters: bytes, partners: bytes) -> bytes:
    """The job's salt, 32 bytes, of what each side contributed."""
    parts = (b"sublet joint alignment v1", job.encode(), renters.hex().encode(), partners.hex().encode())
    return hashlib.sha256(b"\x00".join(parts)).digest()


class ChunkChanged(Refused):
    """A chunk came again and was another: the job ends."""


def begin(draft: Draft[Any], state: Alignment) -> None:
    """Both sizes and the salt are known: mask."""
    draft.put("alignment", state)
    for number in range(min(MASK_WINDOW, chunks(state.mine))):
        draft.do(Perform(activity="mask-ids", params={"chunk": number}))


def masked(draft: Draft[Any], number: int) -> Alignment | None:
    """A chunk is masked: how far this side is now, or None where that was known; the next is begun."""
    state = _counted(draft, "masked", number, "")
    if state is not None and number + MASK_WINDOW < chunks(state.mine):
        draft.do(Perform(activity="mask-ids", params={"chunk": number + MASK_WINDOW}))
    return state


def taken(draft: Draft[Any], data: ChunkTaken, *, by: str) -> Alignment | None:
    """A chunk of the other's, whose address is `by`, is kept: how far this side is now, or None where that was known.

    Raises ChunkChanged: it was another before.
    """
    return _matching(draft, _counted(draft, "taken", data.chunk, data.digest, by=by))


def returned(draft: Draft[Any], data: ChunkReturned, *, by: str) -> Alignment | None:
    """A chunk came back; as `taken`."""
    return _matching(draft, _counted(draft, "returned", data.chunk, data.digest, by=by))


def give_back(draft: Draft[Any], number: int) -> None:
    """Send the other's chunk back to it, masked again."""
    chunk = draft.find(Chunk, f"chunk/taken/{number}")
    assert chunk is not None
    draft.do(Perform(activity="return-ids", params={"chunk": number, "digest": chunk.digest}))


def close(draft: Draft[Any]) -> None:
    """The exchange is over: no chunk counts any more."""
    state = draft.find(Alignment, "alignment")
    if state is not None:
        draft.put("alignment", structs.replace(state, matched=True))
    for way in ("masked", "taken", "returned"):
        for key, _ in list(draft.each(Chunk, f"chunk/{way}")):
            draft.delete(key)


def _counted(draft: Draft[Any], way: str, number: int, digest: str, *, by: str = "") -> Alignment | None:
    state, key = draft.find(Alignment, "alignment"), f"chunk/{way}/{number}"
    if state is None or state.matched:
        return None
    known = draft.find(Chunk, key)
    if known is not None:
        if known.digest != digest:
            raise ChunkChanged(
                code="ids-changed", reason=f"chunk {number} of the ids of {by} came again, and is another"
            )
        return None
    draft.put(key, Chunk(digest=digest))
    changed = structs.replace(state, **{way: getattr(state, way) + 1})
    draft.put("alignment", changed)
    return changed


def _matching(draft: Draft[Any], state: Alignment | None) -> Alignment | None:
    if state is not None and state.complete:
        draft.do(Perform(activity="match-ids", params={}))
    return state
