"""Batch encryption against the published vectors and against everything a host could do to a ciphertext."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.enclave.agreement import chunks
from nodes.enclave.agreement.chunks import CHUNK_BYTES, DATA, HEADER_BYTES, SEALED_CHUNK_BYTES, BatchContext
from nodes.enclave.errors import Code, Rejected

KEY = bytes(range(32))
CONTEXT = BatchContext("job", "subtask", 3, 1, DATA, 0, b"schema", 100, 50)
LENGTHS = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7)


def vectors() -> list[dict[str, object]]:
    folder = os.environ.get("SUBLET_TEST_VECTORS")
    if folder is None:
        return []
    path = Path(folder) / "wycheproof" / "c2sp_chunked_encryption_aes_256_gcm_test.json"
    return [case for group in json.loads(path.read_text())["testGroups"] for case in group["tests"]]


@pytest.mark.skipif("SUBLET_TEST_VECTORS" not in os.environ, reason="SUBLET_TEST_VECTORS names no folder of vectors")
def test_published_vectors_are_there() -> None:
    assert len(vectors()) == 35


@pytest.mark.parametrize("case", vectors(), ids=lambda case: f"{case['tcId']}-{case['comment']}".replace(" ", "-"))
def test_published_vector(case: dict[str, object]) -> None:
    key, context = bytes.fromhex(str(case["key"])), bytes.fromhex(str(case["ctx"]))
    ciphertext = zlib.decompress(bytes.fromhex(str(case["ct"])))
    if case["result"] == "valid":
        assert hashlib.sha512(chunks.decrypt(key, context, ciphertext)).hexdigest() == case["msgSha512"]
        return
    with pytest.raises((Rejected, ValueError)) as refused:
        chunks.decrypt(key, context, ciphertext)
    in_header = getattr(refused.value, "code", Code.COMMITMENT) == Code.COMMITMENT
    too_short = len(ciphertext) < HEADER_BYTES
    assert (in_header or too_short) == ("HeaderFailure" in str(case["flags"]))


def test_our_own_vector_pins_the_format() -> None:
    """Made once with salt 0…23: a change of label, hash, chunk size or layout fails here, without other files."""
    sealed = bytes.fromhex((Path(__file__).parent / "chunks-vector.hex").read_text().strip())
    assert sealed[:24] == bytes(range(24))
    assert chunks.decrypt(KEY, b"context", sealed) == b"rent out idle compute"


@pytest.mark.parametrize("length", LENGTHS)
def test_round_trip_and_lengths_at_chunk_borders(length: int) -> None:
    plaintext = os.urandom(length)
    ciphertext = chunks.encrypt(KEY, CONTEXT.digest(), plaintext)
    assert len(ciphertext) == chunks.encrypted_bytes(length)
    assert chunks.decrypted_bytes(len(ciphertext)) == length
    assert chunks.decrypt(KEY, CONTEXT.digest(), ciphertext) == plaintext


def test_the_same_batch_encrypts_differently_each_time() -> None:
    assert chunks.encrypt(KEY, b"", b"same") != chunks.encrypt(KEY, b"", b"same")


@given(st.integers(0, 3 * SEALED_CHUNK_BYTES))
def test_a_length_is_either_refused_or_that_of_exactly_one_plaintext(length: int) -> None:
    possible = {
        chunks.encrypted_bytes(size) for size in (length - HEADER_BYTES - 16 * n for n in range(1, 5)) if size >= 0
    }
    if length in possible:
        assert chunks.encrypted_bytes(chunks.decrypted_bytes(length)) == length
    else:
        with pytest.raises(Rejected):
            chunks.decrypted_bytes(length)


@pytest.mark.parametrize(
    "other",
    [
        replace(CONTEXT, job="other"),
        replace(CONTEXT, subtask="other"),
        replace(CONTEXT, batch=4),
        replace(CONTEXT, attempt=2),
        replace(CONTEXT, direction="other"),
        replace(CONTEXT, epoch=1),
        replace(CONTEXT, schema=b"other"),
        replace(CONTEXT, first_row=99),
        replace(CONTEXT, rows=51),
    ],
    ids=[field.name for field in fields(BatchContext)],
)
def test_every_field_of_the_context_binds(other: BatchContext) -> None:
    ciphertext = chunks.encrypt(KEY, CONTEXT.digest(), b"rows")
    with pytest.raises(Rejected) as refused:
        chunks.decrypt(KEY, other.digest(), ciphertext)
    assert refused.value.code == Code.COMMITMENT


def test_a_result_does_not_open_as_data() -> None:
    ciphertext = chunks.encrypt(KEY, CONTEXT.result.digest(), b"rows")
    with pytest.raises(Rejected) as refused:
        chunks.decrypt(KEY, CONTEXT.digest(), ciphertext)
    assert refused.value.code == Code.COMMITMENT


def swapped(raw: bytes) -> bytes:
    first, second = HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES
    end = second + SEALED_CHUNK_BYTES
    return raw[:first] + raw[second:end] + raw[first:second] + raw[end:]


def repeated(raw: bytes) -> bytes:
    first, second = HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK_BYTES
    return raw[:second] + raw[first:second] + raw[second + SEALED_CHUNK_BYTES :]


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (swapped, Code.CHUNK),
        (repeated, Code.CHUNK),
        (lambda raw: raw[: HEADER_BYTES + 2 * SEALED_CHUNK_BYTES], Code.CIPHERTEXT_LENGTH),
        (lambda raw: raw[:-1], Code.CHUNK),
        (lambda raw: raw + b"\0", Code.CHUNK),
        (lambda raw: raw[: HEADER_BYTES - 1], Code.CIPHERTEXT_LENGTH),
        (lambda raw: bytes([raw[0] ^ 1]) + raw[1:], Code.COMMITMENT),
        (lambda raw: raw[:24] + bytes([raw[24] ^ 1]) + raw[25:], Code.COMMITMENT),
    ],
    ids=["swap", "repeat", "drop-last", "cut", "extend", "no-header", "salt", "commitment"],
)
def test_a_changed_ciphertext_is_refused(tamper: Callable[[bytes], bytes], code: Code) -> None:
    ciphertext = chunks.encrypt(KEY, b"", os.urandom(2 * CHUNK_BYTES + 10))
    with pytest.raises(Rejected) as refused:
        chunks.decrypt(KEY, b"", tamper(ciphertext))
    assert refused.value.code == code


def test_chunks_of_two_messages_do_not_mix() -> None:
    one, two = (chunks.encrypt(KEY, b"", os.urandom(CHUNK_BYTES + 5)) for _ in range(2))
    with pytest.raises(Rejected) as refused:
        chunks.decrypt(KEY, b"", one[: HEADER_BYTES + SEALED_CHUNK_BYTES] + two[HEADER_BYTES + SEALED_CHUNK_BYTES :])
    assert refused.value.code == Code.CHUNK


def test_nothing_of_a_bad_message_stays_in_the_buffer() -> None:
    ciphertext = bytearray(chunks.encrypt(KEY, b"", b"\xff" * (2 * CHUNK_BYTES)))
    ciphertext[-1] ^= 1
    out = bytearray(2 * CHUNK_BYTES)
    with pytest.raises(Rejected):
        chunks.decrypt_into(KEY, b"", ciphertext, out)
    assert not any(out)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        chunks.encrypt(bytes(length), b"", b"")
