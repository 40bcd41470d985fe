"""A hub's welcome to one of its participants. Pure."""

from __future__ import annotations

from msgspec import structs

from broker.names import participant_account
from nodes.hub.records import Member
from nodes.machine import Sign
from nodes.membership.settings import network_toml
from nodes.network import NetworkFile
from schemas.hubs import HubCertificate
from schemas.ids import Address, hub_address, hub_of
from schemas.membership import Welcome
from schemas.signing import struct_bytes


def make_welcome(
    address: Address,
    member: Member,
    network: NetworkFile,
    *,
    authority: str,
    now: float,
    sign: Sign,
    certificate: HubCertificate | None = None,
) -> Welcome:
    """What a participant needs to take part, as its hub knows it and the network.

    Args:
        address: whose.
        member: as it is registered.
        network: its description, the hub in it.
        authority: certificates (PEM) of who signed the broker's; empty where every system knows them.
        now: seconds since 1970 (UTC).
        sign: the hub's signature.
        certificate: the hub's, where it has one.
    """
    hub = hub_of(address)
    site = network.brokers[network.hubs[hub].broker]
    paper = Welcome(
        address=address,
        role=member.role,
        lanes=member.lanes,
        version=member.version,
        public_key=member.newest or member.key,
        known_until=member.until,
        hub_key=network.hub_keys[hub_address(hub)],
        certificate=certificate,
        account=participant_account(address, member.account),
        tls=site.tls,
        authority=authority,
        host=site.host,
        port=site.port,
        virtual_host=site.virtual_host,
        description=network_toml(network),
        made_at=now,
    )
    return structs.replace(paper, signature=sign(struct_bytes(paper)))
