"""A node's process and its clean end on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import signal

import structlog

from nodes.bootstrap import run_node
from nodes.config import NodeConfig, broker_name


async def serve(config: NodeConfig) -> None:
    """Run the node until it is told to end.

    Raises:
        BrokerUnreachable: no connection at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = structlog.get_logger(__name__).bind(node=config.address)
    log.info("starting", role=config.role, broker=broker_name(config.amqp_url))
    await run_node(config, stop)
    log.info("ended")
