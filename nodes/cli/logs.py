"""Where logs go: stderr, as JSON lines, or readable on a terminal.

Tracebacks are logged without local variables: those hold keys and plaintext.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import structlog

from schemas.errors import BadConfig

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)


def configure_logs(level: str) -> None:
    """Configure the whole process's logs.

    Raises:
        BadConfig: no such level.
    """
    if level not in LEVELS:
        raise BadConfig(f"there is no log level {level!r}: choose one of {', '.join(LEVELS)}", field="log_level")
    terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    bare = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if terminal else (bare,)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=max(LEVELS[level], logging.ERROR))
