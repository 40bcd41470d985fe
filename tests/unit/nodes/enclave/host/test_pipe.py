"""The host's end of the socket pair, with a test in the place of the child."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from nodes.enclave.frames import Frame, Kind, fields_of, head, parse_header
from nodes.enclave.host.pipe import Pipe

BODY = bytes(range(256)) * 1024


@dataclass
class Child:
    """The other end. Reads and writes only what is there, without waiting."""

    sock: socket.socket

    async def receive(self) -> int:
        """The number of the next request, whose body is checked."""
        loop = asyncio.get_running_loop()
        _, meta, body = parse_header(await self._read(loop, 9))
        number = int.from_bytes(fields_of(bytes(await self._read(loop, meta)))[0], "big")
        assert await self._read(loop, body) == BODY
        return number

    async def _read(self, loop: asyncio.AbstractEventLoop, length: int) -> bytes:
        data = b""
        while len(data) < length:
            data += await loop.sock_recv(self.sock, length - len(data))
        return data

    def hears_nothing(self) -> bool:
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return True

    def answer(self, number: int) -> None:
        self.sock.sendall(head(Kind.EXECUTED, (number,), len(BODY)) + BODY)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Pipe, Child]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(BODY))
    pipe = Pipe(ours, write_seconds_max=20.0)
    with theirs:
        yield pipe, Child(theirs)
        await pipe.close()


async def request(pipe: Pipe, number: int, seconds: float = 20.0) -> Frame:
    await pipe.turn()
    return await pipe.exchange(head(Kind.EXECUTE, (number,), len(BODY)), BODY, seconds=seconds)


def requests(pipe: Pipe, count: int) -> list[asyncio.Task[Frame]]:
    return [asyncio.create_task(request(pipe, number)) for number in range(count)]


async def settle() -> None:
    """Let every task go as far as it can without the child."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_two_requests_are_under_way_and_a_third_waits(ends: tuple[Pipe, Child]) -> None:
    pipe, child = ends
    calls = requests(pipe, 3)
    assert [await child.receive(), await child.receive()] == [0, 1]
    await settle()
    assert child.hears_nothing()
    child.answer(0)
    assert await child.receive() == 2
    child.answer(1)
    child.answer(2)
    answers = await asyncio.gather(*calls)
    assert [(fields_number(each), bytes(each.body)) for each in answers] == [(n, BODY) for n in range(3)]


def fields_number(frame: Frame) -> int:
    return int.from_bytes(frame.fields[0], "big")


async def test_who_is_cancelled_before_its_turn_has_sent_nothing(ends: tuple[Pipe, Child]) -> None:
    pipe, child = ends
    calls = requests(pipe, 4)
    assert [await child.receive(), await child.receive()] == [0, 1]
    calls[2].cancel()
    for number in (0, 1):
        child.answer(number)
    assert await child.receive() == 3
    child.answer(3)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [fields_number(each) if isinstance(each, Frame) else None for each in answers] == [0, 1, None, 3]


async def test_the_deadline_counts_from_the_answer_before(ends: tuple[Pipe, Child]) -> None:
    pipe, child = ends
    first = asyncio.create_task(request(pipe, 0))
    await child.receive()
    second = asyncio.create_task(request(pipe, 1, seconds=0.001))
    await child.receive()
    done, _ = await asyncio.wait([first, second], timeout=0.05)
    assert not done
    child.answer(0)
    await first
    with pytest.raises(TimeoutError):
        await second


@pytest.mark.parametrize("hung_up", [True, False])
async def test_the_end_fails_all_that_is_under_way_and_all_that_waits(ends: tuple[Pipe, Child], hung_up: bool) -> None:
    pipe, child = ends
    calls = requests(pipe, 4)
    await child.receive()
    if hung_up:
        child.sock.close()
    else:
        pipe.abort()
    with pytest.raises((OSError, EOFError)):
        await calls[0]
    await pipe.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, OSError | EOFError) for each in results)
    with pytest.raises(EOFError):
        await request(pipe, 4)


async def test_idle_waits_for_the_answers(ends: tuple[Pipe, Child]) -> None:
    pipe, child = ends
    calls = requests(pipe, 2)
    await child.receive()
    idle = asyncio.create_task(pipe.idle())
    child.answer(0)
    await child.receive()
    await settle()
    assert not idle.done()
    child.answer(1)
    await idle
    assert all(call.done() for call in calls)
