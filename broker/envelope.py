"""How a rejected or retried message travels to where it is kept, and how it is read again. Pure.

A participant may write keys of its own source only. So whoever rejects a message publishes it anew, to its hub's dead
letters and with the reason; whoever retries one, to a wait queue that leads back to its own queue. The key it came
under travels in a header, which is believed only under a key that nobody but the reader itself can have written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from broker.port import DEAD_KEY, DEAD_QUEUE, DEAD_REASON, RETRY_LIMIT, Headers, Message
from broker.topology import RETRIES_MAX, Key, dead_key, is_dead_key, is_wait_key, parse_key, wait_key
from schemas.errors import BadConfig
from schemas.ids import Address

REASON_CHARS_MAX: Final = 1000
BROKERS_PREFIX: Final = "x-"
"""Headers of brokers and of this layer: no part of what a sender says."""
_ATTEMPTS: Final = "x-sublet-attempts"
_WAITING_KEY: Final = "x-sublet-waiting-key"
_DEAD_HEADERS: Final = (DEAD_REASON, DEAD_QUEUE, DEAD_KEY)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as its receiver sees it, and how often it was retried before."""

    message: Message
    attempts: int


def dead_letter(message: Message, queue: str, reason: str, by: Address) -> Message:
    """What `by` publishes to reject a message it had received from `queue`."""
    why: Headers = {DEAD_REASON: reason[:REASON_CHARS_MAX], DEAD_QUEUE: queue, DEAD_KEY: message.key}
    return Message(dead_key(by), message.body, {**message.headers, **why}, message.id)


def again(message: Message, queue: str, deliveries: int, after_seconds: float, by: Address) -> Message:
    """What `by` publishes to see a message of its `queue` again: a waiting copy, or a dead letter after too many.

    `deliveries` counts how often it was delivered so far, this time included.
    """
    if deliveries > RETRIES_MAX:
        return dead_letter(message, queue, RETRY_LIMIT, by)
    kind = queue.rpartition(".")[2]
    more: Headers = {_WAITING_KEY: message.key, _ATTEMPTS: deliveries}
    return Message(wait_key(by, kind, after_seconds), message.body, {**message.headers, **more}, message.id)


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


def _is(key: str, rule: Callable[[Key], bool]) -> bool:
    try:
        return rule(parse_key(key))
    except BadConfig:
        return False
