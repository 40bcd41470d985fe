"""Part files: the accepted result of each batch beside the output, joined in row order at the end."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nodes.renter.files.folder import JobFolder
from nodes.whole import write_whole
from schemas.errors import JobFailed


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
    return _read(folder.part(batch, digest), digest, f"result of batch {batch}").reshape(-1, width)


def _read(path: Path, digest: str, what: str) -> NDArray[np.float64]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise JobFailed(f"the {what} is gone: {path.name} was removed") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise JobFailed(f"the {what} was changed on disk: {path.name}")
    return np.frombuffer(raw, dtype="<f8")


def write_parameters(folder: JobFolder, number: int, values: NDArray[np.float64]) -> str:
    """Store the parameters [P] of a joint job's round; the digest that names them."""
    return _write_of_round(folder, number, "parameters", values)


def read_parameters(folder: JobFolder, number: int, digest: str, width: int) -> NDArray[np.float64]:
    """A round's parameters, [width]. Raises JobFailed as `read_part`."""
    return _read(folder.of_round(number, "parameters", digest), digest, f"parameters of round {number}").reshape(width)


def write_output(folder: JobFolder, number: int, values: NDArray[np.float64]) -> str:
    """Store a round's decrypted output [1, O]; the digest that names it."""
    return _write_of_round(folder, number, "output", values)


def read_output(folder: JobFolder, number: int, digest: str, width: int) -> NDArray[np.float64]:
    """A round's output, [1, width]. Raises JobFailed as `read_part`."""
    return _read(folder.of_round(number, "output", digest), digest, f"output of round {number}").reshape(1, width)


def _write_of_round(folder: JobFolder, number: int, what: str, values: NDArray[np.float64]) -> str:
    raw = np.ascontiguousarray(values, dtype="<f8").tobytes()
    digest = hashlib.sha256(raw).hexdigest()
    write_whole(folder.of_round(number, what, digest), raw)
    return digest
