"""Leads what goes to other hubs over the neighbours that a hub's ways begin with (N3): its broker follows them.

Over all of them alike: one on the same broker is an exchange, one on another a queue (`broker.topology`). What waits at
a link that is down stays there; what was led over a neighbour that is none any more is led there no longer. A leaf
leads nobody: all goes its one way (`broker.topology`).

Carried out after the hub decided, again and again until it is done, by any of its processes. What counts is where the
way leads when a binding is made, and it is looked at again afterwards: so two that happen at once end with the younger.
A way over a link of which the broker was not told yet is tried again until it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import structlog
from msgspec import Struct

from broker.errors import AccessRefused, BrokerError, BrokerUnreachable, NoSuchQueue
from broker.port import Broker
from nodes.hub.directory import HubConfig
from nodes.hub.known import record_key
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub
from nodes.store.port import Store
from schemas.ids import Address, hub_of

AGAIN_SECONDS: Final = 15.0
"""Between attempts to lead over a link that the broker does not have."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ways:
    """Of one process of a hub."""

    broker: Broker
    store: Store
    config: Callable[[], HubConfig]
    _unled: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Hubs whose way could not be led, and the neighbours that are gone."""

    async def lead(self, params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        """Activity `lead`: `params["hubs"]` names hubs, `params["gone"]` those that were neighbours and are none now.

        Raises:
            BrokerUnreachable: it is to be done again.
        """
        gone = tuple(str(each) for each in params.get("gone", ()))
        for hub in params["hubs"]:
            await self._try(str(hub), gone)
        return ()

    async def follow(self) -> NoReturn:
        """Lead what could not be led, once it can be. Whatever a process leaves, the next one leads when it starts."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            for hub, gone in sorted(self._unled.items()):
                try:
                    await self._try(hub, gone)
                except (BrokerError, BrokerUnreachable) as error:
                    log.info("not led yet", hub=hub, reason=str(error))

    async def _try(self, hub: str, gone: tuple[str, ...]) -> None:
        gone = tuple(dict.fromkeys((*self._unled.get(hub, ()), *gone)))
        try:
            await self._lead(hub, gone)
        except (NoSuchQueue, AccessRefused) as error:
            if not self._unled:
                log.warning("no way yet", hub=hub, reason=f"{error}: import this hub's definitions there")
            self._unled[hub] = gone
        else:
            self._unled.pop(hub, None)

    async def _lead(self, hub: str, gone: tuple[str, ...]) -> None:
        led = None
        while (via := await self._next_hop(hub)) != led:
            neighbours = self._neighbours()
            others = {*(neighbours if via or self.config().leaf else ()), *(set(gone) - neighbours)} - {via}
            if via or others:
                far = {hub_of(each) for each in self.config().far}
                await self.broker.lead(hub, via, near=via not in far, not_via=sorted(others))
            led = via

    async def _next_hop(self, hub: str) -> str:
        """The neighbour to which it goes next; nothing where no way is known, files say how it goes, or at a leaf."""
        key = record_key(hub)
        if self.config().leaf:
            return ""
        record = (await self.store.get(AGGREGATE, [key])).get(key)
        via = record.path[-1] if isinstance(record, KnownHub) and record.path else ""
        return via if hub not in self.config().fixed and via in self._neighbours() else ""

    def _neighbours(self) -> set[str]:
        return {hub_of(Address(each)) for each in self.config().neighbours}
