"""Hubs lead what goes to others over neighbours on their own broker and on others alike, whatever changes (N2, N3).

The machines of hubs tell each other of ways; brokers that were told of links but of no way follow (`nodes/ways.py`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest
from msgspec import Struct, structs

from broker.embedded import EmbeddedBroker, EmbeddedServer
from broker.errors import NoSuchQueue
from broker.names import hub_pattern, link_account, queue_name, unroutable_queue
from broker.network import Hub, Link, Network, Participant, Route
from broker.port import Broker, Message
from broker.topology import Topology, topology
from nodes.bootstrap.hub import hub_config
from nodes.config import read_config
from nodes.hub.announcing import LEAD
from nodes.machine import Perform, Step
from nodes.network import BrokerSite
from nodes.network_init import Plan, create
from nodes.store.port import Store
from nodes.ways import Ways
from schemas.events import Event
from schemas.hubs import HubCertificate
from schemas.ids import Address, address, hub_address, hub_of
from tests.support.letters import SECONDS_MAX, letter
from tests.unit.nodes.hub.announced import Growing

NAMES = ("A11", "B11", "C11", "D11")
CHAIN = "A11-B11 B11-C11 C11-D11"
PASSES_MAX = 12


def _placements(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All ways to put hubs on brokers."""
    for each in itertools.product("1234"[: len(names)], repeat=len(names)):
        if all(int(one) <= 1 + max(map(int, each[:at]), default=0) for at, one in enumerate(each)):
            yield each


PLACEMENTS = tuple(_placements(NAMES))


def participant(hub: str) -> Address:
    return address(hub, "P")


def unled(layout: Topology) -> Topology:
    """A broker that was told of hubs and their links, and of no way."""
    ways = {hub_pattern(name) for name in (*NAMES, "E11", "F11")}
    return structs.replace(layout, bindings=tuple(each for each in layout.bindings if each.pattern not in ways))


def merged(before: Topology, after: Topology) -> Topology:
    """What a broker has that was loaded with one after the other."""
    names = before.__struct_fields__
    return Topology(**{name: tuple(dict.fromkeys((*getattr(before, name), *getattr(after, name)))) for name in names})


class Record:
    """A hub's store, to be read."""

    def __init__(self, records: Mapping[str, Struct]) -> None:
        self._records = records

    async def get(self, _: str, keys: Sequence[str]) -> dict[str, Struct]:
        return {key: self._records[key] for key in keys if key in self._records}


class Led(Growing):
    """Hubs as of `Growing`, each on one of several brokers."""

    def __init__(self, links: str, brokers: Mapping[str, str]) -> None:
        self.brokers = dict(brokers)
        self.performed: list[tuple[str, Perform]] = []
        super().__init__(links)
        self.layouts: dict[str, Topology] = {}
        self.servers: dict[str, EmbeddedServer] = {}
        self.load()

    def load(self, before: Topology | None = None) -> None:
        """The brokers are made anew; what the first had before it still has."""
        pairs = {tuple(sorted((name, hub_of(Address(each))))) for name, ends in self.links.items() for each in ends}
        hubs = tuple(
            Hub(name=name, broker=broker, participants=(Participant(name="P", role="renter", lanes=0),))
            for name, broker in sorted(self.brokers.items())
        )
        described = Network(hubs=hubs, links=tuple(Link(hubs=(one, two)) for one, two in sorted(pairs)))
        for broker in set(self.brokers.values()):
            self.layouts[broker] = unled(topology(described, broker))
        if before is not None:
            self.layouts["1"] = merged(before, self.layouts["1"])
        self.servers |= {broker: EmbeddedServer(layout) for broker, layout in self.layouts.items()}

    def configure(self, hub: str, certificate: HubCertificate | None = None, *linked: str) -> None:
        super().configure(hub, certificate, *linked)
        machine = self.machines[hub_address(hub)]
        far = {each for each in self.links[hub] if self.brokers[hub_of(Address(each))] != self.brokers[hub]}
        machine.config = replace(machine.config, far=frozenset(map(Address, far)))

    def unlink(self, one: str, two: str) -> None:
        """By the files of both."""
        for hub, other in ((one, two), (two, one)):
            self.links[hub].discard(hub_address(other))
            self.configure(hub)

    async def follow(self, seconds: float = 120.0) -> None:
        """Let so much time pass, and the brokers follow."""
        self.run(seconds)
        while self.performed:
            me, effect = self.performed.pop(0)
            hub = hub_of(Address(me))
            broker = self.servers[self.brokers[hub]].connect(Address(me))
            store = cast(Store, Record(self.records[me]))
            await Ways(broker, store, lambda me=me: self.machines[me].config).lead(effect.params, "hub")  # type: ignore[misc]

    def _apply(self, me: Address, event: Event, step: Step) -> None:
        super()._apply(me, event, step)
        self.performed += [(me, each) for each in step.effects if isinstance(each, Perform) and each.activity == LEAD]

    # ---------------------------------------------------------------- looking

    def arrives(self, one: str, two: str) -> Counter[str]:
        """In which queues a message from one hub's participant to the other's ends, over whatever bridges."""
        sent, ends = letter("evt-1", participant(two), participant(one)), Counter[str]()
        todo = [(self.brokers[one], participant(one))]
        for _ in range(PASSES_MAX):
            if not todo:
                return ends
            broker, account = todo.pop()
            for queue in self._taken(broker, account, sent):
                _, hub, neighbour, *_ = (*queue.split("."), "")
                if queue.startswith("out."):
                    todo.append((self.brokers[neighbour], Address(link_account(hub, neighbour))))
                else:
                    ends[queue] += 1
        raise AssertionError(f"from {one} to {two} it goes in a circle")

    def _taken(self, broker: str, account: Address, sent: Message) -> list[str]:
        server, names = self.servers[broker], [each.name for each in self.layouts[broker].queues]
        before = {name: server.depth(name) for name in names}
        server.push(account, sent)
        return [name for name in names if server.depth(name) != before[name]]

    def require_reached(self, *hubs: str) -> None:
        """All of them by all others, each message once."""
        for one, two in itertools.permutations(hubs or sorted(self.brokers), 2):
            assert self.arrives(one, two) == {queue_name(participant(two), "control"): 1}, (one, two, self.brokers)


def grown(brokers: Sequence[str]) -> Led:
    """D11 is there, and C11 does not know of it yet."""
    world = Led(CHAIN, dict(zip(NAMES, brokers, strict=True)))
    world.unlink("C11", "D11")
    world.start("A11", "B11", "C11")
    return world


@pytest.mark.parametrize("brokers", PLACEMENTS, ids="".join)
async def test_a_hub_that_joins_is_reached_by_all_and_reaches_all_wherever_they_are(brokers: tuple[str, ...]) -> None:
    world = grown(brokers)
    await world.follow()
    world.require_reached("A11", "B11", "C11")
    world.configure("C11", None, "D11")
    world.configure("D11", None, "C11")
    world.start("C11", "D11")
    await world.follow()
    world.require_reached()


@pytest.mark.parametrize("brokers", PLACEMENTS, ids="".join)
async def test_what_goes_to_a_hub_that_left_waits_nowhere_and_the_others_are_reached(brokers: tuple[str, ...]) -> None:
    world = Led(CHAIN, dict(zip(NAMES, brokers, strict=True)))
    world.start()
    await world.follow()
    world.unlink("C11", "D11")
    world.start("C11")
    await world.follow()
    world.require_reached("A11", "B11", "C11")
    for name in ("A11", "B11", "C11"):
        assert world.arrives(name, "D11") == {unroutable_queue("C11"): 1}, name


@pytest.mark.parametrize("brokers", PLACEMENTS, ids="".join)
async def test_a_way_changes_between_a_bridge_and_a_hub_on_the_same_broker_and_back(brokers: tuple[str, ...]) -> None:
    world = Led(f"{CHAIN} D11-A11", dict(zip(NAMES, brokers, strict=True)))
    world.start()
    await world.follow()
    world.require_reached()
    for one, two in ("AD", "BC"):
        world.cut(f"{one}11", f"{two}11")
        await world.follow()
        world.require_reached()
        world.mend(f"{one}11", f"{two}11")
        await world.follow()
        world.require_reached()


@pytest.mark.parametrize("seed", range(12))
async def test_every_network_is_led_along_its_ways_whatever_is_cut(seed: int) -> None:
    random, names = Random(seed), [*NAMES, "E11", "F11"]
    pairs = {tuple(sorted(pair)) for pair in itertools.pairwise([*random.sample(names, len(names)), names[0]])}
    pairs |= {tuple(sorted(random.sample(names, 2))) for _ in range(2)}
    pairs = {pair for pair in pairs if len(set(pair)) == 2}
    world = Led(" ".join("-".join(pair) for pair in sorted(pairs)), {name: random.choice("123") for name in names})
    world.choose = random.randrange
    world.start()
    await world.follow()
    for _ in range(3):
        gone = random.choice(sorted(pairs))
        world.cut(*gone)
        await world.follow()
        if any(world.way(*pair) == "none" for pair in itertools.permutations(names, 2)):
            world.mend(*gone)
            await world.follow()
        else:
            pairs.discard(gone)
        world.require_reached()


async def test_a_way_over_a_link_that_the_broker_was_not_told_of_is_led_once_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nodes.ways.AGAIN_SECONDS", 0.0)
    led, missing = list[tuple[str, str]](), {"B11"}

    class Told(EmbeddedBroker):
        async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Collection[str] = ()) -> None:
            if via in missing:
                raise NoSuchQueue(f"no link to {via}")
            led.append((hub, via))

    world = Led("A11-B11 A11-C11", dict.fromkeys(("A11", "B11", "C11"), "1"))
    world.start()
    world.run(120.0)
    me = hub_address("A11")
    broker = world.servers["1"].connect(me)
    broker.__class__ = Told
    ways = Ways(broker, cast(Store, Record(world.records[me])), lambda: world.machines[me].config)
    await ways.lead({"hubs": ["B11", "C11"]}, "hub")
    assert led == [("C11", "C11")]
    following = asyncio.create_task(ways.follow())
    await asyncio.sleep(0)
    missing.clear()
    async with asyncio.timeout(SECONDS_MAX):
        while len(led) == 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    following.cancel()
    assert led == [("C11", "C11"), ("B11", "B11")]


def test_files_fix_the_ways_that_they_name_and_no_others(tmp_path: Path) -> None:
    plan = Plan(
        hubs=("A11", "B11", "C11"),
        renters=(Address("A11.A12"),),
        lessors=(Address("C11.C12"),),
        links=(("A11", "B11"), ("B11", "C11"), ("A11", "C11")),
        own_sites={"C11": BrokerSite(host="192.0.2.1")},
    )
    create(tmp_path / "network", plan)
    config = read_config(tmp_path / "network" / "nodes" / "A11.hub" / "node.toml", {})
    assert not hub_config(config).fixed
    assert hub_config(config).far == {"C11.hub"}
    routed = structs.replace(config.network, routes=(Route(hub="A11", to="C11", via="B11"),))
    assert hub_config(config.on(routed)).fixed == {"C11"}


async def test_a_neighbour_that_moves_to_another_broker_and_back_is_led_to_in_one_way_only() -> None:
    """The first broker was told of both."""
    world = Led("A11-B11 B11-C11", {"A11": "1", "B11": "1", "C11": "1"})
    before = world.layouts["1"]
    world.brokers["C11"] = "2"
    world.load(before)
    kinds = [[each.name for each in of] for of in (world.layouts["1"].queues, world.layouts["1"].exchanges)]
    assert all("out.B11.C11" in names for names in kinds)
    for broker in ("1", "2", "1"):
        world.brokers["C11"] = broker
        for name in world.brokers:
            world.configure(name)
        world.start()
        await world.follow()
        world.require_reached()


class Asked:
    """A broker that is told how to lead."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, tuple[str, ...]]] = []

    async def lead(self, hub: str, via: str, *, near: bool = False, not_via: Sequence[str] = ()) -> None:
        self.calls.append((hub, via, tuple(not_via)))


async def test_a_hub_that_becomes_a_leaf_leads_nobody_any_more_also_whom_it_forgets() -> None:
    world = Growing("A11-B11 B11-C11 A11-L11 L11-C11")
    world.start()
    world.run(60)
    world.leaves.add("L11")
    for one, other in (("L11", "C11"), ("C11", "L11")):
        world.links[one].discard(hub_address(other))
        world.configure(one)
    found: list[list[tuple[str, str, tuple[str, ...]]]] = []
    for _ in range(2):
        world.start("L11")
        step = world.handle(world.queue.pop())
        broker, machine = Asked(), world.machines["L11.hub"]
        ways = Ways(cast(Broker, broker), cast(Store, Record(world.records["L11.hub"])), lambda: machine.config)  # noqa: B023
        for effect in step.effects:
            if isinstance(effect, Perform):
                await ways.lead(dict(effect.params), "hub")
        found.append(broker.calls)
    assert found == [[(hub, "", ("A11", "C11")) for hub in ("A11", "B11", "C11")], []]
