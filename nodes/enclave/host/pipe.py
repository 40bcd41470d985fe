"""The host's end of the socket pair to an enclave child: requests go out, answers come back in the same order.

At most two requests are under way: while the child computes one, the next is written, so that the child never waits
for the host. A request holds the right to write until it has the right to read, which the one before it holds until its
answer is there. This module may not know what a frame means, and neither starts nor ends a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from nodes.enclave import frames
from nodes.enclave.frames import Frame


class Pipe:
    """A connected, non-blocking stream socket, closed by `close`."""

    def __init__(self, sock: socket.socket, *, write_seconds_max: float) -> None:
        """`write_seconds_max` bounds how long a request waits for the one before it, once it is its turn."""
        self._sock = sock
        self._write_seconds_max = write_seconds_max
        self._writing = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._broken = False

    async def turn(self) -> None:
        """Wait until a request may be sent; `exchange` must follow. Whoever is cancelled here has sent nothing."""
        await self._writing.acquire()

    async def exchange(self, head: bytes, body: bytes, *, seconds: float) -> Frame:
        """Send a request and return its answer. After any error, or when cancelled, the pipe is of no further use.

        Raises:
            TimeoutError: no answer in so many seconds, not counting those spent on the request before it.
            OSError, EOFError: the child hung up, or `abort` was called.
            FrameError: its answer is not a frame.
        """
        try:
            if self._broken:
                raise EOFError
            async with asyncio.timeout(self._write_seconds_max):
                await self._write(head, body)
                await self._reading.acquire()
        finally:
            self._writing.release()
        try:
            async with asyncio.timeout(seconds):
                return await self._answer()
        finally:
            self._reading.release()

    async def idle(self) -> None:
        """Return when the requests that came before are answered."""
        async with self._writing, self._reading:
            pass

    def abort(self) -> None:
        """Let all that is under way fail, now."""
        self._broken = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Abort, and close the socket when nobody uses it any more."""
        self.abort()
        try:
            await self.idle()
        finally:
            self._sock.close()

    async def _write(self, head: bytes, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._sock, head)
        if body:
            await loop.sock_sendall(self._sock, body)

    async def _answer(self) -> Frame:
        kind, meta_bytes, body_bytes = frames.parse_header(await self._read(frames.HEADER.size))
        rest = memoryview(await self._read(meta_bytes + body_bytes))
        return Frame(kind, frames.fields_of(bytes(rest[:meta_bytes])), rest[meta_bytes:])

    async def _read(self, length: int) -> bytearray:
        loop, data, got = asyncio.get_running_loop(), bytearray(length), 0
        with memoryview(data) as view:
            while got < length:
                count = await loop.sock_recv_into(self._sock, view[got:])
                if count == 0:
                    raise EOFError
                got += count
        return data
