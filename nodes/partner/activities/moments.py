"""Activities `sum-unit` and `make-weights`, and what a model's answer is made of: sums over encrypted rows (J3)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from nodes.homomorphic.errors import BadCiphertext
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.joint import buckets
from nodes.joint import partner as tasks
from nodes.joint.files import IntegerFile
from nodes.joint.units import Unit, units
from nodes.partner.activities.covering import covers
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.services import PartFolder, Services
from nodes.partner.activities.sums import Made
from nodes.partner.protocol.records import Part, RoundAnswered, Summed, Taken, UnitSummed, WeightsMade
from nodes.whole import write_whole

ONLY_ROUND: Final = 1
ROTATED_AT_A_TIME: Final = 32
"""Numbers of an answer in one task of the crew."""

Slice = tuple[str, int, int]
"""A file of ciphertexts, how many of them to pass over, and how many to take."""
Outcome = list[tuple[str, Struct]]


def checked(public: PaillierPublic, body: bytes, rows: int) -> Made:
    """Whether a sealed result holds one valid ciphertext for every row."""
    try:
        buckets.read(body, public.n, public.ciphertext_bytes, rows)
    except BadCiphertext as error:
        return Made(code=error.code, reason=str(error))
    return Made()


def sums_of(public: PaillierPublic, sealed: list[Slice], integers: str, unit: tuple[int, int, int, int]) -> Made:
    """The sums of a unit (first row, rows, first column, columns), of files: they are too large to be handed around."""
    first_row, rows, first_column, columns = unit
    found = IntegerFile.of(Path(integers))
    block = found[first_row : first_row + rows, first_column : first_column + columns]
    return Made(tasks.cross_moments(public, b"".join([_read(each, public.ciphertext_bytes) for each in sealed]), block))


def joined(public: PaillierPublic, chunks: list[list[bytes]]) -> Made:
    """The sums over all rows of all columns, of those of each chunk's blocks."""
    return Made(b"".join([_added(public, blocks) for blocks in chunks]))


async def sum_unit(services: Services, desk: Desk, params: dict[str, Any], job: str) -> Outcome:
    """Activity `sum-unit`: one block of rows times one chunk of columns."""
    records = await services.store.read(job)
    part = records.get("part")
    if not isinstance(part, Part):
        return []
    taken = sorted(_taken(records), key=lambda each: each.first_row)
    if not covers(taken, part.rows):
        reason = "the batches do not hold each row once"
        return [("round.made", RoundAnswered(round=ONLY_ROUND, code="rows-not-covered", reason=reason))]
    unit, folder = units(part.rows, part.outputs)[int(params["unit"])], services.folder(job)
    sealing = await desk.sealing(job)
    where = (unit.first_row, unit.rows, unit.first_column, unit.columns)
    made = await services.crew.call(sums_of, sealing, slices(folder, taken, unit), str(folder.columns.integers), where)
    digest = hashlib.sha256(made.result.body).hexdigest()
    await asyncio.to_thread(write_whole, folder.unit(unit.number, digest), made.result.body)
    return [("unit.summed", UnitSummed(unit=unit.number, digest=digest))]


async def answer_model(services: Services, desk: Desk, part: Part, records: Mapping[str, Struct]) -> Outcome:
    """Of all units' sums the answer: rotated secretly, under noise that hides everything else from the renter (J3)."""
    digests = {each.number: each.digest for each in records.values() if isinstance(each, Summed)}
    chunks: dict[int, list[bytes]] = {}
    for unit in units(part.rows, part.outputs):
        path = services.folder(part.job).unit(unit.number, digests[unit.number])
        chunks.setdefault(unit.first_column, []).append(await asyncio.to_thread(path.read_bytes))
    sealing, rotation = await desk.sealing(part.job), await desk.rotation(part.job)
    moments = (await services.crew.call(joined, sealing, list(chunks.values()))).result.body
    weights = rotation.weights.tolist()
    rows = [weights[at : at + ROTATED_AT_A_TIME] for at in range(0, len(weights), ROTATED_AT_A_TIME)]
    rotated = await asyncio.gather(*[services.crew.call(tasks.rotated, sealing, moments, each) for each in rows])
    digest = await asyncio.to_thread(services.blobs.put, b"".join([each.result for each in rotated]))
    found = RoundAnswered(
        round=ONLY_ROUND,
        digest=digest,
        outputs=len(weights),
        bits=rotation.step_bits,
        size_bits=rotation.size_bits,
    )
    return [("round.made", found)]


async def make_weights(services: Services, desk: Desk, params: dict[str, Any], job: str) -> Outcome:
    """Activity `make-weights`: this partner's own, by the renter's reply (J5)."""
    rotation, columns = await desk.rotation(job), await desk.columns(job)
    by_integer = rotation.coefficients(np.array(params["values"], dtype=np.float64))
    own = columns.part(by_integer)
    norm = float(((by_integer * columns.deviations) ** 2).sum())
    return [("weights.made", WeightsMade(weights=tuple(own.weights.tolist()), offset=own.offset, norm=norm))]


def slices(folder: PartFolder, taken: Sequence[Taken], unit: Unit) -> list[Slice]:
    """Where the unit's rows lie, in their order."""
    found, end = [], unit.first_row + unit.rows
    for each in taken:
        first, last = max(each.first_row, unit.first_row), min(each.first_row + each.rows, end)
        if first < last:
            path = folder.partial(ONLY_ROUND, each.batch, each.digest)
            found.append((str(path), first - each.first_row, last - first))
    return found


def _taken(records: Mapping[str, Struct]) -> list[Taken]:
    return [each for each in records.values() if isinstance(each, Taken)]


def _read(where: Slice, size: int) -> bytes:
    path, before, count = where
    with Path(path).open("rb") as file:
        file.seek(before * size)
        return file.read(count * size)


def _added(public: PaillierPublic, blocks: Sequence[bytes]) -> bytes:
    whole, *others = blocks
    for each in others:
        whole = tasks.added(public, whole, each)
    return whole
