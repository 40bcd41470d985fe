"""Ids for the shell to complete: those that the node of `--config` knows. Whatever goes wrong, there are none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from nodes.cli.places import found_config

if TYPE_CHECKING:
    from nodes.config import NodeConfig

IDS_MAX: Final = 200


def job_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of a renter, or of a partner's requests."""

    async def look(config: NodeConfig) -> Iterable[str]:
        from nodes.views.jobs import known_ids  # noqa: PLC0415
        from nodes.views.source import open_store  # noqa: PLC0415

        async with open_store(config) as store:
            return await known_ids(store, config.jobs)

    return list(_beginning(ctx, incomplete, look))


def contract_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """That a node has a receipt of, or that run there."""

    async def look(config: NodeConfig) -> Iterable[str]:
        from nodes.views.papers import known_ids  # noqa: PLC0415

        return await known_ids(config)

    return list(_beginning(ctx, incomplete, look))


def _beginning(ctx: typer.Context, incomplete: str, look: Any) -> Iterator[str]:
    with contextlib.suppress(Exception):  # a shell shows nothing else
        from nodes.cli.loop import finish, quiet_output  # noqa: PLC0415
        from nodes.config import read_config  # noqa: PLC0415

        quiet_output(as_json=True)
        given = ctx.params.get("config") or os.environ.get("SUBLET_CONFIG") or found_config()
        known = finish(look(read_config(Path(given), os.environ)))
        yield from sorted(each for each in known if each.startswith(incomplete))[:IDS_MAX]
