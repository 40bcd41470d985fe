"""Activity `answer`: of all partial sums of a round its output, still encrypted (J3, J4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from nodes.partner.activities.covering import covers
from nodes.partner.activities.desk import Desk, RoundAtHand
from nodes.partner.activities.moments import answer_model
from nodes.partner.activities.scores import answer_scores
from nodes.partner.activities.services import Services
from nodes.partner.activities.sums import NO_ROOM, added, finished
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import Part, Round, RoundAnswered, Taken
from schemas.errors import BadInput

AT_A_TIME: Final = 64
"""Partial sums in one task of the crew."""


async def answer(services: Services, desk: Desk, params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
    """The output of a round that has all its rows; or why there can be none."""
    number = int(params["round"])
    records = await services.store.read(job)
    part, current = records.get("part"), records.get(f"round/{number}")
    if not isinstance(part, Part) or not isinstance(current, Round):
        return []
    if part.algorithm is not None:
        return await answer_model(services, desk, part, records)
    if part.score:
        return [("round.made", await answer_scores(services, part, records, current.result_bits))]
    taken = [each for key, each in records.items() if key.startswith(f"taken/{number}/") and isinstance(each, Taken)]
    return await _answer_sums(services, desk, part, number, taken) if taken else []


async def _answer_sums(
    services: Services, desk: Desk, part: Part, number: int, taken: Sequence[Taken]
) -> list[tuple[str, Struct]]:
    """Of what a program gives."""
    job = part.job
    if not covers(taken, part.rows):
        reason = f"the batches of round {number} do not hold each of {part.rows} rows once"
        return [("round.made", RoundAnswered(round=number, code="rows-not-covered", reason=reason))]
    try:
        at_hand = await desk.round(job, number)
    except PartGone:
        return []
    except BadInput:
        return [("round.made", RoundAnswered(round=number, code="no-room", reason=NO_ROOM))]
    await asyncio.to_thread(services.folder(job).drop_before, number)
    paths = [services.folder(job).partial(number, each.batch, each.digest) for each in taken]
    whole = await _added(services, at_hand, [await asyncio.to_thread(each.read_bytes) for each in paths[:1]])
    for first in range(1, len(paths), AT_A_TIME):
        more = [await asyncio.to_thread(each.read_bytes) for each in paths[first : first + AT_A_TIME]]
        whole = await _added(services, at_hand, [whole, *more])
    made = (await services.crew.call(finished, at_hand.kit, whole, list(at_hand.scales.plus))).result
    digest = await asyncio.to_thread(services.blobs.put, made.body)
    scales = at_hand.scales
    found = RoundAnswered(round=number, digest=digest, outputs=len(scales.plus), bits=scales.bits)
    return [("round.made", found)]


async def _added(services: Services, at_hand: RoundAtHand, bodies: list[bytes]) -> bytes:
    return (await services.crew.call(added, at_hand.kit, bodies)).result.body
