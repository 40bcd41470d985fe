"""The network as one node sees it: who it is, the hubs and how they are linked; at a hub its participants and links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec import Struct

from nodes.config import NodeConfig
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub, LinkRecord, Member
from nodes.network import NetworkFile, SubnetFile
from nodes.roles import Role
from nodes.views.source import open_store
from schemas.ids import Address, address, hub_of, parse_address


@dataclass(frozen=True, slots=True, kw_only=True)
class HubView:
    """A hub. `links` are the hubs that it is linked to; of one that was only announced they are not known."""

    name: str
    broker: str
    """Host, port and virtual host; empty where it was only announced."""
    links: tuple[str, ...]
    public_key: str
    """Ed25519, hexadecimal."""
    way: tuple[str, ...] | None = None
    """At a hub: the hubs that a message there passes, the last one it; none: no way leads there now. None: nobody
    announced it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantView:
    """A participant. `lanes` bounds how many workers a lessor may have at a time; others have none."""

    address: Address
    role: str
    lanes: int
    public_key: str
    """Ed25519, hexadecimal."""
    former_until: float = 0.0
    """Until when a former key or password counts too, seconds since 1970 (UTC); 0: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LostLinkView:
    """A link to a hub on another broker that does not carry now."""

    neighbour: str
    why: str
    lost_at: float
    """Seconds since 1970 (UTC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """What a node knows of its network."""

    node: Address
    role: Role
    hubs: tuple[HubView, ...]
    participants: tuple[ParticipantView, ...]
    """Of its own subnet, at a hub; others do not know theirs."""
    lost_links: tuple[LostLinkView, ...] = ()
    """At a hub."""


async def seen(config: NodeConfig) -> NetworkView:
    """The network as this node's files describe it, and at a hub what its processes have registered and last saw since.

    Raises:
        StoreFailed: the hub's store cannot be opened.
    """
    if config.role != "hub":
        return network(config)
    async with open_store(config) as store:
        records = await store.read(AGGREGATE)
    lost = (
        LostLinkView(neighbour=hub_of(Address(key.partition("/")[2])), why=record.why, lost_at=record.lost_at)
        for key, record in sorted(records.items())
        if isinstance(record, LinkRecord)
    )
    found = network(config)
    return replace(
        found,
        lost_links=tuple(lost),
        participants=_registered(found.participants, records),
        hubs=_announced(found.hubs, records, config.hub),
    )


def network(config: NodeConfig) -> NetworkView:
    """The network as this node's files describe it."""
    return NetworkView(
        node=config.address,
        role=config.role,
        hubs=_hubs(config.network),
        participants=() if config.subnet is None else _participants(config.subnet),
    )


def _hubs(described: NetworkFile) -> tuple[HubView, ...]:
    links = [*described.links, *((two, one) for one, two in described.links)]
    return tuple(
        HubView(
            name=name,
            broker=_where(described, entry.broker),
            links=tuple(sorted(two for one, two in links if one == name)),
            public_key=entry.public_key,
        )
        for name, entry in described.hubs.items()
    )


def _announced(filed: tuple[HubView, ...], records: Mapping[str, Struct], me: str) -> tuple[HubView, ...]:
    """The hubs of the files with those that neighbours told of, as these are now."""
    found = {each.name: each for each in filed}
    for key, record in sorted(records.items()):
        name = key.partition("/")[2]
        if not isinstance(record, KnownHub) or name == me:
            continue
        certificate, before = record.certificate, found.get(name)
        key_now = before.public_key if before is not None else ""
        if certificate is not None:
            key_now = certificate.public_key.hex()
        shown = before or HubView(name=name, broker="", links=(), public_key="")
        found[name] = replace(shown, public_key=key_now, way=record.path[::-1])
    return tuple(found.values())


def _where(described: NetworkFile, broker: str) -> str:
    site = described.brokers[broker]
    return f"{site.host}:{site.port}/{site.virtual_host}"


def _participants(subnet: SubnetFile) -> tuple[ParticipantView, ...]:
    return tuple(
        ParticipantView(
            address=address(subnet.hub, name), role=entry.role, lanes=entry.lanes, public_key=entry.public_key
        )
        for name, entry in subnet.participants.items()
    )


def _registered(founders: tuple[ParticipantView, ...], records: Mapping[str, Struct]) -> tuple[ParticipantView, ...]:
    """The founders with who came, and as they changed, without who left."""
    found = {each.address: each for each in founders}
    for key, member in records.items():
        if isinstance(member, Member):
            of = parse_address(key.removeprefix("member/"))
            found[of] = _member(of, member)
            if member.left:
                del found[of]
    return tuple(found.values())


def _member(of: Address, member: Member) -> ParticipantView:
    return ParticipantView(
        address=of,
        role=member.role,
        lanes=member.lanes,
        public_key=(member.newest or member.key).hex(),
        former_until=member.until if member.newest or member.retiring else 0.0,
    )
