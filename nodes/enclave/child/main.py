"""The enclave child: `python -m nodes.enclave.child.main` with one end of a socket pair as standard input.

Import, configure, warm up, lock down, say so; only then may keys arrive. From then on it answers requests until the
host hangs up. Whatever goes wrong inside ends the process without a word: an exception's text could hold plaintext.

Not for people: `host.EnclaveProcess` starts it, with its own process id as the argument, and it ends with that process.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from nodes.enclave.agreement.chunks import DATA, BatchContext
from nodes.enclave.agreement.key_agreement import Sealed, SealSpec
from nodes.enclave.child.engine import Enclave
from nodes.enclave.child.lockdown import Limits, lock_down
from nodes.enclave.child.warm import warm_up
from nodes.enclave.errors import DataFault, EnclaveUnavailable, Rejected
from nodes.enclave.frames import EXIT_MEMORY, EXIT_UNCAUGHT, Channel, Frame, Kind
from nodes.process import end_with
from schemas.errors import BadProgram

if TYPE_CHECKING:
    from nodes.enclave.agreement.key_agreement import SealKind

REASON_CHARS_MAX: Final = 500


class NoMoreImports:
    """A finder that finds nothing and opens nothing: a late import is an exception and not a forbidden system call."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Refuse."""
        raise ModuleNotFoundError(f"{name} was not imported before the lock closed", name=name)


def main() -> None:
    """Never returns: an interpreter that shuts down makes calls that are forbidden by then."""
    try:
        channel = Channel(socket.socket(fileno=0))
        if _start(channel):
            _serve(channel, Enclave())
        os._exit(0)
    except BaseException:  # nothing may leave, not even a traceback
        os._exit(EXIT_UNCAUGHT)


def _start(channel: Channel) -> bool:
    """Configure, warm up and lock down; False when the host hung up or this machine cannot."""
    end_with(int(sys.argv[1]))
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    request = channel.receive()
    if request is None:
        return False
    memory, cpu, unlocked = (int.from_bytes(raw, "big") for raw in request.fields)
    warm_up()
    gc.collect()
    gc.freeze()
    try:
        protections = lock_down(Limits(memory, cpu), allow_unlocked=bool(unlocked))
    except EnclaveUnavailable as error:
        channel.send(Kind.UNAVAILABLE, *error.missing)
        return False
    sys.meta_path[:] = [NoMoreImports()]
    channel.send(Kind.READY, *protections)
    return True


def _serve(channel: Channel, enclave: Enclave) -> None:
    try:
        begin = time.thread_time_ns()
        while (request := channel.receive()) is not None:
            _answer_or_refuse(channel, enclave, request, begin)
            begin = time.thread_time_ns()
    except MemoryError:
        with contextlib.suppress(OSError):
            channel.send(Kind.MEMORY)
        os._exit(EXIT_MEMORY)


def _answer_or_refuse(channel: Channel, enclave: Enclave, request: Frame, begin: int) -> None:
    try:
        _answer(channel, enclave, request, begin)
    except Rejected as error:
        channel.send(Kind.REJECTED, error.code)
    except BadProgram as error:
        channel.send(Kind.BAD_PROGRAM, str(error)[:REASON_CHARS_MAX], error.operator or "")
    except DataFault as error:
        channel.send(Kind.BAD_DATA, error.fault.value, error.row or 0, error.column or "")


def _answer(channel: Channel, enclave: Enclave, request: Frame, begin: int) -> None:
    """`begin` is this thread's processor time before the request was received, in nanoseconds.

    The thread's, and there is one: Linux updates a process' clock at its ticks only once RLIMIT_CPU is set.
    """
    fields = request.fields
    if request.kind is Kind.EXECUTE:
        result = enclave.execute(_context(fields), request.body)
        channel.send(Kind.EXECUTED, time.thread_time_ns() - begin, body=result)
    elif request.kind is Kind.ACCEPT:
        channel.send(Kind.ACCEPTED, _accept(enclave, fields, bytes(request.body)))
    elif request.kind is Kind.OFFER:
        nonce, contract, job = fields
        channel.send(Kind.OFFERED, *enclave.offer(nonce, contract.decode(), job.decode()))
    else:
        os._exit(EXIT_UNCAUGHT)


def _accept(enclave: Enclave, fields: tuple[bytes, ...], program: bytes) -> bytes:
    sealed, signature, renter_public, policy, claims, *sealing = fields
    seal = None
    if sealing:
        key, bits, kind = sealing
        seal = SealSpec(key, int.from_bytes(bits, "big"), cast("SealKind", kind.decode()))
    return enclave.accept(
        Sealed(sealed, signature),
        renter_public=renter_public,
        policy=policy,
        claims=claims,
        program=program,
        seal=seal,
    )


def _context(fields: tuple[bytes, ...]) -> BatchContext:
    job, subtask, batch, attempt, epoch, schema, first_row, rows = fields
    return BatchContext(
        job=job.decode(),
        subtask=subtask.decode(),
        batch=int.from_bytes(batch, "big"),
        attempt=int.from_bytes(attempt, "big"),
        direction=DATA,
        epoch=int.from_bytes(epoch, "big"),
        schema=schema,
        first_row=int.from_bytes(first_row, "big"),
        rows=int.from_bytes(rows, "big"),
    )


if __name__ == "__main__":
    main()
