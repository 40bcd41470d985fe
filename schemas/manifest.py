"""How files travel that may be larger than one message: in pieces, each known by its digest, as the whole is. Pure."""

from __future__ import annotations

import hashlib
from typing import Annotated

from msgspec import Meta, Struct

from schemas import limits
from schemas.ids import DigestField


class Manifest(Struct, frozen=True, kw_only=True):
    """What a file is made of, in order: pieces of `limits.PIECE_BYTES`, the last one may be shorter.

    Whoever has it knows before a byte comes how many will, and of each piece that comes whether it belongs.
    """

    digest: DigestField
    """SHA-256 of the whole."""
    size: Annotated[int, Meta(ge=1, le=limits.FILE_BYTES_MAX)]
    """Bytes."""
    pieces: Annotated[
        tuple[DigestField, ...], Meta(min_length=1, max_length=limits.FILE_BYTES_MAX // limits.PIECE_BYTES)
    ]

    def __post_init__(self) -> None:
        """Raises ValueError (a ValidationError while decoding): the number of pieces does not fit the size."""
        if len(self.pieces) != -(-self.size // limits.PIECE_BYTES):
            raise ValueError(f"{self.size} bytes are not {len(self.pieces)} pieces")


def cut(content: bytes) -> tuple[Manifest, tuple[bytes, ...]]:
    """A file's manifest and its pieces; not of an empty file, or one larger than `limits.FILE_BYTES_MAX`."""
    starts = range(0, len(content), limits.PIECE_BYTES)
    pieces = tuple(content[start : start + limits.PIECE_BYTES] for start in starts)
    digests = tuple(map(_sha256, pieces))
    whole = digests[0] if len(digests) == 1 else _sha256(content)
    return Manifest(digest=whole, size=len(content), pieces=digests), pieces


def joined(manifest: Manifest, pieces: tuple[bytes, ...]) -> bytes:
    """The file.

    Raises:
        ValueError: the pieces, each as its digest says, do not make up what the manifest names.
    """
    content = b"".join(pieces)
    if len(content) != manifest.size or _sha256(content) != manifest.digest:
        raise ValueError(f"the pieces do not make up the file {manifest.digest[:16]}…")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
