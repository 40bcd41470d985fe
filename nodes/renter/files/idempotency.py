"""Keys that users give to submissions: the same key again means the same job, however often it is submitted.

    <folder>/<SHA-256 of the key>.json      which job it is, and what was submitted

A key lasts as long as its job. Submissions with keys follow each other, for a lock on the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from schemas.errors import BadConfig
from schemas.jobs import JobSpec
from schemas.signing import length_prefixed

KEY_CHARS_MAX: Final = 200
COPY_BYTES: Final = 1 << 20
LOCK: Final = "lock"


class KeyTaken(BadConfig):
    """Another submission has this key."""


class Submitted(Struct, frozen=True, kw_only=True):
    """What went in under a key."""

    job: str
    content: str
    """SHA-256 of everything that was submitted, hexadecimal."""
    spec: JobSpec


def content_of(data: Path, program: bytes, local_program: bytes | None, options: Any) -> str:
    """SHA-256 of all that a submission says, hexadecimal. Blocking.

    Raises:
        BadConfig: the data is no file that can be read.
    """
    digest = hashlib.sha256()
    try:
        with data.open("rb") as file:
            while part := file.read(COPY_BYTES):
                digest.update(part)
    except OSError as error:
        raise BadConfig(f"cannot read {data}: {error.strerror or error}", field="data") from error
    wishes = msgspec.json.encode(options, enc_hook=str)
    parts = (digest.digest(), program, b"" if local_program is None else b"\1" + local_program, wishes)
    return hashlib.sha256(length_prefixed(*parts)).hexdigest()


class Keys:
    """The keys of one renter. Blocking."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, making it (mode 0700) when it is not there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While it lasts, nobody else submits with a key."""
        with (self._folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def find(self, key: str, content: str) -> Submitted | None:
        """What was submitted under this key before.

        Raises:
            KeyTaken: it was something else.
            BadConfig: it is no key.
        """
        path = self._path(key)
        try:
            known = msgspec.json.decode(path.read_bytes(), type=Submitted)
        except FileNotFoundError:
            return None
        if known.content != content:
            said = "with other data, another program or other wishes: take another key, or submit the same again"
            raise KeyTaken(f"--key {key} is that of {known.job}, {said}", field="key")
        return known

    def keep(self, key: str, submitted: Submitted) -> None:
        """Write it; it is there whole or not at all."""
        path = self._path(key)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(submitted))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._path(key).unlink(missing_ok=True)

    def forget(self, is_known: Callable[[str], bool]) -> None:
        """Forget keys of jobs that are gone."""
        for path in self._folder.glob("*.json"):
            if not is_known(msgspec.json.decode(path.read_bytes(), type=Submitted).job):
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not 0 < len(key) <= KEY_CHARS_MAX or not key.isprintable():
            raise BadConfig(f"--key takes 1 to {KEY_CHARS_MAX} printable characters", field="key")
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
