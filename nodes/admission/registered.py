"""What the hub has registered, read from its store beside its workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nodes.hub.machine import AGGREGATE
from nodes.hub.records import ContractRecord, Member
from nodes.store.port import Store
from schemas.errors import SubletError

HUB_SECONDS_MAX: Final = 30.0
"""A running hub registers a participant in a fraction of that."""
LOOK_SECONDS: Final = 0.1


class HubSilent(SubletError):  # noqa: N818 - reads as the sentence it is
    """The hub does not run, or does not get so far."""


async def member_of(store: Store, address: str) -> Member | None:
    key = f"member/{address}"
    found = (await store.get(AGGREGATE, [key])).get(key)
    return found if isinstance(found, Member) else None


async def running_contracts(store: Store, address: str) -> int:
    """How many contracts of this party run."""
    found = (each for each in (await store.read(AGGREGATE)).values() if isinstance(each, ContractRecord))
    return sum(address in (each.contract.renter, each.contract.lessor) for each in found)


async def registered(store: Store, address: str, version: int) -> Member:
    return await until(store, address, lambda now: now.version >= version)


async def until(store: Store, address: str, seen: Callable[[Member], bool]) -> Member:
    """The participant, as soon as the hub has registered what it was told.

    Raises:
        HubSilent: it has not in HUB_SECONDS_MAX.
    """
    try:
        async with asyncio.timeout(HUB_SECONDS_MAX):
            while True:
                member = await member_of(store, address)
                if member is not None and seen(member):
                    return member
                await asyncio.sleep(LOOK_SECONDS)  # the hub's workers are other processes
    except TimeoutError:
        raise HubSilent(
            f"no worker of this hub has registered {address} in {HUB_SECONDS_MAX:.0f} s: is `sublet hub` running? It "
            "has been told; do the same again when it runs"
        ) from None
