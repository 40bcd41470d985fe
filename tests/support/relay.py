"""A relay between a client and a server on TCP: what the server answers can be held, and the connection severed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

CHUNK_BYTES: Final = 64 * 1024


class Relay:
    """Leads every connection on to one server."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        """Where clients connect, on 127.0.0.1."""
        self._server_at = (host, port)
        self._answering = asyncio.Event()
        self._answering.set()
        self._open: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        """Listen while it lasts."""
        server = await asyncio.start_server(self._lead_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self.sever()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While it lasts the client hears nothing of the server."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def sever(self) -> None:
        """Break every connection, as a failing network does; new ones are led on."""
        for writer in self._open:
            writer.transport.abort()

    async def _lead_on(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._server_at)
        both = {to_client, to_server}
        self._open |= both
        always = asyncio.Event()
        always.set()
        ways = (
            asyncio.create_task(_pump(from_client, to_server, always)),
            asyncio.create_task(_pump(from_server, to_client, self._answering)),
        )
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for writer in both:
            writer.transport.abort()
        self._open -= both


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, allowed: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            await allowed.wait()
            writer.write(data)
            await writer.drain()
