"""`sublet node status`: what a node's process and store say, and what is said when none answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodes.cli.main import main
from nodes.config import NodeConfig, OperationsSettings, read_config
from nodes.operations.server import Desk, Place, serving
from nodes.operations.telemetry import Telemetry
from nodes.status import NodeStatus, node_status
from nodes.store.opening import Place as StorePlace
from schemas.errors import BadConfig
from tests.support.operating import free_ports

WHO = "A11.A12"


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    """A renter's, with a port that nobody holds."""
    assert main(["network", "init", str(tmp_path / "net")]) == 0
    read = read_config(tmp_path / "net" / "nodes" / WHO / "node.toml", {})
    return replace(read, operations=OperationsSettings(port=free_ports(1)[0]))


@pytest.fixture
def seen(config: NodeConfig) -> Callable[..., Awaitable[NodeStatus]]:
    """The status while a process of this address and role serves."""

    async def look(telemetry: Telemetry, address: str = WHO, role: str = "renter") -> NodeStatus:
        desk = Desk(address, role, telemetry.health, telemetry.metrics)
        async with serving(Place("127.0.0.1", config.operations.port or 0), desk):
            return await node_status(config)

    return look


def working() -> Telemetry:
    telemetry = Telemetry()
    telemetry.health.broker = telemetry.health.consuming = lambda: ""
    return telemetry


async def test_a_process_that_works_is_ready(seen: Callable[..., Awaitable[NodeStatus]]) -> None:
    found = await seen(working())
    assert found.process is not None
    assert (found.ready, found.reasons, found.process.role, found.store) == (True, (), "renter", None)


async def test_one_that_cannot_says_why(seen: Callable[..., Awaitable[NodeStatus]]) -> None:
    telemetry = working()
    telemetry.health.store = lambda: "paused: what must be kept cannot be written: No space left on device"
    found = await seen(telemetry)
    assert (found.ready, len(found.reasons), "No space left" in found.reasons[0]) == (False, 1, True)


async def test_another_nodes_process_at_the_port_is_named(seen: Callable[..., Awaitable[NodeStatus]]) -> None:
    found = await seen(working(), "A11.hub", "hub")
    assert (found.ready, found.process) == (False, None)
    assert "the hub A11.hub answers" in found.reasons[0]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"SSH-2.0-x\r\n"])
async def test_what_is_no_node_is_told_from_one(config: NodeConfig, answer: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", config.operations.port):
        found = await node_status(config)
    assert (found.ready, "nothing that is a node answers" in found.reasons[0]) == (False, True)


async def test_where_no_process_runs_its_store_still_tells_what_waits(config: NodeConfig) -> None:
    store = await StorePlace(config.data_dir).open(config.address, {})
    await store.close()
    found = await node_status(config)
    assert found.store is not None
    assert (found.ready, found.process, found.store.effects, found.store.reason) == (False, None, 0, "")


async def test_a_store_that_cannot_be_read_is_told_with_its_reason(config: NodeConfig) -> None:
    place = StorePlace(config.data_dir)
    place.folder.mkdir()
    place.file.write_bytes(b"no database at all" * 100)
    found = await node_status(config)
    assert found.store is not None
    assert place.file.name in found.store.reason


@pytest.mark.parametrize(("bridge", "field"), [(False, "port"), (True, "bridge_port")])
async def test_a_node_without_a_port_is_told_to_have_one(config: NodeConfig, bridge: bool, field: str) -> None:
    with pytest.raises(BadConfig, match=rf"set \[operations\] {field} ") as refused:
        await node_status(replace(config, operations=OperationsSettings()), bridge=bridge)
    assert refused.value.field == field


def test_the_command_ends_with_1_for_a_node_that_does_not_run(
    config: NodeConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBLET_OPERATIONS_PORT", str(config.operations.port))
    capsys.readouterr()
    node = str(config.folder / "node.toml")
    assert main(["node", "status", "--config", node]) == 1
    assert capsys.readouterr().out.splitlines()[0] == "A11.A12 renter: not ready"
    assert main(["node", "status", "--config", node, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ready"] is False
