"""How a rejected or retried message travels to where it is kept, and how it is read again. Pure.

A participant may write keys of its own source only. So whoever rejects a message publishes it anew, to its hub's dead
letters and with the reason; whoever retries one, to a wait queue that leads back to its own queue. The key it came
under travels in a header, which is believed only under a key that nobody but the reader itself can have written.

A broker hands on what other clients wrote, also what is over the limits of `broker.port`. Setting aside never fails for
that: what cannot travel whole is cut to what can, and says what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from broker.errors import AccessRefused, MessageTooLarge, NotSetAside, Unroutable
from broker.names import Key, dead_key, is_dead_key, is_wait_key, parse_key, wait_key
from broker.port import (
    BROKERS_PREFIX,
    CONTENT_TYPE,
    DEAD_CUT,
    DEAD_KEY,
    DEAD_QUEUE,
    DEAD_REASON,
    HEADER_BYTES_MAX,
    RETRY_LIMIT,
    RETRY_TOO_LARGE,
    SHORT_BYTES_MAX,
    Headers,
    Message,
    check_message,
    header_bytes,
    text_bytes,
)
from schemas import limits
from schemas.errors import BadConfig
from schemas.ids import Address

REASON_BYTES_MAX: Final = 1000
RETRIES_MAX: Final = 240
"""A message that was retried more often is dead-lettered."""
_ATTEMPTS: Final = "x-sublet-attempts"
_WAITING_KEY: Final = "x-sublet-waiting-key"
_DEAD_HEADERS: Final = (DEAD_REASON, DEAD_QUEUE, DEAD_KEY, DEAD_CUT)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as its receiver sees it, and how often it was retried before."""

    message: Message
    attempts: int


def dead_letter(message: Message, queue: str, reason: str, by: Address) -> Message:
    """What `by` publishes to reject a message it had received from `queue`. Every broker can carry it."""
    why: Headers = {
        DEAD_REASON: _shortened(reason, REASON_BYTES_MAX),
        DEAD_QUEUE: _shortened(queue, SHORT_BYTES_MAX),
        DEAD_KEY: _shortened(message.key, SHORT_BYTES_MAX),
    }
    whole = Message(dead_key(by), message.body, {**message.headers, **why}, message.id)
    return whole if _can_travel(whole) and why[DEAD_KEY] == message.key else _cut(message, why, by)


def again(message: Message, queue: str, deliveries: int, after_seconds: float, by: Address) -> Message:
    """What `by` publishes to see a message of its `queue` again: a waiting copy, or a dead letter.

    It is a dead letter after too many retries, and where it cannot travel whole. `deliveries` counts how often it was
    delivered so far, this time included.
    """
    if deliveries > RETRIES_MAX:
        return dead_letter(message, queue, RETRY_LIMIT, by)
    kind = queue.rpartition(".")[2]
    more: Headers = {_WAITING_KEY: message.key, _ATTEMPTS: deliveries}
    waiting = Message(wait_key(by, kind, after_seconds), message.body, {**message.headers, **more}, message.id)
    return waiting if _can_travel(waiting) else dead_letter(message, queue, RETRY_TOO_LARGE, by)


def arrived(message: Message, me: Address) -> Arrived:
    """Undo `again`, and drop headers that only brokers and this layer set."""
    if not any(name.startswith(BROKERS_PREFIX) for name in message.headers):
        return Arrived(message, 0)
    key, attempts = message.key, 0
    waiting, count = message.headers.get(_WAITING_KEY), message.headers.get(_ATTEMPTS)
    if isinstance(waiting, str) and isinstance(count, int) and _is(key, lambda parsed: is_wait_key(parsed, me)):
        key, attempts = waiting, count
    kept = _DEAD_HEADERS if _is(key, is_dead_key) else ()
    headers = {k: v for k, v in message.headers.items() if k in kept or not k.startswith(BROKERS_PREFIX)}
    return Arrived(Message(key, message.body, headers, message.id), attempts)


@contextmanager
def moving(message: Message) -> Iterator[None]:
    """Around the publish that sets a message aside: only what `broker.port.Delivery` promises leaves it.

    Raises:
        NotSetAside: where the publish is refused.
    """
    try:
        yield
    except (AccessRefused, Unroutable) as error:
        raise NotSetAside(f"{message.id} was not set aside, load the network's definitions again: {error}") from error


def _is(key: str, rule: Callable[[Key], bool]) -> bool:
    try:
        return rule(parse_key(key))
    except BadConfig:
        return False


# ---------------------------------------------------------------- what cannot travel whole


def _can_travel(message: Message) -> bool:
    try:
        check_message(message)
    except (MessageTooLarge, TypeError):
        return False
    return True


def _cut(message: Message, why: Headers, by: Address) -> Message:
    """A dead letter of what every broker can carry of it."""
    said = {name: value for name, value in message.headers.items() if not name.startswith(BROKERS_PREFIX)}
    headers, name = _fitting(said), _shortened(message.id, SHORT_BYTES_MAX)
    body = message.body if len(message.body) <= limits.BODY_BYTES_MAX else b""
    parts = (
        ("body", len(message.body), body == message.body),
        ("headers", sum(_rough_bytes(header) + _rough_bytes(value) for header, value in said.items()), headers == said),
        ("id", _rough_bytes(message.id), name == message.id),
        ("key", _rough_bytes(message.key), why[DEAD_KEY] == message.key),
    )
    cut = " ".join(f"{part}={size}" for part, size, is_whole in parts if not is_whole)
    return Message(dead_key(by), body, {**headers, **why, DEAD_CUT: cut}, name)


def _fitting(headers: Headers) -> Headers:
    """The headers that can travel, as many as there is room for, in their order."""
    kept: dict[str, str | int] = {}
    room = HEADER_BYTES_MAX
    for name, value in headers.items():
        size = _travelling_bytes(name, value)
        if size is not None and size <= room:
            kept[name] = value
            room -= size
    return kept


def _travelling_bytes(name: str, value: object) -> int | None:
    """None for a header that cannot travel."""
    try:
        if name == CONTENT_TYPE and text_bytes(value) > SHORT_BYTES_MAX:
            return None
        return header_bytes(name, value)
    except (MessageTooLarge, TypeError):
        return None


def _rough_bytes(value: object) -> int:
    """To be told of, whatever it is."""
    return len(str(value).encode(errors="replace"))


def _shortened(text: str, bytes_max: int) -> str:
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")
