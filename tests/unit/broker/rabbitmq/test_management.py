"""The management API's adapter against a server of a few lines: what it asks for, and what it says of each failure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from broker.errors import AccessRefused, BrokerUnreachable
from broker.rabbitmq.management import Management, ManagementFailed
from schemas.errors import BadConfig

BINDINGS = "/api/queues/v%2Fh/q.A11.A12.w1/bindings"
ROWS = [{"source": "", "properties_key": "q.A11.A12.w1"}, {"source": "hub.A11", "properties_key": "A11.A12.%2A.w1"}]


class Api(ThreadingHTTPServer):
    """Answers every request with one status, and remembers it."""

    daemon_threads = True
    status = 200
    said = b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://op%7Eone:secret@127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def answer(self) -> None:
        self.server.asked.append((self.command, self.path))
        length = int(self.headers.get("content-length", 0))
        if length:
            self.server.bodies.append(json.loads(self.rfile.read(length)))
        said = json.dumps(ROWS).encode() if self.path == BINDINGS else self.server.said
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_definitions_are_added_in_one_request(api: Api) -> None:
    Management(api.url).apply({"users": []})
    assert api.asked == [("POST", "/api/definitions")]
    assert api.bodies == [{"users": []}]


def test_an_exchange_keeps_those_bindings_to_queues_that_it_is_to_have(api: Api) -> None:
    rows = [("q.A11.unroutable", "queue", "#"), ("out.A11.B11", "queue", "#"), ("hub.B11", "exchange", "B11.#")]
    api.said = json.dumps(
        [
            {"destination": to, "destination_type": kind, "routing_key": key, "properties_key": key.replace("#", "%23")}
            for to, kind, key in rows
        ]
    ).encode()
    bound = {("out.A11.B11", "#"), ("q.A11.unroutable", "A11.#")}
    assert Management(api.url).unbind_others("v/h", "unroutable.A11", bound) == [("q.A11.unroutable", "#")]
    assert api.asked == [
        ("GET", "/api/exchanges/v%2Fh/unroutable.A11/bindings/source"),
        ("DELETE", "/api/bindings/v%2Fh/e/unroutable.A11/q/q.A11.unroutable/%2523"),
    ]


def test_a_queue_is_unbound_before_it_goes(api: Api) -> None:
    Management(api.url).remove("v/h", ["q.A11.A12.w1"])
    assert api.asked == [
        ("GET", BINDINGS),
        ("DELETE", "/api/bindings/v%2Fh/e/hub.A11/q/q.A11.A12.w1/A11.A12.%252A.w1"),
        ("DELETE", "/api/queues/v%2Fh/q.A11.A12.w1"),
    ]


@pytest.mark.parametrize(
    ("status", "raised", "why"),
    [(401, AccessRefused, "administrator"), (403, AccessRefused, "administrator"), (500, ManagementFailed, "500: {}")],
)
def test_what_it_refuses_is_said_without_the_password(api: Api, status: int, raised: type[Exception], why: str) -> None:
    api.status = status
    with pytest.raises(raised, match=why) as refused:
        Management(api.url).remove_user("B11.B14~2")
    assert "secret" not in str(refused.value)
    assert api.asked == [("DELETE", "/api/users/B11.B14~2")]


def test_what_is_gone_already_need_not_go(api: Api) -> None:
    api.status = 404
    Management(api.url).remove_user("B11.B14")


def test_a_server_that_is_not_there_is_named_by_host_and_port(api: Api) -> None:
    port = api.server_address[1]
    api.server_close()
    with pytest.raises(BrokerUnreachable, match=f"127.0.0.1:{port}") as refused:
        Management(api.url).apply({})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "amqp://a:b@c", "https://host:1", "https://a@host:1", "http://a:b@host:x"])
def test_an_address_that_cannot_be_used_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadConfig, match="management API"):
        Management(url)
