"""A node's process takes up a key that was put in the place of its own, while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from nodes.config import NodeConfig
from nodes.identity import BadKeyFile, Identity

LOOK_SECONDS: Final = 2.0
"""Between two looks at the key file: nobody has to tell a process, on whichever machine it runs."""

log = structlog.get_logger(__name__)


async def follow_key(
    config: NodeConfig, identity: Identity, taken_up: Callable[[Identity], None], seconds: float = LOOK_SECONDS
) -> None:
    """Let `identity` sign with what lies in its key file, whenever that changes; and say so. Never returns."""
    unreadable = False
    while True:
        await asyncio.sleep(seconds)
        try:
            found = await asyncio.to_thread(config.identity)
        except BadKeyFile as error:  # perhaps while it is replaced; the key in memory goes on
            if not unreadable:
                log.warning("the key file cannot be read", node=config.address, why=str(error))
            unreadable = True
            continue
        unreadable = False
        if identity.renew(found):
            taken_up(identity)
            log.info("signs with another key", node=config.address, key=identity.newest.hex())
