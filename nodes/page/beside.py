"""The page of a node's own process, where its file says `[operations] page = true`: on loopback, beside its work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog

from nodes.config import NodeConfig

ADDRESS_FILE: Final = "page-address"
"""In the node's data folder, readable by its owner alone: the address to open, with its token. Of several processes of
a node the last that started wrote it; they show the same."""

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def page_beside(config: NodeConfig) -> AsyncIterator[None]:
    """While it lasts, the page is served, if it is wanted."""
    if not config.operations.page:
        yield
        return
    from nodes.page.serve import Binding, serve_page  # noqa: PLC0415 - most processes serve none

    stop, told = asyncio.Event(), asyncio.Event()

    def tell(address: str) -> None:
        path = _write(config.data_dir / ADDRESS_FILE, address)
        log.info("the page is served", at=address.partition("/?")[0], address_file=str(path))
        told.set()

    serving = asyncio.create_task(serve_page(config, Binding(), stop, tell))
    telling = asyncio.create_task(told.wait())
    await asyncio.wait([serving, telling], return_when=asyncio.FIRST_COMPLETED)
    try:
        if serving.done():
            serving.result()
        yield
    finally:
        telling.cancel()
        stop.set()
        await serving


def _write(path: Path, address: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(f"{address}\n", encoding="ascii")
    return path
