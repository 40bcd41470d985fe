"""`sublet check`: is this node fit to run? A line for each thing that was looked at."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(*, config: o.Config, as_json: o.Json = False) -> None:
    """Look at this node's disk, broker, hub, clock and key. The exit code is the first fault's, or 0."""
    raise typer.Exit(finish(_check(config, as_json=as_json)))


async def _check(path: Path, *, as_json: bool) -> int:
    from nodes.checkup import Checkup  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    output, found = quiet_output(as_json=as_json), []
    async for each in Checkup(read_config(path, os.environ)).findings():
        output.text(f"{'ok ' if not each.exit_code else 'BAD'} {each.what:<10} {each.text}")
        found.append(each)
    output.result(found)
    return next((each.exit_code for each in found if each.exit_code), 0)
