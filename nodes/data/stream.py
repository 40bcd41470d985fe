"""A file's bytes as UTF-8 text, block by block: unpacked and decoded by what it begins with, not by its name.

Unpacking and decoding stream: memory does not grow with the file.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from nodes.data.extra import pyarrow
from schemas.errors import BadConfig, BadData

BLOCK_BYTES: Final = 1 << 20
MAGIC_BYTES: Final = 16
Read = Callable[[int], bytes]


def _zstd(file: BinaryIO) -> Any:
    return pyarrow("read zstd").CompressedInputStream(file, "zstd")


PACKERS: Final[dict[bytes, tuple[str, Callable[[BinaryIO], Any]]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
"""By the first bytes: what a file is packed with, and how to unpack it."""
MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; those that begin like another stand before it."""
FOREIGN: Final = {
    b"PK\x03\x04": "is an Excel workbook or a ZIP archive: export its sheet as CSV, or unpack it first",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook: export its sheet as CSV",
    b"PAR1": "is Parquet inside a compressed file: unpack it first",
    b"ARROW1": "is Arrow inside a compressed file: unpack it first",
    b"FEA1": "is Feather of version 1: write it as version 2 or as CSV",
    b"\x89HDF": "is HDF5: export it as CSV or Parquet",
    b"SQLite format 3": "is a SQLite database: export a table of it as CSV",
    b"%PDF": "is a PDF: a table is needed, as CSV or Parquet",
}
"""By the first bytes: what cannot be read as text, and what to do."""
DAMAGES: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file. Raises BadData: it cannot be read, or was written to meanwhile."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        before = stamp(file)
        yield file
        if stamp(file) != before:
            raise BadData(f"{path.name} changed while it was read; try again when nobody writes to it")


def stamp(file: BinaryIO) -> tuple[int, int]:
    """What tells that a file was written to: its size, and when it was."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def text(file: BinaryIO, name: str, encoding: str | None) -> Read:
    """Reads about so many bytes of the file's text as UTF-8, whatever its own encoding; b"" at its end.

    Raises:
        BadData: it is not text, damaged, or not of this encoding.
        BadConfig: there is no such encoding.
    """
    packed = _starting(_first(file), PACKERS)
    read: Read = file.read
    if packed is not None:
        kind, unpack = PACKERS[packed]
        read = _unpacked(unpack(file), name, kind)
        head = read(MAGIC_BYTES)
    else:
        head = _first(file)
        file.seek(len(head))
    foreign = _starting(head, FOREIGN)
    if foreign is not None:
        raise BadData(f"{name} {FOREIGN[foreign]}")
    return _decoded(_after(head, read), head, name, encoding)


def _first(file: BinaryIO) -> bytes:
    head = file.read(MAGIC_BYTES)
    file.seek(0)
    return head


def _starting(head: bytes, known: Iterable[bytes]) -> bytes | None:
    return next((magic for magic in known if head.startswith(magic)), None)


def _after(head: bytes, read: Read) -> Read:
    """What was read already, and then the rest."""
    waiting = [head] if head else []
    return lambda size: waiting.pop() if waiting else read(size)


def _unpacked(packed: Any, name: str, kind: str) -> Read:
    def read(size: int) -> bytes:
        try:
            return bytes(packed.read(size))
        except DAMAGES as error:
            raise BadData(f"{name} is damaged or cut short ({kind}): {error}") from error

    return read


def _decoded(read: Read, head: bytes, name: str, encoding: str | None) -> Read:
    mark = _starting(head, MARKS)
    skipped = len(mark or b"")
    wanted = MARKS[mark] if mark else encoding or "utf-8"
    try:
        codec = codecs.lookup(wanted)
        "".encode(wanted)
    except (LookupError, UnicodeError) as error:
        raise BadConfig(f"there is no text encoding {wanted!r}", field="encoding") from error
    if codec.name == "utf-8":
        return _skipping(read, skipped)
    decoder = codecs.getincrementaldecoder(wanted)()
    raw = _skipping(read, skipped)

    def decode(size: int) -> bytes:
        while True:
            block = raw(size)
            try:
                found = decoder.decode(block, final=not block).encode("utf-8")
            except UnicodeError as error:
                raise BadData(f"{name} is not {codec.name} text: {error}; give its --encoding") from error
            if found or not block:
                return found

    return decode


def _skipping(read: Read, skipped: int) -> Read:
    first = [skipped]

    def skip(size: int) -> bytes:
        block = read(size)
        if first and block:
            block = block[first.pop() :]
            return block or read(size)
        return block

    return skip
