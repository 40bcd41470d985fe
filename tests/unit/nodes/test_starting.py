"""A node that starts before its broker says so at once, and ends when it is told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from broker.port import Broker
from nodes.bootstrap.running import run_node
from nodes.cli.main import main
from nodes.config import read_config
from nodes.runtime import loop
from tests.support.world import World

SECONDS_MAX = 20.0


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody answers."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@pytest.mark.parametrize("node", ["A11.hub", "A11.A12", "B11.B12"])
async def test_a_node_without_its_broker_says_so_and_ends_when_told(tmp_path: Path, nobody: int, node: str) -> None:
    assert await asyncio.to_thread(main, ["network", "init", str(tmp_path)]) == 0
    variables = {"SUBLET_AMQP_URL": f"amqp://{node}:secret@127.0.0.1:{nobody}/sublet"}
    config, stop = read_config(tmp_path / "nodes" / node / "node.toml", variables), asyncio.Event()
    with capture_logs() as lines:
        async with asyncio.timeout(SECONDS_MAX):
            running = asyncio.create_task(run_node(config, stop))
            while not lines and not running.done():  # noqa: ASYNC110 - what is awaited is a line of the log
                await asyncio.sleep(0)
            stop.set()
            await running
    said = lines[0]
    assert (said["event"], said["broker"]) == ("no broker answers, trying again", f"127.0.0.1:{nobody}")
    assert "secret" not in str(lines)


class _Unreachable:
    """A broker whose connection was lost and does not come back."""

    def consume(self, queue: str, *, prefetch: int, exclusive: bool = False) -> Any:
        return self

    async def __aenter__(self) -> None:
        await asyncio.Event().wait()

    async def __aexit__(self, *_: object) -> None:
        raise AssertionError("it was never entered")


async def test_a_node_that_lost_its_broker_ends_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STOP_SECONDS_MAX", 0.1)
    async with AsyncExitStack() as stack, asyncio.timeout(SECONDS_MAX):
        world = await World.open(stack, tmp_path)
        running = await world.start(broker=cast(Broker, _Unreachable()))
        await asyncio.sleep(0)
        await running.end()
