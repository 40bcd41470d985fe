"""One process per core for encrypting, computing and decrypting, so that an event loop never waits for arithmetic.

Processes, because big-number operations are too short for threads: two threads of one interpreter spend their time
handing over its lock. A task is a function of some module with its arguments; what all tasks of a job share (tables,
programs, keys) comes pickled as a *kit*, which each process unpacks once and keeps. A process that dies takes one task
with it and nothing else, so what parses foreign bytes belongs here. Says nothing about what tasks do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, get_type_hints

import msgspec

from nodes.crew.errors import HandLost, TaskFailed
from nodes.crew.hand import LENGTH, Answer, Request
from schemas import limits

ANSWER_BYTES_MAX: Final = 2 * limits.BODY_BYTES_MAX
TASK_SECONDS_MAX: Final = 600.0
"""A process that is busy with one task for longer is killed: the largest batch takes a sixth of that."""
END_SECONDS_MAX: Final = 1.0
"""A process that closed its output is dying; this long, and it is killed."""

_COMMAND: Final = (sys.executable, "-s", "-P", "-m", "nodes.crew")
_CODE_ROOT: Final = Path(__file__).resolve().parents[2]
_ENVIRONMENT: Final = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(_CODE_ROOT),
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""All that a process inherits, no variable of the node's: those hold its passwords. It computes on one core, for the
crew is as large as the cores."""

T = TypeVar("T")
W = TypeVar("W")
K = TypeVar("K")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Worked(Generic[T]):
    """What a task returned, and the processor time it took on one core."""

    result: T
    core_seconds: float


@dataclass(frozen=True, slots=True)
class Kit(Generic[K]):
    """What all tasks of one job share, pickled once. `repr` shows nothing: it may hold keys."""

    packed: bytes = field(repr=False)
    name: bytes = field(repr=False)
    """By which processes find what they unpacked: its SHA-256, as hashing hundreds of kilobytes takes a while."""

    @classmethod
    def of(cls, content: K) -> Kit[K]:
        """Pack it."""
        packed = pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
        return cls(packed, hashlib.sha256(packed).digest())


@dataclass(slots=True)
class _Hand:
    """One process, started when first needed and again after it died. Used by one thread at a time."""

    task_seconds_max: float
    process: subprocess.Popen[bytes] | None = None
    to_forget: deque[bytes] = field(default_factory=deque, repr=False)
    """Kits that its process may still have."""
    closed: bool = False
    starting: threading.Lock = field(default_factory=threading.Lock)

    def exchange(self, request: Request, returned: Any = None) -> tuple[Answer, Any]:
        """Send a request and wait for its answer, with a result of type `returned` unless it failed; raises HandLost.

        A process that answers anything else has been subverted, and is killed; so is one that answers too late.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = threading.Timer(self.task_seconds_max, process.kill)
        deadline.daemon = True
        deadline.start()
        try:
            pickle.dump(request, process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
            (size,) = LENGTH.unpack(process.stdout.read(LENGTH.size))
            answer = msgspec.msgpack.decode(process.stdout.read(min(size, ANSWER_BYTES_MAX)), type=Answer)
            return answer, None if answer.failed else msgspec.msgpack.decode(answer.result, type=returned)
        except (BrokenPipeError, struct.error, msgspec.MsgspecError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS_MAX)
            late = f", after {self.task_seconds_max:.0f} s without an answer" if deadline.finished.is_set() else ""
            raise HandLost(f"the process that computed this ended with code {self.end()}{late}") from error
        finally:
            deadline.cancel()

    def close(self) -> None:
        """End the process; no other will be started."""
        with self.starting:
            self.closed = True
        self.end()

    def end(self) -> int:
        """Kill the process, and its keys with it; its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        return code

    def _running(self) -> subprocess.Popen[bytes]:
        with self.starting:
            if self.closed:
                raise HandLost("the crew was closed before this was computed")
            if self.process is not None and self.process.poll() is not None:  # when it had no task: none is lost
                self.end()
            if self.process is None:
                self.process = subprocess.Popen(  # noqa: S603 - our own module
                    (*_COMMAND, str(os.getpid()), str(self.task_seconds_max + END_SECONDS_MAX)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_ENVIRONMENT,
                    start_new_session=True,
                )
            return self.process


async def survived(work: Callable[[], Awaitable[W]]) -> W:
    """What comes of work on foreign bytes, begun again once: a process may die of this machine's own troubles.

    Raises:
        HandLost: it died again, so the bytes are to blame.
    """
    with contextlib.suppress(HandLost):
        return await work()
    return await work()


class _Turns:
    """Whose task is next when a process is free: those that go ahead, then the others, each in the order they came."""

    def __init__(self, hands: int) -> None:
        self.free = hands
        """Processes without a task."""
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}

    async def take(self, *, ahead: bool) -> None:
        """Return when it is the caller's turn, who then must `give_back` it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[ahead].append(turn)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """A process is free."""
        self.free += 1
        self._next()

    def _next(self) -> None:
        while self.free and (waiting := self._waiting[True] or self._waiting[False]):
            turn = waiting.popleft()
            if not turn.done():
                self.free -= 1
                turn.set_result(None)


class Crew:
    """`hands` processes, started as tasks come. `close` when done; use from one event loop."""

    def __init__(self, hands: int, *, task_seconds_max: float = TASK_SECONDS_MAX) -> None:
        self._turns = _Turns(hands)
        self._goes_ahead = False
        self._hands = tuple(_Hand(task_seconds_max) for _ in range(hands))
        self._idle = deque(self._hands)
        self._threads = ThreadPoolExecutor(hands, thread_name_prefix="crew")
        self.hands = hands
        """Tasks that run at a time."""

    async def call(
        self, task: Callable[Concatenate[K, P], T], kit: Kit[K], *args: P.args, **kwargs: P.kwargs
    ) -> Worked[T]:
        """`task(kit's content, *args)` in a process, when one is free; with the core-seconds it took.

        The task names its return type, which must be one that msgspec knows: what comes back is checked against it. A
        caller that is cancelled leaves a running task to end by itself.

        Raises:
            HandLost: the process died on it, or answered what the task cannot return.
            TaskFailed: it raised an exception.
        """
        request, returned = Request(task, kit.name, kit.packed, args, kwargs), get_type_hints(task)["return"]
        await self._turns.take(ahead=self._goes_ahead)
        answer, result = await asyncio.wrap_future(self._started(request, returned))
        if answer.failed:
            raise TaskFailed(answer.failed)
        return Worked(result, answer.core_seconds)

    @property
    def ahead(self) -> Crew:
        """The same crew, for tasks that somebody waits for: they are begun before all others that wait."""
        crew = copy(self)
        crew._goes_ahead = True
        return crew

    async def forget(self, kit: Kit[Any]) -> None:
        """Let every process drop this kit, busy ones before their next task: a job's keys end with the job."""
        for hand in self._hands:
            hand.to_forget.append(kit.name)
        await asyncio.get_running_loop().run_in_executor(self._threads, self._forget_idle)

    async def close(self) -> None:
        """Kill all processes; tasks under way are lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._end)

    def _started(self, request: Request, returned: Any) -> Future[tuple[Answer, Any]]:
        """In a thread, which gives its turn back when it ends, whatever becomes of the caller."""
        loop = asyncio.get_running_loop()
        try:
            started = self._threads.submit(self._work, request, returned)
        except BaseException:
            self._turns.give_back()
            raise

        def give_back(_: object) -> None:
            try:
                loop.call_soon_threadsafe(self._turns.give_back)
            except RuntimeError:  # the loop is closed: nobody waits
                self._turns.free += 1

        started.add_done_callback(give_back)
        return started

    def _work(self, request: Request, returned: Any) -> tuple[Answer, Any]:
        hand = self._idle.pop()
        try:
            self._remind(hand)
            return hand.exchange(request, returned)
        finally:
            self._idle.append(hand)

    def _forget_idle(self) -> None:
        for _ in range(self.hands):
            try:
                hand = self._idle.popleft()
            except IndexError:
                return
            try:
                with contextlib.suppress(HandLost):
                    self._remind(hand)
            finally:
                self._idle.append(hand)

    def _remind(self, hand: _Hand) -> None:
        while hand.to_forget:
            name = hand.to_forget.popleft()
            if hand.process is not None:
                hand.exchange(Request(None, name))

    def _end(self) -> None:
        for hand in self._hands:
            hand.close()
