"""The operations port: what it serves, to whom, and what it says when the node is not well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nodes.operations import server
from nodes.operations.health import STARTING, STOPPING
from nodes.operations.server import CLIENTS_MAX, Desk, Place, serving
from nodes.operations.telemetry import Telemetry
from schemas.errors import BadConfig


class Node:
    """A node's telemetry behind a port."""

    def __init__(self, port: int, telemetry: Telemetry) -> None:
        self.port = port
        self.telemetry = telemetry

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        return await asyncio.to_thread(self.ask, path, method)

    async def ready(self) -> tuple[int, dict[str, Any]]:
        code, body = await self.get("/readyz")
        return code, json.loads(body)

    async def samples(self) -> dict[str, float]:
        """By name and labels' values."""
        _, page = await self.get("/metrics")
        families = text_string_to_metric_families(page.decode())
        return {" ".join([one.name, *one.labels.values()]): one.value for each in families for one in each.samples}


def well(telemetry: Telemetry) -> Telemetry:
    """All parts say that they are up."""
    for part in ("broker", "store", "consuming"):
        setattr(telemetry.health, part, lambda: "")
    return telemetry


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    telemetry = well(Telemetry())
    desk = Desk("A11.hub", "hub", telemetry.health, telemetry.metrics)
    async with serving(Place("127.0.0.1", 0), desk) as port:
        yield Node(port, telemetry)


async def test_a_node_that_is_well_is_live_and_ready(node: Node) -> None:
    assert await node.get("/livez") == (200, b"ok\n")
    code, said = await node.ready()
    assert (code, said["ready"], said["reasons"]) == (200, True, [])
    assert (said["address"], said["role"]) == ("A11.hub", "hub")
    assert (await node.samples())["sublet_ready"] == 1


@pytest.mark.parametrize(
    ("part", "why", "series"),
    [
        ("broker", "no connection to the broker at 127.0.0.1:5672", "sublet_broker_connected"),
        ("store", "paused: what must be kept cannot be written: No space left on device", "sublet_store_writable"),
        ("consuming", "the control queue is not consumed", "sublet_ready"),
    ],
)
async def test_a_node_that_cannot_work_is_live_and_says_why_it_is_not_ready(
    node: Node, part: str, why: str, series: str
) -> None:
    setattr(node.telemetry.health, part, lambda: why)
    code, said = await node.ready()
    assert (code, said["ready"], said["reasons"]) == (503, False, [why])
    assert (await node.get("/livez"))[0] == 200
    samples = await node.samples()
    assert (samples["sublet_ready"], samples[series]) == (0, 0)


async def test_a_lost_broker_stands_for_what_follows_from_it(node: Node) -> None:
    node.telemetry.health.broker = lambda: "no connection"
    node.telemetry.health.consuming = lambda: "the control queue is not consumed"
    assert (await node.ready())[1]["reasons"] == ["no connection"]


async def test_a_node_that_starts_or_ends_is_not_ready() -> None:
    telemetry = Telemetry()
    assert telemetry.health.reasons == [STARTING]
    well(telemetry).health.stopping = lambda: True
    assert telemetry.health.reasons == [STOPPING]


async def test_jobs_and_queues_are_counted_when_they_are_asked_for(node: Node) -> None:
    async def jobs() -> dict[str, int]:
        return {"running": 2, "completed": 5}

    node.telemetry.health.jobs, node.telemetry.health.outbox = jobs, lambda: (3, 7.5)
    node.telemetry.metrics.received("batch.completed", 1000, "result", 0.25)
    samples = await node.samples()
    assert (samples["sublet_jobs running"], samples["sublet_jobs completed"]) == (2, 5)
    assert (samples["sublet_outbox_rows"], samples["sublet_outbox_age_seconds"]) == (3, 7.5)
    assert samples["sublet_event_bytes_total received batch.completed"] == 1000
    assert samples["sublet_batches_total received completed"] == 1
    assert samples["sublet_queue_seconds_sum result"] == 0.25
    assert (await node.ready())[1]["queue_age_seconds"] == {"result": 0.25, "outbox": 7.5}


async def test_links_are_up_or_down_as_far_as_is_known(node: Node) -> None:
    node.telemetry.health.links = lambda: {"B11": True, "C11": False}
    samples = await node.samples()
    assert (samples["sublet_link_up B11"], samples["sublet_link_up C11"]) == (1, 0)


async def test_a_store_that_does_not_answer_holds_up_no_scrape(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async def jobs() -> dict[str, int]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(server, "ANSWER_SECONDS_MAX", 0.4)
    node.telemetry.health.jobs = jobs
    assert (await node.samples())["sublet_ready"] == 1


async def test_a_loop_that_stands_still_is_not_live(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS_MAX", 0.2)
    said: list[tuple[int, bytes]] = []
    asking = threading.Thread(
        target=lambda: said.extend([node.ask("/livez"), node.ask("/readyz"), node.ask("/metrics")])
    )
    asking.start()
    asking.join()  # this thread is the loop's
    assert [code for code, _ in said] == [503, 503, 200]
    assert said[0][1] == b"its event loop stands still\n"
    assert (await node.get("/livez"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/", 404), ("GET", "/metrics/../secrets", 404), ("POST", "/readyz", 405), ("HEAD", "/livez", 200)],
)
async def test_nothing_else_is_served(node: Node, method: str, path: str, code: int) -> None:
    assert (await node.get(path, method))[0] == code


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x00\xff\x01", b"GET " + b"/" * 70_000 + b" HTTP/1.1\r\n\r\n", b""])
async def test_what_is_no_request_costs_nobody_else_the_port(node: Node, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(sent)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    assert (await node.get("/livez"))[0] == 200


async def test_clients_that_keep_silent_are_hung_up_on(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.2)
    silent = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(CLIENTS_MAX + 4)]
    for reader, writer in silent:
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
    assert (await node.get("/livez"))[0] == 200


async def test_a_port_that_is_taken_is_refused_with_what_to_do() -> None:
    telemetry = Telemetry()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BadConfig, match=f"127.0.0.1:{port}: Address already in use.*SUBLET_OPERATIONS_PORT"):
            async with serving(Place("127.0.0.1", port), Desk("A11.hub", "hub", telemetry.health, telemetry.metrics)):
                pass


async def test_without_a_port_nothing_is_served() -> None:
    telemetry, before = Telemetry(), threading.active_count()
    async with serving(None, Desk("A11.hub", "hub", telemetry.health, telemetry.metrics)) as port:
        assert (port, threading.active_count()) == (0, before)


async def test_the_port_is_free_again_at_once(node: Node) -> None:
    begin, telemetry = time.monotonic(), Telemetry()
    for _ in range(2):
        async with serving(
            Place("127.0.0.1", 0), Desk("A11.hub", "hub", telemetry.health, Telemetry().metrics)
        ) as port:
            pass
        with socket.create_server(("127.0.0.1", port)):
            pass
    assert time.monotonic() - begin < 5
