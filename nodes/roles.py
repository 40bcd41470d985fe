"""The roles of a network's nodes, one row each: a new role is a row here, its machine, and a way to serve it.

A row names what it needs as `module:attribute` and loads it when it is asked for, so that a command which needs one
role, or only its name, does not wait for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Literal

Role = Literal["hub", "renter", "lessor", "partner"]


@dataclass(frozen=True, slots=True)
class RoleRow:
    """One role."""

    name: Role
    about: str
    """What one of its processes does, for the command line."""
    queues: tuple[str, ...]
    """The kinds of queue that its processes share; lessors have lanes besides."""
    machine: str
    """Its protocol logic, a `nodes.machine.Machine`."""
    server: str
    """Runs one process: `async (config, identity, broker, crew, stop, telemetry) -> None`."""
    settings: str = ""
    """The class of its table in a node's file; empty where it has none."""
    has_store: bool = True

    def load(self, what: str) -> Any:
        """What a field names, imported."""
        module, _, attribute = what.partition(":")
        return getattr(import_module(module), attribute)


ROLES: Final[Mapping[str, RoleRow]] = MappingProxyType(
    {
        row.name: row
        for row in (
            RoleRow(
                name="hub",
                about="A hub: matches orders, signs contracts. Ends cleanly on SIGTERM and SIGINT.",
                queues=("control", "heartbeat"),
                machine="nodes.hub.machine:HubMachine",
                server="nodes.bootstrap.hub:serve_hub",
            ),
            RoleRow(
                name="renter",
                about="A renter's worker: runs submitted jobs. Ends cleanly on SIGTERM and SIGINT.",
                queues=("control", "result"),
                machine="nodes.renter.protocol.machine:RenterMachine",
                server="nodes.bootstrap.renter:serve_renter",
                settings="nodes.config:RenterSettings",
            ),
            RoleRow(
                name="lessor",
                about="A lessor's worker: offers compute, computes batches. Ends cleanly on SIGTERM and SIGINT.",
                queues=("control", "batch"),
                machine="nodes.lessor.protocol.machine:LessorMachine",
                server="nodes.bootstrap.lessor:serve_lessor",
                settings="nodes.config:LessorSettings",
                has_store=False,
            ),
            RoleRow(
                name="partner",
                about="A partner's worker: computes jointly on its own data. Ends cleanly on SIGTERM and SIGINT.",
                queues=("control", "result"),
                machine="nodes.partner.protocol.machine:PartnerMachine",
                server="nodes.bootstrap.partner:serve_partner",
                settings="nodes.config:PartnerSettings",
            ),
        )
    }
)
