"""What an enclave does, inside its locked child: agree on keys, check the program, compute batches. No I/O.

One process serves one key agreement: an offer is used once, and after a seal was opened no further offer is made, so
that keys die with the process and programs of two renters never meet in one. Error texts that leave here are fixed
sentences with row and column: never a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT, BatchContext
from nodes.enclave.agreement.confirmation import confirmation
from nodes.enclave.agreement.key_agreement import KeyPair, Sealed, SealKind, SealSpec
from nodes.enclave.agreement.rounds import KEPT_BYTES_MAX, Opening, unpacked
from nodes.enclave.errors import Code, DataFault, Fault, Rejected
from nodes.enclave.frames import Buffer
from nodes.homomorphic.errors import BadKey
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.inputs import PARAMETERS, widened, width_of
from nodes.programs.check import check
from nodes.programs.program import Program
from nodes.programs.runtime import FAILED, UNKNOWN_CATEGORY, WrongType, evaluate, session
from schemas.errors import BadData, BadProgram

OFFERS_PER_PROCESS_MAX: Final = 64
RESULT_BITS_MAX: Final = 62
_LARGEST_INT64: Final = float(np.nextafter(2.0**63, 0))


@dataclass(frozen=True, slots=True)
class _Pending:
    keys: KeyPair
    nonce: bytes
    contract: str
    job: str


@dataclass(frozen=True, slots=True)
class _Session:
    contract: str
    job: str
    secret: bytes = field(repr=False)
    program: Program
    schema: bytes
    seal_key: PaillierPublic | None
    result_bits: int
    sealed: SealKind = "result"


class Enclave:
    """The state of one enclave process: nothing, then an offer, then a session."""

    def __init__(self) -> None:
        self._nonces: set[bytes] = set()
        self._pending: _Pending | None = None
        self._session: _Session | None = None
        self._plaintext = Buffer()
        self._ciphertext = Buffer()
        self._kept: dict[tuple[int, int, int], NDArray[np.float64]] = {}
        """Rows by batch, first row and count, of joint jobs."""

    def offer(self, nonce: bytes, contract: str, job: str) -> tuple[bytes, bytes]:
        """A fresh public key and the report data that binds it to nonce and contract. It replaces any earlier offer.

        Raises:
            Rejected: `nonce-reused`, `evidence-malformed` (nonce too short or long) or `session`.
        """
        if self._session is not None or len(self._nonces) >= OFFERS_PER_PROCESS_MAX:
            raise Rejected(Code.SESSION)
        if nonce in self._nonces:
            raise Rejected(Code.NONCE_REUSED)
        if not key_agreement.NONCE_BYTES_MIN <= len(nonce) <= key_agreement.NONCE_BYTES_MAX:
            raise Rejected(Code.EVIDENCE_MALFORMED, "nonce length")
        self._nonces.add(nonce)
        keys = KeyPair.generate()
        self._pending = _Pending(keys, nonce, contract, job)
        return keys.public, key_agreement.report_data(nonce, contract, keys.public)

    def accept(
        self,
        sealed: Sealed,
        *,
        renter_public: bytes,
        policy: bytes,
        claims: bytes,
        program: bytes,
        seal: SealSpec | None,
    ) -> bytes:
        """Open the seal, check the program and answer with the confirmation. The offer is spent, whatever comes out.

        Raises:
            Rejected: `seal-replayed`, `renter-signature`, `public-key` or `seal`.
            BadProgram: the program is refused.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            raise Rejected(Code.SEAL_REPLAYED)
        offer = key_agreement.offer_digest(
            nonce=pending.nonce,
            contract=pending.contract,
            enclave_public=pending.keys.public,
            claims=claims,
            policy=policy,
            renter_public=renter_public,
        )
        secret = key_agreement.open_seal(pending.keys, sealed, offer, renter_public)
        self._session = _Session(
            contract=pending.contract,
            job=pending.job,
            secret=secret,
            program=_loaded(program),
            schema=key_agreement.schema_digest(program, seal),
            seal_key=_seal_key(seal),
            result_bits=0 if seal is None else seal.result_bits,
            sealed="result" if seal is None else seal.kind,
        )
        return confirmation(secret, key_agreement.transcript(offer, sealed))

    def execute(self, context: BatchContext, body: memoryview) -> memoryview:
        """Decrypt a batch, run the program and encrypt its result. The view is valid until the next call.

        Raises:
            Rejected: `session`, `context`, or as `chunks.decrypt_into`; `no-rows` in a later round of a joint job.
            BadData: the batch does not fit, or a number in it or in its result cannot be used.
            BadProgram: an operator failed on this batch.
        """
        current = self._session
        if current is None:
            raise Rejected(Code.SESSION)
        if (context.job, context.direction, context.schema) != (current.job, DATA, current.schema):
            raise Rejected(Code.CONTEXT)
        if current.sealed != "result":
            return self._execute_round(current, context, body)
        rows = self._decrypt(current, context, body)
        result = _evaluate(current.program, context, rows)
        if current.seal_key is None:
            return self._encrypt(current, context, _raw(result))
        fixed = _fixed_point(current.program, context, result, current.result_bits)
        return self._encrypt(current, context, memoryview(current.seal_key.encrypt(fixed)))

    def _execute_round(self, current: _Session, context: BatchContext, body: memoryview) -> memoryview:
        """One round of a joint job (J2, J5): the result is for the partner, who has no key but the homomorphic one."""
        assert current.seal_key is not None
        width = width_of(current.program, PARAMETERS)
        try:
            opening = unpacked(
                self._opened(current, context, body), width, context.rows, current.program.width_in - width
            )
        except ValueError:
            raise DataFault(Fault.SHAPE) from None
        rows = widened(current.program, self._rows(context, opening), opening.parameters)
        result = _evaluate(current.program, context, rows)
        fixed = _fixed_point(current.program, context, result, opening.result_bits, 2.0**opening.value_bits)
        return memoryview(_sealed(current.seal_key, fixed, by_row=current.sealed == "row"))

    def _rows(self, context: BatchContext, opening: Opening) -> NDArray[np.float64]:
        """Those that came, and are kept from now on, or those that were kept. Raises Rejected: `no-rows`."""
        name = (context.batch, context.first_row, context.rows)
        if opening.rows is not None:
            self._kept.pop(name, None)
            self._kept[name] = opening.rows
            while sum(each.nbytes for each in self._kept.values()) > KEPT_BYTES_MAX:
                del self._kept[next(iter(self._kept))]
            return opening.rows
        kept = self._kept.get(name)
        if kept is None:
            raise Rejected(Code.NO_ROWS)
        return kept

    def _opened(self, current: _Session, context: BatchContext, body: memoryview) -> memoryview:
        length = chunks.decrypted_bytes(len(body))
        plaintext = self._plaintext.view(length)
        key = key_agreement.data_key(current.secret, current.contract, current.job, DATA, context.epoch)
        chunks.decrypt_into(key, context.digest(), body, plaintext)
        return plaintext

    def _decrypt(self, current: _Session, context: BatchContext, body: memoryview) -> NDArray[Any]:
        program, plaintext = current.program, self._opened(current, context, body)
        if context.rows < 1 or len(plaintext) != context.rows * program.width_in * program.travels.itemsize:
            raise DataFault(Fault.SHAPE)
        return np.frombuffer(plaintext, dtype=program.travels).reshape(context.rows, program.width_in)

    def _encrypt(self, current: _Session, context: BatchContext, plaintext: memoryview) -> memoryview:
        ciphertext = self._ciphertext.view(chunks.encrypted_bytes(len(plaintext)))
        key = key_agreement.data_key(current.secret, current.contract, current.job, RESULT, context.epoch)
        chunks.encrypt_into(key, context.result.digest(), plaintext, ciphertext)
        return ciphertext


def _sealed(key: PaillierPublic, fixed: NDArray[np.int64], *, by_row: bool) -> bytes:
    """Ciphertexts of many rows of one column each; or one for each row, of all its columns."""
    if not by_row:
        return key.encrypt(fixed)
    return key.encrypt_rows(fixed)


def _raw(result: NDArray[np.float64]) -> memoryview:
    return np.ascontiguousarray(result, dtype="<f8").data.cast("B")


def _seal_key(seal: SealSpec | None) -> PaillierPublic | None:
    if seal is None:
        return None
    if not 0 <= seal.result_bits <= RESULT_BITS_MAX:
        raise Rejected(Code.PUBLIC_KEY, f"result bits, 0 to {RESULT_BITS_MAX}")
    try:
        return PaillierPublic.from_bytes(seal.public_key)
    except BadKey:
        raise Rejected(Code.PUBLIC_KEY, "the renter's homomorphic one") from None


def _loaded(data: bytes) -> Program:
    """The program, ready to run. Raises BadProgram; MemoryError when it needs more than this process may have."""
    try:
        program = check(data)
        session(program.canonical)
    except BadProgram as error:
        _require_memory(error)
        raise
    return program


def _require_memory(error: BadProgram) -> None:
    """Raises MemoryError for want of memory here and now, which is not a fault of the program."""
    if isinstance(error.__cause__, MemoryError):
        raise MemoryError from None


def _evaluate(program: Program, context: BatchContext, rows: NDArray[Any]) -> NDArray[np.float64]:
    _require_no_infinity(program, context, rows)
    try:
        return evaluate(program, rows)
    except BadProgram as error:
        _require_memory(error)
        said = UNKNOWN_CATEGORY if error.operator == "OneHotEncoder" else FAILED
        raise BadProgram(f"{error.operator}: {said}" if error.operator else FAILED, operator=error.operator) from None
    except WrongType as error:
        raise DataFault(Fault.INPUT_TYPE, row=context.first_row + (error.row or 1), column=error.column) from None
    except BadData as error:
        if error.row is None and error.column is None:
            raise DataFault(Fault.SHAPE) from None
        row = None if error.row is None else context.first_row + error.row
        raise DataFault(Fault.RESULT_NOT_FINITE, row=row, column=error.column) from None


def _require_no_infinity(program: Program, context: BatchContext, rows: NDArray[Any]) -> None:
    """NaN is a missing value, which a program may know what to do with."""
    infinite = np.isinf(rows)
    if not infinite.any():
        return
    row, column = (int(i) for i in np.argwhere(infinite)[0])
    names = program.named_columns
    name = names[column] if names else str(column)
    raise DataFault(Fault.INPUT_NOT_FINITE, row=context.first_row + row + 1, column=name)


def _fixed_point(
    program: Program,
    context: BatchContext,
    result: NDArray[np.float64],
    result_bits: int,
    largest: float = _LARGEST_INT64,
) -> NDArray[np.int64]:
    scaled = np.rint(np.ldexp(result, result_bits))
    fits = np.abs(scaled) <= largest
    if not fits.all():
        row, column = (int(i) for i in np.argwhere(~fits)[0])
        number = None if program.sum_rows else context.first_row + row + 1
        raise DataFault(Fault.RESULT_TOO_LARGE, row=number, column=program.output_names[column])
    return scaled.astype(np.int64)
