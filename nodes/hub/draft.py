"""What one event changes at a hub, beside what the hub is told from outside. Pure."""

from __future__ import annotations

from nodes import draft
from nodes.hub.directory import HubConfig
from nodes.machine import Context, Records


class Draft(draft.Draft):
    """A draft over the hub's one aggregate."""

    def __init__(self, config: HubConfig, records: Records, context: Context) -> None:
        super().__init__(records, context)
        self.config = config
