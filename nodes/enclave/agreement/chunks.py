"""Batch encryption: C2SP chunked-encryption (https://c2sp.org/chunked-encryption). Pure but for the salt.

With AES-256-GCM and HKDF-SHA-512:

    info       = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" ‖ 0 ‖ salt ‖ context
    key ‖ base nonce ‖ commitment = HKDF-Expand(input key, info)
    ciphertext = salt ‖ commitment ‖ chunk 0 ‖ chunk 1 ‖ …    chunk i under (base nonce xor i); the last < 16 KiB

Why not plain AES-GCM: the salt makes nonces unrepeatable across workers that execute a batch again, the commitment
stops a ciphertext that opens under two keys, and the short last chunk proves that nothing was cut off. A salt is
always random: derived from a batch's name it would repeat when a batch is sent again, and a repeated nonce breaks GCM.

Everything is written straight into one buffer: collecting chunks in a list is several times slower. Nothing that was
not authenticated whole is ever handed out.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from nodes.enclave.agreement.labels import H
from nodes.enclave.errors import Code, Rejected
from schemas.jobs import Batch

KEY_BYTES: Final = 32
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
HEADER_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
CHUNK_BYTES: Final = 16 * 1024
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
CHUNKS_MAX: Final = 2**38

DATA: Final = "data"
"""Direction renter to enclave."""
RESULT: Final = "result"
"""Direction enclave to renter (or partner)."""
FIRST_EPOCH: Final = 0
"""Of jobs whose data goes out in one round; further rounds count up."""

Buffer = bytes | bytearray | memoryview

_INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What a ciphertext belongs to: it opens nowhere else. `schema` is `schema_digest(...)`; rows count from 0.

    A result has the context of its batch with direction `RESULT` (`.result`).
    """

    job: str
    subtask: str
    batch: int
    attempt: int
    direction: str
    epoch: int
    schema: bytes
    first_row: int
    rows: int

    def digest(self) -> bytes:
        """64 bytes that bind every field."""
        return H(
            "context",
            self.job,
            self.subtask,
            self.batch,
            self.attempt,
            self.direction,
            self.epoch,
            self.schema,
            self.first_row,
            self.rows,
        )

    @property
    def result(self) -> BatchContext:
        """The context of this batch's result."""
        return replace(self, direction=RESULT)


def batch_context(batch: Batch, schema: bytes) -> BatchContext:
    """What renter and lessor bind a batch's ciphertext to; `schema` is `schema_digest(...)`. Each round is an epoch."""
    return BatchContext(
        job=batch.job,
        subtask=batch.subtask,
        batch=batch.batch,
        attempt=batch.attempt,
        direction=DATA,
        epoch=batch.round - 1 + FIRST_EPOCH,
        schema=schema,
        first_row=batch.first_row,
        rows=batch.rows,
    )


def encrypted_bytes(plaintext_bytes: int) -> int:
    """Length of the ciphertext of a plaintext of this length."""
    return HEADER_BYTES + plaintext_bytes + TAG_BYTES * (plaintext_bytes // CHUNK_BYTES + 1)


def decrypted_bytes(ciphertext_bytes: int) -> int:
    """Length of the plaintext in a ciphertext of this length.

    Raises:
        Rejected: `ciphertext-length`: no ciphertext has this length; it was truncated or extended.
    """
    whole, rest = divmod(ciphertext_bytes - HEADER_BYTES, SEALED_CHUNK_BYTES)
    if ciphertext_bytes < HEADER_BYTES or rest < TAG_BYTES or whole >= CHUNKS_MAX:
        raise Rejected(Code.CIPHERTEXT_LENGTH)
    return whole * CHUNK_BYTES + rest - TAG_BYTES


def encrypt_into(key: bytes, context: bytes, plaintext: Buffer, out: Buffer) -> int:
    """Encrypt into the front of `out`, writable and at least `encrypted_bytes(len(plaintext))` long.

    The number of bytes written.
    """
    length = encrypted_bytes(len(plaintext))
    source, target = memoryview(plaintext), memoryview(out)
    salt = secrets.token_bytes(SALT_BYTES)
    cipher, base, commitment = _derive(key, salt, context)
    target[:SALT_BYTES] = salt
    target[SALT_BYTES:HEADER_BYTES] = commitment
    end = HEADER_BYTES
    for index, start in enumerate(range(0, len(source) + 1, CHUNK_BYTES)):
        begin, chunk = end, source[start : start + CHUNK_BYTES]
        end = begin + len(chunk) + TAG_BYTES
        cipher.encrypt_into(_nonce(base, index), chunk, None, target[begin:end])
    assert end == length
    return length


def decrypt_into(key: bytes, context: bytes, ciphertext: Buffer, out: Buffer) -> int:
    """Decrypt into the front of `out` (writable, at least `decrypted_bytes(len(ciphertext))` long); the length written.

    When anything is wrong `out` is overwritten with zeros: there is no partial plaintext.

    Raises:
        Rejected: `ciphertext-length`, `commitment` (wrong key, salt or context) or `chunk`.
    """
    length = decrypted_bytes(len(ciphertext))
    source, target = memoryview(ciphertext), memoryview(out)[:length]
    cipher, base, commitment = _derive(key, bytes(source[:SALT_BYTES]), context)
    if not hmac.compare_digest(commitment, source[SALT_BYTES:HEADER_BYTES]):
        raise Rejected(Code.COMMITMENT)
    try:
        for index, begin, end in _chunks(len(source)):
            start = index * CHUNK_BYTES
            chunk = target[start : start + end - begin - TAG_BYTES]
            cipher.decrypt_into(_nonce(base, index), source[begin:end], None, chunk)
    except InvalidTag:
        target[:] = bytes(length)
        raise Rejected(Code.CHUNK) from None
    return length


def encrypt(key: bytes, context: bytes, plaintext: Buffer) -> bytes:
    """Encrypt a whole plaintext for a context (`BatchContext.digest()`)."""
    out = bytearray(encrypted_bytes(len(plaintext)))
    encrypt_into(key, context, plaintext, out)
    return bytes(out)


def decrypt(key: bytes, context: bytes, ciphertext: Buffer) -> bytes:
    """Decrypt a whole ciphertext.

    Raises:
        Rejected: as `decrypt_into`.
    """
    out = bytearray(decrypted_bytes(len(ciphertext)))
    decrypt_into(key, context, ciphertext, out)
    return bytes(out)


def _derive(key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, int, bytes]:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    wanted = KEY_BYTES + NONCE_BYTES + COMMITMENT_BYTES
    raw = HKDFExpand(SHA512(), wanted, _INFO + salt + context).derive(key)
    base = int.from_bytes(raw[KEY_BYTES : KEY_BYTES + NONCE_BYTES], "big")
    return AESGCM(raw[:KEY_BYTES]), base, raw[KEY_BYTES + NONCE_BYTES :]


def _nonce(base: int, index: int) -> bytes:
    return (base ^ index).to_bytes(NONCE_BYTES, "big")


def _chunks(ciphertext_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Index, begin and end of every chunk. The last is the first that is not full, be it empty."""
    for index, begin in enumerate(range(HEADER_BYTES, ciphertext_bytes, SEALED_CHUNK_BYTES)):
        yield index, begin, min(begin + SEALED_CHUNK_BYTES, ciphertext_bytes)
