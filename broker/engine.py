"""The rules of queues: what RabbitMQ does, as plain data and without time or network. Pure.

The caller says what happens (publish, subscribe, acknowledge, an instant passes) and takes what is to be handed to
consumers from `take()`. Time is a parameter: seconds of any clock that does not go back.

    published --> ready --> unsettled (a consumer has it) --ack--> gone
                    ^             |--release, consumer lost--> returned: before all others, delivery count + 1
                    |             '--count over the limit--> dead-lettered
                    '-- expired (message_seconds_max) --> dead-lettered, or gone where there is no dead-letter exchange
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from broker.errors import NoSuchQueue, QueueBusy
from broker.port import DEAD_KEY, DEAD_QUEUE, DEAD_REASON, DELIVERY_LIMIT, Message
from broker.topology import Queue, Rules, Topology

EXPIRED: Final = "expired"
"""The reason that a queue gives beside DELIVERY_LIMIT."""
ROUTES_CACHED_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A message in one queue."""

    message: Message
    queue: str
    count: int = 0
    """How often it was handed to a consumer before and came back."""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Handed:
    """An entry to be given to a consumer, to be settled under its tag."""

    consumer: int
    tag: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publish: whether any queue took it, and which were full (then none took it)."""

    routed: bool
    full: tuple[str, ...] = ()


@dataclass(slots=True)
class _Consumer:
    queue: str
    prefetch: int
    exclusive: bool
    unsettled: dict[int, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class _Queue:
    made: Queue
    rules: Rules
    returned: deque[Entry] = field(default_factory=deque)
    ready: deque[Entry] = field(default_factory=deque)
    consumers: deque[int] = field(default_factory=deque)
    messages: int = 0
    size: int = 0
    """Bytes of bodies, ready and unsettled ones."""


class Engine:
    """All queues of one broker."""

    def __init__(self, topology: Topology) -> None:
        policies = {policy.name: policy.rules for policy in topology.policies}
        self._queues = {queue.name: _Queue(queue, policies[queue.policy]) for queue in topology.queues}
        self._alternates = {exchange.name: exchange.alternate for exchange in topology.exchanges}
        self._bindings: dict[str, list[tuple[re.Pattern[str], str, bool]]] = {name: [] for name in self._alternates}
        for binding in topology.bindings:
            row = (topic_pattern(binding.pattern), binding.destination, binding.to_exchange)
            self._bindings[binding.source].append(row)
        self._timed = [queue for queue in self._queues.values() if queue.rules.message_seconds_max is not None]
        self._consumers: dict[int, _Consumer] = {}
        self._handed: deque[Handed] = deque()
        self._numbers = 0
        self._routes = lru_cache(ROUTES_CACHED_MAX)(self._find_routes)

    def has_exchange(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self._bindings

    def bind(self, exchange: str, pattern: str, destination: str, *, to_exchange: bool, bound: bool) -> None:
        """Let keys of this pattern lead from an exchange to a queue, or another exchange, from now on, or no more."""
        row, rows = (topic_pattern(pattern), destination, to_exchange), self._bindings[exchange]
        if row in rows and not bound:
            rows.remove(row)
        elif bound and row not in rows:
            rows.append(row)
        self._routes.cache_clear()

    # ---------------------------------------------------------------- publishing

    def publish(self, exchange: str, message: Message, now: float) -> Published:
        """Put a message into every queue its key leads to, or into none when one is full."""
        queues = self._routes(exchange, message.key)
        full = tuple(name for name in queues if self._is_full(name, message))
        if not full:
            for name in queues:
                self._enqueue(name, message, now)
        return Published(bool(queues), full)

    def _find_routes(self, exchange: str, key: str) -> tuple[str, ...]:
        return tuple(sorted(set(self._follow(exchange, key, set()))))

    def _follow(self, exchange: str, key: str, passed: set[str]) -> Iterator[str]:
        """Passes no exchange twice: while ways change, bindings may lead in a circle."""
        if exchange in passed:
            return
        passed.add(exchange)
        matched = [row for row in self._bindings.get(exchange, ()) if row[0].fullmatch(key)]
        for _, destination, to_exchange in matched:
            if to_exchange:
                yield from self._follow(destination, key, passed)
            else:
                yield destination
        if not matched and (alternate := self._alternates.get(exchange)):
            yield from self._follow(alternate, key, passed)

    def _is_full(self, name: str, message: Message) -> bool:
        queue = self._queues[name]
        return not queue.rules.drop_oldest and _over(queue, 1, len(message.body))

    def _enqueue(self, name: str, message: Message, now: float) -> None:
        queue = self._queues[name]
        seconds = queue.rules.message_seconds_max
        queue.ready.append(Entry(message, name, expires_at=None if seconds is None else now + seconds))
        queue.messages += 1
        queue.size += len(message.body)
        while queue.rules.drop_oldest and queue.ready and _over(queue, 0, 0):
            self._remove(queue.ready.popleft())
        self._hand_out(queue)

    # ---------------------------------------------------------------- consuming

    def subscribe(self, name: str, prefetch: int, exclusive: bool) -> int:
        """A new consumer's number.

        Raises:
            NoSuchQueue, QueueBusy
        """
        queue = self._queues.get(name)
        if queue is None:
            raise NoSuchQueue(f"there is no queue {name}")
        if queue.consumers and (exclusive or self._consumers[queue.consumers[0]].exclusive):
            raise QueueBusy(f"{name} has a consumer, and one of the two wants it exclusively")
        self._numbers += 1
        number = self._numbers
        self._consumers[number] = _Consumer(name, prefetch, exclusive)
        queue.consumers.append(number)
        self._hand_out(queue)
        return number

    def unsubscribe(self, number: int, now: float) -> None:
        """End a consumer; what it had not settled comes back, in order."""
        consumer = self._consumers.pop(number, None)
        if consumer is None:
            return
        queue = self._queues[consumer.queue]
        queue.consumers.remove(number)
        self._handed = deque(handed for handed in self._handed if handed.consumer != number)
        self._give_back(queue, consumer.unsettled.values(), now)

    def take(self) -> list[Handed]:
        """What is to be given to consumers since the last call."""
        taken = list(self._handed)
        self._handed.clear()
        return taken

    def ack(self, number: int, tag: int) -> bool:
        """Remove an unsettled message; False when this consumer no longer has it."""
        entry = self._settle(number, tag)
        if entry is None:
            return False
        self._remove(entry)
        self._hand_out(self._queues[entry.queue])
        return True

    def holds(self, number: int, tag: int) -> bool:
        """Whether this consumer still has the message that was handed to it under this tag."""
        consumer = self._consumers.get(number)
        return consumer is not None and tag in consumer.unsettled

    def release(self, number: int, tag: int, now: float) -> bool:
        """Give an unsettled message back; False when this consumer no longer has it."""
        entry = self._settle(number, tag)
        if entry is None:
            return False
        self._give_back(self._queues[entry.queue], [entry], now)
        return True

    # ---------------------------------------------------------------- time

    def expire(self, now: float) -> None:
        """Take out what has been ready for too long."""
        for queue in self._timed:
            while queue.ready and (at := queue.ready[0].expires_at) is not None and at <= now:
                self._bury(queue.ready.popleft(), EXPIRED, now)

    def next_expiry(self) -> float | None:
        """When `expire` is to be called next."""
        times = (queue.ready[0].expires_at for queue in self._timed if queue.ready)
        return min((at for at in times if at is not None), default=None)

    def depth(self, name: str) -> int:
        """Messages in a queue, ready and unsettled."""
        return self._queues[name].messages

    # ---------------------------------------------------------------- inside

    def _settle(self, number: int, tag: int) -> Entry | None:
        consumer = self._consumers.get(number)
        return None if consumer is None else consumer.unsettled.pop(tag, None)

    def _give_back(self, queue: _Queue, entries: Iterable[Entry], now: float) -> None:
        limit = queue.rules.delivery_limit
        for entry in entries:
            back = replace(entry, count=entry.count + 1)
            if limit is not None and back.count > limit:
                self._bury(back, DELIVERY_LIMIT, now)
            else:
                queue.returned.append(back)
        self._hand_out(queue)

    def _hand_out(self, queue: _Queue) -> None:
        while queue.returned or queue.ready:
            number = self._free_consumer(queue)
            if number is None:
                return
            entry = queue.returned.popleft() if queue.returned else queue.ready.popleft()
            self._numbers += 1
            self._consumers[number].unsettled[self._numbers] = entry
            self._handed.append(Handed(number, self._numbers, entry))

    def _free_consumer(self, queue: _Queue) -> int | None:
        """The next consumer in turn that may have another message; of a single active one no other."""
        if not queue.consumers:
            return None
        for _ in range(1 if queue.made.single else len(queue.consumers)):
            number = queue.consumers[0]
            queue.consumers.rotate(0 if queue.made.single else -1)
            consumer = self._consumers[number]
            if len(consumer.unsettled) < consumer.prefetch:
                return number
        return None

    def _bury(self, entry: Entry, reason: str, now: float) -> None:
        self._remove(entry)
        made = self._queues[entry.queue].made
        if not made.dead_exchange:
            return
        message = entry.message
        if made.dead_key:
            why = {DEAD_REASON: reason, DEAD_QUEUE: entry.queue, DEAD_KEY: message.key}
            message = Message(made.dead_key, message.body, {**message.headers, **why}, message.id)
        for name in self._routes(made.dead_exchange, message.key):
            self._enqueue(name, message, now)

    def _remove(self, entry: Entry) -> None:
        queue = self._queues[entry.queue]
        queue.messages -= 1
        queue.size -= len(entry.message.body)


def topic_pattern(pattern: str) -> re.Pattern[str]:
    """An AMQP topic pattern as a regular expression for the whole key: `*` is one word, `#` at the end any number."""
    head, hash_sign, tail = pattern.partition("#")
    if tail or (head and not head.endswith(".") and hash_sign):
        raise ValueError(f"# may only end a topic pattern, not as in {pattern!r}")
    words = head.removesuffix(".").split(".") if head else []
    text = r"\.".join("[^.]*" if word == "*" else re.escape(word) for word in words)
    if hash_sign:
        text += r"(?:\.[^.]*)*" if words else "[^.]*(?:\\.[^.]*)*"
    return re.compile(text)


def _over(queue: _Queue, messages: int, size: int) -> bool:
    rules = queue.rules
    too_many = rules.messages_max is not None and queue.messages + messages > rules.messages_max
    return too_many or (rules.bytes_max is not None and queue.size + size > rules.bytes_max)
