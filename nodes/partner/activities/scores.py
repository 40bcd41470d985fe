"""Scores of single rows (J3): to the renter's encrypted part of a model the partner adds its own, where it may.

The sum leaves under fresh noise: who sees what comes in and what goes out cannot tell the difference. The renter learns
this partner's part of each row's score and nothing else, for the answer follows from it and from what the enclaves
sealed. So noise is enough that hides from all but the owner of the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct

from nodes.data.table import Table
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.joint.alignment import Places
from nodes.joint.columns import Floats
from nodes.partner.activities.covering import covers
from nodes.partner.activities.services import Services
from nodes.partner.activities.sums import TOTAL_BITS, Made
from nodes.partner.protocol.records import Part, RoundAnswered, Taken
from schemas.errors import VerificationFailed
from schemas.limits import BODY_BYTES_MAX

ONLY_ROUND: Final = 1


def own_scores(table: Table, places: Places | None, model: Part) -> Floats:
    """This partner's part of every row's score, float64 [rows], of the model's columns in their order."""
    weights, found = np.array(model.weights), np.empty(table.rows)
    for first, values in table.numbers():
        found[first : first + len(values)] = values @ weights + model.offset
    return found if places is None else found[places]


def fixed(scores: Floats, bits: int) -> list[int] | None:
    """round(y·2^bits); None where one leaves no room beside the renter's."""
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(scores, bits))
    return scaled.astype(np.int64).tolist() if np.abs(scaled).max() < 2.0 ** (TOTAL_BITS - 1) else None


def scored(public: PaillierPublic, body: bytes, own: list[int]) -> Made:
    """A sealed result with this partner's part in it."""
    try:
        return Made(public.add_values(body, np.array(own, dtype=np.int64)[:, None]))
    except VerificationFailed as error:
        return Made(code=error.code, reason=str(error))


async def answer_scores(services: Services, part: Part, records: Mapping[str, Struct], bits: int) -> RoundAnswered:
    """All batches one after the other, in the order of their rows."""
    taken = sorted((each for each in records.values() if isinstance(each, Taken)), key=lambda each: each.first_row)
    if not covers(taken, part.rows):
        return RoundAnswered(round=ONLY_ROUND, code="rows-not-covered", reason="the batches do not hold each row once")
    folder = services.folder(part.job)
    paths = [folder.partial(ONLY_ROUND, each.batch, each.digest) for each in taken]
    body = await asyncio.to_thread(lambda: b"".join([path.read_bytes() for path in paths]))
    if len(body) > BODY_BYTES_MAX:
        reason = f"the scores of {part.rows} rows have {len(body):,} bytes; at most {BODY_BYTES_MAX:,} travel"
        return RoundAnswered(round=ONLY_ROUND, code="too-many-rows", reason=reason)
    digest = await asyncio.to_thread(services.blobs.put, body)
    return RoundAnswered(round=ONLY_ROUND, digest=digest, outputs=part.rows, bits=bits)
