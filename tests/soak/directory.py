"""A hub joins a network that runs, a cut link is gone round, a lost key replaced: `python -m tests.soak.directory`.

A11, B11 and C11 found it, each linked with each; two of the three certify others. D11 joins, linked with C11 alone: a
renter of A11 rents its lessor, though nobody at A11 and B11 changed a file or started anything again. Then the link
from A11 to C11 is cut, which both name within 15 seconds, and a job goes over B11. Then D11's key is lost, and two
founders certify another, of which nobody else needs to be told: jobs go on, and what the old key signs is refused. On
RabbitMQ, with a process per role.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson

from broker.names import link_account
from broker.rabbitmq import connect
from nodes.config import read_config
from nodes.identity import Identity
from nodes.runtime.post import Post
from schemas.events import QuoteReleased
from schemas.ids import Address, derive_id, hub_address
from tests.support.deployment import COMMAND_SECONDS_MAX, Deployment
from tests.support.newcomer import Newcomer, found, founded, lessors_of, make_paper, opened, submit, write_table
from tests.support.rabbitmq import Server, running

FOUNDERS: Final = ("A11", "B11", "C11")
NEW: Final = "D11"
LESSOR: Final = Address("D11.D12")
ROWS: Final = 400
BATCH_ROWS: Final = 50
TOLERANCE: Final = 1e-2
NAMED_SECONDS_MAX: Final = 15.0
LOOK_SECONDS: Final = 0.05
RELEASED: Final = QuoteReleased(quote=derive_id("quote", 1), order=derive_id("order", 1))


def certified(network: Deployment, mail: Path, number: int) -> Path:
    """Two founders certify the paper that lies in the mail, one after the other."""
    paper, path = str(mail / f"{NEW}.hub.json"), mail / f"{number}-{NEW}.certificate.json"
    for founder, more in (("A11", ()), ("B11", (str(path),))):
        own = ("--config", str(network.config(f"{founder}.hub")), "--out", str(path))
        network.sublet("network", "certify", paper, *more, *own)
    return path


def until(network: Deployment, seen: Callable[[], bool]) -> float:
    """Seconds until it is so."""
    begin = time.monotonic()
    while not seen():
        if time.monotonic() > begin + COMMAND_SECONDS_MAX:
            raise AssertionError(f"not seen in time\n{network.logs()}")
        time.sleep(LOOK_SECONDS)  # other processes do it and tell nobody
    return time.monotonic() - begin


def cut(network: Deployment, one: str, two: str) -> str:
    """Neither's account may enter the other's broker any more; when both named that."""
    accounts = [(link_account(a, b), f"{network.vhost}-{b}") for a, b in ((one, two), (two, one))]
    for account, vhost in accounts:
        network.server.call("DELETE", f"permissions/{quote(vhost, '')}/{quote(account, '')}")
    for row in network.server.call("GET", "connections") or []:
        if (row["user"], row["vhost"]) in accounts:
            network.server.call("DELETE", f"connections/{quote(row['name'], '')}")
    at, named = time.time(), []
    for hub, other in ((one, two), (two, one)):
        said = network.until_link(f"{hub}.hub", f"{other}.hub", lost=True)
        named.append(datetime.fromisoformat(said["timestamp"]).timestamp() - at)
    assert max(named) <= NAMED_SECONDS_MAX, named
    return f"named after {named[0]:.1f} and {named[1]:.1f} s"


def refused(network: Deployment, hub: str, code: str) -> int:
    """How often a hub has set something aside for this."""
    text = "".join(path.read_text() for path in network.config(f"{hub}.hub").parent.glob("hub-*.log"))
    lines = [orjson.loads(line) for line in text.splitlines() if line.endswith("}")]
    return sum(line.get("event") == "set aside" and line.get("code") == code for line in lines)


async def speak(network: Deployment, old: Identity) -> None:
    """Whoever has D11's old key, and its account at its broker, sends A11 something."""
    config = read_config(network.config(f"{NEW}.hub"), {})
    broker = await connect(config.amqp_url, config.address)
    event_id = derive_id("event", "by the old key")
    await Post(old, broker, time.time).send(
        "quote.released", hub_address("A11"), RELEASED.order, RELEASED, event_id=event_id
    )
    await broker.close()


def live(server: Server, folder: Path) -> None:
    """Raises AssertionError for the first thing that is not as it should be."""
    mail = folder / "mail"
    mail.mkdir()
    with founded(folder / "network", server, mail, *FOUNDERS) as network:
        table = write_table(folder, ROWS)
        started = [network.start(role, f"{hub}.hub") for hub in FOUNDERS for role in ("hub", "bridge")]
        renting = Newcomer(network, Address("A11.A12"), mail, role="renter")
        started.append(renting.join())
        untouched = {hub: _files(network, hub) for hub in ("A11", "B11")}

        def job() -> str:
            begin, name = time.monotonic(), submit(network, table, "enclave", BATCH_ROWS)
            assert lessors_of(network, name, ROWS, TOLERANCE) == {LESSOR}
            return f"a job in {time.monotonic() - begin:.1f} s"

        make_paper(network, mail, NEW, "C11")
        make_paper(network, mail, "C11", NEW)
        found(network, mail, "C11")
        found(network, mail, NEW, "--certificate", str(certified(network, mail, 1)))
        hub = network.start("hub", f"{NEW}.hub")
        started.append(network.start("bridge", f"{NEW}.hub"))
        lessor = Newcomer(network, LESSOR, mail)
        started.append(lessor.join())
        print(f"{NEW} joined: {job()}", flush=True)

        print(f"the link from A11 to C11 is cut: {cut(network, 'A11', 'C11')}, {job()}", flush=True)

        own = network.config(f"{NEW}.hub").parent
        old = Identity.load(hub_address(NEW), own / "identity.pem")
        hub.send_signal(signal.SIGTERM)
        hub.wait()
        (own / "identity.pem").unlink()
        make_paper(network, mail, NEW, "C11")
        found(network, mail, NEW, "--certificate", str(certified(network, mail, 2)))
        started.append(network.start("hub", f"{NEW}.hub"))
        welcome = mail / f"9-{LESSOR}.welcome.json"
        lessor.operator("greet", LESSOR, "--out", str(welcome))
        network.sublet("network", "welcome", str(welcome), str(lessor.node))
        print(f"{NEW} has another key: {job()}", flush=True)
        before = refused(network, "A11", "bad-signature")
        asyncio.run(speak(network, old))
        until(network, lambda: refused(network, "A11", "bad-signature") > before)
        assert {name: _files(network, name) for name in untouched} == untouched
        assert all(process.poll() is None for process in started), network.logs()
        assert opened([renting, lessor]) == []
        print(f"{len(list(mail.iterdir()))} files travelled, none opens anything", flush=True)


def _files(network: Deployment, hub: str) -> dict[str, bytes]:
    """What a hub's operator has there, without what the hub itself keeps."""
    folder = network.config(f"{hub}.hub").parent
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".log"}


def main() -> int:
    """0: all is as it should be."""
    with running() as server, tempfile.TemporaryDirectory() as folder:
        live(server, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
