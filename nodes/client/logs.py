"""Where the nodes of a network in this process log: to stderr, and only what is wrong.

Tracebacks are logged without local variables: those hold keys and plaintext.
"""

from __future__ import annotations

import logging
import sys

import structlog


def quiet() -> None:
    """Unless this process says itself where logs go."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )
