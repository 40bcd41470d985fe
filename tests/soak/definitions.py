"""How long RabbitMQ takes to import the definitions of large networks, as `network init` makes them, and of a newcomer.

    one     the broker of one hub among 1,000, with a lessor: its next hops are a binding each
    many    10 to 1,000 hubs on one broker, each with a lessor and as many next hops as make 100 bindings; no more than
            until that takes longer than a minute
    joins   one more lessor at the last of them

A hub with a lessor has nine quorum queues, of which each is a Raft cluster: the broker makes its files and elects its
leader. That takes most of the time. Give the broker more than a worker per core to import with, for they wait for disks
(`docs/operators.md`). Exit 1 where one hub takes longer than a minute, a newcomer a second, or a minute is too short
for 100 hubs.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from msgspec.structs import replace

from broker.definitions import additions, definitions, password_hash
from broker.network import Hub, Link, Network, Participant
from broker.topology import Binding, Topology, membership, topology
from tests.support import rabbitmq

HUBS: Final = 1_000
"""Of `one`."""
MANY: Final = (10, 30, 100, 300, 1_000)
MANY_MIN: Final = 100
BINDINGS: Final = 100
"""Of each hub of `many`."""
BINDINGS_PER_REQUEST: Final = 5_000
SECONDS_MAX: Final = 60.0
JOIN_SECONDS_MAX: Final = 1.0
REQUEST_SECONDS_MAX: Final = 600.0


@dataclass(frozen=True, slots=True)
class Import:
    """What was imported, and the seconds that each of its parts took, and a newcomer's."""

    layout: Topology
    queues: float
    bindings: float
    rest: float
    join: float

    @property
    def seconds(self) -> float:
        """All but the newcomer's."""
        return self.queues + self.bindings + self.rest

    def __str__(self) -> str:
        quorum = sum(queue.quorum for queue in self.layout.queues)
        return (
            f"{self.seconds:.1f} s: {self.queues:.1f} s for {len(self.layout.queues):,} queues ({quorum:,} quorum),"
            f" {self.bindings:.1f} s for {len(self.layout.bindings):,} bindings, {self.rest:.1f} s for all else;"
            f" a newcomer joins in {self.join:.2f} s"
        )


def ring(hubs: int, *, far: bool) -> Network:
    """Hubs each linked to two others; `far`: on brokers of their own."""
    names = [f"H{number}" for number in range(hubs)]
    lessor = (Participant(name="B12", role="lessor"),)
    made = (Hub(name=name, participants=lessor, broker=name if far else "main") for name in names)
    return Network(hubs=tuple(made), links=tuple(Link(hubs=each) for each in pairwise([*names, names[0]])))


def of_many_hubs(hubs: int) -> Topology:
    """See the module's text."""
    whole, counted = topology(ring(hubs, far=False)), Counter[str]()

    def fits(binding: Binding) -> bool:
        hub = binding.source.partition(".")[2]
        counted[hub] += 1
        return not binding.to_exchange or counted[hub] <= BINDINGS

    return replace(whole, bindings=tuple(each for each in whole.bindings if fits(each)))


def imported(server: rabbitmq.Server, layout: Topology) -> Import:
    """Seconds until the server has answered; on a virtual host of its own, which goes again."""
    vhost, hashed = f"test-{secrets.token_hex(6)}", password_hash(secrets.token_urlsafe(32), secrets.token_bytes(4))
    made = definitions(layout, dict.fromkeys((row.user for row in layout.permissions), hashed), vhost=vhost)
    newcomer = membership("H0", Participant(name="B13", role="lessor", lanes=1))
    more = additions(newcomer, newcomer.permissions[0].user, hashed, vhost=vhost)

    def taken(*parts: Mapping[str, Any]) -> float:
        begun = time.monotonic()
        for part in parts:
            server.call("POST", "definitions", part, seconds_max=REQUEST_SECONDS_MAX)
        return time.monotonic() - begun

    try:
        return Import(
            layout=layout,
            rest=taken(made | {"bindings": [], "queues": []}),
            queues=taken({"queues": made["queues"]}),
            bindings=taken(*({"bindings": each} for each in batched(made["bindings"]))),
            join=taken(more),
        )
    finally:
        with contextlib.suppress(OSError):  # it cuts what takes longer than 5 minutes, and goes on
            server.call("DELETE", f"vhosts/{vhost}", seconds_max=REQUEST_SECONDS_MAX)


def batched(bindings: list[Any]) -> Iterator[list[Any]]:
    """Parts that fit into a request: RabbitMQ 4.3 takes no more than 20 MiB nor 5 minutes, and from a file at its start
    whatever there is."""
    for at in range(0, len(bindings), BINDINGS_PER_REQUEST):
        yield bindings[at : at + BINDINGS_PER_REQUEST]


def main() -> int:
    """See the module's text."""
    fit, joins = 0, 0.0
    with rabbitmq.running() as server:
        print(f"RabbitMQ {server.call('GET', 'overview')['rabbitmq_version']}", flush=True)
        one = imported(server, topology(ring(HUBS, far=True), "H0"))
        print(f"one of {HUBS:,} hubs: {one}", flush=True)
        for hubs in MANY:
            try:
                many = imported(server, of_many_hubs(hubs))
            except (RuntimeError, OSError) as error:  # a queue that it gave up on, or a request of 5 minutes
                print(f"{hubs:,} hubs x {BINDINGS} bindings: {error}", flush=True)
                break
            print(f"{hubs:,} hubs x {BINDINGS} bindings: {many}", flush=True)
            joins = max(joins, many.join)
            if many.seconds > SECONDS_MAX:
                break
            fit = hubs
    print(f"{fit:,} hubs x {BINDINGS} bindings are imported within {SECONDS_MAX:.0f} s")
    return 0 if one.seconds <= SECONDS_MAX and joins <= JOIN_SECONDS_MAX and fit >= MANY_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
