"""Where logs go: stderr, as JSON lines, or readable on a terminal.

Tracebacks are logged without local variables: those hold keys and plaintext.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TextIO

from nodes.cli.sparing import without
from schemas.errors import BadConfig

with without("rich"):  # it would show tracebacks in colours, which nothing here asks for: an eighth of a hub's start
    import structlog

LEVELS: Final[Mapping[str, int]] = MappingProxyType(
    {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
)

FIRST: Final = ("timestamp", "level", "event", "node", "role")
"""Of a line's fields."""


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
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
        *(() if terminal else (bare, _in_order)),
    ]
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: structlog.WriteLogger(_Spoken(sys.stderr)),  # type: ignore[arg-type]
    )
    _libraries(common, renderer, LEVELS[level])


def _in_order(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What a person looks for stands first."""
    return {**{name: line[name] for name in FIRST if name in line}, **line}


class _Spoken:
    """Where log lines go. One that cannot be written, as on a full disk, is lost, and no work with it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _libraries(common: list[structlog.typing.Processor], renderer: structlog.typing.Processor, level: int) -> None:
    """What libraries log, in the same form, but for each failed attempt to connect: the last becomes our error."""
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=[strip, renderer]))
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)
