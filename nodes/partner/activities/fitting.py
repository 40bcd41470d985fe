"""What a partner's data says to a request for a model: columns of numbers, that show no row, and that leave room."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nodes.data.port import Source
from nodes.data.reading import Reading
from nodes.data.table import open_table
from nodes.homomorphic.errors import Overflow
from nodes.joint.alignment import Places
from nodes.joint.categories import Encoding
from nodes.joint.encoding import Chosen, encoding_of, read_encoding
from nodes.joint.errors import TooRevealing
from nodes.joint.guards import Limits
from nodes.joint.masks import Masks, read_places, write_places
from nodes.partner.activities.columns import make_columns
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.row_sets import rows_apart
from nodes.partner.activities.services import Services
from nodes.partner.activities.unfit import Unfit
from nodes.partner.protocol.records import ColumnsMade, Part
from nodes.secrets import derived
from schemas.errors import BadData
from schemas.joint import JointRequested

MODEL_COLUMNS_MAX: Final = 1024
"""Of one party: the rotation is a square matrix of so many."""
_SAID: Final = {
    "too-few-rows": "there are too few rows for its columns",
    "low-support": "columns of its data take too few different rows",
    "high-leverage": "rows of its data stand alone in its columns",
    "budget-spent": "the renter brought too many columns to these rows, in this job and earlier ones",
    "rows-too-alike": "these rows and those of the renter's earlier jobs differ by too few",
}
"""What the renter is told; the counts are this partner's business."""


def columns_of(source: Source, reading: Reading, rows_min: int) -> Encoding:
    """The columns of a model: those that were asked for, or all. Raises BadData."""
    found = encoding_of(source, reading, None, max(Limits().support, rows_min))
    if not 0 < len(found.names) <= MODEL_COLUMNS_MAX:
        raise BadData(f"a model takes 1 to {MODEL_COLUMNS_MAX} columns; here are {len(found.names)}")
    return found


async def make_ready(services: Services, desk: Desk, request: JointRequested, rows_min: int) -> None:
    """Hold all rows of the job's table against earlier jobs'; make a model's integers.

    Raises:
        Unfit: sums would show too much, or leave no room; with a reason that tells nothing of the rows.
    """
    await _rows_apart(services, request, None, rows_min)
    await _make_model(services, desk, request, None)


async def _rows_apart(
    services: Services, request: JointRequested, places: Places | None, rows_min: int
) -> NDArray[np.bool_]:
    """Which may be used; of rows that are scored all. Raises Unfit."""
    if request.score is not None:
        return np.ones(0 if places is None else len(places), dtype=np.bool_)
    try:
        return await rows_apart(services, request, places, rows_min)
    except TooRevealing as error:
        raise _unfit(services, error) from error


async def _make_model(services: Services, desk: Desk, request: JointRequested, places: Places | None) -> None:
    """Raises Unfit."""
    if request.algorithm is None:
        return
    await asyncio.to_thread(_make, services, request, places)
    try:
        await desk.rotation(request.job)
    except Overflow as error:
        reason = "sums over all rows leave no room in the ciphertexts: take fewer columns or bits, or a longer key"
        raise Unfit("no-room", reason, str(error)) from error


async def make_matched(services: Services, desk: Desk, params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
    """Activity `make-columns`: which rows in common may be summed up, and a model's integers of these."""
    records = await services.store.get(job, ["part", "request"])
    part, request, folder = records.get("part"), records.get("request"), services.folder(job)
    if not isinstance(part, Part) or not isinstance(request, JointRequested):
        return []
    try:
        places = await asyncio.to_thread(read_places, folder.matched)
        kept = await _rows_apart(services, request, places, part.rows_min)
        await asyncio.to_thread(write_places, folder.places, places[kept])
        omitted = derived(await services.keys.joint(job), "joint/masks-omitted")
        await asyncio.to_thread(Masks(folder.alignment).omit, kept, omitted)
        await _make_model(services, desk, request, places[kept])
    except Unfit as error:
        return [("columns.made", ColumnsMade(code=error.code, reason=str(error), detail=error.detail))]
    return [("columns.made", ColumnsMade(rows=int(kept.sum())))]


def _make(services: Services, request: JointRequested, places: Places | None) -> None:
    assert request.algorithm is not None
    folder, outliers = services.folder(request.job), services.datasets[request.dataset].outliers
    table = open_table(folder.table, folder.digest.read_text())
    try:
        chosen = Chosen(table, places, read_encoding(folder.encoding))
        make_columns(folder.columns, chosen, request.algorithm, outliers)
    except TooRevealing as error:
        raise _unfit(services, error) from error
    except BadData as error:
        raise Unfit("dataset-unfit", "the dataset's columns cannot be used for a model", str(error)) from error


def _unfit(services: Services, error: TooRevealing) -> Unfit:
    return Unfit(error.code, f"{services.me} refuses: {_SAID[error.code]}", str(error))
