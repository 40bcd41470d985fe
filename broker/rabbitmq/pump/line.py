"""A connection to a broker with one channel, until it is lost: the shell around `stream` and `dialogue`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from pamqp.base import Frame
from pamqp.heartbeat import Heartbeat

from broker.errors import BrokerUnreachable
from broker.rabbitmq.link import CLOSE_SECONDS_MAX, Link
from broker.rabbitmq.pump.dialogue import CLOSING, GREETING, Account, Dialogue, Fate
from broker.rabbitmq.pump.ledger import Ledger
from broker.rabbitmq.pump.stream import ACK, METHOD_BYTES, NACK, Malformed, Said, Stream

WRITE_BYTES_HIGH: Final = 1 << 20
"""What waits to be written to a broker that does not read: at more, nothing more is read from the other."""
SILENT_BEATS_MAX: Final = 2
"""Nothing was heard for so many times what was agreed: the connection is lost."""
BEAT: Final = Heartbeat().marshal()
_SETTLING: Final = (ACK, NACK)


class Line(asyncio.Protocol):
    """Made by `open_line`. As a delivery's channel it settles what came by it."""

    def __init__(self, dialogue: Dialogue) -> None:
        self.dialogue = dialogue
        self.ledger = Ledger()
        self.ready = asyncio.Event()
        """Set when it can be used, or is lost."""
        self.take: Callable[[list[Said]], None] = lambda _: None
        """What has come of messages: deliveries, returns, confirms. May raise Malformed."""
        self.changed: Callable[[], None] = lambda: None
        """Called when it fills up or has room again, and when it is lost."""
        self.lost: Callable[[], None] = lambda: None
        self.why = ""
        """It was lost, in words."""
        self._stream = Stream()
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        """Set when it is lost."""
        self._full = False
        self._paused = False
        self._silent = 0
        self._beating: asyncio.TimerHandle | None = None

    # ---------------------------------------------------------------- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BYTES_HIGH)
        transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Hand on what is of messages, answer the rest."""
        self._silent = 0
        if self.gone.is_set():
            return
        try:
            of_messages: list[Said] = []
            for said in self._stream.feed(data):
                if said.content or said.method[:METHOD_BYTES] in _SETTLING:
                    of_messages.append(said)
                else:
                    self._hand_on(of_messages)
                    self._answer(said)
            self._hand_on(of_messages)
        except Malformed as error:
            self._end(f"the broker sent {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """Tell so."""
        self._end(type(error).__name__ if error else "the broker closed the connection")

    def pause_writing(self) -> None:
        """The broker does not read."""
        self._full = True
        self.changed()

    def resume_writing(self) -> None:
        """It reads again."""
        self._full = False
        self.changed()

    # ---------------------------------------------------------------- ours

    @property
    def full(self) -> bool:
        """Whether nothing more should be written for now."""
        return self._full or self.dialogue.blocked

    @property
    def is_closed(self) -> bool:
        """Whether it is lost, as aiormq's channel says it."""
        return self.gone.is_set()

    def write(self, data: bytes) -> None:
        """At once, or when the broker reads; of a lost connection, never."""
        if data and not self.is_closed and self._transport is not None:
            self._transport.write(data)

    def read(self, *, on: bool) -> None:
        """Whether to read on, or let the broker wait."""
        if self.is_closed or self._transport is None or self._paused is not on:
            return
        self._paused = not on
        (self._transport.resume_reading if on else self._transport.pause_reading)()

    async def basic_ack(self, delivery_tag: int, **_: object) -> None:
        """As aiormq's channel: it is done with."""
        self.write(self.ledger.ack((delivery_tag,)))
        self.changed()

    async def basic_reject(self, delivery_tag: int, **_: object) -> None:
        """As aiormq's channel: put it back."""
        self.write(self.ledger.requeue(delivery_tag))
        self.changed()

    async def close(self) -> None:
        """Say goodbye; returns when the broker has heard it, or has had its time."""
        self.read(on=True)
        self.write(CLOSING)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self.gone.wait()
        self._end("closed")

    def _hand_on(self, of_messages: list[Said]) -> None:
        if not of_messages or self.is_closed:
            return
        if not self.dialogue.ready:
            raise Malformed("messages before they were asked for")
        self.take(of_messages)
        of_messages.clear()

    def _answer(self, said: Said) -> None:
        blocked = self.dialogue.blocked
        self.write(self.dialogue.answer(said.channel, said.method))
        if self.dialogue.fate is not None:
            self._end(f"the broker closed it: {self.dialogue.fate.code} {self.dialogue.fate.text}")
        elif self.dialogue.ready and not self.ready.is_set():
            self.ready.set()
            self._beat()
        if self.dialogue.blocked != blocked:
            self.changed()

    def _beat(self) -> None:
        """Twice in the time that was agreed."""
        if not self.dialogue.heartbeat_seconds or self.is_closed:
            return
        if self._silent > 2 * SILENT_BEATS_MAX:
            self._end("nothing was heard of the broker")
            return
        self._silent += not self._paused
        self.write(BEAT)
        pause = self.dialogue.heartbeat_seconds / 2
        self._beating = asyncio.get_running_loop().call_later(pause, self._beat)

    def _end(self, why: str) -> None:
        if self.gone.is_set():
            return
        self.why = why
        self.gone.set()
        self.ready.set()
        if self._beating is not None:
            self._beating.cancel()
        if self._transport is not None:
            self._transport.close()
        self.lost()
        self.changed()


class LineLost(BrokerUnreachable):
    """A connection was lost before it was ready."""

    def __init__(self, where: str, why: str, fate: Fate | None) -> None:
        super().__init__(f"the connection to {where} was lost ({why})")
        self.fate = fate


async def open_line(link: Link, steps: Sequence[Frame], prepare: Callable[[Line], None]) -> Line:
    """One more connection to where `link` leads, ready to be used.

    Args:
        link: whose address and account are taken.
        steps: said on its channel.
        prepare: called with the new line, before anything is said on it.

    Raises:
        LineLost: with what the broker said of it.
        OSError, TimeoutError
    """
    parts = urlsplit(link.url())
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    line = Line(Dialogue(Account(user, password, unquote(parts.path[1:]) or "/", link.of), steps))
    prepare(line)
    port = parts.port or (5671 if link.tls else 5672)
    try:
        await asyncio.get_running_loop().create_connection(lambda: line, parts.hostname or "", port, ssl=link.tls)
        await line.ready.wait()
    except BaseException:
        line._end("given up")
        raise
    if line.is_closed:
        raise LineLost(link.where, line.why, line.dialogue.fate)
    return line
