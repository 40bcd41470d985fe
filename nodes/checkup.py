"""Is this node fit to run? Its broker, its hub, its clock and key as its hub sees them, its disk, its store's server:
a finding each."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.names import DESK
from broker.port import Broker
from nodes.asking import ANSWER_SECONDS_MAX, Asking, asking
from nodes.bootstrap.connecting import connect
from nodes.config import NodeConfig, broker_name
from nodes.enclave.child.lockdown import missing_parts
from nodes.identity import Identity
from nodes.roles import ROLES
from nodes.runtime.post import Post
from schemas.errors import SubletError
from schemas.events import CheckAnswered, CheckRequested
from schemas.ids import HUB_NAME, hub_address

CONNECT_SECONDS_MAX: Final = 5.0
SKEW_SECONDS_MAX: Final = 10.0
"""Orders are good for half a minute: a clock that is off by more soon makes them too late."""
FREE_BYTES_MIN: Final = 1024**3
FAILED: Final = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """About one thing. `exit_code` is 0 when it is as it should be."""

    what: str
    text: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Checkup:
    """Of one node, from its own machine, whether its processes run or not."""

    config: NodeConfig
    clock: Callable[[], float] = time.time
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    async def findings(self) -> AsyncIterator[Finding]:
        """One for each thing, as it is found; what cannot be seen because of another has none."""
        config = self.config
        if ROLES[config.role].has_store:
            yield self._disk()
            if config.store_url is not None:
                yield await _store(config.store_url, config.address)
        if config.role == "lessor":
            yield _enclaves()
        try:
            identity = config.identity()
            broker = await connect(config, timeout_seconds=CONNECT_SECONDS_MAX)
        except SubletError as error:
            yield Finding("broker", str(error), error.exit_code)
            return
        try:
            yield Finding("broker", f"{broker_name(config.amqp_url)} lets {config.address} in")
            async for each in self._hubs(broker, identity):
                yield each
        except SubletError as error:
            yield Finding("queues", str(error), error.exit_code)
        finally:
            await broker.close()

    def _disk(self) -> Finding:
        folder = self.config.data_dir
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK):
            return Finding("disk", f"{folder} cannot be written by this user", FAILED)
        free = self.free_bytes(folder)
        said = f"{free:,} bytes are free at {folder}"
        if free < FREE_BYTES_MIN:
            return Finding("disk", f"nearly full: {said}, at least {FREE_BYTES_MIN:,} are wanted", FAILED)
        return Finding("disk", said)

    async def _hubs(self, broker: Broker, identity: Identity) -> AsyncIterator[Finding]:
        config = self.config
        hubs = sorted(config.network.hub_keys) if config.role == HUB_NAME else [hub_address(config.hub)]
        post = Post(identity, broker, self.clock)
        async with asking(broker, config.address, post, config.network.hub_keys) as desk:
            for hub in hubs:
                yield await self._hub(hub, desk)

    async def _hub(self, hub: str, desk: Asking) -> Finding:
        """What it says of this node, and how far its clock is from this one."""
        begin = self.clock()
        try:
            answer = await desk.ask("check.requested", hub, CheckRequested(lane=DESK))
        except TimeoutError:
            return Finding(hub, f"no answer in {ANSWER_SECONDS_MAX:g} s: is `sublet hub` running there?", FAILED)
        data = answer.data
        assert isinstance(data, CheckAnswered)
        ahead = (begin + self.clock()) / 2 - answer.time
        if abs(ahead) > SKEW_SECONDS_MAX:
            which = "ahead of" if ahead > 0 else "behind"
            return Finding("clock", f"this node's is {abs(ahead):.0f} s {which} {hub}'s: set both", FAILED)
        if data.code:
            return Finding("key", f"{hub} does not believe this node ({data.code}): {data.reason}", FAILED)
        return Finding(hub, f"answers and believes this node; its clock differs by {abs(ahead):.1f} s")


async def _store(url: str, node: str) -> Finding:
    """The database that takes the place of a file."""
    from nodes.store.postgres.examining import examine  # noqa: PLC0415 - only where one is used

    try:
        found = await examine(url, node)
    except SubletError as error:
        return Finding("store", str(error), error.exit_code)
    what = f"holds the store of {node}" if found.made else "is empty: the store is made at the first start"
    if found.made and found.missing:
        what += f", which {found.missing} migrations of this release will change at its start"
    return Finding("store", f"PostgreSQL at {found.where} {what}; the database takes {found.bytes:,} bytes there")


def _enclaves() -> Finding:
    missing = missing_parts()
    if missing:
        return Finding("enclaves", f"this machine lacks {', '.join(missing)}: no enclaves", FAILED)
    return Finding("enclaves", "a child can be locked down fully")
