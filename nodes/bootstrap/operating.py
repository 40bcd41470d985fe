"""What a process tells its operators while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nodes.bootstrap.connecting import unconnected
from nodes.config import NodeConfig
from nodes.operations.server import Desk as OperatorsDesk
from nodes.operations.server import Place as Port
from nodes.operations.server import serving
from nodes.operations.telemetry import Telemetry


def telemetry_of(config: NodeConfig, role: str) -> Telemetry:
    """What a process of this node tells its operators. Raises BadConfig: traces are wanted, and cannot be exported."""
    telemetry = Telemetry()
    telemetry.health.broker = lambda: unconnected(config)
    if config.operations.traces is not None:
        from nodes.operations.otel import Exported  # noqa: PLC0415 - an extra

        telemetry.tracing.spans = Exported(config.operations.traces, config.address, role)
    return telemetry


@contextlib.asynccontextmanager
async def operating(
    config: NodeConfig, role: str, port: int | None, telemetry: Telemetry, stop: asyncio.Event
) -> AsyncIterator[None]:
    """While it lasts, operators are told how the process is; at its end, what is left of traces.

    Raises:
        BadConfig: the port cannot be taken.
    """
    place = None if port is None else Port(config.operations.address, port)
    telemetry.health.stopping = stop.is_set
    try:
        async with serving(place, OperatorsDesk(config.address, role, telemetry.health, telemetry.metrics)):
            yield
    finally:
        await asyncio.to_thread(telemetry.tracing.spans.close)
