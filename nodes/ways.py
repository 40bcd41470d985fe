"""Leads what goes to other hubs over the neighbours that a hub's ways begin with (N3): its broker follows them.

Carried out after the hub decided, again and again until it is done, by any of its processes. What counts is where the
way leads when a binding is made, and it is looked at again afterwards: so two that happen at once end with the younger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from broker.port import Broker
from nodes.hub.directory import HubConfig
from nodes.hub.known import record_key
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub
from nodes.store.port import Store
from schemas.ids import hub_of


@dataclass(frozen=True, slots=True)
class Ways:
    """Of one process of a hub."""

    broker: Broker
    store: Store
    config: Callable[[], HubConfig]

    async def lead(self, params: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
        """Activity `lead`: `params["hubs"]` names the hubs.

        Raises:
            BrokerError, BrokerUnreachable: it is to be done again.
        """
        for hub in params["hubs"]:
            await self._lead(str(hub))
        return ()

    async def _lead(self, hub: str) -> None:
        led = ""
        while (via := await self._next_hop(hub)) and via != led:
            others = {hub_of(each) for each in self.config().far} - {via}
            await self.broker.lead(hub, via, not_via=sorted(others))
            led = via

    async def _next_hop(self, hub: str) -> str:
        """The neighbour on another broker to which it goes next; nothing where its files say it, or at a leaf."""
        key, config = record_key(hub), self.config()
        if config.leaf:
            return ""
        record = (await self.store.get(AGGREGATE, [key])).get(key)
        via = record.path[-1] if isinstance(record, KnownHub) and record.path else ""
        return via if hub not in config.fixed and via in {hub_of(each) for each in config.far} else ""
