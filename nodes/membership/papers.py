"""Requests, welcomes, hubs' papers and certificates as files: JSON that anybody may read, signed by whose it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from schemas.errors import BadConfig
from schemas.hubs import CertifiedHub
from schemas.membership import HubPaper, JoinRequest, Welcome

P = TypeVar("P", JoinRequest, Welcome, HubPaper, CertifiedHub)

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
_NAMES: Final = {
    JoinRequest: "a request",
    Welcome: "a welcome",
    HubPaper: "a hub's paper",
    CertifiedHub: "a hub's certificate",
}


def read_paper(path: Path, kind: type[P]) -> P:
    """What a file says; its signature is not checked.

    Raises:
        BadConfig: it is missing, too large, or another kind of file; naming the field.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror or error}", field="file") from error
    if len(raw) > FILE_BYTES_MAX:
        raise BadConfig(f"{path} has more than {FILE_BYTES_MAX:,} bytes", field="file")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not {_NAMES[kind]}: {error}", field="file") from error


def write_paper(path: Path, paper: JoinRequest | Welcome | HubPaper | CertifiedHub) -> None:
    """Write it, over an older one of the same name.

    Raises:
        BadConfig: it cannot be written there.
    """
    put_file(path, msgspec.json.format(msgspec.json.encode(paper)) + b"\n", 0o644)


def put_file(path: Path, raw: bytes, mode: int) -> None:
    """Write a file whole, in the place of one that is there; who reads it sees either.

    Raises:
        BadConfig: it cannot be written there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise BadConfig(f"cannot write {path}: {error.strerror or error}", field="file") from error
