"""10 to 1,000 hubs with up to a million participants, as their machines are: does anything grow that should not? (N4)

One line for each network: when all hubs know the best of all, what a hub keeps and sends, and how many of 2,000 orders
in one moment are served at once. Then one for each directory: when all hubs know all ways, what that takes, and again
after a link was cut. Exit 1 where something is out of its bounds.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass
from statistics import mean
from typing import Final

from broker.network import Hub, Link, Network, check_network, far_neighbours
from nodes.hub.asking import HUBS_ASKED_MAX
from schemas import limits
from schemas.hubs import HUBS_SOUGHT_MAX
from schemas.ids import Address, hub_address, hub_of
from tests.support.hubs import UNITS, Hubs

NETWORKS: Final = ((10, 1_000), (100, 10_000), (1_000, 10_000), (1_000, 100_000), (1_000, 1_000_000))
ORDERS: Final = 2_000
UNITS_WANTED: Final = 2
"""By each order, of one or two lessors."""
ROUNDS_MAX: Final = 12
SERVED_MIN: Final = 0.9
START_SECONDS_MAX: Final = 2.0
LINKS: Final = 4
DIRECTORIES: Final = (10, 100, 1_000)
ENTRY_BYTES_MAX: Final = 300
ANNOUNCE_ROUNDS_MAX: Final = 40
LEAVES: Final = 3
LEAF_HUBS_MAX: Final = 1
"""Its neighbour, where it deals with nobody."""
LEAF_KIB_MAX: Final = 1.0
TRADE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """What was seen of one network."""

    hubs: int
    participants: int
    orders: int
    """In the rush: where there are few, as many as take half of all units."""
    rounds: int
    """Of `ADVERTISE_SECONDS`, until every hub knows the best of all."""
    words: int
    """That one hub keeps of others, under all protections, at most."""
    kept_kib: float
    """Of these, in its store, at most."""
    told: float
    """Messages of a hub in a round, of these."""
    drawn: float
    """Share of the orders that the hubs which were drawn first served."""
    served: float
    """Share of the orders that were served without a pause, by those and others."""
    messages: float
    """Between hubs, of one order."""
    busiest: int
    """Orders of which one hub was asked, at most."""
    order_seconds: float
    """Of the processor, at all hubs."""
    hub_mib: float
    """Of memory, of each hub with its participants' orders."""
    start_seconds: float
    """That a hub takes to find its ways in the network's description."""

    def faults(self) -> list[str]:
        """What is out of its bounds."""
        bounds = {
            f"{self.rounds} rounds": self.rounds > ROUNDS_MAX,
            f"{self.words} words kept": self.words > 3 * limits.CAPACITIES_PER_NEIGHBOUR_MAX * LINKS,
            f"{self.told:.1f} messages in a round": self.told > LINKS,
            f"{self.served:.0%} served": self.served < SERVED_MIN,
            f"{self.start_seconds:.1f} s to start": self.start_seconds > START_SECONDS_MAX,
        }
        return [
            f"{self.hubs:,} hubs, {self.participants:,} participants: {what}" for what, bad in bounds.items() if bad
        ]


def look(hubs: int, participants: int, *, orders_max: int = ORDERS) -> Line:
    """Start a network, wait until word is everywhere, and let orders come: at most for a half of all units."""
    orders = min(orders_max, participants // 2 * UNITS // 2 // UNITS_WANTED)
    before = _memory_mib()
    network = Hubs(hubs, participants)
    network.sell_all()
    rounds = spread(network)
    network.run(4 * limits.ADVERTISE_SECONDS)
    told, since = network.sent["capacity.advertised"], network.now
    network.run(4 * limits.ADVERTISE_SECONDS)
    told = network.sent["capacity.advertised"] - told
    of_rounds = (network.now - since) / limits.ADVERTISE_SECONDS
    memory = _memory_mib() - before
    kept = max(network.bytes_of("heard"))
    words = max(network.words_kept())
    network.sent.clear()
    begun = time.process_time()
    network.rush(orders, UNITS_WANTED)
    network.run(limits.ADVERTISE_SECONDS / 2)
    seconds = time.process_time() - begun
    network.run(limits.MATCH_SECONDS_DEFAULT)
    if network.refusals:
        raise AssertionError(f"refused: {network.refusals[0].reason}")
    fates = list(network.fates.values())
    if len(fates) != orders:
        raise AssertionError(f"{orders - len(fates)} orders were not taken")
    return Line(
        hubs=hubs,
        participants=participants,
        orders=orders,
        rounds=rounds,
        words=words,
        kept_kib=kept / 1024,
        told=told / of_rounds / hubs,
        drawn=mean(fate.at_first_try and fate.hubs_asked <= HUBS_ASKED_MAX for fate in fates),
        served=mean(fate.at_first_try for fate in fates),
        messages=sum(count for name, count in network.sent.items() if name != "capacity.advertised") / orders,
        busiest=max(network.asked.values(), default=0),
        order_seconds=seconds / orders,
        hub_mib=memory / hubs,
        start_seconds=_start_seconds(network),
    )


@dataclass(frozen=True, slots=True)
class Directory:
    """What was seen of one network whose hubs all start at once and know their neighbours alone."""

    hubs: int
    rounds: int
    """Of `ANNOUNCE_SECONDS`, until every hub knows the shortest way to every other."""
    entry_bytes: int
    """Of one hub in another's store, with its key, at most."""
    told: float
    """Messages of a hub until then."""
    told_kib: float
    """Data of these."""
    rounds_cut: int
    """After a link was cut, until all know the ways that are shortest then."""
    told_cut: float
    """Messages of a hub until then."""
    leaf_hubs: int
    """That a leaf knows then, at most."""
    leaf_kib: float
    """Of all that it keeps of others in its store, at most."""
    leaf_told_kib: float
    """Data of what a leaf was told of hubs, at most."""
    leaf_hubs_trading: int
    """That a leaf knows once lessors are everywhere and it has heard of the best, at most."""
    leaf_kib_trading: float
    """As before, with words of compute, whose number is bounded too."""
    seconds: float
    """Of the processor, at each hub, for all of it."""

    def faults(self) -> list[str]:
        """What is out of its bounds."""
        bounds = {
            f"{self.entry_bytes} bytes for a hub": self.entry_bytes > ENTRY_BYTES_MAX,
            f"{self.rounds} rounds": self.rounds > ANNOUNCE_ROUNDS_MAX,
            f"{self.rounds_cut} rounds after a cut": self.rounds_cut > ANNOUNCE_ROUNDS_MAX,
            f"{self.leaf_hubs} hubs known to a leaf": self.leaf_hubs > LEAF_HUBS_MAX,
            f"{self.leaf_kib:.1f} KiB kept by a leaf": self.leaf_kib > LEAF_KIB_MAX,
            f"{self.leaf_hubs_trading} hubs known to a leaf that trades": self.leaf_hubs_trading > HUBS_SOUGHT_MAX,
        }
        return [f"{self.hubs:,} hubs announced: {what}" for what, bad in bounds.items() if bad]


def learn(hubs: int) -> Directory:
    """Let all hubs announce themselves, then cut one link; then let lessors come."""
    network, begun = Hubs(hubs, hubs, leaves=LEAVES), time.process_time()
    network.announce_all()
    rounds = _settled(network)
    told, told_bytes = network.sent["hubs.announced"], network.announced_bytes
    site = network.sites[hub_address(network.names[0])]
    network.cut(site.me, Address(site.links[0]))
    rounds_cut = _settled(network)
    if network.refusals:
        raise AssertionError(f"refused: {network.refusals[0].reason}")
    told_cut, leaves = (network.sent["hubs.announced"] - told) / hubs, [*network.kept_at_leaves()]
    leaf_told = max(network.announced_to[leaf] for leaf in network.leaves)
    network.sell_all()
    network.run(TRADE_SECONDS)
    trading = [*network.kept_at_leaves()]
    return Directory(
        hubs=hubs,
        rounds=rounds,
        entry_bytes=max(network.stored("known")),
        told=told / hubs,
        told_kib=told_bytes / hubs / 1024,
        rounds_cut=rounds_cut,
        told_cut=told_cut,
        leaf_hubs=max(known for known, _ in leaves),
        leaf_kib=max(size for _, size in leaves) / 1024,
        leaf_told_kib=leaf_told / 1024,
        leaf_hubs_trading=max(known for known, _ in trading),
        leaf_kib_trading=max(size for _, size in trading) / 1024,
        seconds=(time.process_time() - begun) / hubs,
    )


def _settled(network: Hubs) -> int:
    """Rounds until all ways are shortest."""
    shortest = _distances(network)
    for rounds in range(10 * ANNOUNCE_ROUNDS_MAX):
        if list(network.lengths()) == shortest:
            return rounds
        network.run(limits.ANNOUNCE_SECONDS)
    raise AssertionError("the hubs never agree on the ways")


def _distances(network: Hubs) -> list[int | None]:
    """Of every hub from every other, over links that carry, as `Hubs.lengths` has them."""
    found: list[int | None] = []
    for site in network.sites.values():
        if site.me in network.leaves:
            continue
        hops, todo = {str(site.me): 0}, [str(site.me)]
        for hub in todo:
            for further in network.sites[Address(hub)].links:
                if further not in hops and (hub, further) not in network.gone:
                    hops[further] = hops[hub] + 1
                    todo.append(further)
        found += (hops.get(hub_address(name)) for name in network.names if hub_address(name) != site.me)
    return found


def _start_seconds(network: Hubs) -> float:
    hubs = tuple(Hub(name=name, broker=name) for name in network.names)
    ends = {frozenset((hub_of(me), hub_of(Address(to)))) for me, site in network.sites.items() for to in site.links}
    links = tuple(Link(hubs=(one, other)) for one, other in sorted(map(sorted, ends)))
    described = Network(hubs=hubs, links=links)
    begun = time.process_time()
    check_network(described)
    far_neighbours(described, network.names[0])
    return time.process_time() - begun


def spread(network: Hubs) -> int:
    """Rounds until every hub knows the best of all, as many as one hub tells of."""
    network.run(0.0)
    prices = network.prices()
    best = {*sorted(prices, key=lambda hub: prices[hub])[: limits.CAPACITIES_PER_NEIGHBOUR_MAX]}
    for rounds in range(1, 10 * ROUNDS_MAX):
        network.run(limits.ADVERTISE_SECONDS)
        if all(network.known(site) >= best - {site.me} for site in network.sites.values()):
            return rounds
    raise AssertionError("word of the best does not reach every hub")


def _memory_mib() -> float:
    """The most so far, of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Exit 1 where something is out of its bounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.hubs")
    parser.add_argument("--network", nargs=2, type=int, metavar=("HUBS", "PARTICIPANTS"))
    parser.add_argument("--directory", nargs="+", type=int, metavar="HUBS")
    asked = parser.parse_args()
    names = Line.__dataclass_fields__
    print(*(f"{name:>13}" for name in names), flush=True)
    faults = []
    for hubs, participants in [asked.network] if asked.network else () if asked.directory else NETWORKS:
        line = look(hubs, participants)
        faults += line.faults()
        values = (getattr(line, name) for name in names)
        print(*(f"{value:>13,}" if isinstance(value, int) else f"{value:>13.4g}" for value in values), flush=True)
    names = Directory.__dataclass_fields__
    print(*(f"{name:>13}" for name in names), flush=True)
    for hubs in asked.directory or (() if asked.network else DIRECTORIES):
        directory = learn(hubs)
        faults += directory.faults()
        values = (getattr(directory, name) for name in names)
        print(*(f"{value:>13,}" if isinstance(value, int) else f"{value:>13.4g}" for value in values), flush=True)
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
