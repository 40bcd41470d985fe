"""Supervises one enclave child from the host: starts it, checks its locks, passes ciphertext in and out, ends it.

The host never sees a key or plaintext. Every call has a wall-clock deadline, after which the child is killed and its
keys are gone; the caller starts it again and shakes hands anew. A call that is cancelled after it was sent kills the
child too: half a frame in the pipe cannot be taken back. With the child fails the call behind it, whose request may
have been written by then: nothing of it is lost, its caller has it still.
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

from nodes.enclave import frames
from nodes.enclave.agreement.chunks import BatchContext
from nodes.enclave.agreement.key_agreement import Sealed, SealSpec
from nodes.enclave.agreement.labels import Part
from nodes.enclave.attestation.measure import code_root
from nodes.enclave.attestation.port import Quoter
from nodes.enclave.child.lockdown import ALL_PROTECTIONS
from nodes.enclave.errors import (
    Code,
    DataFault,
    EnclaveEnded,
    EnclaveUnavailable,
    EndReason,
    Fault,
    Rejected,
)
from nodes.enclave.frames import Frame, FrameError, Kind
from nodes.enclave.host import supervise
from nodes.enclave.host.pipe import Pipe
from schemas import limits
from schemas.errors import BadProgram

MEMORY_BYTES: Final = 1024**3
CPU_SECONDS: Final = 24 * 3600
START_SECONDS_MAX: Final = 30.0
HANDSHAKE_SECONDS_MAX: Final = 20.0
EXECUTE_SECONDS_MAX: Final = 45.0
NANOSECONDS: Final = 10**9
SOCKET_BUFFER_BYTES: Final = 4 * 1024 * 1024

_CHILD: Final = "nodes.enclave.child.main"
_ENVIRONMENT: Final = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(64 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2),
}
"""All that a child inherits: one thread, and an allocator that keeps what it has. No variable of the host's."""


@dataclass(frozen=True, slots=True)
class EnclaveOptions:
    """Bounds of a child. `memory_bytes` comes on top of what it takes to start (about 0.25 GB of address space).

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


Ended = tuple[EndReason, str]
"""Why a child ended, as a type and in words."""


class EnclaveProcess:
    """One locked child. Calls may come from many tasks; they run one after the other, in the order they came.

    After EnclaveEnded, `start()` makes a new child, without any keys.
    """

    def __init__(self, quoter: Quoter, options: EnclaveOptions | None = None) -> None:
        self._quoter = quoter
        self._options = options or EnclaveOptions()
        self._starting = asyncio.Lock()
        """Held while a child is made or closed."""
        self._child: _Child | None = None
        self._ended: Ended = (EndReason.CLOSED, "it was not started")

    @property
    def protections(self) -> tuple[str, ...]:
        """What the running child is locked down with; `lockdown.ALL_PROTECTIONS` when nothing is missing."""
        return () if self._child is None else self._child.protections

    @property
    def pid(self) -> int:
        """Process id of the child, 0 when there is none."""
        return 0 if self._child is None else self._child.pid

    @property
    def alive(self) -> bool:
        """Whether there is a child that has not ended, by a look that does not disturb it."""
        child = self._child
        if child is None or child.ending:
            return False
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

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
        async with self._starting:
            if self._child is not None and self._child.ending:
                await self._end(self._child, None)
            if self._child is not None:
                return
            options = self._options
            child = self._child = _Child.spawn(options.execute_seconds_max)
            fields = (options.memory_bytes, options.cpu_seconds, int(options.allow_unlocked))
            ready = await self._call(child, Kind.CONFIGURE, *fields, seconds=options.start_seconds_max)
            protections = tuple(raw.decode() for raw in ready.fields)
            if ready.kind is Kind.UNAVAILABLE:
                await self._end(child, None)
                raise EnclaveUnavailable(protections)
            failed = supervise.failed_checks(child.pid, protections)
            if failed:
                raise EnclaveEnded(*await self._end(child, (EndReason.CHECK, "; ".join(failed))))
            child.protections = protections

    async def offer(self, nonce: bytes, contract: str, job: str) -> bytes:
        """Encoded evidence for a fresh enclave key, bound to the renter's nonce and the contract (E1).

        Raises:
            Rejected: `nonce-reused`, `evidence-malformed` or `session`.
            EnclaveEnded: the child is gone.
        """
        child, seconds = await self._started(), self._options.handshake_seconds_max
        debug = set(self.protections) != set(ALL_PROTECTIONS)
        offered = self._expect(Kind.OFFERED, await self._call(child, Kind.OFFER, nonce, contract, job, seconds=seconds))
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
            fields = (*fields, seal.public_key, seal.result_bits, seal.kind)
        child = await self._started()
        seconds = self._options.handshake_seconds_max + len(program) / limits.LOAD_BYTES_PER_SECOND_MIN
        answer = await self._call(child, Kind.ACCEPT, *fields, body=program, seconds=seconds)
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
        child, seconds = await self._started(), self._options.execute_seconds_max
        answer = await self._call(child, Kind.EXECUTE, *fields, body=body, seconds=seconds)
        executed = self._expect(Kind.EXECUTED, answer)
        return Executed(bytes(executed.body), int.from_bytes(executed.fields[0], "big") / NANOSECONDS)

    async def close(self) -> None:
        """End the child, if there is one, and with it its keys. Calls that came before are answered first."""
        async with self._starting:
            child = self._child
            if child is not None:
                await child.pipe.idle()
                await self._end(child, (EndReason.CLOSED, "it was closed"))

    async def _started(self) -> _Child:
        """The child, when there is one and its locks are confirmed; raises EnclaveEnded."""
        async with self._starting:
            if self._child is None:
                raise EnclaveEnded(*self._ended)
            return self._child

    async def _call(self, child: _Child, kind: Kind, *fields: Part, body: bytes = b"", seconds: float) -> Frame:
        """One request and its answer. Any way out but an answer ends the child."""
        ended: Ended | None = None
        try:
            head = frames.head(kind, fields, len(body))
        except FrameError:
            raise Rejected(Code.REQUEST_SIZE) from None
        await child.pipe.turn()
        before = supervise.cpu_seconds(child.pid)
        try:
            answer = await child.pipe.exchange(head, body, seconds=seconds)
            if answer.kind is not Kind.MEMORY:
                return answer
            ended = (EndReason.MEMORY, "it needed more memory than allowed")
        except TimeoutError:
            ended = supervise.timed_out(supervise.cpu_seconds(child.pid) - before, seconds)
        except (OSError, EOFError, FrameError):
            pass
        except BaseException:
            await self._end(child, (EndReason.CLOSED, "a call was cancelled half way"))
            raise
        raise EnclaveEnded(*await self._end(child, ended))

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

    async def _end(self, child: _Child, ended: Ended | None) -> Ended:
        """Kill and collect the child; why it ended: as the host decided (`ended`), else as its wait status says."""
        why = await child.end(ended)
        if self._child is child:
            self._child, self._ended = None, why
        return why


class _Child:
    """A running process, with its end of the socket pair, until it is collected."""

    def __init__(self, pid: int, pipe: Pipe) -> None:
        self.pid = pid
        self.pipe = pipe
        self.protections: tuple[str, ...] = ()
        self._out_of_memory_kills = supervise.out_of_memory_kills()
        self._ending: asyncio.Task[Ended] | None = None

    @classmethod
    def spawn(cls, write_seconds_max: float) -> _Child:
        """Raises EnclaveUnavailable: no new process can be made."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        with theirs:
            null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
            try:
                pid = os.posix_spawn(
                    sys.executable,
                    [sys.executable, "-s", "-P", "-m", _CHILD, str(os.getpid())],
                    {**_ENVIRONMENT, "PYTHONPATH": str(code_root())},
                    file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), *null],
                    setpgroup=0,  # a terminal's Ctrl-C is for the host, which then ends the child
                )
            except OSError as error:
                ours.close()
                raise EnclaveUnavailable((f"a new process ({error.strerror})",)) from None
        return cls(pid, Pipe(ours, write_seconds_max=write_seconds_max))

    @property
    def ending(self) -> bool:
        """Whether it was, or is being, killed and collected."""
        return self._ending is not None

    async def end(self, ended: Ended | None) -> Ended:
        """Kill it, collect it and say why it ended. The first call decides; all return when it is gone."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._kill(ended))
        return await asyncio.shield(self._ending)

    async def _kill(self, ended: Ended | None) -> Ended:
        with contextlib.suppress(ProcessLookupError):  # killing one that is dying does not change how it died
            os.kill(self.pid, signal.SIGKILL)
        try:
            status = await asyncio.to_thread(_collect, self.pid)
        finally:  # also when the loop ends meanwhile
            await self.pipe.close()
        kills = supervise.out_of_memory_kills() - self._out_of_memory_kills
        return ended or supervise.end_reason(status, out_of_memory_kills=kills)


def _collect(pid: int) -> int:
    """The wait status of a child that ends."""
    return os.waitpid(pid, 0)[1]
