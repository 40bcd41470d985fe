"""Carries plain messages from a queue of one broker to an exchange of another, and hands out all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, cast

import structlog
from aiormq.abc import DeliveredMessage
from pamqp import commands, constants
from pamqp.header import ContentHeader

from broker.errors import BrokerUnreachable
from broker.rabbitmq.broker import RabbitBroker
from broker.rabbitmq.consumer import RabbitConsumer
from broker.rabbitmq.frames import FIXED, FRAME_HEAD
from broker.rabbitmq.link import OPEN_SECONDS_MAX
from broker.rabbitmq.pump.ledger import CONSUMER, Delivered
from broker.rabbitmq.pump.line import Line, LineLost, open_line
from broker.rabbitmq.pump.outward import Outward
from broker.rabbitmq.pump.stream import HEAD_BYTES, Malformed, Said

log = structlog.get_logger(__name__)

PREFETCH: Final = 1000
"""Deliveries under way: enough that neither broker waits for the other."""
BYTES_UNDER_WAY_MAX: Final = 32 << 20
"""Of deliveries that are not settled. With more, nothing is read until some are; what is being read comes in whole."""
TRY_SECONDS: Final = 1.0
"""Between attempts to connect to the neighbour's broker, beside the link that stands."""
NOT_FOUND: Final = 404
REFUSED: Final = 403

Carried = Callable[[int, int], None]
"""Told how many messages went over, and the bytes of their bodies."""


class Pump(RabbitConsumer):
    """A subscription (`broker.port.Consumer`) to a bridge's queue, of which it hands out only what it may not carry."""

    def __init__(self, near: RabbitBroker, far: RabbitBroker, queue: str, keys: str, carried: Carried) -> None:
        """Between the brokers of two connections, for whole keys that match `keys`, a regular expression."""
        super().__init__(near.link, near.publisher, queue, PREFETCH, exclusive=False)
        self._far, self._exchange, self._keys, self._carried = far.link, far.exchange, keys, carried
        self._near_line: Line | None = None
        self._far_line: Line | None = None
        self._outward: Outward | None = None
        self._tried = asyncio.Event()
        """The neighbour's broker was connected to, or could not be."""
        self._publishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pump:
        self._publishing = asyncio.create_task(self._publish_always())
        try:
            await self._tried.wait()  # else the first messages would be overtaken
            await super().__aenter__()
        except BaseException:
            await self.end()
            raise
        return self

    async def end(self) -> None:
        """As `RabbitConsumer.end`."""
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.wait([self._publishing])
        await super().end()
        if self._far_line is not None:
            await self._far_line.close()

    # ---------------------------------------------------------------- the hub's own broker

    async def _subscribe(self) -> None:
        steps = [
            commands.Basic.Qos(prefetch_count=self._prefetch),
            commands.Basic.Consume(queue=self.queue, consumer_tag=CONSUMER),
        ]
        self._gone.clear()
        try:
            async with self._link.using():
                self._channel = self._near_line = await open_line(self._link, steps, self._prepare_near)
        except LineLost as lost:
            if lost.fate is not None and lost.fate.of_channel and lost.fate.code in (REFUSED, NOT_FOUND):
                raise self._refusal(lost.fate.text) from None
            raise

    def _prepare_near(self, line: Line) -> None:
        self._near_line = line
        line.take, line.lost, line.changed = partial(self._deliveries, line), self._on_gone, self._regulate

    def _deliveries(self, line: Line, arrived: list[Said]) -> None:
        publish = self._outward.publish if self._outward is not None else _nothing
        parts: list[bytes] = []
        for _, method, content in arrived:
            delivered = line.ledger.enter(method, content)
            published = publish(delivered)
            if published:
                parts += (published, content)
            else:
                self._hand_out([delivered])
        if parts and self._far_line is not None:
            self._far_line.write(b"".join(parts))
        self._regulate()

    def _hand_out(self, all_of: Iterable[Delivered]) -> None:
        """To whoever consumes; of a line that is lost they come again by themselves."""
        line = self._near_line
        for delivered in all_of:
            if line is not None and delivered.ledger is line.ledger:
                self._arrivals.put_nowait(_message(delivered, line))

    def _regulate(self) -> None:
        """Read on while there is room for what comes, here and over there."""
        near, far = self._near_line, self._far_line
        if near is not None:
            near.read(on=near.ledger.bytes <= BYTES_UNDER_WAY_MAX and (far is None or not far.full))

    # ---------------------------------------------------------------- the neighbour's

    async def _publish_always(self) -> None:
        """What was under way when the connection is lost goes by the link beside it, one by one."""
        while True:
            await self._far.connection()
            try:
                async with asyncio.timeout(OPEN_SECONDS_MAX):
                    line = await open_line(self._far, [commands.Confirm.Select()], self._prepare_far)
            except (BrokerUnreachable, OSError) as error:
                reason = str(error) or type(error).__name__
                self._tried.set()
            else:
                self._far_ready(line, Outward(self._exchange, self._keys, line.dialogue.frame_bytes_max))
                await line.gone.wait()
                self._far_gone()
                reason = line.why
            log.info("not pumping", queue=self.queue, broker=self._far.where, reason=reason)
            await asyncio.sleep(TRY_SECONDS)

    def _far_ready(self, line: Line, outward: Outward) -> None:
        self._far_line, self._outward = line, outward
        self._tried.set()

    def _far_gone(self) -> None:
        outward, self._far_line, self._outward = self._outward, None, None
        if outward is not None:
            self._hand_out(outward.give_up())
        self._regulate()

    def _prepare_far(self, line: Line) -> None:
        line.take, line.changed = self._confirms, self._regulate

    def _confirms(self, heard: list[Said]) -> None:
        if self._outward is None:
            raise Malformed("confirms before anything was published")
        done: list[Delivered] = []
        for _, method, _ in heard:
            kept, refused = self._outward.hear(method)
            done += kept
            self._hand_out(refused)
        line = self._near_line
        if line is None or not done:
            return
        line.write(line.ledger.ack([each.tag for each in done if each.ledger is line.ledger]))
        self._carried(len(done), sum(body_bytes(each.content) for each in done))
        self._regulate()


def _nothing(_: Delivered) -> bytes:
    """There is no connection over which to publish."""
    return b""


def body_bytes(content: bytes) -> int:
    """Of a message's frames."""
    size: int = FIXED.unpack_from(content, HEAD_BYTES)[2]
    return size


def _message(delivered: Delivered, line: Line) -> DeliveredMessage:
    """As aiormq would have read it; whatever a stranger wrote."""
    return DeliveredMessage(
        delivery=commands.Basic.Deliver(
            CONSUMER, delivered.tag, delivered.redelivered, "", delivered.key.decode(errors="replace")
        ),
        header=read_header(delivered.content),
        body=body_of(delivered.content),
        channel=cast(Any, line),
    )


def read_header(content: bytes) -> ContentHeader:
    """Without properties, where these cannot be read (`broker.rabbitmq.frames`)."""
    header = ContentHeader()
    header.unmarshal(content[HEAD_BYTES : HEAD_BYTES + FRAME_HEAD.unpack_from(content)[2]])
    return header


def body_of(content: bytes) -> bytes:
    """Of its frames."""
    parts: list[memoryview] = []
    view, at = memoryview(content), 0
    while at < len(content):
        kind, _, size = FRAME_HEAD.unpack_from(content, at)
        if kind == constants.FRAME_BODY:
            parts.append(view[at + HEAD_BYTES : at + HEAD_BYTES + size])
        at += HEAD_BYTES + size + 1
    return b"".join(parts)
