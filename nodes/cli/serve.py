"""A node's process: logs on stderr, and a clean end on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import structlog

from nodes.bootstrap import run_node
from nodes.config import NodeConfig, broker_name
from schemas.errors import BadConfig

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)


def configure_logs(level: str) -> None:
    """JSON lines on stderr; readable lines on a terminal.

    Raises:
        BadConfig: no such level.
    """
    if level not in LEVELS:
        raise BadConfig(f"there is no log level {level!r}: choose one of {', '.join(LEVELS)}", field="log_level")
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if terminal else (structlog.processors.dict_tracebacks,)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=max(LEVELS[level], logging.ERROR))


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
