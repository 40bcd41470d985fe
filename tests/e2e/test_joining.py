"""An organisation joins a running network, works, changes key and password, and leaves; nobody restarts anything.

What the two sides send each other lies in one folder here: nothing in it opens anything.
"""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nodes.identity import Identity
from schemas.ids import Address
from tests.support.deployment import COMMAND_SECONDS_MAX, POLL_SECONDS, Deployment, deployment
from tests.support.rabbitmq import Server

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(240)]

ROWS = 2_000
NEWCOMER = "B11.B14"
"""A lessor of an organisation that was not there when the network was made."""


@pytest.fixture
def network(tmp_path: Path, rabbitmq: Server) -> Iterator[Deployment]:
    port = str(urlsplit(rabbitmq.api_url).port)
    with deployment(tmp_path / "network", rabbitmq, "--lessor", "B11.B12", "--management-port", port) as running:
        yield running


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "x"])
        writer.writerows([f"row-{number}", number] for number in range(ROWS))
    (tmp_path / "weights.csv").write_text("name,weight\nx,2\nbias,0.5\n")
    return path


class Newcomer:
    """The organisation: its own folder, and a folder of what it sends to and gets from the hub's operator."""

    def __init__(self, network: Deployment, mail: Path) -> None:
        self.network = network
        self.mail = mail
        self.node = network.folder / "nodes" / NEWCOMER
        self.secrets: set[str] = set()
        """Every private key and password that it ever had."""

    def ask(self) -> Path:
        """Its request goes into the mail."""
        self.remember()
        sent = self.mail / f"{len(list(self.mail.iterdir()))}.join.json"
        sent.write_bytes((self.node / f"{NEWCOMER}.join.json").read_bytes())
        return sent

    def operator(self, command: str, *arguments: str) -> None:
        """At the hub."""
        self.network.sublet("network", command, *arguments, "--config", str(self.network.config("B11.hub")))

    def admitted(self, command: str, *options: str) -> None:
        """From request to welcome."""
        request = self.ask()
        answer = self.mail / f"{request.stem}.welcome.json"
        self.operator(command, str(request), "--out", str(answer), *options)
        self.network.sublet("network", "welcome", str(answer), str(self.node))
        self.remember()

    def join(self) -> subprocess.Popen[bytes]:
        where = ("--address", NEWCOMER, "--role", "lessor", "--lanes", "2")
        self.network.sublet("key", "new", str(self.node), *where)
        self.admitted("add")
        settings = self.node / "node.toml"
        settings.write_text(settings.read_text().replace("price = 1.0", "price = 0.5"))
        return self.network.start("lessor", NEWCOMER)

    def key(self) -> Identity:
        return Identity.load(Address(NEWCOMER), self.node / "identity.pem")

    def remember(self) -> None:
        for path in self.node.rglob("*"):
            if path.name in ("identity.pem", "former-identity.pem"):
                self.secrets.add(path.read_text().splitlines()[1])
            elif path.name == "password":
                self.secrets.add(path.read_text().strip())
            elif path.name == "amqp-url":
                self.secrets.add(str(urlsplit(path.read_text().strip()).password))

    def log(self) -> str:
        return "".join(path.read_text() for path in self.node.glob("lessor-*.log"))


def submit(network: Deployment, table: Path) -> str:
    wishes = ("--linear", str(table.parent / "weights.csv"), "--id-column", "key", "--protection", "enclave")
    options = ("--accept-software-enclave", "--batch-rows", "20", "--local-share", "0")
    job: str = network.job("submit", str(table), *wishes, *options)["job"]
    return job


def completed(network: Deployment, job: str) -> set[str]:
    """The lessors that computed for it; every row is right."""
    report = network.ended(job)
    assert report["state"] == "completed", (report, network.logs())
    assert report["rows_done"] == ROWS
    out = table_of(network, job)
    assert [float(row[1]) for row in out] == [2.0 * number + 0.5 for number in range(ROWS)]
    return {each["lessor"] for each in report["contracts"]}


def table_of(network: Deployment, job: str) -> list[list[str]]:
    done = network.sublet("job", "result", job, "--config", str(network.config("A11.A12")))
    return list(csv.reader(done.stdout.splitlines()))[1:]


@contextmanager
def standing_still(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A renter that stands still has a job under way for as long as a test likes."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def until_logged(newcomer: Newcomer, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS_MAX
    while newcomer.log().count(text) < times:
        assert time.monotonic() < deadline, newcomer.network.logs()
        time.sleep(POLL_SECONDS)  # another process writes it and tells nobody


def test_an_organisation_joins_works_changes_its_key_and_leaves_while_everything_runs(
    network: Deployment, table: Path, tmp_path: Path
) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    newcomer = Newcomer(network, mail)
    started = [network.start("hub", "A11.hub"), network.start("hub", "B11.hub"), network.start("lessor", "B11.B12")]
    renter = network.start("renter", "A11.A12")

    job = submit(network, table)
    network.until_parts(job, 3)
    with standing_still(renter):
        worker = newcomer.join()
        until_logged(newcomer, "ready")
    assert completed(network, job) == {"B11.B12"}

    job = submit(network, table)
    network.until_parts(job, 3)
    before = newcomer.key().newest
    with standing_still(renter):
        network.sublet("key", "renew", "--key", "--password", "--config", str(newcomer.node / "node.toml"))
        newcomer.admitted("rotate")
        until_logged(newcomer, "signs with another key")
        newcomer.operator("settle", NEWCOMER)
        until_logged(newcomer, "the connection to the broker is back")
    assert newcomer.key().newest != before
    assert completed(network, job) == {NEWCOMER}

    assert completed(network, submit(network, table)) == {NEWCOMER}

    newcomer.operator("remove", NEWCOMER, "--wait-seconds", "30")
    assert completed(network, submit(network, table)) == {"B11.B12"}
    for what in (f"queues/{network.vhost}/q.{NEWCOMER}.control", f"users/{NEWCOMER}", f"users/{NEWCOMER}~2"):
        assert network.server.call("GET", what) is None
    assert all(process.poll() is None for process in (*started, renter, worker)), network.logs()

    worker.kill()  # it would wait for an account that it will never have again

    travelled = [path.read_text() for path in mail.iterdir()]
    assert len(travelled) == 4
    assert len(newcomer.secrets) == 4, "two keys and two passwords"
    assert not any(secret in text for secret in newcomer.secrets for text in travelled)
    assert not any("PRIVATE" in text for text in travelled)
