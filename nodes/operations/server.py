"""A node's port for operators: `/livez`, `/readyz` and `/metrics`, over HTTP, on loopback unless told otherwise.

It is served from a thread of its own, by the standard library's HTTP server, and asks the event loop for everything it
tells: a loop that stands still does not answer, which is what `/livez` is for. It tells no secret and takes no order;
who may reach it is for the operator to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Info, ProcessCollector, generate_latest

from nodes.operations.health import Health
from nodes.operations.metrics import Metrics
from schemas.errors import BadConfig

T = TypeVar("T")

ANSWER_SECONDS_MAX: Final = 5.0
"""A loop that does not answer for so long stands still."""
CLIENT_SECONDS_MAX: Final = 10.0
"""That a client may take over its request."""
CLIENTS_MAX: Final = 16
"""At a time; more are hung up on."""
STANDING_STILL: Final = "its event loop stands still"
JOBS_SECONDS: Final = 10.0
"""Jobs are counted at most that often: each is looked at."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to serve; port 0: any that is free."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Status:
    """What /readyz says, as JSON."""

    ready: bool
    reasons: tuple[str, ...]
    """Why it is not; for people."""
    address: str
    role: str
    version: str
    up_seconds: float
    outbox_rows: int
    queue_age_seconds: dict[str, float]
    """By kind of queue, how long the last message taken from it had waited; `outbox`: the age of the oldest effect."""


class Desk:
    """What is known of a node, gathered on its event loop."""

    def __init__(self, address: str, role: str, health: Health, metrics: Metrics) -> None:
        self._who = address, role
        self._health = health
        self._metrics = metrics
        self._jobs_due = 0.0
        Info("sublet", "Of this process", registry=metrics.registry).info(
            {"address": address, "role": role, "version": version("sublet")}
        )
        ProcessCollector(registry=metrics.registry)

    async def status(self) -> Status:
        """As of now."""
        health, (rows, age) = self._health, self._health.outbox()
        reasons = tuple(health.reasons)
        ages = self._metrics.last_wait_seconds | {"outbox": age}
        address, role = self._who
        return Status(not reasons, reasons, address, role, version("sublet"), health.up_seconds, rows, ages)

    def standing_still(self) -> Status:
        """Where the event loop could not be asked."""
        address, role = self._who
        return Status(False, (STANDING_STILL,), address, role, version("sublet"), self._health.up_seconds, 0, {})

    async def measure(self) -> None:
        """Bring the gauges up to date; jobs, as far as the store answers in time."""
        health = self._health
        self._metrics.stands(
            ready=not health.reasons,
            connected=not health.broker(),
            writable=not health.store(),
            outbox=health.outbox(),
        )
        for name, up in health.links().items():
            self._metrics.link(name, up=up)
        now = asyncio.get_running_loop().time()
        if now < self._jobs_due or health.store() or health.stopping():
            return
        self._jobs_due = now + JOBS_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS_MAX / 2):
                self._metrics.jobs(await health.jobs())

    def page(self) -> bytes:
        """The metrics, in Prometheus' text format."""
        return generate_latest(self._metrics.registry)


class _Application:
    """The three pages (PEP 3333)."""

    def __init__(self, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        self._desk = desk
        self._loop = loop
        self._pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
        }

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = self._pages.get(environment["PATH_INFO"])
        if environment["REQUEST_METHOD"] not in ("GET", "HEAD"):
            code, kind, body = 405, "text/plain", b"only GET\n"
        elif page is None:
            code, kind, body = 404, "text/plain", f"there are {', '.join(self._pages)}\n".encode()
        else:
            code, kind, body = page()
        said = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}[code]
        start_response(f"{code} {said}", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if environment["REQUEST_METHOD"] == "HEAD" else [body]

    def _livez(self) -> tuple[int, str, bytes]:
        try:
            self._ask(self._desk.status())
        except TimeoutError:
            return 503, "text/plain", f"{STANDING_STILL}\n".encode()
        return 200, "text/plain", b"ok\n"

    def _readyz(self) -> tuple[int, str, bytes]:
        try:
            status = self._ask(self._desk.status())
        except TimeoutError:
            status = self._desk.standing_still()
        return 200 if status.ready else 503, "application/json", msgspec.json.encode(asdict(status)) + b"\n"

    def _metrics(self) -> tuple[int, str, bytes]:
        with contextlib.suppress(TimeoutError):
            self._ask(self._desk.measure())
        return 200, CONTENT_TYPE_LATEST, self._desk.page()

    def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return answer.result(ANSWER_SECONDS_MAX)
        finally:
            answer.cancel()


class _Handler(WSGIRequestHandler):
    """Patient for so long, and quiet."""

    timeout = CLIENT_SECONDS_MAX

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Whoever asks every few seconds is no news."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each client, of a bounded number."""

    daemon_threads = True
    request_queue_size = CLIENTS_MAX

    def __init__(self, place: Place, application: _Application) -> None:
        self._free = threading.Semaphore(CLIENTS_MAX)
        self.address_family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
        super().__init__((place.address, place.port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """Without asking the name service who this is."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is one left."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the thread back afterwards."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or took too long, is no fault of this node."""
        log.debug("a client of the operations port went away")


@contextlib.asynccontextmanager
async def serving(place: Place | None, desk: Desk) -> AsyncIterator[int]:
    """Serve while it lasts, if there is a place to; gives the port, or 0.

    Raises:
        BadConfig: the place cannot be taken.
    """
    if place is None:
        yield 0
        return
    try:
        server = _Server(place, _Application(desk, asyncio.get_running_loop()))
    except (OSError, OverflowError) as error:
        why = f"cannot serve operators at {place.address}:{place.port}: {getattr(error, 'strerror', None) or error}"
        hint = "another worker of this node may: give each its own SUBLET_OPERATIONS_PORT"
        raise BadConfig(f"{why}; {hint}", field="operations.port") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="sublet-operations", daemon=True)
    thread.start()
    log.info("operators are served", at=f"http://{place.address}:{server.server_port}")
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
