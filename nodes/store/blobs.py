"""Content-addressed files: bytes are found by their SHA-256, so what was written once never changes.

Keeps what is too large for the store (programs, public keys). Blocking; call it through `asyncio.to_thread` where the
event loop must go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from nodes.store.errors import BlobDamaged, BlobMissing

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """A folder of blobs. Several processes may share it."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, making it (mode 0700) when it is not there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def put(self, content: bytes) -> str:
        """Keep `content`; its SHA-256 as 64 hex digits. On return it survives a crash of the machine."""
        digest = hashlib.sha256(content).hexdigest()
        target = self.path(digest)
        if target.exists():
            return digest
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
            raise
        _sync_folder(self._folder)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of this digest.

        Raises:
            BlobMissing: there are none.
            BlobDamaged: the file does not hold what its name says.
        """
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing(f"no blob {digest} in {self._folder}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise BlobDamaged(f"{path} was changed or damaged: remove it and put it again", code="blob-damaged")
        return content

    def remove(self, digest: str) -> None:
        """Forget the bytes of this digest, if there are any."""
        self.path(digest).unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob of this digest lies, or would lie.

        Raises:
            BlobMissing: it is not a digest, so nothing can lie there.
        """
        if not _DIGEST.fullmatch(digest):
            raise BlobMissing(f"{digest[:80]!r} is not a SHA-256 digest in hexadecimal")
        return self._folder / digest


def _sync_folder(folder: Path) -> None:
    """Make a rename durable (fsync of the directory)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
