"""The states of buy orders, reservations and contracts at a hub, as tables. Pure.

Theory of operation.

A buy order, at the renter's hub:

    collecting   own units are reserved; other hubs were asked for quotes. As soon as all have answered, or the time is
                 up, the hub decides over all offers, price first, then time (R2, R3): on as much as the order asks
                 for, or on what there is, as soon as that is as little as it takes.
    waiting      not enough was offered. Nothing is reserved (two orders that each keep half would starve both); the
                 order is tried again on news of compute and after growing pauses, until `match_by`.
    proposing    contracts are made (R4). Those with own lessors are signed at once; the others wait for the lessors'
                 hubs. What is refused or stays unanswered is looked for again; what is signed is kept.
    matched      all contracts are signed and delivered to the renter together.
    refused      no match in time, or too many proposals failed; what was signed on the way is ended.
    cancelled    the renter took it back before it was matched; likewise.

The last three are kept until `match_by`, so that an order that arrives again is not matched again.

A reservation, at the lessor's hub: `held` from the quote until all of it is proposed, released, or its lease lapses.

A contract, at either hub: `proposed` (at the renter's hub, while the other has not answered), then `signed` until it
is ended by the renter or expires. The lessor's hub signs at once or not at all.

`gone` means that there is no record, not yet or no longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

BuyState = Literal["collecting", "waiting", "proposing", "matched", "refused", "cancelled", "gone"]
QuoteState = Literal["held", "gone"]
ContractState = Literal["proposed", "signed", "gone"]

BUY: Final[Mapping[tuple[BuyState, str], BuyState]] = MappingProxyType(
    {
        ("gone", "placed"): "collecting",
        ("collecting", "short"): "waiting",
        ("collecting", "enough"): "proposing",
        ("collecting", "cancelled"): "cancelled",
        ("collecting", "all-signed"): "matched",
        ("collecting", "overdue"): "refused",
        ("collecting", "too-large"): "refused",
        ("waiting", "retried"): "collecting",
        ("waiting", "all-signed"): "matched",
        ("waiting", "cancelled"): "cancelled",
        ("waiting", "overdue"): "refused",
        ("proposing", "all-signed"): "matched",
        ("proposing", "some-refused"): "collecting",
        ("proposing", "cancelled"): "cancelled",
        ("proposing", "overdue"): "refused",
        ("matched", "forgotten"): "gone",
        ("refused", "forgotten"): "gone",
        ("cancelled", "forgotten"): "gone",
    }
)
QUOTE: Final[Mapping[tuple[QuoteState, str], QuoteState]] = MappingProxyType(
    {
        ("gone", "quoted"): "held",
        ("held", "part-proposed"): "held",
        ("held", "all-proposed"): "gone",
        ("held", "released"): "gone",
        ("held", "lapsed"): "gone",
    }
)
CONTRACT: Final[Mapping[tuple[ContractState, str], ContractState]] = MappingProxyType(
    {
        ("gone", "proposed"): "proposed",
        ("gone", "countersigned"): "signed",
        ("proposed", "countersigned"): "signed",
        ("proposed", "refused"): "gone",
        ("proposed", "abandoned"): "gone",
        ("signed", "abandoned"): "gone",
        ("signed", "ended"): "gone",
        ("signed", "expired"): "gone",
    }
)
BUY_OPEN: Final = frozenset({"collecting", "waiting", "proposing"})
