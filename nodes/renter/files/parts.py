"""Part files: the accepted result of each batch beside the output, joined in row order at the end."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.renter.files.folder import FOLDER_MODE, JobFolder
from schemas.errors import JobFailed

FILE_MODE: Final = 0o600
"""Results are the renter's plaintext."""


def write_part(folder: JobFolder, batch: int, result: NDArray[np.float64]) -> str:
    """Store a batch's result [rows, K] as little-endian float64; the SHA-256 of its bytes, in hex.

    Written aside and renamed, so a killed worker leaves no half file under a part's name.
    """
    raw = np.ascontiguousarray(result, dtype="<f8").tobytes()
    digest = hashlib.sha256(raw).hexdigest()
    path = folder.part(batch, digest)
    write_whole(path, raw)
    return digest


def read_part(folder: JobFolder, batch: int, digest: str, width: int) -> NDArray[np.float64]:
    """A batch's result, [rows, width].

    Raises:
        JobFailed: the file is not there or not what was accepted.
    """
    path = folder.part(batch, digest)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise JobFailed(f"the result of batch {batch} is gone: {path.name} was removed") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise JobFailed(f"the result of batch {batch} was changed on disk: {path.name}")
    return np.frombuffer(raw, dtype="<f8").reshape(-1, width)


def write_whole(path: Path, raw: bytes) -> None:
    """Write a file that is there whole or not at all; one that is there is left."""
    if path.exists():
        return
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}-{id(raw):x}.tmp")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
