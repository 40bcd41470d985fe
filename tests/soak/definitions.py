"""How long RabbitMQ takes to import the definitions of large networks, as `network init` makes them.

    one     the broker of one hub among 1,000, with a lessor: its next hops are a binding each
    many    1,000 hubs on one broker, each with a lessor and as many next hops as make 100 bindings

Exit 1 where one takes longer than a minute.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from msgspec.structs import replace

from broker.definitions import definitions, password_hash
from broker.network import Hub, Link, Network, Participant
from broker.topology import Binding, Topology, topology
from tests.support import rabbitmq

HUBS: Final = 1_000
BINDINGS: Final = 100
"""Of each hub of `many`."""
BINDINGS_PER_REQUEST: Final = 50_000
SECONDS_MAX: Final = 60.0


def ring(*, far: bool) -> Network:
    """Hubs each linked to two others; `far`: on brokers of their own."""
    names = [f"H{number}" for number in range(HUBS)]
    lessor = (Participant(name="B12", role="lessor"),)
    hubs = (Hub(name=name, participants=lessor, broker=name if far else "main") for name in names)
    return Network(hubs=tuple(hubs), links=tuple(Link(hubs=each) for each in pairwise([*names, names[0]])))


def of_one_hub() -> Topology:
    """See the module's text."""
    return topology(ring(far=True), "H0")


def of_many_hubs() -> Topology:
    """See the module's text."""
    whole, counted = topology(ring(far=False)), Counter[str]()

    def fits(binding: Binding) -> bool:
        hub = binding.source.partition(".")[2]
        counted[hub] += 1
        return not binding.to_exchange or counted[hub] <= BINDINGS

    return replace(whole, bindings=tuple(each for each in whole.bindings if fits(each)))


def batched(bindings: list[Any]) -> Iterator[list[Any]]:
    """Parts that fit into a request: RabbitMQ 4.3 takes no more than 20 MiB, and any size from a file at its start."""
    for at in range(0, len(bindings), BINDINGS_PER_REQUEST):
        yield bindings[at : at + BINDINGS_PER_REQUEST]


def import_seconds(server: rabbitmq.Server, layout: Topology) -> float:
    """From the first request until the server has answered the last; on a virtual host of its own, which goes again."""
    vhost, hashed = f"test-{secrets.token_hex(6)}", password_hash(secrets.token_urlsafe(32), secrets.token_bytes(4))
    made = definitions(layout, dict.fromkeys((row.user for row in layout.permissions), hashed), vhost=vhost)
    begun = time.monotonic()
    for part in [made | {"bindings": []}, *({"bindings": each} for each in batched(made["bindings"]))]:
        server.call("POST", "definitions", part, seconds_max=20 * SECONDS_MAX)
    seconds = time.monotonic() - begun
    server.call("DELETE", f"vhosts/{vhost}", seconds_max=20 * SECONDS_MAX)
    return seconds


def main() -> int:
    """Exit 1 where one takes too long."""
    worst = 0.0
    with rabbitmq.running() as server:
        version = server.call("GET", "overview")["rabbitmq_version"]
        for name, make in (("one", of_one_hub), ("many", of_many_hubs)):
            layout = make()
            seconds = import_seconds(server, layout)
            worst = max(worst, seconds)
            parts = (
                f"{len(layout.bindings):,} bindings, {len(layout.queues):,} queues, {len(layout.permissions):,} users"
            )
            print(f"{name}: {parts}: {seconds:.1f} s on RabbitMQ {version}", flush=True)
    return 0 if worst <= SECONDS_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
