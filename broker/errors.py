"""What can go wrong between a node and its broker.

SubletError
 ├── BrokerUnreachable        no connection, or it was lost (schemas.errors)
 │    └── ConsumerLost        a consumer ended because its connection was lost; consume again
 ├── PublishUnknown           no confirm in time: publish again with the same id
 ├── Unroutable               nobody receives at this key
 ├── AccessRefused            the broker's permissions forbid it
 ├── QueueBusy                the queue has an exclusive consumer
 └── MessageTooLarge          the body is over the broker's limit
"""

from __future__ import annotations

from schemas.errors import BrokerUnreachable, PolicyRefused, SubletError


class ConsumerLost(BrokerUnreachable):
    """The consumer's connection was lost; unacknowledged deliveries come again."""


class PublishUnknown(SubletError):  # noqa: N818
    """No confirm came in time: the broker may or may not have the message. Publish again with the same id."""


class Unroutable(SubletError):  # noqa: N818
    """No queue is bound to this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"nobody receives at {key}: check the address and the network description")
        self.key = key


class AccessRefused(PolicyRefused):
    """The broker's permissions forbid this to this account."""


class QueueBusy(SubletError):  # noqa: N818
    """The queue has an exclusive consumer already."""


class MessageTooLarge(SubletError):  # noqa: N818
    """The body is larger than the broker takes."""
