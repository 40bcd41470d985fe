"""An organisation that joins a running network: with a folder of its own, and mail to and from the hub's operator."""

from __future__ import annotations

import csv
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from nodes.config import read_config
from nodes.identity import Identity
from schemas.ids import Address, hub_of
from tests.support.deployment import COMMAND_SECONDS_MAX, POLL_SECONDS, Deployment
from tests.support.rabbitmq import Server

SECRET = re.compile(r"(former-)?identity\.pem|password|amqp-url|management-url|link-[^.]*")


@dataclass(slots=True)
class Newcomer:
    """One node of it; `mail` is a folder with all that organisations and hubs' operators send each other."""

    network: Deployment
    address: Address
    mail: Path
    role: str = "lessor"
    price: str = "0.5"
    """Others ask 1.0."""
    secrets: set[str] = field(default_factory=set, repr=False)
    """Every private key and password that it ever had."""

    @property
    def node(self) -> Path:
        """Its folder, which nobody else sees."""
        return self.network.folder / "nodes" / self.address

    def operator(self, command: str, *arguments: str) -> None:
        """What the hub's operator does."""
        hub = self.network.config(f"{hub_of(self.address)}.hub")
        self.network.sublet("network", command, *arguments, "--config", str(hub))

    def admitted(self, command: str, *options: str) -> None:
        """The request goes out, the welcome comes back and is put into the folder."""
        self._remember()
        number = len(list(self.mail.iterdir()))
        request, answer = (self.mail / f"{number}-{self.address}.{kind}.json" for kind in ("join", "welcome"))
        request.write_bytes((self.node / f"{self.address}.join.json").read_bytes())
        self.operator(command, str(request), "--out", str(answer), *options)
        self.network.sublet("network", "welcome", str(answer), str(self.node))
        self._remember()

    def join(self) -> subprocess.Popen[bytes]:
        """Join and start."""
        lanes = ("--lanes", "2") if self.role == "lessor" else ()
        self.network.sublet("key", "new", str(self.node), "--address", self.address, "--role", self.role, *lanes)
        self.admitted("add")
        settings = self.node / "node.toml"
        settings.write_text(settings.read_text().replace("price = 1.0", f"price = {self.price}"))
        started = self.network.start(self.role, self.address)
        self.until_logged("ready" if self.role == "lessor" else "starting")
        return started

    def change(self) -> None:
        """Another key and password, until no former one counts."""
        self.network.sublet("key", "renew", "--key", "--password", "--config", str(self.node / "node.toml"))
        self.admitted("rotate")
        self.until_logged("signs with another key")
        self.operator("settle", self.address)
        self.until_logged("the connection to the broker is back")

    def key(self) -> bytes:
        """Its newest public key."""
        return Identity.load(self.address, self.node / "identity.pem").newest

    def until_logged(self, text: str) -> None:
        """Return as soon as its process has said so."""
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while not any(text in path.read_text() for path in self.node.glob(f"{self.role}-*.log")):
            if time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not said\n{self.network.logs()}")
            time.sleep(POLL_SECONDS)  # another process writes it and tells nobody

    def left(self) -> list[str]:
        """What the broker still has of it."""
        config = read_config(self.network.config(f"{hub_of(self.address)}.hub"), {})
        vhost = config.network.brokers[config.network.hubs[config.hub].broker].virtual_host
        kinds = ("control", "batch", "result", "w0", "w1", "w2")
        names = [f"queues/{vhost}/q.{self.address}.{kind}" for kind in kinds]
        accounts = [f"users/{self.address}", f"users/{self.address}~2"]
        return [name for name in (*names, *accounts) if self.network.server.call("GET", name) is not None]

    def _remember(self) -> None:
        self.secrets |= _secrets_in(self.node)


def opened(newcomers: list[Newcomer]) -> list[str]:
    """Names of the files in the mail that hold a secret of anybody in the network, or look like it."""
    secrets = {secret for each in newcomers for secret in each.secrets} | _secrets_in(newcomers[0].network.folder)
    files = {path.name: path.read_text() for each in newcomers for path in each.mail.iterdir()}
    return sorted(name for name, text in files.items() if "PRIVATE" in text or any(each in text for each in secrets))


def _secrets_in(folder: Path) -> set[str]:
    """Private keys and passwords of all nodes below."""
    found: set[str] = set()
    for path in (path for path in folder.rglob("*") if SECRET.fullmatch(path.name)):
        text = path.read_text().strip()
        found.add(text.splitlines()[1] if text.startswith("-----") else str(urlsplit(text).password or text))
    return found


@contextmanager
def founded(folder: Path, server: Server, mail: Path, *hubs: str) -> Iterator[Deployment]:
    """A network that so many operators found, each linked to each, with a virtual host each; nothing is started yet."""
    here = Deployment(folder, server, f"founded-{secrets.token_hex(6)}")
    for hub in hubs:
        make_paper(here, mail, hub, *(other for other in hubs if other != hub))
    try:
        for hub in hubs:
            found(here, mail, hub)
        yield here
    finally:
        here.stop()
        for path in mail.glob("*.hub.json"):
            server.call("DELETE", f"vhosts/{here.vhost}-{path.name.partition('.')[0]}")


def make_paper(network: Deployment, mail: Path, hub: str, *links: str) -> None:
    """A hub's operator makes its paper, or makes it again, and sends it to the others."""
    parts, own = urlsplit(network.server.amqp_url), network.config(f"{hub}.hub").parent
    broker = f"{parts.hostname}:{parts.port or 5672}/{network.vhost}-{hub}"
    wanted = [part for other in links for part in ("--link", other)]
    network.sublet("key", "hub", str(own), "--name", hub, "--broker", broker, *wanted)
    (mail / f"{hub}.hub.json").write_bytes((own / f"{hub}.hub.json").read_bytes())


def found(network: Deployment, mail: Path, hub: str, *options: str) -> None:
    """It founds the network by all papers, and its broker takes up what it lacks."""
    own, port = network.config(f"{hub}.hub").parent, str(urlsplit(network.server.api_url).port)
    papers = sorted(str(path) for path in mail.glob("*.hub.json"))
    network.sublet("network", "found", str(own), *papers, "--management-port", port, *options)
    network.server.call("POST", "definitions", orjson.loads((own / "definitions.json").read_bytes()))


def write_table(folder: Path, rows: int) -> Path:
    """`key,x` with x from 0 on, and weights for 2·x + 0.5."""
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "x"])
        writer.writerows([f"row-{number}", number] for number in range(rows))
    (folder / "weights.csv").write_text("name,weight\nx,2\nbias,0.5\n")
    return folder / "data.csv"


def submit(network: Deployment, table: Path, protection: str, batch_rows: int, *options: str) -> str:
    """A job on it."""
    wishes = ("--linear", str(table.parent / "weights.csv"), "--id-column", "key", "--protection", protection)
    bounds = ("--accept-software-enclave", "--batch-rows", str(batch_rows), "--local-share", "0")
    job: str = network.job("submit", str(table), *wishes, *bounds, *options)["job"]
    return job


def lessors_of(network: Deployment, job: str, rows: int, tolerance: float) -> set[str]:
    """Who rented out compute for a job that has completed, every row as it should be."""
    report = network.ended(job)
    assert report["state"] == "completed", (report, network.logs())
    assert report["rows_done"] == rows
    done = network.sublet("job", "result", job, "--config", str(network.config("A11.A12")))
    shown = [float(row[1]) for row in csv.reader(done.stdout.splitlines()[1:])]
    assert max(abs(value - (2.0 * number + 0.5)) for number, value in enumerate(shown)) <= tolerance
    assert len(shown) == rows
    return {each["lessor"] for each in report["contracts"]}


@contextmanager
def standing_still(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """A renter that stands still has a job under way for as long as a test likes."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)
