"""Predicts what a job costs under each protection, from counted work and measured units (A1). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from nodes.homomorphic.costs import Units, Work, encrypt_seconds, evaluate_seconds
from nodes.homomorphic.port import Shape
from nodes.renter.protocol.records import VALUE_BYTES
from schemas.jobs import Costs


class Part(Struct, frozen=True):
    """Core-seconds of one part of what is done with every batch."""

    start: float
    """Once per process more, the first time."""
    batch: float
    """Per batch, however short."""
    row: float

    def seconds(self, processes: int, batches: int, rows: int) -> float:
        """Of so many rows in so many batches, begun in so many processes."""
        return min(processes, batches) * self.start + batches * self.batch + rows * self.row


class CiphertextParts(Struct, frozen=True):
    """What the renter does around ciphertexts."""

    read: Part
    encode: Part
    """Encoding and noting what an honest result adds up to."""
    finish: Part
    """Checking and decoding a result."""


class EnclaveParts(Struct, frozen=True):
    """What is done with a batch that is computed in an enclave."""

    read: Part
    encrypt: Part
    execute: Part
    """In the enclave: decrypting, computing, encrypting the result."""
    decrypt: Part


@dataclass(frozen=True, slots=True)
class Size:
    """Of the rented part of a job, and who works on it."""

    rows: int
    width_in: int
    width_out: int
    hands: int
    """Processes of the renter."""
    lessors: int
    value_bytes: int = VALUE_BYTES
    """Of a number on its way into an enclave."""
    batches: int = 1


def homomorphic(size: Size, work: Work, units: Units, parts: CiphertextParts, shape: Shape, *, exact: bool) -> Costs:
    """Data encrypted homomorphically (H1-H3)."""
    here = (size.hands, size.batches, size.rows)
    reading = parts.read.seconds(*here) + parts.encode.seconds(*here) + min(here[:2]) * units.read_key
    return Costs(
        encrypt_seconds=reading + encrypt_seconds(units, work.ciphertexts_in, work.batch_in, size.hands, exact=exact),
        lessor_seconds=evaluate_seconds(units, work, size.lessors),
        decrypt_seconds=_opened(size, work, units) + parts.finish.seconds(*here),
        bytes_sent=work.ciphertexts_in * shape.ciphertext_bytes,
        bytes_back=work.ciphertexts_out * shape.result_bytes,
    )


def enclave(size: Size, parts: EnclaveParts) -> Costs:
    """Data encrypted symmetrically into enclaves (E2-E4); here by one process."""
    here, there = (1, size.batches, size.rows), (size.lessors, size.batches, size.rows)
    return Costs(
        encrypt_seconds=parts.read.seconds(*here) + parts.encrypt.seconds(*here),
        lessor_seconds=parts.execute.seconds(*there),
        decrypt_seconds=parts.decrypt.seconds(*here),
        bytes_sent=size.rows * size.width_in * size.value_bytes,
        bytes_back=size.rows * size.width_out * VALUE_BYTES,
    )


def sealed_result(size: Size, plain: Costs, sealed: Work, units: Units, *, ciphertext_bytes: int) -> Costs:
    """As `enclave`, with results sealed there (T2) and decrypted here (T3)."""
    results = sealed.ciphertexts_out
    return Costs(
        encrypt_seconds=plain.encrypt_seconds,
        lessor_seconds=plain.lessor_seconds + encrypt_seconds(units, results, sealed.batch_out, size.lessors),
        decrypt_seconds=plain.decrypt_seconds + _opened(size, sealed, units),
        bytes_sent=plain.bytes_sent,
        bytes_back=results * ciphertext_bytes,
    )


def _opened(size: Size, work: Work, units: Units) -> float:
    return size.batches * units.open + work.ciphertexts_out * units.decrypt


def batches(size: Size, batch_rows: int) -> list[tuple[int, int]]:
    """(how many, rows of each): of every lessor's share, the full ones and the rest."""
    cut: list[tuple[int, int]] = []
    for index in range(size.lessors):
        share = size.rows * (index + 1) // size.lessors - size.rows * index // size.lessors
        full, rest = divmod(share, batch_rows)
        cut += [each for each in ((full, batch_rows), (1, rest)) if all(each)]
    return cut
