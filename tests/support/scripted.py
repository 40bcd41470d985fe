"""A broker on TCP that opens connections as RabbitMQ does, and then says what a test lets it say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pamqp import commands, exceptions, frame, header
from pamqp.base import Frame
from pamqp.heartbeat import Heartbeat

from tests.support.amqp import content, delivery, said

ANSWERS: dict[type[Any], Frame] = {
    header.ProtocolHeader: commands.Connection.Start(server_properties={}, mechanisms="PLAIN"),
    commands.Connection.Open: commands.Connection.OpenOk(),
    commands.Channel.Open: commands.Channel.OpenOk(),
    commands.Basic.Qos: commands.Basic.QosOk(),
    commands.Basic.Consume: commands.Basic.ConsumeOk("1"),
    commands.Confirm.Select: commands.Confirm.SelectOk(),
    commands.Connection.Close: commands.Connection.CloseOk(),
}


OF_CONNECTION = (
    header.ProtocolHeader,
    commands.Connection.StartOk,
    commands.Connection.Open,
    commands.Connection.Close,
)
UNANSWERED = (commands.Connection.TuneOk, commands.Connection.CloseOk, commands.Channel.CloseOk)


class Scripted:
    """One connection at a time."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        """What was said after the connection stood, heartbeats apart."""
        self.beats = 0
        self.connections = 0
        self.stands = asyncio.Event()
        """Set while there is a connection that is ready."""
        self.refuses: dict[type[Any], Frame] = {}
        """Said in place of an answer."""
        self.heartbeat_seconds = 0
        self._writer: asyncio.StreamWriter | None = None
        self._tag = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Scripted]:
        """Listen while it lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.drop()
            server.close()

    def say(self, *what: Frame, channel: int = 1) -> None:
        """To whoever is connected."""
        self.write(b"".join(said(each, channel) for each in what))

    def write(self, raw: bytes) -> None:
        """Likewise, bytes."""
        assert self._writer is not None
        self._writer.write(raw)

    def deliver(self, key: str, body: bytes = b"body", *, redelivered: bool = False, **properties: Any) -> None:
        """The next message."""
        self._tag += 1
        self.write(delivery(self._tag, key, redelivered=redelivered) + content(body, 100_000, **properties))

    def drop(self) -> None:
        """Break the connection off."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, self._tag, unread = writer, 0, b""
        self.connections += 1
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                unread += data
                with contextlib.suppress(exceptions.PAMQPException):  # not whole yet
                    while unread:
                        size, _, each = frame.unmarshal(unread)
                        unread = unread[size:]
                        self._hear(each, writer)
        if self._writer is writer:
            self.stands.clear()
        writer.close()

    def _hear(self, each: Any, writer: asyncio.StreamWriter) -> None:
        kind = type(each)
        channel = 0 if kind in OF_CONNECTION else 1
        if isinstance(each, Heartbeat):
            self.beats += 1
        elif kind in self.refuses:
            writer.write(said(self.refuses[kind], channel))
        elif isinstance(each, commands.Connection.StartOk):
            writer.write(said(commands.Connection.Tune(0, 131_072, self.heartbeat_seconds), 0))
        elif kind in ANSWERS:
            writer.write(said(ANSWERS[kind], channel))
            if kind in (commands.Basic.Consume, commands.Confirm.Select):
                self.stands.set()
        elif kind not in UNANSWERED:
            self.heard.put_nowait(each)
