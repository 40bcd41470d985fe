"""`sublet node`: how a node's process is, now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output

if TYPE_CHECKING:
    from nodes.status import NodeStatus

NOT_READY = 1

Bridge = Annotated[bool, typer.Option("--bridge", help="Of a hub's bridges instead of the hub.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="A node's process: how it is.", no_args_is_help=True)
    group.command("status")(status)
    app.add_typer(group, name="node")


def status(*, config: o.Config, bridge: Bridge = False, as_json: o.Json = False) -> None:
    """Say whether this node's process can work, why not, and what waits. Ends with 1 when it cannot.

    It is asked at its operations port. Whether the node could run at all is what `sublet check` looks at.
    """
    raise typer.Exit(finish(_status(config, bridge=bridge, as_json=as_json)))


async def _status(path: Path, *, bridge: bool, as_json: bool) -> int:
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.status import node_status  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    found = await node_status(read_config(path, os.environ), bridge=bridge)
    output.text(*_lines(found))
    output.result(found)
    return 0 if found.ready else NOT_READY


def _lines(found: NodeStatus) -> list[str]:
    lines = [f"{found.address} {found.role}: {'ready' if found.ready else 'not ready'}"]
    lines += [f"  {reason}" for reason in found.reasons]
    if (process := found.process) is not None:
        waits = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in process.queue_age_seconds.items())
        lines += [f"process    sublet {process.version}, up {process.up_seconds:,.0f} s"]
        lines += [f"queues     {waits}; {process.outbox_rows} effects under way"]
    if (store := found.store) is not None:
        held = f"{store.effects} effects to carry out, timers {store.late_seconds:.1f} s late"
        lines += [f"store      {store.reason or held}"]
    return lines
