"""A batch of the job's own rows, done once before the job as it will be done in it: tasks for the crew.

What a row costs to read depends on the file, and what a program costs on the program; so both are tried, not guessed.
Each part comes after the one before it, or after something else, as in the job, so that it finds the processor as it
will find it: who waits for a batch to come sleeps, and what wakes up finds others' data in the caches and a core that
has to begin anew. A short batch then takes up to three times what it takes in a loop.
What is done for the first time is kept apart, from one row to as many as a batch has: a process takes so much longer
until its memory is as large as a batch. One row, and many, tell what a batch costs however short it is.
"""

from __future__ import annotations

import contextlib
import gc
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryFile
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodes.data.table import Table
from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import batch_context
from nodes.enclave.child.engine import Enclave
from nodes.homomorphic.audit import Auditor
from nodes.homomorphic.encoding import decode, encode
from nodes.homomorphic.measure import CACHE_BYTES
from nodes.homomorphic.port import IntegerProgram
from nodes.programs import runtime
from nodes.programs.check import check
from nodes.renter.prediction.predict import CiphertextParts, EnclaveParts, Part
from nodes.renter.protections import enclave as protection
from schemas.errors import BadInput, SubletError
from schemas.jobs import Batch, FixedPoint

ROUNDS: Final = 3
"""At least; short ones are repeated until they have taken ENOUGH_SECONDS, or ROUNDS_MAX times."""
ROUNDS_MAX: Final = 15
ENOUGH_SECONDS: Final = 0.02
ROUND_SECONDS: Final = 0.25
"""Rehearsed on as many rows as take so long: enough to measure, and soon over however heavy the program is."""
ROWS_MAX: Final = 20_000
"""Rehearsed at most; a tenth of a second or so."""
GROWTH: Final = 4
"""From one number of rows tried to the next."""
AWAY_SECONDS: Final = 0.002
"""About what passes from one batch to the next: the core goes to others meanwhile, or to sleep. With less, predictions
of enclave jobs were too low on an idle machine, with more too high (`make bench ONLY=predictions`)."""
_SEED: Final = bytes(32)
_NAME: Final = "rehearsal"


@dataclass(frozen=True, slots=True)
class CiphertextScore:
    """What is rehearsed of a job on ciphertext; `approximate` if the scheme is, which is audited otherwise."""

    table: Table
    fixed_point: FixedPoint
    program: IntegerProgram
    approximate: bool = False
    rest: bytes = b""
    """The program that follows on the results, where there is one."""


@dataclass(frozen=True, slots=True)
class EnclaveScore:
    """What is rehearsed of a job in enclaves."""

    table: Table
    program: bytes


class Laps:
    """Processor seconds from one call to the next."""

    def __init__(self) -> None:
        self._other = np.zeros(CACHE_BYTES, np.uint8)
        self._last = 0.0
        self.seconds: list[float] = []

    def begin(self) -> None:
        """The first part begins."""
        self._last = time.process_time()

    def lap(self) -> None:
        """One part is over, and the next one begins."""
        now = time.process_time()
        self.seconds.append(now - self._last)
        self._last = now

    def pause(self) -> None:
        """Others compute before the next part, and the processor's caches are full of theirs."""
        self._other.fill(1)
        time.sleep(AWAY_SECONDS)
        self.begin()


def rehearse_ciphertext(score: CiphertextScore, first: int, rows: int) -> CiphertextParts:
    """Go through `rows` rows from `first` as the renter does before encrypting and after decrypting."""
    count, program = _count(score.table, first, rows), score.program
    tolerance = math.inf if score.approximate else 0.0
    rest = check(score.rest) if score.rest else None

    def play(laps: Laps, rows: int) -> None:
        result = np.ones((1 if program.sum_rows else rows, program.width_out), dtype=np.int64)
        laps.begin()
        values = score.table.read(first, rows)
        laps.lap()
        auditor = Auditor(program, _SEED, _NAME, len(result), tolerance)
        expected = auditor.expect(encode(values, score.fixed_point))
        laps.lap()
        laps.pause()
        Auditor(program, _SEED, _NAME, len(result), tolerance).honest(result, expected)
        decoded = decode(result, score.fixed_point)
        with contextlib.suppress(BadInput):  # numbers that no row gives may have no result
            if rest is not None:
                runtime.evaluate(rest, decoded)
        laps.lap()

    return CiphertextParts(*_parts(play, count))


def rehearse_enclave(score: EnclaveScore, first: int, rows: int) -> EnclaveParts:
    """Go through `rows` rows from `first` as the renter and an enclave do.

    A batch that the program refuses costs nothing in the enclave and after it; why is told when the job runs.
    """
    count = _count(score.table, first, rows)
    secret = secrets.token_bytes(key_agreement.SECRET_BYTES)
    enclave, travels = _in_session(secret, score.program), check(score.program).travels

    def play(laps: Laps, rows: int) -> None:
        batch = Batch(job=_NAME, subtask=_NAME, contract=_NAME, batch=0, attempt=1, first_row=first, rows=rows)
        laps.begin()
        values = score.table.read(first, rows)
        laps.lap()
        context = batch_context(batch, key_agreement.schema_digest(score.program, None))
        body = protection.encrypt(secret, batch.contract, context, values.astype(travels))
        laps.lap()
        with TemporaryFile(buffering=0) as pipe:  # for the child's socket; what that costs more is not counted
            pipe.write(body)
            pipe.seek(0)
            laps.pause()
            try:
                result = bytes(enclave.execute(context, memoryview(pipe.read())))
            except (SubletError, MemoryError):
                return
        laps.lap()
        laps.pause()
        protection.decrypt(secret, batch.contract, context, result)
        laps.lap()

    read, encrypt, *after = _parts(play, count)
    return EnclaveParts(read, encrypt, *(after or (Part(0.0, 0.0, 0.0),) * 2))


def _in_session(secret: bytes, program: bytes) -> Enclave:
    """What runs in enclaves, here in this process, holding the secret."""
    enclave, key = Enclave(), Ed25519PrivateKey.generate()
    nonce, renter_public = secrets.token_bytes(key_agreement.NONCE_BYTES_MIN), key.public_key().public_bytes_raw()
    enclave_public, _ = enclave.offer(nonce, _NAME, _NAME)
    offer = key_agreement.offer_digest(
        nonce=nonce,
        contract=_NAME,
        enclave_public=enclave_public,
        claims=b"",
        policy=b"",
        renter_public=renter_public,
    )
    sealed = key_agreement.seal(secret, enclave_public, offer, key.sign)
    enclave.accept(sealed, renter_public=renter_public, policy=b"", claims=b"", program=program, seal=None)
    return enclave


def _count(table: Table, first: int, rows: int) -> int:
    return min(rows, ROWS_MAX, table.rows - first)


@contextlib.contextmanager
def _unswept() -> Iterator[None]:
    """Python looks for garbage through all that a process holds, now and then: not in a batch of all."""
    sweeping = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if sweeping:
            gc.enable()


@_unswept()
def _parts(play: Callable[[Laps, int], None], rows_max: int) -> list[Part]:
    """Of every part what it costs, of several rounds on up to so many rows; those are left out that not all rounds come
    to, as where a program refuses one row of many."""
    rows, first = 1, _played(play, 1)
    if sum(first) >= ROUND_SECONDS:
        return [Part(0.0, 0.0, each) for each in first]
    few = _medians(_rounds(play, 1))
    firsts = {rows: first}
    while rows < rows_max and sum(first) < ROUND_SECONDS:
        rows = min(rows * GROWTH, rows_max)
        first = firsts[rows] = _played(play, rows)
    many = _medians(_rounds(play, rows) if sum(first) < GROWTH * ROUND_SECONDS else [first])
    parts = min(len(few), len(many), *map(len, firsts.values()))
    return [_part({count: each[at] for count, each in firsts.items()}, few[at], many[at]) for at in range(parts)]


def _part(firsts: Mapping[int, float], few: float, many: float) -> Part:
    """From the seconds of one row and of ever more rows for the first time, and, later, of one row and of the most."""
    rows = max(firsts)
    row = max(0.0, many - few) / (rows - 1) if rows > 1 else many
    batch = max(0.0, few - row)
    return Part(max(0.0, sum(first - batch - count * row for count, first in firsts.items())), batch, row)


def _rounds(play: Callable[[Laps, int], None], rows: int) -> list[list[float]]:
    rounds = [_played(play, rows) for _ in range(ROUNDS)]
    while len(rounds) < ROUNDS_MAX and sum(map(sum, rounds)) < ENOUGH_SECONDS:
        rounds.append(_played(play, rows))
    return rounds


def _medians(rounds: list[list[float]]) -> list[float]:
    return [median(part) for part in zip(*rounds, strict=False)]


def _played(play: Callable[[Laps, int], None], rows: int) -> list[float]:
    laps = Laps()
    play(laps, rows)
    return laps.seconds
