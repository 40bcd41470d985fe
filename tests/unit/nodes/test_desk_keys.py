"""Submitting with a key on a running network: once, however often and whenever it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from broker.port import Broker
from nodes import desk
from nodes.config import NodeConfig
from nodes.identity import Identity
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs.build import linear
from nodes.renter.files.idempotency import KeyTaken
from nodes.renter.submission import JobOptions
from nodes.views import jobs
from schemas.errors import BrokerUnreachable

PROGRAM = linear({"a": [3.0]}, [1.0])
WISHES = JobOptions(protection="homomorphic", id_column="id", lessors=1)


class Node(NodeConfig):
    """The renter of a network in this process."""

    key: Identity

    def identity(self) -> Identity:
        return self.key


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network", lessors=1) as running:
        yield running


@pytest.fixture
def node(network: LocalNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    async def connect(config: NodeConfig, *, timeout_seconds: float) -> Broker:
        return network.server.connect(config.address)

    monkeypatch.setattr(desk, "connect", connect)
    keys: Any = SimpleNamespace(hub_keys=network.renter_config.hub_keys)
    folder = tmp_path / "network" / LOCAL_RENTER
    made = Node("renter", LOCAL_RENTER, "amqp://x:secret@127.0.0.1:5672/x", folder, folder, keys)
    object.__setattr__(made, "key", network.identity(LOCAL_RENTER))
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text("id,a\n" + "".join(f"p{row},{row}\n" for row in range(40)))
    return path


async def ended(network: LocalNetwork, job: str) -> str:
    return [report.phase async for report in network.watch(job)][-1]


async def test_the_same_submission_under_one_key_is_one_job_before_and_after_its_end(
    network: LocalNetwork, node: Node, data: Path
) -> None:
    together = (desk.submit_once(node, "nightly", data, PROGRAM, None, WISHES) for _ in range(3))
    (job,) = set(await asyncio.gather(*together))
    assert await ended(network, job) == "completed"
    assert await desk.submit_once(node, "nightly", data, PROGRAM, None, WISHES) == job
    assert [each.id for each in await jobs.list_jobs(network.store, network.jobs)] == [job]
    other = await desk.submit_once(node, "weekly", data, PROGRAM, None, WISHES)
    assert other != job
    with pytest.raises(KeyTaken):
        await desk.submit_once(node, "nightly", data, linear({"a": [4.0]}, [1.0]), None, WISHES)


async def test_a_submission_that_was_killed_before_it_was_sent_is_sent_by_the_next(
    network: LocalNetwork, node: Node, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As by SIGKILL: nothing is cleaned up."""

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(desk, "publish_job", die)
        patch.setattr("nodes.desk.shutil.rmtree", lambda *_, **__: None)
        patch.setattr("nodes.desk.Keys.drop", lambda *_: None)
        with pytest.raises(Killed):
            await desk.submit_once(node, "nightly", data, PROGRAM, None, WISHES)
    (staged,) = network.jobs.iterdir()
    assert await desk.submit_once(node, "nightly", data, PROGRAM, None, WISHES) == staged.name
    assert await ended(network, staged.name) == "completed"


async def test_a_submission_that_failed_leaves_its_key_free(
    network: LocalNetwork, node: Node, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise BrokerUnreachable("no broker answers")

    with monkeypatch.context() as patch:
        patch.setattr(desk, "publish_job", fail)
        with pytest.raises(BrokerUnreachable):
            await desk.submit_once(node, "nightly", data, PROGRAM, None, WISHES)
    assert list(network.jobs.iterdir()) == []
    other = linear({"a": [4.0]}, [1.0])
    assert await ended(network, await desk.submit_once(node, "nightly", data, other, None, WISHES)) == "completed"
