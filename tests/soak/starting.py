"""How long a process takes from its command until it is ready, on RabbitMQ, and a command until it has said its help.

    python -m tests.soak.starting

A hub's is measured in networks of 10, 100 and 1,000 hubs on brokers of their own: it was founded with its neighbours
from their papers, as by `sublet network found`, and its store has what these told it of all the others. Other roles'
are of a small network. Ready is what the operations port says. Each is the fastest of some starts: what else the
machine does makes them slower. Exit 1 where a hub among 1,000 takes longer than 2 s.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import orjson
import psutil  # type: ignore[import-untyped]
from msgspec.structs import replace

from broker.definitions import SALT_BYTES, password_hash
from nodes.config import NodeConfig, read_config
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import RECORD_TYPES, KnownHub
from nodes.identity import Identity
from nodes.membership import founding
from nodes.membership.organisation import NODE
from nodes.membership.papers import read_paper
from nodes.network import BrokerSite
from nodes.store.opening import Place
from nodes.store.port import Decision, Input
from schemas.hubs import FounderSignature, HubCertificate
from schemas.ids import hub_address
from schemas.membership import HubPaper
from schemas.signing import struct_bytes
from tests.support.deployment import STOP_SECONDS_MAX, SUBLET, deployment
from tests.support.operating import free_ports
from tests.support.rabbitmq import Server, running

HUBS: Final = (10, 100, 1_000)
ME: Final = "H0"
"""The one that is started."""
NEIGHBOURS: Final = ("H1", "H2", "H3", "H4")
YEAR_SECONDS: Final = 365 * 86400.0
STARTS: Final = 3
SECONDS_MAX: Final = 2.0
"""Of a hub in the largest network."""
READY_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.01
COMMANDS: Final = (("--version",), ("--help",), ("job", "--help"))
ROLES: Final = (("renter", "A11.A12"), ("lessor", "B11.B12"), ("partner", "B11.C12"))


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """Of one process."""

    seconds: float
    processor_seconds: float
    """Of itself and what it had started by then."""


def ready(role: str, config: Path) -> Start:
    """One process, from its command until its port says that it is ready; it is ended again."""
    (port,) = free_ports(1)
    command = [*SUBLET, role, "--config", str(config)]
    settings = {"SUBLET_OPERATIONS_PORT": str(port)}
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | settings)
    try:
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() - begun > READY_SECONDS_MAX:
                raise AssertionError(f"sublet {role} did not become ready: {process.poll()}")
            time.sleep(POLL_SECONDS)  # it tells nobody
        return Start(time.monotonic() - begun, _processor_seconds(process.pid))
    finally:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)


def is_ready(port: int) -> bool:
    """Whether a process at this port says so."""
    with closing(HTTPConnection("127.0.0.1", port)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except ConnectionRefusedError:
            return False


def said(*arguments: str) -> Start:
    """A command that ends by itself."""
    begun, before = time.monotonic(), os.times()
    subprocess.run([*SUBLET, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    taken = after.children_user + after.children_system - before.children_user - before.children_system
    return Start(time.monotonic() - begun, taken)


@contextmanager
def hub(folder: Path, server: Server, hubs: int) -> Iterator[Path]:
    """The file of one hub among so many, whose broker has what it needs."""
    vhost, parts = f"starting-{secrets.token_hex(6)}", urlsplit(server.amqp_url)
    site = BrokerSite(host=parts.hostname or "", port=parts.port or 5672, virtual_host=vhost)
    mine = founding.new_hub(folder, ME, site, links=list(NEIGHBOURS), now=0.0)
    papers = [paper(name) for name in NEIGHBOURS]
    founding.found(folder, [read_paper(mine, HubPaper), *papers], urlsplit(server.api_url).port or 15672)
    server.call("POST", "definitions", orjson.loads((folder / founding.DEFINITIONS).read_bytes()))
    asyncio.run(learn(read_config(folder / NODE, {}), hubs))
    try:
        yield folder / NODE
    finally:
        server.call("DELETE", f"vhosts/{vhost}")


async def learn(config: NodeConfig, hubs: int) -> None:
    """Write into a hub's store what its neighbours told it of so many hubs."""
    seen = range(len(NEIGHBOURS) + 1, hubs)
    records = {f"known/H{number}": known(f"H{number}", NEIGHBOURS[number % len(NEIGHBOURS)]) for number in seen}
    store = await Place(config.data_dir, config.store_url).open(config.address, RECORD_TYPES)
    told = Input(event_id="told", aggregate=AGGREGATE)
    await store.apply([told], lambda *_: Decision(0.0, put=records), owner=ME, lease_until=0.0, performs_max=0)
    await store.close()


def known(name: str, over: str) -> KnownHub:
    """A hub that lies some hops behind a neighbour, as one founder certified it."""
    signed = (FounderSignature(0, secrets.token_bytes(64)),)
    certificate = HubCertificate(name, secrets.token_bytes(32), 1, time.time() + YEAR_SECONDS, signed)
    return KnownHub(1, secrets.token_bytes(64), (name, *(f"H{hop}" for hop in range(5, 9)), over), certificate)


def paper(name: str) -> HubPaper:
    """A neighbour's."""
    identity = Identity.generate(hub_address(name))
    hashes = {ME: password_hash(secrets.token_urlsafe(32), secrets.token_bytes(SALT_BYTES))}
    made = HubPaper(
        name=name,
        public_key=identity.public,
        host=f"{name}.example",
        port=5672,
        virtual_host="sublet",
        links=hashes,
        made_at=0.0,
    )
    return replace(made, signature=identity.sign(struct_bytes(made)))


def _processor_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))


def main() -> int:
    """Exit 1 where a hub takes too long."""

    def tell(what: str, starts: list[Start]) -> float:
        best = min(starts)
        print(f"{what:32} {best.seconds:6.2f} s, {best.processor_seconds:.2f} s of the processor", flush=True)
        return best.seconds

    for command in COMMANDS:
        tell(f"sublet {' '.join(command)}", [said(*command) for _ in range(STARTS)])
    seconds = 0.0
    with running() as server, tempfile.TemporaryDirectory(prefix="sublet-starting-") as place:
        with deployment(Path(place) / "small", server, "--partner", "B11.C12") as network:
            for role, address in ROLES:
                tell(f"sublet {role}", [ready(role, network.config(address)) for _ in range(STARTS)])
        for hubs in HUBS:
            with hub(Path(place) / str(hubs), server, hubs) as config:
                seconds = tell(f"sublet hub, of {hubs:,}", [ready("hub", config) for _ in range(STARTS)])
    return 0 if seconds <= SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
