"""How a node is, seen from its own machine: what its process says at its operations port, and what its store holds.

Whether the node is fit to run, and what others make of it, is `nodes.checkup`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Final

import msgspec

from nodes.config import NodeConfig
from nodes.operations.server import Status
from nodes.roles import ROLES
from nodes.store.opening import Place
from schemas.errors import BadConfig, SubletError

ANSWER_SECONDS_MAX: Final = 8.0
"""A process whose loop stands still says so in less."""
STORE_SECONDS_MAX: Final = 5.0
ANSWER_BYTES_MAX: Final = 64 * 1024
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to ask instead


@dataclass(frozen=True, slots=True)
class Stored:
    """What waits in a node's store for any of its processes; or why that cannot be seen."""

    effects: int = 0
    """To be carried out."""
    late_seconds: float = 0.0
    """Since the earliest timer was due."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node's process, if it answers, and its store, if it has one."""

    address: str
    role: str
    ready: bool
    reasons: tuple[str, ...]
    """Why it is not."""
    process: Status | None
    store: Stored | None


async def node_status(
    config: NodeConfig, *, bridge: bool = False, clock: Callable[[], float] = time.time
) -> NodeStatus:
    """The status of a node, or of a hub's bridges.

    Raises:
        BadConfig: the node has no operations port to be asked at.
    """
    name, role = ("bridge_port", "bridge") if bridge else ("port", config.role)
    port = config.operations.bridge_port if bridge else config.operations.port
    if not port:
        raise BadConfig(f"set [operations] {name} in the node's file: there its process tells how it is", field=name)
    store = None if bridge or not ROLES[config.role].has_store else await _stored(config, clock)
    try:
        process = await asyncio.to_thread(_ask, config.operations.address, port)
    except (OSError, HTTPException, msgspec.MsgspecError) as error:
        reason = f"nothing that is a node answers at port {port} ({type(error).__name__}): does it run?"
        return NodeStatus(config.address, role, False, (reason,), None, store)
    if (process.address, process.role) != (config.address, role):
        reason = f"the {process.role} {process.address} answers at port {port}: give each process a port of its own"
        return NodeStatus(config.address, role, False, (reason,), None, store)
    return NodeStatus(config.address, role, process.ready, process.reasons, process, store)


def _ask(address: str, port: int) -> Status:
    connection = HTTPConnection(_EVERYWHERE.get(address, address), port, timeout=ANSWER_SECONDS_MAX)
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(ANSWER_BYTES_MAX), type=Status)


async def _stored(config: NodeConfig, clock: Callable[[], float]) -> Stored | None:
    place = Place(config.data_dir, config.store_url)
    if not place.is_made:
        return None
    try:
        async with asyncio.timeout(STORE_SECONDS_MAX):
            store = await place.open(config.address, ROLES[config.role].load(ROLES[config.role].machine).record_types)
            try:
                due = await store.next_timer()
                late = 0.0 if due is None else max(0.0, clock() - due)
                return Stored(effects=await store.outbox_size(), late_seconds=late)
            finally:
                await store.close()
    except TimeoutError:
        return Stored(reason=f"it did not answer within {STORE_SECONDS_MAX:g} s")
    except (SubletError, OSError) as error:
        return Stored(reason=str(error))
