"""A PostgreSQL for tests and benchmarks: given by the environment, or a private one that ends with them.

`SUBLET_TEST_POSTGRES_URL` names a given server, whose account may make schemas. Otherwise an installed one is started
on a free port of 127.0.0.1 in a temporary folder, under an account that is not root, and stopped at the end.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

INSTALLED: Final = Path("/usr/lib/postgresql")
START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
POLL_SECONDS: Final = 0.05


class NoServer(Exception):  # noqa: N818
    """There is no PostgreSQL to test with; says what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    """None for a given server."""
    restart: Callable[[], None] | None = None
    """Kill it, with all that it started, and start it again on what it kept. Likewise."""

    @contextlib.asynccontextmanager
    async def schema(self) -> AsyncIterator[str]:
        """The URL of a new, empty schema, which is dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        await self.run(f"CREATE SCHEMA {name}")
        try:
            yield urlunsplit(urlsplit(self.url)._replace(query=f"search_path={name}"))
        finally:
            await self.run(f"DROP SCHEMA {name} CASCADE")

    async def run(self, statement: str) -> None:
        """Carry out one statement."""
        await rows(self.url, statement)


async def rows(url: str, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What one statement gives, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *parameters)]
    finally:
        await connection.close()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The given server, or a private one while the context lasts.

    Raises:
        NoServer: none is given and none is installed.
    """
    given = os.environ.get("SUBLET_TEST_POSTGRES_URL")
    if given:
        yield Server(given)
        return
    with private() as server:
        yield server


@contextlib.contextmanager
def private(*, durable: bool = False) -> Iterator[Server]:
    """A server of one's own on a free port, which need not survive a power cut unless it is to be measured.

    Raises:
        NoServer: it is not installed, or does not start.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="sublet-postgres-"))
    account = _account()
    password, port = secrets.token_hex(16), _free_port()
    (folder / "password").write_text(password)
    for path in (folder, folder / "password"):
        shutil.chown(path, *account) if account else None
    initial = ["--username=sublet", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    made = _run([programs / "initdb", *initial, f"--pwfile={folder}/password", f"--pgdata={folder}/data"], account)
    started: list[subprocess.Popen[bytes]] = []
    try:
        if made.wait(START_SECONDS_MAX):
            raise NoServer(f"initdb failed: {(folder / 'log').read_text()[-2000:]}")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
        settings |= {"fsync": "on" if durable else "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]

        def start() -> None:
            started.append(_run([programs / "postgres", "-D", f"{folder}/data", *options], account))
            _await_ready(started[-1], [programs / "pg_isready", "--host=127.0.0.1", f"--port={port}"])

        def restart() -> None:
            killed = started.pop()
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait(STOP_SECONDS_MAX)
            start()

        start()
        yield Server(f"postgresql://sublet:{password}@127.0.0.1:{port}/postgres", started[-1], restart)
    finally:
        for process in started:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_SECONDS_MAX)
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[Path | str], account: tuple[int, int] | None) -> subprocess.Popen[bytes]:
    user, group = account or (None, None)
    return subprocess.Popen(
        command,
        user=user,
        group=group,
        extra_groups=[] if account else None,
        cwd="/",
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _programs() -> Path:
    """The folder of the newest installed release."""
    found = sorted(INSTALLED.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise NoServer(
            "no PostgreSQL: install postgresql, set SUBLET_TEST_POSTGRES_URL, or let tests/support/with_servers.sh see "
            "to one, as `make test` does"
        )
    return found[-1].parent if found else Path(str(on_path)).parent


def _account() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            row = pwd.getpwnam(name)
            return row.pw_uid, row.pw_gid
    raise NoServer("no account to run PostgreSQL under: root may not")


def _await_ready(process: subprocess.Popen[bytes], asks: list[Path | str]) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while subprocess.run(asks, check=False, stdout=subprocess.DEVNULL).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoServer("PostgreSQL did not start")
        time.sleep(POLL_SECONDS)  # it tells nobody when it accepts connections


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
