"""A node's process takes up what came into its folder while it runs: a key, a network description, a certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from nodes.config import NodeConfig
from nodes.identity import Identity
from nodes.network import NetworkFile, read_network
from schemas.errors import BadConfig

LOOK_SECONDS: Final = 2.0
"""Between two looks at the files: nobody has to tell a process, on whichever machine it runs."""

log = structlog.get_logger(__name__)


async def follow_files(
    config: NodeConfig, identity: Identity | None, taken_up: Callable[[NodeConfig], None], seconds: float = LOOK_SECONDS
) -> None:
    """Whenever one of the files changes, let `identity` sign with the key, and `taken_up` know. Without an identity the
    key is not looked at. Never returns.
    """
    known, complained = _Known(config.network_file, config.network), False
    read_key: Callable[[], Identity | None] = config.identity if identity is not None else lambda: None
    while True:
        await asyncio.sleep(seconds)
        try:
            found, network = await asyncio.to_thread(read_key), await asyncio.to_thread(known.read)
            changed = await asyncio.to_thread(config.on, network)
        except BadConfig as error:  # perhaps while it is replaced; what is in memory goes on
            if not complained:
                log.warning("a file cannot be taken up", node=config.address, why=str(error))
            complained = True
            continue
        complained = False
        renewed = identity is not None and found is not None and identity.renew(found)
        if identity is not None and renewed:
            log.info("signs with another key", node=config.address, key=identity.newest.hex())
        if network != config.network:
            log.info("knows another network", node=config.address, hubs=len(network.hubs))
        if renewed or changed != config:
            config = changed
            taken_up(config)


class _Known:
    """A network file, read again only when it is another file."""

    def __init__(self, path: Path | None, network: NetworkFile) -> None:
        self._path = path
        self._network = network
        self._seen = self._stamp()

    def read(self) -> NetworkFile:
        """What it says now. Raises BadConfig."""
        stamp = self._stamp()
        if self._path is not None and stamp != self._seen:
            self._network, self._seen = read_network(self._path), stamp
        return self._network

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = None if self._path is None else self._path.stat()
        except OSError:
            return None
        return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
