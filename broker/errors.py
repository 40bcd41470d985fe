"""What can go wrong between a node and its broker. Says who erred and what to do. Pure.

SubletError
 ├── BrokerUnreachable      no connection                              (schemas.errors)
 │    ├── BrokerUntrusted   who answers cannot prove to be the broker
 │    └── ConsumerLost      a consumer cannot be resumed: consume again, or take another lane
 └── BrokerError            the broker was reached, and
      ├── AccessRefused     says that this address may not do this
      ├── NoSuchQueue       has no such queue
      ├── QueueBusy         another consumer has this lane
      ├── Unroutable        knows no queue for this key
      ├── MessageTooLarge   would refuse a message of this size
      └── PublishUnknown    did not say whether it took the message: publish again with the same id
           ├── QueueFull    did not take it now: publish again later
           └── NotSetAside  keeps no dead letters or retries of this address: the message stays where it is
"""

# ruff: noqa: N818 - the names read as the sentence they are

from __future__ import annotations

from schemas.errors import BrokerUnreachable, SubletError

__all__ = [
    "AccessRefused",
    "BrokerError",
    "BrokerUnreachable",
    "BrokerUntrusted",
    "ConsumerLost",
    "MessageTooLarge",
    "NoSuchQueue",
    "NotSetAside",
    "PublishUnknown",
    "QueueBusy",
    "QueueFull",
    "Unroutable",
]


class BrokerUntrusted(BrokerUnreachable):
    """Whoever answers at the broker's address has no certificate for it; nothing was sent, no credentials either."""


class ConsumerLost(BrokerUnreachable):
    """The connection was cut and this consumer could not be resumed; what it had not acknowledged is redelivered."""


class BrokerError(SubletError):
    """The broker was reached and something about this request is wrong."""

    exit_code = 3


class AccessRefused(BrokerError):
    """This address may not do this, by the network description. Nothing was published or consumed."""


class NoSuchQueue(BrokerError):
    """The broker has no such queue of this address: it was loaded with another network description than the node's."""


class QueueBusy(BrokerError):
    """The queue has a consumer, and one of the two wants it exclusively. Try another lane."""


class Unroutable(BrokerError):
    """No queue is bound for this key. Nothing was published; publishing again does not help."""


class MessageTooLarge(BrokerError):
    """Body or headers are over the limits of `schemas.limits` and `broker.port`. Nothing was published."""


class PublishUnknown(BrokerError):
    """No confirm came in time. The message may or may not be on its way: publish it again with the same id."""


class QueueFull(PublishUnknown):
    """A queue at its bound did not take the message. Publish it again with the same id, later."""


class NotSetAside(PublishUnknown):
    """The broker refused a dead letter or a retry: the network description it was loaded with is not the node's."""
