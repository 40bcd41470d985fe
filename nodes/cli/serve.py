"""A node's process and its clean end on SIGTERM and SIGINT; and on SIGHUP, when that says that its terminal is gone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

from nodes.config import NodeConfig, broker_name

Run = Callable[[NodeConfig, asyncio.Event], Awaitable[None]]


async def serve(config: NodeConfig, run: Run, role: str) -> None:
    """Run the node until it is told to end.

    Raises:
        BrokerUnreachable: no connection at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = structlog.get_logger(__name__).bind(node=config.address)

    def hung_up() -> None:
        if _on_terminal():
            stop.set()
        else:
            log.info("nothing to reload: settings are read at the start, and logs go to stderr")

    for number, act in ((signal.SIGTERM, stop.set), (signal.SIGINT, stop.set), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, act)
    log.info("starting", role=role, broker=broker_name(config.amqp_url))
    await run(config, stop)
    log.info("ended")


def _on_terminal() -> bool:
    return sys.stderr.isatty()
