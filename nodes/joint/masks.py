"""Where masked ids lie in a job's folder: chunks under number and digest, and what is made of all of them. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nodes.joint import alignment
from nodes.joint.alignment import Places
from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES, chunks, span
from nodes.whole import write_whole
from schemas.errors import JobFailed

Way = Literal["taken", "returned"]
"""A chunk of the other side's ids that was masked here too; one of this side's that came back."""


@dataclass(frozen=True, slots=True)
class Masks:
    """A folder, made with the first file."""

    path: Path

    def keep(self, way: Way, number: int, body: bytes) -> str:
        """Write a chunk of double masks; its digest."""
        digest = hashlib.sha256(body).hexdigest()
        write_whole(self._chunk(way, number, digest), body)
        return digest

    def read(self, way: Way, number: int, digest: str) -> bytes:
        """A chunk that was kept; raises JobFailed."""
        path = self._chunk(way, number, digest)
        raw = path.read_bytes()
        if hashlib.sha256(raw).hexdigest() != digest:
            raise JobFailed(f"masked ids were changed on disk: {path.name}")
        return raw

    def has_own(self, number: int) -> bool:
        """Whether a chunk of this side's ids was masked."""
        return self._own(number).exists()

    def keep_own(self, number: int, body: bytes) -> None:
        """Write a chunk of this side's masks."""
        write_whole(self._own(number), body)

    def sort(self, ids: int) -> None:
        """Put all of this side's masks into the order in which they travel."""
        masks = b"".join([self._own(number).read_bytes() for number in range(chunks(ids))])
        in_order, order = alignment.sorted_masks(masks)
        write_whole(self._order, order.astype("<i8").tobytes())
        write_whole(self._sorted, in_order)

    def sorted(self, ids: int, number: int) -> bytes:
        """A chunk of them."""
        first, count = span(ids, number)
        with self._sorted.open("rb") as file:
            file.seek(first * MASKED_BYTES)
            return file.read(count * MASKED_BYTES)

    def matched(self, own: Iterable[str], others: Iterable[str], *, is_renter: bool) -> Places:
        """This side's rows in common, in the renter's order, of the digests of all chunks.

        Raises BadPeer, JobFailed.
        """
        mine, theirs = self._all("returned", own), self._all("taken", others)
        if is_renter:
            return alignment.matched(mine, theirs, np.arange(len(theirs) // REMASKED_BYTES))[0]
        return alignment.matched(theirs, mine, read_places(self._order))[1]

    def _all(self, way: Way, digests: Iterable[str]) -> bytes:
        return b"".join([self.read(way, number, digest) for number, digest in enumerate(digests)])

    def _chunk(self, way: Way, number: int, digest: str) -> Path:
        return self.path / way / f"{number:06d}-{digest[:16]}.bin"

    def _own(self, number: int) -> Path:
        return self.path / "masked" / f"{number:06d}.bin"

    @property
    def _sorted(self) -> Path:
        return self.path / "sorted.bin"

    @property
    def _order(self) -> Path:
        """Which of this side's rows each of those is of."""
        return self.path / "order.i8"


def write_places(path: Path, places: Places) -> None:
    """Write down which rows are in common."""
    write_whole(path, places.astype("<i8").tobytes())


def read_places(path: Path) -> Places:
    """Rows, counted from 0: int64."""
    return np.fromfile(path, dtype="<i8").astype(np.int64)
