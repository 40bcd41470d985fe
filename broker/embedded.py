"""A broker inside this process: the engine's rules, an asyncio shell, and the permissions of the network description.

For running a whole network in one process, and for tests. Nothing is kept when the process ends. Bodies are never
copied. One event loop only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import TracebackType

from broker.engine import Engine, Handed
from broker.envelope import again, arrived, dead_letter, moving
from broker.errors import (
    AccessRefused,
    BrokerUnreachable,
    ConsumerLost,
    NoSuchQueue,
    PublishUnknown,
    QueueBusy,
    QueueFull,
    Unroutable,
)
from broker.names import exits, hub_pattern, may_read, out_queue
from broker.network import Network
from broker.port import PREFETCH_MAX, Message, check_message
from broker.topology import Permission, Topology, topology
from schemas.ids import Address, hub_of
from schemas.limits import PUBLISH_SECONDS_MAX


class EmbeddedServer:
    """One broker for a whole network, or for the hubs that its description puts on the broker of this name; or for what
    is laid out otherwise.
    """

    def __init__(self, network: Network | Topology, broker: str = "main") -> None:
        layout = topology(network, broker) if isinstance(network, Network) else network
        self._engine = Engine(layout)
        self._permissions = {permission.user: permission for permission in layout.permissions}
        self._consumers: dict[int, EmbeddedConsumer] = {}
        self._connections: set[EmbeddedBroker] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._confirming = asyncio.Event()
        self._confirming.set()
        self._observers: list[Callable[[Message], None]] = []

    def connect(self, address: Address) -> EmbeddedBroker:
        """A connection for this address.

        Raises:
            AccessRefused: the network description has no such address.
        """
        permission = self._permissions.get(address)
        if permission is None:
            raise AccessRefused(f"{address} is not in the network description")
        connection = EmbeddedBroker(self, address, permission)
        self._connections.add(connection)
        return connection

    def push(self, address: Address, message: Message) -> None:
        """Take a message in as this address publishes it, without what `broker.port.check_message` asks of clients."""
        self.publish(self._permissions[address], message)

    async def close(self) -> None:
        """End every connection."""
        for connection in list(self._connections):
            await connection.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cut(self, address: Address) -> None:
        """Break every connection of this address as a failing network does, and let it reconnect.

        Publishes that wait for their confirm stay unknown, unsettled deliveries come back, consumers resume.
        """
        for connection in [each for each in self._connections if each.address == address]:
            connection.break_off()

    @contextmanager
    def confirms_held(self) -> Iterator[None]:
        """While it lasts messages are taken in but not confirmed."""
        self._confirming.clear()
        try:
            yield
        finally:
            self._confirming.set()

    @contextmanager
    def observed(self, look: Callable[[Message], None]) -> Iterator[None]:
        """While it lasts `look` sees every message that is taken in, as whoever runs a broker can."""
        self._observers.append(look)
        try:
            yield
        finally:
            self._observers.remove(look)

    def depth(self, queue: str) -> int:
        """Messages in a queue, ready and unsettled."""
        return self._engine.depth(queue)

    # ---------------------------------------------------------------- for this module's other classes

    def publish(self, permission: Permission, message: Message) -> None:
        """Take a message in, if this user may publish it."""
        if not re.fullmatch(permission.keys, message.key):
            raise AccessRefused(f"{permission.user} may not publish under {message.key}")
        outcome = self._engine.publish(permission.exchange, message, _now())
        if outcome.full:
            raise QueueFull(f"{', '.join(outcome.full)} is full, publish {message.id} again later")
        if not outcome.routed:
            raise Unroutable(f"nobody receives {message.key}: there is no such address, or it has no such queue")
        for look in self._observers:
            look(message)
        self._pump()

    def lead(self, permission: Permission, hub: str, via: str, near: bool, not_via: Collection[str]) -> None:
        """Bind a hub's keys to the queue or exchange of one neighbour, and to nothing of others, if this user may."""
        me, (wanted, unwanted) = hub_of(permission.user), exits(via, near, not_via)
        for name, _ in (*wanted, *unwanted):
            if not permission.leads or not re.fullmatch(permission.leads, out_queue(me, name)):
                raise AccessRefused(f"{permission.user} may not lead anything to {name}")
        for name, is_near in wanted:
            out = out_queue(me, name)
            if not (self._engine.has_exchange(out) if is_near else out in permission.queues):
                raise NoSuchQueue(f"the broker has no link from {me} to {name}")
        for ends, bound in ((wanted, True), (unwanted, False)):
            for name, is_near in ends:
                out, pattern = out_queue(me, name), hub_pattern(hub)
                self._engine.bind(permission.exchange, pattern, out, to_exchange=is_near, bound=bound)

    async def confirmed(self) -> None:
        """Return when the broker confirms."""
        await self._confirming.wait()

    def subscribe(self, permission: Permission, consumer: EmbeddedConsumer) -> int:
        """Start handing out messages to a consumer, if this user may read its queue."""
        if not may_read(permission.user, consumer.queue):
            raise AccessRefused(f"{permission.user} may not consume {consumer.queue}")
        if consumer.queue not in permission.queues:
            raise NoSuchQueue(f"the broker has no queue {consumer.queue} for {permission.user}")
        number = self._engine.subscribe(consumer.queue, consumer.prefetch, consumer.exclusive)
        self._consumers[number] = consumer
        self._pump()
        return number

    def unsubscribe(self, number: int) -> None:
        """Stop handing out; what is not settled comes back."""
        self._consumers.pop(number, None)
        self._engine.unsubscribe(number, _now())
        self._pump()

    def holds(self, handed: Handed) -> bool:
        """Whether this delivery can still be settled."""
        return self._engine.holds(handed.consumer, handed.tag)

    def ack(self, handed: Handed) -> None:
        """Remove a message."""
        self._engine.ack(handed.consumer, handed.tag)
        self._pump()

    def release(self, handed: Handed) -> None:
        """Put a message back."""
        self._engine.release(handed.consumer, handed.tag, _now())
        self._pump()

    def forget(self, connection: EmbeddedBroker) -> None:
        """A connection ended."""
        self._connections.discard(connection)

    def _pump(self) -> None:
        for handed in self._engine.take():
            self._consumers[handed.consumer].arrive(handed)
        at = self._engine.next_expiry()
        if at is not None and (self._timer is None or at < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._engine.expire(_now())
        self._pump()


class EmbeddedBroker:
    """One address' connection to an EmbeddedServer (`broker.port.Broker`)."""

    def __init__(self, server: EmbeddedServer, address: Address, permission: Permission) -> None:
        self.address = address
        self._server = server
        self._permission = permission
        self._consumers: list[EmbeddedConsumer] = []
        self._unconfirmed: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def connected(self) -> bool:
        """As `broker.port.Broker.connected`."""
        return not self._closed

    async def publish(self, message: Message, *, timeout_seconds: float) -> None:
        """As `broker.port.Broker.publish`."""
        check_message(message)
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")
        await asyncio.sleep(0)  # as a network would: others get their turn
        self._server.publish(self._permission, message)
        confirm = asyncio.ensure_future(self._server.confirmed())
        self._unconfirmed.add(confirm)
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.wait([confirm])
        except TimeoutError as error:
            raise PublishUnknown(f"no confirm for {message.id} in {timeout_seconds} s, publish it again") from error
        finally:
            self._unconfirmed.discard(confirm)
            cut = confirm.cancelled()
            confirm.cancel()
        if cut:
            raise PublishUnknown(f"the connection was cut before the confirm of {message.id}, publish it again")

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> EmbeddedConsumer:
        """As `broker.port.Broker.consume`."""
        return EmbeddedConsumer(self, queue, min(prefetch, PREFETCH_MAX), exclusive)

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
        """As `broker.port.Broker.lead`."""
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")
        self._server.lead(self._permission, hub, via, near, not_via)

    async def close(self) -> None:
        """As `broker.port.Broker.close`."""
        self._closed = True
        for consumer in list(self._consumers):
            self.stop(consumer)
            consumer.end()
        self._abandon_confirms()
        self._server.forget(self)

    def break_off(self) -> None:
        """Lose the connection and make it again."""
        self._abandon_confirms()
        for consumer in self._consumers:
            self._server.unsubscribe(consumer.number)
        for consumer in list(self._consumers):
            try:
                consumer.number = self._server.subscribe(self._permission, consumer)
            except QueueBusy:
                self._consumers.remove(consumer)
                consumer.end(ConsumerLost(f"the connection was cut and another has taken {consumer.queue}"))

    # ---------------------------------------------------------------- for this module's other classes

    def start(self, consumer: EmbeddedConsumer) -> None:
        """Subscribe."""
        if self._closed:
            raise BrokerUnreachable(f"the connection of {self.address} was closed")
        consumer.number = self._server.subscribe(self._permission, consumer)
        self._consumers.append(consumer)

    def stop(self, consumer: EmbeddedConsumer) -> None:
        """Unsubscribe."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            self._server.unsubscribe(consumer.number)

    @property
    def server(self) -> EmbeddedServer:
        """Whose connection this is."""
        return self._server

    def _abandon_confirms(self) -> None:
        for confirm in self._unconfirmed:
            confirm.cancel()


class EmbeddedConsumer:
    """A subscription (`broker.port.Consumer`)."""

    def __init__(self, broker: EmbeddedBroker, queue: str, prefetch: int, exclusive: bool) -> None:
        self.queue = queue
        self.prefetch = prefetch
        self.exclusive = exclusive
        self.number = 0
        self._broker = broker
        self._arrivals: asyncio.Queue[EmbeddedDelivery | None] = asyncio.Queue()
        self._lost: ConsumerLost | None = None

    async def __aenter__(self) -> EmbeddedConsumer:
        self._broker.start(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.stop(self)
        self.end()

    def __aiter__(self) -> EmbeddedConsumer:
        return self

    async def __anext__(self) -> EmbeddedDelivery:
        while (delivery := await self._arrivals.get()) is not None:
            if delivery.is_held:
                return delivery
        self._arrivals.put_nowait(None)
        if self._lost is not None:
            raise self._lost
        raise StopAsyncIteration

    def arrive(self, handed: Handed) -> None:
        """The server hands over a message."""
        self._arrivals.put_nowait(EmbeddedDelivery(self._broker, handed))

    def end(self, lost: ConsumerLost | None = None) -> None:
        """No more messages will come."""
        self._lost = lost
        self._arrivals.put_nowait(None)


class EmbeddedDelivery:
    """A message to be settled (`broker.port.Delivery`)."""

    def __init__(self, broker: EmbeddedBroker, handed: Handed) -> None:
        self._broker = broker
        self._handed = handed
        self._arrived = arrived(handed.entry.message, broker.address)

    @property
    def message(self) -> Message:
        """As `broker.port.Delivery`, like all that follows."""
        return self._arrived.message

    @property
    def queue(self) -> str:
        return self._handed.entry.queue

    @property
    def delivery_count(self) -> int:
        return self._arrived.attempts + self._handed.entry.count

    @property
    def redelivered(self) -> bool:
        return self.delivery_count > 0

    @property
    def is_held(self) -> bool:
        """Whether it can still be settled."""
        return self._broker.server.holds(self._handed)

    async def ack(self) -> None:
        self._broker.server.ack(self._handed)

    async def release(self) -> None:
        self._broker.server.release(self._handed)

    async def reject(self, reason: str) -> None:
        await self._move(dead_letter(self.message, self.queue, reason, self._broker.address))

    async def retry(self, after_seconds: float) -> None:
        count = self.delivery_count + 1
        await self._move(again(self.message, self.queue, count, after_seconds, self._broker.address))

    async def _move(self, message: Message) -> None:
        if self.is_held:
            with moving(message):
                await self._broker.publish(message, timeout_seconds=PUBLISH_SECONDS_MAX)
            self._broker.server.ack(self._handed)


def _now() -> float:
    return asyncio.get_running_loop().time()
