"""A node's connection to its broker."""

from __future__ import annotations

from typing import Final

from broker.port import Broker
from nodes.config import NodeConfig, broker_name

CONNECT_SECONDS_MAX: Final = 300.0
"""A node waits this long for its broker at its start: the parts of a stack come up in any order."""


async def connect(config: NodeConfig, *, timeout_seconds: float = CONNECT_SECONDS_MAX) -> Broker:
    """The node's connection to its broker.

    Raises:
        BrokerUnreachable: no connection within `timeout_seconds`.
    """
    from broker.rabbitmq import connect as connect_rabbitmq  # noqa: PLC0415 - commands without a broker start faster

    return await connect_rabbitmq(config.current_amqp_url, config.address, timeout_seconds=timeout_seconds)


def unconnected(config: NodeConfig) -> str:
    """What is wrong until then."""
    return f"no connection to the broker at {broker_name(config.amqp_url)}"
