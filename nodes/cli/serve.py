"""A node's process and its clean end on SIGTERM and SIGINT; and on SIGHUP, when that says that its terminal is gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from nodes.config import NodeConfig, broker_name

END_SECONDS_MAX: Final = 25.0
"""After it was told to end a process is gone: service managers wait some 30 s, then kill."""

Run = Callable[[NodeConfig, asyncio.Event], Awaitable[None]]


async def serve(config: NodeConfig, run: Run, role: str) -> None:
    """Run the node until it is told to end.

    Raises:
        BrokerUnreachable: no connection at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = structlog.get_logger(__name__).bind(node=config.address)

    def end() -> None:
        stop.set()
        _end_anyway(log)

    def hung_up() -> None:
        if _on_terminal():
            end()
        else:
            log.info("nothing to reload: settings are read at the start, and logs go to stderr")

    for number, act in ((signal.SIGTERM, end), (signal.SIGINT, end), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, act)
    log.info("starting", role=role, broker=broker_name(config.amqp_url))
    await run(config, stop)
    log.info("ended")


def _end_anyway(log: Any) -> None:
    """Nothing is lost by the end of a process: none waits for a thread that computes or a disk that does not answer."""

    def end() -> None:
        log.warning("it took too long to end: what was under way is left to the next process", seconds=END_SECONDS_MAX)
        os._exit(0)

    timer = threading.Timer(END_SECONDS_MAX, end)
    timer.daemon = True
    timer.start()


def _on_terminal() -> bool:
    return sys.stderr.isatty()
