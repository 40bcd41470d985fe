"""`sublet hub`, `renter`, `lessor`, `partner`, `bridge`: one as a process on RabbitMQ; more of the same scale it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish
from nodes.roles import ROLES, Role

if TYPE_CHECKING:
    from nodes.cli.serve import Run

LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")]


def add_to(app: typer.Typer) -> None:
    """Add a command per role."""
    for row in ROLES.values():
        app.command(row.name, help=row.about)(_command(row.name))
    app.command("bridge")(bridge)


def bridge(config: o.Config, log_level: LogLevel = "info") -> None:
    """A hub's bridges: carries messages to linked hubs on other brokers. Ends cleanly on SIGTERM and SIGINT."""

    def loaded() -> Run:
        from nodes.bridges import run_bridges  # noqa: PLC0415

        return run_bridges

    _serve(config, "hub", log_level, loaded, "bridge")


def _command(role: Role) -> Callable[..., None]:
    def command(config: o.Config, log_level: LogLevel = "info") -> None:
        def loaded() -> Run:
            from nodes.bootstrap.running import run_node  # noqa: PLC0415

            return run_node

        _serve(config, role, log_level, loaded)

    return command


def _serve(path: Path, role: Role, log_level: str, loaded: Callable[[], Run], called: str = "") -> None:
    from nodes.cli.logs import configure_logs  # noqa: PLC0415 - before all that logs, see there
    from nodes.cli.serve import Deadline, serve  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    configure_logs(log_level)
    deadline = Deadline()
    try:
        finish(serve(read_config(path, os.environ, role=role), loaded(), called or role, deadline))
    finally:
        deadline.cancel()
