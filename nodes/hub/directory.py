"""Whom a hub knows (N4): all hubs, and the participants of its own subnet, by address and public key. Pure.

It knows no participant of another subnet; those are vouched for by their own hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.errors import BadConfig
from schemas.fields import PUBLIC_KEY_BYTES
from schemas.hubs import HubCertificate
from schemas.ids import Address, hub_address, hub_of, parse_address
from schemas.limits import DAY_SECONDS, KEEP_RECEIPTS_DAYS_DEFAULT


@dataclass(frozen=True, slots=True)
class HubConfig:
    """Public values only.

    `hub_keys` maps every hub's own address (`A11.hub`), this hub's included, to its Ed25519 public key (32 bytes);
    `participants` maps the addresses of this subnet likewise. `linked` are the hubs that are told of compute; by
    default all others. `bridged` has the hubs that are reached over a bridge, and the neighbour at its other end.
    `far` are the neighbours on other brokers, `fixed` the names of hubs to which the ways are as the files say and no
    announcement changes them. `certificate` is this hub's own, where it has one. A `leaf` has one link, and keeps of
    other hubs only those that it deals with (`nodes/hub/leaf.py`).

    Raises:
        BadConfig: an address that does not belong where it stands, a key of another length, or a leaf with more links.
    """

    me: Address
    hub_keys: Mapping[str, bytes]
    participants: Mapping[str, bytes]
    linked: tuple[str, ...] | None = None
    bridged: Mapping[str, Address] = field(default_factory=dict)
    far: frozenset[Address] = frozenset()
    fixed: frozenset[str] = frozenset()
    certificate: HubCertificate | None = None
    leaf: bool = False
    keep_receipts_seconds: float = KEEP_RECEIPTS_DAYS_DEFAULT * DAY_SECONDS

    def __post_init__(self) -> None:
        if self.me not in self.hub_keys:
            raise BadConfig(f"the hub keys lack this hub's own, {self.me}", field="hub_keys")
        for hub in (self.me, *self.hub_keys, *(self.linked or ())):
            if hub != hub_address(hub_of(parse_address(hub))):
                raise BadConfig(f"{hub} is not a hub's own address: write <hub>.hub", field="hub_keys")
        if self.leaf and len(self.neighbours) != 1:
            raise BadConfig(f"{self.me} is a leaf and has {len(self.neighbours)} links: give it one", field="leaf")
        for participant in self.participants:
            if hub_of(parse_address(participant)) != hub_of(self.me) or participant == self.me:
                raise BadConfig(f"{participant} is not a participant of {self.me}'s subnet", field="participants")
        for address, key in (*self.hub_keys.items(), *self.participants.items()):
            if len(key) != PUBLIC_KEY_BYTES:
                raise BadConfig(f"the key of {address} has {len(key)} bytes, not {PUBLIC_KEY_BYTES}", field="keys")

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The hubs that this one is linked to, in a fixed order."""
        return tuple(sorted(hub for hub in (self.hub_keys if self.linked is None else self.linked) if hub != self.me))
