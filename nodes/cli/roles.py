"""`sublet hub`, `sublet renter`, `sublet lessor`: one role as a process on RabbitMQ; more of the same scale it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish

if TYPE_CHECKING:
    from nodes.config import Role

LogLevel = Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")]


def add_to(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("hub")(hub)
    app.command("renter")(renter)
    app.command("lessor")(lessor)


def hub(config: o.Config, log_level: LogLevel = "info") -> None:
    """A hub: matches orders, signs contracts. Ends cleanly on SIGTERM and SIGINT."""
    _serve(config, "hub", log_level)


def renter(config: o.Config, log_level: LogLevel = "info") -> None:
    """A renter's worker: runs submitted jobs. Ends cleanly on SIGTERM and SIGINT."""
    _serve(config, "renter", log_level)


def lessor(config: o.Config, log_level: LogLevel = "info") -> None:
    """A lessor's worker: offers compute, computes batches. Ends cleanly on SIGTERM and SIGINT."""
    _serve(config, "lessor", log_level)


def _serve(path: Path, role: Role, log_level: str) -> None:
    from nodes.cli.logs import configure_logs  # noqa: PLC0415
    from nodes.cli.serve import serve  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    configure_logs(log_level)
    finish(serve(read_config(path, os.environ, role=role)))
