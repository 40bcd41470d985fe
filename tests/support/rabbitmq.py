"""A RabbitMQ for tests, end-to-end runs and benchmarks: given by the environment, or a private one that ends with them.

    with running() as server, site(server, network) as here: … connect(here.url(address)) …

`SUBLET_TEST_AMQP_URL` (an administrator's) and `SUBLET_TEST_RABBITMQ_API` (`http://user:password@host:port`) name a
given server. Otherwise an installed one is started on free ports of 127.0.0.1 in a temporary folder, and stopped at the
end with everything it started and nothing else; `SUBLET_TEST_RABBITMQ_SCRIPT` names the script that starts another
release. `python -m tests.support.rabbitmq` does the same until SIGINT or SIGTERM and prints the two URLs, one a line.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from broker.definitions import definitions, password_hash
from broker.network import Network
from broker.rabbitmq.management import Management
from broker.topology import Topology, topology
from schemas.ids import Address
from tests.support.certificates import Authority

SCRIPT: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
READY: Final = "completed with"
START_SECONDS_MAX: Final = 90.0
STOP_SECONDS_MAX: Final = 20.0
API_SECONDS_MAX: Final = 30.0
CUT_SECONDS_MAX: Final = 15.0
POLL_SECONDS: Final = 0.02


class NoServer(Exception):  # noqa: N818
    """There is no RabbitMQ to test with; says what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The port that speaks TLS, to clients that show a certificate of this authority; it signed the server's own."""

    port: int
    authority: Authority

    def client(self, name: str = "client") -> dict[str, str]:
        """The options of a client whom the server lets in."""
        certificate, key = self.authority.issue(name)
        return {"cafile": str(self.authority.file), "certfile": str(certificate), "keyfile": str(key)}

    def url(self, plain: str, options: Mapping[str, str]) -> str:
        """The same account on the port that speaks TLS."""
        account, _, rest = plain.removeprefix("amqp://").partition("@")
        return f"amqps://{account}@127.0.0.1:{self.port}/{rest.partition('/')[2]}?{urlencode(options)}"


@dataclass(frozen=True, slots=True)
class Power:
    """A private server's process, as a power cut or a stalled machine treats it."""

    restart: Callable[[], None]
    """Kill it and start it again on what it kept; returns when it is ready."""
    pause: Callable[[], None]
    resume: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, with the URLs of an administrator."""

    amqp_url: str = field(repr=False)
    api_url: str = field(repr=False)
    tls: Tls | None = None
    """None for a given server."""
    power: Power | None = None
    """Likewise."""

    def call(self, method: str, path: str, body: Any = None, *, seconds_max: float = API_SECONDS_MAX) -> Any:
        """One request to the management API; the decoded answer, None when there is none or nothing was found."""
        parts = urlsplit(self.api_url)
        request = urllib.request.Request(
            f"{parts.scheme}://{parts.hostname}:{parts.port}/api/{path}",
            method=method,
            data=None if body is None else orjson.dumps(body),
            headers={"content-type": "application/json", "authorization": _basic(parts.username, parts.password)},
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds_max) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise RuntimeError(f"{method} /api/{path}: {error.code} {error.read()[:500]!r}") from None
        return orjson.loads(raw) if raw else None


@dataclass(frozen=True, slots=True)
class Site:
    """A network on a virtual host of its own."""

    server: Server
    vhost: str
    layout: Topology
    password: str = field(repr=False)

    def url(self, address: Address) -> str:
        """The AMQP URL with which `address` connects."""
        parts = urlsplit(self.server.amqp_url)
        return f"{parts.scheme}://{quote(address)}:{self.password}@{parts.hostname}:{parts.port or 5672}/{self.vhost}"

    async def cut(self, address: Address) -> None:
        """Close every connection of this address from the server's side; the server may not have noted it yet."""
        await asyncio.to_thread(self._cut, f"connections/username/{quote(address)}")

    @contextlib.contextmanager
    def refused(self, address: Address) -> Iterator[None]:
        """While it lasts the account may not enter the virtual host."""
        path = f"permissions/{self.vhost}/{quote(address)}"
        row = self.server.call("GET", path)
        self.server.call("DELETE", path)
        try:
            yield
        finally:
            self.server.call("PUT", path, {what: row[what] for what in ("configure", "write", "read")})

    def unbind(self, exchange: str, queue: str) -> None:
        """Remove every binding between these two."""
        bindings = f"bindings/{self.vhost}/e/{quote(exchange)}/q/{quote(queue)}"
        for row in self.server.call("GET", bindings):
            self.server.call("DELETE", f"{bindings}/{quote(row['properties_key'])}")

    def become(self, made: Topology, rest: set[tuple[str, str]]) -> None:
        """Add what this has more, and leave the one hub's unroutable messages these bindings (queue, pattern)."""
        api = Management(self.server.api_url)
        hashes = {row.user: password_hash(self.password, secrets.token_bytes(4)) for row in made.permissions}
        api.apply(definitions(made, hashes, vhost=self.vhost))
        (exchange,) = {each.alternate for each in made.exchanges if each.alternate}
        api.unbind_others(self.vhost, exchange, rest)

    def deprecated(self) -> list[str]:
        """Features in use that the server says it will drop; none before RabbitMQ 3.13, which does not tell."""
        return [row["name"] for row in self.server.call("GET", "deprecated-features/used") or []]

    def _cut(self, connections: str) -> None:
        deadline = time.monotonic() + CUT_SECONDS_MAX
        while not self.server.call("GET", connections):
            _pause(deadline, f"there are no {connections} to cut")
        self.server.call("DELETE", connections)


def site(server: Server, network: Network, broker: str = "main") -> contextlib.AbstractContextManager[Site]:
    """A network's definitions of this broker on a new virtual host, removed afterwards."""
    return laid_out(server, topology(network, broker))


@contextlib.contextmanager
def laid_out(server: Server, layout: Topology) -> Iterator[Site]:
    """The same of what is laid out otherwise."""
    password = _password_of(server)
    here = Site(server, f"test-{secrets.token_hex(6)}", layout, password)
    hashes = {row.user: password_hash(password, secrets.token_bytes(4)) for row in layout.permissions}
    server.call("POST", "definitions", definitions(layout, hashes, vhost=here.vhost))
    try:
        yield here
    finally:
        server.call("DELETE", f"vhosts/{here.vhost}")


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The given server, or a private one while the context lasts.

    Raises:
        NoServer: none is given and none is installed.
    """
    given = os.environ.get("SUBLET_TEST_AMQP_URL")
    if not given:
        with private() as server:
            yield server
        return
    api = os.environ.get("SUBLET_TEST_RABBITMQ_API")
    if not api:
        raise NoServer("SUBLET_TEST_AMQP_URL is set; set SUBLET_TEST_RABBITMQ_API too (http://user:password@host:port)")
    yield Server(given, api.rstrip("/"))


@contextlib.contextmanager
def private(plugins: Sequence[str] = ("rabbitmq_management",)) -> Iterator[Server]:
    """A server of one's own on free ports, with these plugins; the management API is one.

    Raises:
        NoServer: it is not installed, or does not start.
    """
    epmd, script = shutil.which("epmd"), Path(os.environ.get("SUBLET_TEST_RABBITMQ_SCRIPT") or SCRIPT)
    if not script.exists() or epmd is None:
        raise NoServer(
            f"no RabbitMQ: {script} is not there. Install rabbitmq-server, set SUBLET_TEST_AMQP_URL, or let "
            "tests/support/with_servers.sh see to one, as `make test` does"
        )
    folder = Path(tempfile.mkdtemp(prefix="sublet-rabbitmq-"))
    amqp, api, distribution, names, secured = _free_ports(5)
    password = secrets.token_hex(16)
    tls = Tls(secured, Authority.create(folder))
    (folder / "plugins").write_text(f"[{','.join(plugins)}].\n")
    environment = _prepare(folder, password, tls, amqp, api, distribution, names)
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start([epmd, "-port", str(names), "-address", "127.0.0.1"], environment, subprocess.DEVNULL))
        started.append(_start([str(script)], environment, subprocess.PIPE))
        _await_ready(started[-1], folder)
        account = f"sublet-test:{password}@127.0.0.1"

        def restart() -> None:
            _kill(started.pop())
            started.append(_start([str(script)], environment, subprocess.PIPE))
            _await_ready(started[-1], folder)

        def sign(number: signal.Signals) -> Callable[[], None]:
            return lambda: os.killpg(started[-1].pid, number)

        power = Power(restart, sign(signal.SIGSTOP), sign(signal.SIGCONT))
        yield Server(f"amqp://{account}:{amqp}/", f"http://{account}:{api}", tls, power)
    finally:
        for process in reversed(started):
            _kill(process)
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(
    folder: Path, password: str, tls: Tls, amqp: int, api: int, distribution: int, names: int
) -> dict[str, str]:
    """Writes the configuration; the environment in which the server's script uses nothing outside the folder."""
    certificate, key = tls.authority.issue("broker")
    lines = (
        f"listeners.tcp.1 = 127.0.0.1:{amqp}",
        f"listeners.ssl.1 = 127.0.0.1:{tls.port}",
        f"ssl_options.cacertfile = {tls.authority.file}",
        f"ssl_options.certfile = {certificate}",
        f"ssl_options.keyfile = {key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {api}",
        "default_user = sublet-test",
        f"default_pass = {password}",
        "disk_free_limit.absolute = 50MB",
        "vm_memory_high_watermark.absolute = 2GB",
        "raft.wal_max_size_bytes = 67108864",
    )
    config = folder / "rabbitmq.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    (folder / "environment").write_text("")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"sublet-{secrets.token_hex(4)}@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_MAX_PORTS": "4096",
    }


def _start(command: list[str], environment: dict[str, str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _await_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Reads the server's output until it says that it is ready, and goes on reading so that it never blocks."""
    ready, said = threading.Event(), bytearray()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                if not ready.is_set():
                    said.extend(line[-500:])
                    if READY.encode() in line:
                        ready.set()

    reader = threading.Thread(target=read, name=f"rabbitmq {folder.name}", daemon=True)
    reader.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not ready.wait(0.1):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoServer(f"RabbitMQ did not start: {said[-3000:].decode(errors='replace')}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and what it started: they are a session of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS_MAX)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _password_of(server: Server) -> str:
    """All addresses of all test networks have one password: users are not per virtual host."""
    parts = urlsplit(server.amqp_url)
    return f"{parts.password}-of-an-address"


def _basic(user: str | None, password: str | None) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(what)
    time.sleep(POLL_SECONDS)  # it lists connections late, and tells nobody when


def main() -> int:
    """Runs a private server until it is told to end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with private() as server:
            print(server.amqp_url, server.api_url, sep="\n", flush=True)
            ended.wait()
    except NoServer as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
