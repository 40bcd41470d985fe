"""`sublet joint`: a partner's side of joint jobs: who asks what, what is decided, what was learned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output

if TYPE_CHECKING:
    from nodes.cli.parting import Parting

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the renter; nothing of the data.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Joint jobs at a partner: requests, decisions, ledgers.", no_args_is_help=True)
    for command in (list_, show, explain, approve, refuse, withdraw):
        group.command(command.__name__.strip("_"))(command)
    app.add_typer(group, name="joint")


def list_(*, config: o.Config, limit: o.Limit = o.LISTED, as_json: o.Json = False) -> None:
    """The requests of renters, newest first."""
    finish(_parting(config, as_json=as_json).list_parts(limit=limit))


def show(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """One request: who asked what, what became of it, and what each side learned."""
    finish(_parting(config, as_json=as_json).show(job))


def explain(job: o.Job, *, config: o.Config, verbose: o.Verbose = False, as_json: o.Json = False) -> None:
    """What happened in a job at this partner, and what was decided; with --verbose event by event."""
    finish(_parting(config, as_json=as_json).explain(job, verbose=verbose))


def approve(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Let a waiting request go on."""
    finish(_parting(config, as_json=as_json).decide(job, "approved", ""))


def refuse(job: o.Job, *, config: o.Config, reason: Reason = "", as_json: o.Json = False) -> None:
    """Refuse a waiting request."""
    finish(_parting(config, as_json=as_json).decide(job, "refused", reason))


def withdraw(job: o.Job, *, config: o.Config, reason: Reason = "", as_json: o.Json = False) -> None:
    """End this partner's part in a job that goes on; what was made of the data for it is erased."""
    finish(_parting(config, as_json=as_json).decide(job, "withdrawn", reason))


def _parting(config: Path, *, as_json: bool) -> Parting:
    from nodes.cli.parting import Parting  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    return Parting(read_config(config, os.environ, role="partner"), output)
