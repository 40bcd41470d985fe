"""Where masked ids lie in a job's folder: chunks under number and digest, and what is made of all of them. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nodes.joint import alignment, chunks
from nodes.joint.alignment import Places
from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES, span
from nodes.whole import write_whole
from schemas.errors import JobFailed

Way = Literal["taken", "returned"]
"""A chunk of the other side's ids that was masked here too; one of this side's that came back."""


_OMITTED: Final = np.dtype([("row", "<i8"), ("mask", f"V{REMASKED_BYTES}")])


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
        masks = b"".join([self._own(number).read_bytes() for number in range(chunks.chunks(ids))])
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
        renters, places = alignment.matched(theirs, mine, read_places(self._order))
        write_places(self._in_common, renters)
        return places

    def omit(self, kept: NDArray[np.bool_], seed: bytes) -> None:
        """The partner does not use all rows in common: the renter gets what is no id in the place of the others."""
        rows = read_places(self._in_common)[~kept]
        masks = hashlib.shake_256(seed).digest(REMASKED_BYTES * len(rows))
        found = np.empty(len(rows), dtype=_OMITTED)
        found["row"], found["mask"] = rows, np.frombuffer(masks, dtype=_OMITTED["mask"])
        write_whole(self._omitted, found.tobytes())

    def to_return(self, number: int, digest: str) -> bytes:
        """A chunk of the other side's, masked again, without what is omitted; raises JobFailed."""
        body = self.read("taken", number, digest)
        if not self._omitted.exists():
            return body
        found = np.frombuffer(bytearray(body), dtype=_OMITTED["mask"])
        omitted = np.fromfile(self._omitted, dtype=_OMITTED)
        at = omitted["row"] - number * chunks.IDS_PER_CHUNK
        here = (at >= 0) & (at < len(found))
        found[at[here]] = omitted["mask"][here]
        return found.tobytes()

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
    def _in_common(self) -> Path:
        """Which of the renter's rows both have, in its order."""
        return self.path / "in-common.i8"

    @property
    def _omitted(self) -> Path:
        """Rows of the renter's, and what it gets instead of their double masks."""
        return self.path / "omitted.bin"

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
