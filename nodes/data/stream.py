"""A user's file as text: unpacked and decoded by what it begins with, not by its name. Memory does not grow with it."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nodes.data.extra import pyarrow
from schemas.errors import BadConfig, BadData

MAGIC_BYTES: Final = 16
TAR: Final = slice(257, 262)
"""Where an archive of tar says that it is one (POSIX 1003.1, ustar)."""


def _zstd(file: io.BufferedReader) -> Any:
    return pyarrow("read zstd").CompressedInputStream(file, "zstd")


PACKERS: Final[dict[bytes, tuple[str, Callable[[io.BufferedReader], Any]]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
"""By the first bytes: what a file is packed with, and how to unpack it."""
MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; those that begin like another stand before it."""
FOREIGN: Final = {
    b"PK\x03\x04": "is an Excel workbook or a ZIP archive: export its sheet as CSV, or unpack it first",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook: export its sheet as CSV",
    b"PAR1": "is Parquet inside a compressed file: unpack it first",
    b"ARROW1": "is Arrow inside a compressed file: unpack it first",
    b"\xff\xff\xff\xff": "is an Arrow stream: write it as an Arrow file, Parquet or CSV",
    b"FEA1": "is Feather of version 1: write it as version 2 or as CSV",
    b"\x89HDF": "is HDF5: export it as CSV or Parquet",
    b"SQLite format 3": "is a SQLite database: export a table of it as CSV",
    b"%PDF": "is a PDF: a table is needed, as CSV or Parquet",
    **dict.fromkeys((b'{"', b"{\n", b"{\r", b"[{", b"[\n", b"[\r"), "is JSON: export it as CSV or Parquet"),
    **dict.fromkeys((b"<!DOCTYPE", b"<!doctype", b"<html", b"<?xml"), "is a web page or XML: export its table as CSV"),
    b"\x93NUMPY": "is an array of NumPy: write it as CSV or Parquet, with a name for each column",
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "is a pickle: write the table as CSV"),
    **dict.fromkeys((b"RDX2\n", b"RDX3\n", b"X\n\x00\x00\x00"), "is R's own format: write the table as CSV"),
    **dict.fromkeys(
        (b"$FL2", b"<stata_dta>", bytes(12) + b"\xc2\xea\x81\x60"),
        "is of SPSS, Stata or SAS: export it as CSV",
    ),
    b"Obj\x01": "is Avro: export it as CSV or Parquet",
    **dict.fromkeys((b"\x04\x22\x4d\x18", b"7z\xbc\xaf", b"Rar!", b"\x1f\x9d"), "is packed: unpack it first"),
}
"""By the first bytes: what cannot be read as text, and what to do."""
DAMAGES: Final = (OSError, EOFError, MemoryError, zlib.error, lzma.LZMAError)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """The file. Raises BadData: it cannot be read, or was written to meanwhile."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        before = stamp(os.fstat(file.fileno()))
        yield file
    if stamp(path.stat()) != before:
        raise BadData(f"{path.name} changed while it was read; try again when nobody writes to it")


@contextmanager
def undamaged(name: str, kind: str, damages: tuple[type[Exception], ...]) -> Iterator[None]:
    """What a reader raises, as BadData."""
    try:
        yield
    except damages as error:
        raise BadData(f"{name} is damaged, cut short, or too large in one piece ({kind}): {error}") from error


@contextmanager
def text(path: Path, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """The file's text, its line ends as they are.

    Bytes that are not UTF-8 come as lone surrogates: who cuts rows can say which. Raises BadData: it is not text,
    damaged, or not of its encoding; BadConfig: there is no such encoding.
    """
    with opened(path) as file:
        kind, unpack = _first(PACKERS, file.peek(MAGIC_BYTES)) or ("text", None)
        with undamaged(path.name, kind, DAMAGES):
            plain = file if unpack is None else io.BufferedReader(unpack(file))
            head = plain.peek(TAR.stop)
            if foreign := _foreign(head, packed=unpack is not None):
                raise BadData(f"{path.name} {foreign}")
            decoded = _decoded(plain, _first(MARKS, head) or encoding or "utf-8")
            try:
                yield decoded
            except UnicodeError as error:
                raise BadData(f"{path.name} is not {decoded.encoding} text: {error}; give its --encoding") from error


def stamp(status: os.stat_result) -> tuple[int, int]:
    """What tells that a file was written to: its size, and when it was."""
    return status.st_size, status.st_mtime_ns


def _first(known: dict[bytes, Any], head: bytes) -> Any:
    return next((found for magic, found in known.items() if head.startswith(magic)), None)


def _foreign(head: bytes, *, packed: bool) -> str | None:
    if head[TAR] == b"ustar":
        return "is an archive of tar: unpack it first"
    if packed and _first(PACKERS, head):
        return "is compressed twice: unpack it once"
    found: str | None = _first(FOREIGN, head)
    return found


def _decoded(plain: io.BufferedReader, encoding: str) -> io.TextIOWrapper:
    try:
        utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        return io.TextIOWrapper(plain, encoding, "surrogateescape" if utf8 else "strict", newline="")
    except (LookupError, ValueError) as error:
        raise BadConfig(f"there is no text encoding {encoding!r}", field="encoding") from error
