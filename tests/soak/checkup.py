"""What `sublet check` says, on RabbitMQ with a process per role: all is well, and six times what is wrong in one line.

`python -m tests.soak.checkup`. A disk is filled where this user may mount file systems; else that is left out.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nodes.identity import Identity
from schemas.ids import address
from tests.soak.outages import disk
from tests.support.deployment import COMMAND_SECONDS_MAX, SUBLET, Deployment, deployment
from tests.support.rabbitmq import running

RENTER: Final = address("A11", "A12")
ROLES: Final = {"A11.hub": "hub", "B11.hub": "hub", RENTER: "renter", "B11.B12": "lessor"}
SKEW_SECONDS: Final = 600
SKEWED: Final = (
    sys.executable,
    "-c",
    f"import sys, time; now = time.time; time.time = lambda: now() + {SKEW_SECONDS}\n"
    "from nodes.cli.main import main; sys.exit(main(sys.argv[1:]))",
)
"""The command on a machine whose clock is wrong."""


def said(network: Deployment, node: str, command: Sequence[str] = SUBLET, **settings: str) -> list[str]:
    """The lines of one run at a node; one more when its exit code says otherwise."""
    done = subprocess.run(
        [*command, "check", "--config", str(network.config(node))],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    lines = done.stdout.splitlines()
    if bool(done.returncode) != any(each.startswith("BAD") for each in lines):
        lines.append(f"BAD exit code {done.returncode} {done.stderr}")
    return lines


def good(case: str, lines: list[str], bad: str = "") -> bool:
    """Print them; whether one says what is wrong, and the others that all is well."""
    print(f"{case}:", *lines, sep="\n    ", flush=True)
    return [each.split()[1] for each in lines if each.startswith("BAD")] == ([bad] if bad else [])


def broken(network: Deployment) -> Iterator[bool]:
    """Each way once, seen by the renter."""
    own = network.config(RENTER).parent
    url = urlsplit((own / "amqp-url").read_text().strip())

    def at(netloc: str) -> str:
        return url._replace(netloc=netloc).geturl()

    with socket.socket() as closed:
        closed.bind((str(url.hostname), 0))
        port = closed.getsockname()[1]
        elsewhere = at(f"{url.username}:{url.password}@{url.hostname}:{port}")
        yield good("no broker", said(network, RENTER, SUBLET_AMQP_URL=elsewhere), "broker")
    wrong = at(f"{url.username}:wrong@{url.hostname}:{url.port}")
    yield good("a wrong password", said(network, RENTER, SUBLET_AMQP_URL=wrong), "broker")
    yield good("a clock that is off", said(network, RENTER, SKEWED), "clock")
    with other_key(own / "identity.pem"):
        yield good("a key that the hub does not know", said(network, RENTER), "key")
    with disk(own / "data") as full:
        if full:
            yield good("a disk that is nearly full", said(network, RENTER), "disk")
        else:
            print("a disk that is nearly full: left out, no file system may be mounted")
    network.processes[0].kill()
    network.processes[0].wait()
    yield good("a hub that does not run", said(network, RENTER), "A11.hub")


@contextmanager
def other_key(file: Path) -> Iterator[None]:
    """A fresh one in its place."""
    kept = file.read_bytes()
    file.unlink()
    Identity.generate(RENTER).save(file)
    try:
        yield
    finally:
        file.write_bytes(kept)


def main() -> int:
    """Exit 1 when a fault was not named, or something else was."""
    with (
        tempfile.TemporaryDirectory(prefix="sublet-soak-") as name,
        running() as server,
        deployment(Path(name) / "network", server) as network,
    ):
        for node, role in ROLES.items():
            network.start(role, node)
        fine = [good(f"all is well at {node}", said(network, node)) for node in ROLES]
        return 0 if all([*fine, *broken(network)]) else 1


if __name__ == "__main__":
    sys.exit(main())
