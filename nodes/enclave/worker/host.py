"""Supervises one enclave child from the host: starts it, checks its locks, passes ciphertext in and out, ends it.

The host never sees a key or plaintext. Every call has a wall-clock deadline, after which the child is killed and its
keys are gone; the caller starts it again and shakes hands anew. A call that is cancelled kills the child too: half a
frame in the pipe cannot be taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from nodes.enclave.attestation.measure import code_root
from nodes.enclave.attestation.port import Quoter
from nodes.enclave.chunks import BatchContext
from nodes.enclave.errors import (
    Code,
    DataFault,
    EnclaveEnded,
    EnclaveUnavailable,
    EndReason,
    Fault,
    Rejected,
)
from nodes.enclave.labels import Part
from nodes.enclave.session import Sealed, SealSpec
from nodes.enclave.worker import frames, supervise
from nodes.enclave.worker.frames import Frame, FrameError, Kind
from nodes.enclave.worker.lockdown import ALL_PROTECTIONS
from schemas.errors import BadProgram

MEMORY_BYTES: Final = 1024**3
CPU_SECONDS: Final = 24 * 3600
START_SECONDS_MAX: Final = 30.0
HANDSHAKE_SECONDS_MAX: Final = 20.0
EXECUTE_SECONDS_MAX: Final = 45.0
NANOSECONDS: Final = 10**9
SOCKET_BUFFER_BYTES: Final = 4 * 1024 * 1024

_CHILD: Final = "nodes.enclave.worker.child"
_ENVIRONMENT: Final = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(64 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2),
}
"""All that a child inherits: one thread, and an allocator that keeps what it has. No variable of the host's."""


@dataclass(frozen=True, slots=True)
class EnclaveOptions:
    """Bounds of a child. `memory_bytes` comes on top of what it takes to start (about 0.4 GB of address space).

    `allow_unlocked` is unsafe: it lets a child run where Landlock or seccomp is *absent*; its evidence then says debug.
    """

    memory_bytes: int = MEMORY_BYTES
    cpu_seconds: int = CPU_SECONDS
    start_seconds_max: float = START_SECONDS_MAX
    handshake_seconds_max: float = HANDSHAKE_SECONDS_MAX
    execute_seconds_max: float = EXECUTE_SECONDS_MAX
    allow_unlocked: bool = False


@dataclass(frozen=True, slots=True)
class Executed:
    """An encrypted result, and the processor seconds that the child spent on it, from receiving to encrypting."""

    body: bytes
    core_seconds: float


class EnclaveProcess:
    """One locked child. Calls may come from many tasks; they run one after the other.

    After EnclaveEnded, `start()` makes a new child, without any keys.
    """

    def __init__(self, quoter: Quoter, options: EnclaveOptions | None = None) -> None:
        self._quoter = quoter
        self._options = options or EnclaveOptions()
        self._turn = asyncio.Lock()
        self._sock: socket.socket | None = None
        self._pid = 0
        self._oom_kills = 0
        self._ended = (EndReason.CLOSED, "it was not started")
        self._protections: tuple[str, ...] = ()

    @property
    def protections(self) -> tuple[str, ...]:
        """What the running child is locked down with; `lockdown.ALL_PROTECTIONS` when nothing is missing."""
        return self._protections

    @property
    def pid(self) -> int:
        """Process id of the child, 0 when there is none."""
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether there is a child that has not ended, by a look that does not disturb it."""
        if self._sock is None:
            return False
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start a child and wait until it is locked down. Does nothing when one is running.

        Raises:
            EnclaveUnavailable: this machine cannot lock it down.
            EnclaveEnded: `check` when /proc does not confirm its locks, else as it died.
        """
        async with self._turn:
            if self._sock is not None:
                return
            self._oom_kills = supervise.out_of_memory_kills()
            self._spawn()
            options = self._options
            fields = (options.memory_bytes, options.cpu_seconds, int(options.allow_unlocked))
            ready = await self._call(Kind.CONFIGURE, *fields, seconds=options.start_seconds_max)
            self._protections = tuple(raw.decode() for raw in ready.fields)
            if ready.kind is Kind.UNAVAILABLE:
                missing, self._protections = self._protections, ()
                await self._end(None)
                raise EnclaveUnavailable(missing)
            failed = supervise.failed_checks(self._pid, self._protections)
            if failed:
                await self._end((EndReason.CHECK, "; ".join(failed)))
                raise EnclaveEnded(*self._ended)

    async def offer(self, nonce: bytes, contract: str, job: str) -> bytes:
        """Encoded evidence for a fresh enclave key, bound to the renter's nonce and the contract (E1).

        Raises:
            Rejected: `nonce-reused`, `evidence-malformed` or `session`.
            EnclaveEnded: the child is gone.
        """
        async with self._turn:
            seconds = self._options.handshake_seconds_max
            offered = self._expect(Kind.OFFERED, await self._call(Kind.OFFER, nonce, contract, job, seconds=seconds))
            debug = set(self._protections) != set(ALL_PROTECTIONS)
        public, report_data = offered.fields
        quote = self._quoter.quote  # hardware may take seconds
        return await asyncio.to_thread(quote, report_data=report_data, pub=public, nonce=nonce, job=job, debug=debug)

    async def accept(
        self,
        sealed: bytes,
        signature: bytes,
        *,
        renter_public: bytes,
        policy_digest: bytes,
        claims: bytes,
        program: bytes,
        seal: SealSpec | None = None,
    ) -> bytes:
        """Hand in the sealed secret and the program (the very bytes the renter published); the confirmation MAC.

        The offer is spent whatever comes out: after an error ask for a new nonce and offer again.

        Raises:
            Rejected: `seal-replayed`, `renter-signature`, `public-key`, `seal` or `session`.
            BadProgram: the check inside the enclave refused the program.
            EnclaveEnded: the child is gone.
        """
        handed = Sealed(sealed, signature)
        fields: tuple[Part, ...] = (handed.sealed, handed.signature, renter_public, policy_digest, claims)
        if seal is not None:
            fields = (*fields, seal.public_key, seal.result_bits)
        async with self._turn:
            seconds = self._options.handshake_seconds_max
            answer = await self._call(Kind.ACCEPT, *fields, body=program, seconds=seconds)
            return self._expect(Kind.ACCEPTED, answer).fields[0]

    async def execute(self, context: BatchContext, body: bytes) -> Executed:
        """Compute one encrypted batch (E3, E4, T2); the encrypted result, bound to `context.result`,
        and what it cost.

        Raises:
            Rejected: `session`, `context`, `ciphertext-length`, `commitment` or `chunk`.
            BadData: with row and column; BadProgram: an operator failed. Both would fail everywhere the same.
            EnclaveEnded: the child is gone, by its own doing or after `execute_seconds_max`.
        """
        fields = (
            context.job,
            context.subtask,
            context.batch,
            context.attempt,
            context.epoch,
            context.schema,
            context.first_row,
            context.rows,
        )
        async with self._turn:
            seconds = self._options.execute_seconds_max
            answer = await self._call(Kind.EXECUTE, *fields, body=body, seconds=seconds)
            executed = self._expect(Kind.EXECUTED, answer)
            return Executed(bytes(executed.body), int.from_bytes(executed.fields[0], "big") / NANOSECONDS)

    async def close(self) -> None:
        """End the child, if there is one, and with it its keys."""
        async with self._turn:
            if self._sock is not None:
                await self._end((EndReason.CLOSED, "it was closed"))

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        with theirs:
            null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
            try:
                self._pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-s", "-P", "-m", _CHILD],
                    {**_ENVIRONMENT, "PYTHONPATH": str(code_root())},
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), *null],
                    setpgroup=0,  # a terminal's Ctrl-C is for the host, which then ends the child
                )
            except OSError as error:
                ours.close()
                raise EnclaveUnavailable((f"a new process ({error.strerror})",)) from None
        self._sock = ours

    async def _call(self, kind: Kind, *fields: Part, body: bytes = b"", seconds: float) -> Frame:
        """One request and its answer. Any way out but an answer ends the child."""
        sock = self._sock
        if sock is None:
            raise EnclaveEnded(*self._ended)
        try:
            head = frames.head(kind, fields, len(body))
        except FrameError:
            raise Rejected(Code.REQUEST_SIZE) from None
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(sock, head, body)
            if answer.kind is not Kind.MEMORY:
                return answer
            await self._end((EndReason.MEMORY, "it needed more memory than allowed"))
        except TimeoutError:
            await self._end(None, timed_out=True)
        except (OSError, EOFError, FrameError):
            await self._end(None)
        except BaseException:
            await self._end((EndReason.CLOSED, "a call was cancelled half way"))
            raise
        raise EnclaveEnded(*self._ended)

    def _expect(self, kind: Kind, answer: Frame) -> Frame:
        """The answer, or the error that it stands for."""
        if answer.kind is kind:
            return answer
        texts = [raw.decode("utf-8", "replace") for raw in answer.fields]
        if answer.kind is Kind.REJECTED:
            raise Rejected(Code(texts[0]))
        if answer.kind is Kind.BAD_PROGRAM:
            raise BadProgram(texts[0], operator=texts[1] or None)
        if answer.kind is Kind.BAD_DATA:
            row = int.from_bytes(answer.fields[1], "big")
            raise DataFault(Fault(texts[0]), row=row or None, column=texts[2] or None)
        raise EnclaveEnded(EndReason.CRASH, f"it answered {answer.kind.name}")

    async def _end(self, ended: tuple[EndReason, str] | None, *, timed_out: bool = False) -> None:
        """Kill and collect the child. `ended` says why, when the host decided; else its wait status does."""
        sock, pid = self._sock, self._pid
        if sock is None:
            return
        self._sock, self._pid, self._protections = None, 0, ()
        sock.close()
        status = await asyncio.shield(asyncio.to_thread(_kill_and_collect, pid))
        kills = supervise.out_of_memory_kills() - self._oom_kills
        self._ended = ended or supervise.end_reason(status, timed_out=timed_out, out_of_memory_kills=kills)


async def _exchange(sock: socket.socket, head: bytes, body: bytes) -> Frame:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, head)
    if body:
        await loop.sock_sendall(sock, body)
    kind, meta_bytes, body_bytes = frames.parse_header(await _read(sock, frames.HEADER.size))
    meta = bytes(await _read(sock, meta_bytes))
    return Frame(kind, frames.fields_of(meta), memoryview(await _read(sock, body_bytes)))


async def _read(sock: socket.socket, length: int) -> bytearray:
    loop, data, got = asyncio.get_running_loop(), bytearray(length), 0
    with memoryview(data) as view:
        while got < length:
            count = await loop.sock_recv_into(sock, view[got:])
            if count == 0:
                raise EOFError
            got += count
    return data


def _kill_and_collect(pid: int) -> int:
    """The child's wait status. Killing one that is dying already does not change how it died."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.wait4(pid, 0)[1]
