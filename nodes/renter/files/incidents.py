"""Keeps what a lessor signed when its result is refused: the message itself convicts it, before anybody with its key.

A file per message in the job's folder, named by its SHA-256; the journal names it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from nodes.renter.files.folder import JobFolder
from nodes.whole import write_whole

INCIDENTS_MAX: Final = 64
"""Kept per job; a lessor is lost at its first."""


class SignedMessage(Struct, frozen=True):
    """A message as it was delivered: `schemas.codec.decode` reads it, `nodes.identity.verify` checks it."""

    headers: dict[str, str | int]
    body: bytes


def keep(folder: JobFolder, headers: Mapping[str, str | int], body: bytes) -> str:
    """Write a message down; its name, or nothing when the job has as many as it may keep."""
    raw = msgspec.msgpack.encode(SignedMessage(dict(headers), body))
    digest = hashlib.sha256(raw).hexdigest()
    path = folder.incidents / f"{digest}.msgpack"
    if not path.exists() and folder.incidents.is_dir() and len(list(folder.incidents.iterdir())) >= INCIDENTS_MAX:
        return ""
    write_whole(path, raw)
    return digest


def read(folder: JobFolder, digest: str) -> SignedMessage:
    """A message that was kept; raises FileNotFoundError."""
    return msgspec.msgpack.decode((folder.incidents / f"{digest}.msgpack").read_bytes(), type=SignedMessage)
