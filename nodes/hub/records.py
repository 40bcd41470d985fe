"""What a hub keeps: its own subnet's orders and contracts, and what its neighbours told (N4). Frozen data, pure.

One aggregate, `hub`, beside the days of receipts (`nodes/receipts.py`). Keys: `hub`, `sell/<id>`, `buy/<id>`,
`placed/<renter>`, `quote/<id>`, `contract/<id>`, `heard/<protection>/<neighbour's address>`,
`link/<neighbour's address>`, `told/<neighbour's address>/<job>`, `member/<participant>`, `known/<hub's name>`,
`telling/<neighbour's address>`, `seeking/<neighbour's address>`; at leaves `sought/<hub's name>`, `stranger/<job>`.
Units of a sell order are held by the key of what holds them: `buy/…` (own reservation), `quote/…` or `contract/…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from nodes import receipts
from nodes.hub.states import BuyState, ContractState, QuoteState
from nodes.machine import PublishFailed
from nodes.runtime.links import LinkChanged
from schemas.contracts import Contract, Settlement
from schemas.hubs import HubCertificate
from schemas.ids import Address
from schemas.membership import ParticipantRole
from schemas.orders import BuyOrder, Capacity, Offer, SellOrder


class Own(Struct, frozen=True, kw_only=True):
    """What this hub last told its neighbours of itself, and when it will tell them again."""

    told: tuple[Capacity, ...] = ()
    told_at: float = 0.0
    tells_at: float = 0.0
    """0: no timer is set."""
    has_news: bool = False
    """Of others, which the neighbours have not been told."""


class Member(Struct, frozen=True, kw_only=True):
    """A participant that joined, changed or left since the hub's files were written; see `nodes/hub/registry.py`."""

    key: bytes
    """By which it is known."""
    newest: bytes = b""
    """The key that takes its place, while both count."""
    until: float = 0.0
    """When what was before counts no more; 0: it does not now."""
    role: ParticipantRole = "lessor"
    lanes: int = 0
    account: int = 0
    """Which of its two accounts on the broker has the newest password: 0 or 1."""
    retiring: bool = False
    """The other account is there too."""
    version: int
    """Counts its changes."""
    asked_at: float = 0.0
    """When its last admitted request was made: older ones are not taken any more."""
    left: bool = False


class SellRecord(Struct, frozen=True, kw_only=True):
    """A sell order in the book."""

    order: SellOrder
    lessor_key: bytes
    placed_at: float
    """When it reached this hub: time priority. A renewal keeps it unless the lessor asks more."""
    said_at: float
    """The lessor's time of the newest word on it; older ones that arrive late are ignored."""
    since: float = 0.0
    """The youngest `since` of these terms."""
    workers: dict[str, float] = {}
    """The lessor's workers that stand behind it, and until when."""
    held: dict[str, int] = {}
    """Units by holder's key."""
    silent: bool = False
    """A renter found the lessor silent: not matched until the lessor renews."""
    cancelled: bool = False
    """Kept only until nothing holds its units, or it is placed again."""

    @property
    def free(self) -> int:
        """Units that may be matched."""
        return 0 if self.silent or self.cancelled else max(0, self.order.units - sum(self.held.values()))

    def free_beside(self, holders: frozenset[str]) -> int:
        """Units that may be matched for whoever gives up what these hold."""
        if self.silent or self.cancelled:
            return 0
        return max(0, self.order.units - sum(units for key, units in self.held.items() if key not in holders))


class Quoted(Struct, frozen=True, kw_only=True):
    """An offer of another hub."""

    quote: str
    hub: str
    offer: Offer


class BuyRecord(Struct, frozen=True, kw_only=True):
    """A buy order of this subnet; see `nodes/hub/states.py`. Kept until its `match_by`, so that it is matched once."""

    order: BuyOrder
    renter_key: bytes
    placed_at: float
    state: BuyState
    wake_at: float = 0.0
    """When the timer that counts fires; older ones are ignored. 0: no timer counts."""
    rounds: int = 0
    asked: dict[str, str] = {}
    """Hubs that have not answered yet, by quote id."""
    asked_at: float = 0.0
    """When the first of this round were asked."""
    tried: tuple[str, ...] = ()
    """All hubs asked in this round."""
    offers: tuple[Quoted, ...] = ()
    reserved: tuple[str, ...] = ()
    """Own sell orders of which units are reserved."""
    proposed: tuple[str, ...] = ()
    """Contracts that wait for the other hub's signature."""
    signed: tuple[str, ...] = ()
    """Contracts with both hubs' signatures."""
    aimed_units: int = 0
    """Of all its contracts, were this round's proposals all signed."""
    rests: dict[str, str] = {}
    """Hubs by quote id, where a part of what was quoted is not needed and is released after the proposals' answers."""
    proposals: int = 0
    lacking: str = ""


class Placed(Struct, frozen=True, kw_only=True):
    """How many buy orders of one renter are here: open ones, and with those that have ended all."""

    open: int = 0
    kept: int = 0


class QuoteRecord(Struct, frozen=True, kw_only=True):
    """What this hub reserved for another hub's buy order: offers that are not proposed yet."""

    state: QuoteState
    hub: str
    buy: BuyOrder
    offers: tuple[Offer, ...]


class ContractRecord(Struct, frozen=True, kw_only=True):
    """A contract of which at least one party is in this subnet."""

    state: ContractState
    contract: Contract
    quote: str = ""
    """The other hub's quote; empty where both parties are in this subnet."""


class HeardRecord(Struct, frozen=True, kw_only=True):
    """What one neighbour last told of compute under one protection, of its own and of others."""

    capacities: tuple[Capacity, ...]
    said_at: float
    """By the neighbour's clock."""
    heard_at: float
    """By this hub's."""


class LinkRecord(Struct, frozen=True, kw_only=True):
    """A link to a hub on another broker that does not carry now. Those that do have no record."""

    why: str
    lost_at: float


class ToldRecord(Struct, frozen=True, kw_only=True):
    """A job whose renter was told that a link is lost, and is told when that carries again."""

    renter: Address


class KnownHub(Struct, frozen=True, array_like=True):
    """A hub that was announced; see `nodes/hub/announcing.py`. With one founder's word it takes at most 300 bytes."""

    sequence: int
    signature: bytes
    path: tuple[str, ...] = ()
    """The hubs on the way there, that hub first, the next hop last; none: there is no way now, or it is this hub."""
    certificate: HubCertificate | None = None


class Telling(Struct, frozen=True, kw_only=True):
    """Of which hubs one neighbour is to be told, and how far both have come."""

    number: int
    """Of what it was told last, or before the first; begins with the time, so that it grows when a store is lost."""
    heard: int = 0
    """The highest number of what it told; 0: nothing yet."""
    hubs: tuple[str, ...] = ()
    told_at: float = 0.0
    tells_at: float = 0.0
    """0: no timer is set."""
    asks: bool = False
    """It is asked for all that it knows."""


class Seeking(Struct, frozen=True, kw_only=True):
    """A neighbour is a leaf, and told of these hubs alone."""

    hubs: tuple[str, ...]
    number: int
    """Of the event that said so, as in `HubsAnnounced`."""


class Sought(Struct, frozen=True, kw_only=True):
    """This hub is a leaf, and deals with another one; see `nodes/hub/leaf.py`."""

    used_at: float


class Stranger(Struct, frozen=True, kw_only=True):
    """An introduction for which this leaf looks up the partner's hub."""

    renter: Address
    partner: Address


class HubsConfigured(Struct, frozen=True, kw_only=True):
    """Internal event `hubs.configured`: a process of the hub started, or its files changed."""


RECORD_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {
        "hub": Own,
        "member": Member,
        "sell": SellRecord,
        "buy": BuyRecord,
        "placed": Placed,
        "quote": QuoteRecord,
        "contract": ContractRecord,
        "heard": HeardRecord,
        "link": LinkRecord,
        "told": ToldRecord,
        "known": KnownHub,
        "telling": Telling,
        "seeking": Seeking,
        "sought": Sought,
        "stranger": Stranger,
        receipts.RECORD: Settlement,
    }
)
INTERNAL_TYPES: Final[Mapping[str, type[Struct]]] = MappingProxyType(
    {"publish.failed": PublishFailed, "link.changed": LinkChanged, "hubs.configured": HubsConfigured}
)
