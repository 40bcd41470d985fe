"""`sublet check`: on a healthy network all is well, on a broken one exactly one line says what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker.errors import AccessRefused
from broker.port import Broker
from nodes import checkup
from nodes.checkup import Checkup, Finding
from nodes.config import NodeConfig
from nodes.identity import Identity
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.roles import Role
from nodes.store.postgres.store import PostgresStore
from schemas.errors import BrokerUnreachable
from schemas.ids import Address, hub_address
from tests.support.postgres import Server

LESSOR = Address("B11.B12")


class Node(NodeConfig):
    """Of a network in this process; `key` is what its identity is."""

    key: Identity

    def identity(self) -> Identity:
        return self.key


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network", lessors=1) as running:
        yield running


@pytest.fixture
def checked(network: LocalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Looks at one node of the network, with something changed."""

    async def connect(config: NodeConfig, *, timeout_seconds: float) -> Broker:
        return network.server.connect(config.address)

    monkeypatch.setattr(checkup, "connect", connect)

    async def look(
        role: Role = "renter",
        address: Address = LOCAL_RENTER,
        key: Identity | None = None,
        url: str | None = None,
        **changes: Any,
    ) -> list[Finding]:
        keys: Any = SimpleNamespace(hub_keys=network._hub_keys)
        node = Node(role, address, "amqp://A11.A12:secret@127.0.0.1:5672/x", tmp_path, tmp_path, keys, url)
        object.__setattr__(node, "key", key or network.identity(address))
        changed = Checkup(node, free_bytes=lambda folder: 10**12)
        return [each async for each in replace(changed, **changes).findings()]

    return look


def bad(findings: list[Finding]) -> list[str]:
    return [each.what for each in findings if each.exit_code]


@pytest.mark.parametrize(
    ("role", "address", "seen"),
    [
        ("renter", LOCAL_RENTER, ["disk", "broker", "A11.hub"]),
        ("lessor", LESSOR, ["enclaves", "broker", "B11.hub"]),
        ("hub", hub_address("A11"), ["disk", "broker", "A11.hub", "B11.hub"]),
    ],
)
async def test_on_a_healthy_network_all_is_well(
    checked: Callable[..., Any], role: str, address: Address, seen: list[str]
) -> None:
    findings = await checked(role, address)
    assert [each.what for each in findings] == seen
    assert bad(findings) == []


@pytest.mark.parametrize(
    ("stored", "says"),
    [("", "is empty: the store is made at the first start"), (LOCAL_RENTER, f"holds the store of {LOCAL_RENTER}")],
)
async def test_a_store_at_a_server_is_told_of_with_what_it_takes(
    checked: Callable[..., Any], postgres: Server, stored: str, says: str
) -> None:
    async with postgres.schema() as url:
        if stored:
            await (await PostgresStore.open(url, stored, {})).close()
        findings = await checked(url=url)
        assert bad(findings) == []
        assert [each.what for each in findings][:2] == ["disk", "store"]
        assert f"{says}; the database takes" in findings[1].text


async def test_a_store_that_is_anothers_or_whose_server_is_down_is_named_without_its_password(
    checked: Callable[..., Any], postgres: Server
) -> None:
    async with postgres.schema() as url:
        await (await PostgresStore.open(url, "B11.hub", {})).close()
        findings = await checked(url=url)
        assert (bad(findings), findings[1].exit_code) == (["store"], 2)
        assert "is the store of B11.hub, not a store of this release" in findings[1].text
    findings = await checked(url="postgresql://user:secret-word@127.0.0.1:1/store")
    assert bad(findings) == ["store"]
    assert "PostgreSQL at 127.0.0.1:1/store" in findings[1].text
    assert "secret-word" not in findings[1].text


async def test_a_disk_that_is_nearly_full_is_named_with_its_room(checked: Callable[..., Any], tmp_path: Path) -> None:
    findings = await checked(free_bytes=lambda folder: 123_456)
    assert bad(findings) == ["disk"]
    assert f"123,456 bytes are free at {tmp_path}" in findings[0].text


@pytest.mark.parametrize(
    ("skew", "says"), [(600.0, "600 s ahead of"), (-600.0, "600 s behind"), (60.0, "60 s ahead of")]
)
async def test_a_clock_that_is_off_is_named_with_its_skew(checked: Callable[..., Any], skew: float, says: str) -> None:
    findings = await checked(clock=lambda: time.time() + skew)
    assert bad(findings) == ["clock"]
    assert f"this node's is {says} A11.hub's" in findings[-1].text


async def test_a_key_that_the_hub_does_not_know_is_named(checked: Callable[..., Any]) -> None:
    findings = await checked(key=Identity.generate(LOCAL_RENTER))
    assert bad(findings) == ["key"]
    assert "A11.hub does not believe this node (bad-signature)" in findings[-1].text


@pytest.mark.parametrize(
    "error", [AccessRefused("the broker refuses the credentials"), BrokerUnreachable("no broker answers")]
)
async def test_a_broker_that_is_down_or_refuses_is_all_that_is_said(
    checked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def connect(config: NodeConfig, *, timeout_seconds: float) -> Broker:
        raise error

    monkeypatch.setattr(checkup, "connect", connect)
    findings = await checked()
    assert (bad(findings), findings[-1].text, findings[-1].exit_code) == (["broker"], str(error), 3)


async def test_a_hub_that_is_not_running_is_named(
    network: LocalNetwork, checked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("nodes.asking", "nodes.checkup"):
        monkeypatch.setattr(f"{module}.ANSWER_SECONDS_MAX", 0.2)
    hubs = network._tasks[: len(network._hubs)]
    for task in hubs:
        task.cancel()
    await asyncio.wait(hubs)
    findings = await checked()
    assert bad(findings) == ["A11.hub"]
    assert "no answer in 0.2 s: is `sublet hub` running there?" in findings[-1].text
