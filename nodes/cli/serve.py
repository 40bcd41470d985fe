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


class Deadline:
    """By when a process that was told to end is gone: it waits for no thread that computes, and no disk that does not
    answer. Nothing is lost by that."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def begin(self, log: Any) -> None:
        """Its time begins, unless it did."""
        if self._timer is None:
            self._timer = threading.Timer(END_SECONDS_MAX, _end, (log,))
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """It ended by itself."""
        if self._timer is not None:
            self._timer.cancel()


def _end(log: Any) -> None:
    try:
        log.warning("it took too long to end: what was under way is left to the next process", seconds=END_SECONDS_MAX)
    finally:
        os._exit(0)


async def serve(config: NodeConfig, run: Run, role: str, deadline: Deadline) -> None:
    """Run the node until it is told to end; then its deadline begins.

    Raises:
        BrokerUnreachable: no connection at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    log = structlog.get_logger(__name__).bind(node=config.address)

    def end() -> None:
        stop.set()
        deadline.begin(log)

    def hung_up() -> None:
        if _on_terminal():
            end()
        else:
            log.info("nothing to reload: a new key or password is taken up by itself, settings at the start")

    for number, act in ((signal.SIGTERM, end), (signal.SIGINT, end), (signal.SIGHUP, hung_up)):
        loop.add_signal_handler(number, act)
    log.info("starting", role=role, broker=broker_name(config.amqp_url))
    await run(config, stop)
    log.info("ended")


def _on_terminal() -> bool:
    return sys.stderr.isatty()
