"""What each side of an exchange of masked ids records, and its own events (`nodes/joint/exchange.py`). Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from nodes.joint.chunks import IDS_PER_CHUNK, chunks

IDS_PER_SECOND_MIN: Final = 1000
"""A side masks at least so many, its own or the other's: a tenth of what a core of 2020 does."""


class Alignment(Struct, frozen=True, kw_only=True):
    """How far one side is."""

    mine: int
    """Ids of this side."""
    others: int
    """Of the other."""
    salt: bytes
    """Of which both contributed a half."""
    masked: int = 0
    """Chunks of its own that are masked."""
    taken: int = 0
    """The other's chunks that are masked again."""
    returned: int = 0
    """Chunks of its own that came back."""
    matched: bool = False
    """Whether it is known which rows are in common."""

    @property
    def all_masked(self) -> bool:
        """Whether each of its own ids is."""
        return self.masked >= chunks(self.mine)

    @property
    def patience_seconds(self) -> float:
        """How long the other side may take for what it has yet to mask."""
        left = (self.others - self.taken * IDS_PER_CHUNK, self.mine - self.returned * IDS_PER_CHUNK)
        return sum(max(0, ids) for ids in left) / IDS_PER_SECOND_MIN

    @property
    def complete(self) -> bool:
        """Whether both sides' double masks are here."""
        return self.taken >= chunks(self.others) and self.returned >= chunks(self.mine)


class Chunk(Struct, frozen=True, kw_only=True):
    """One that is done with; `digest` names what is kept of it, if anything."""

    digest: str = ""


class MaskMade(Struct, frozen=True, kw_only=True):
    """`mask.made`: a chunk of this side's ids is masked."""

    chunk: int


class MasksSorted(Struct, frozen=True, kw_only=True):
    """`masks.sorted`: all of this side's masks lie in the order in which they travel."""


class ChunkTaken(Struct, frozen=True, kw_only=True):
    """`chunk.taken`: a chunk of the other's masked ids is masked again, and lies in the file of this digest."""

    chunk: int
    digest: str


class ChunkReturned(Struct, frozen=True, kw_only=True):
    """`chunk.returned`: a chunk of this side's came back, and lies in the file of this digest."""

    chunk: int
    digest: str


class ChunkRefused(Struct, frozen=True, kw_only=True):
    """`chunk.refused`: what the other side sent breaks the protocol."""

    code: str
    reason: str


class IdsMatched(Struct, frozen=True, kw_only=True):
    """`ids.matched`: so many rows are in common; or why that cannot be said."""

    rows: int = 0
    code: str = ""
    reason: str = ""


INTERNAL: Final[dict[str, type[Struct]]] = {
    "mask.made": MaskMade,
    "chunk.taken": ChunkTaken,
    "chunk.returned": ChunkReturned,
    "chunk.refused": ChunkRefused,
    "ids.matched": IdsMatched,
}
RECORDS: Final[dict[str, type[Struct]]] = {"alignment": Alignment, "chunk": Chunk}
