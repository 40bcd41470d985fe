"""`sublet job`, `sublet order`, `sublet events`: a running network, seen from one node's folder."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output
from schemas.errors import BadConfig

if TYPE_CHECKING:
    from nodes.cli.running import Running
    from nodes.roles import Role


def add_to(app: typer.Typer) -> None:
    """Add the three groups."""
    job = typer.Typer(help="Jobs on a running network.", no_args_is_help=True)
    for command in (quote, submit, list_, show, watch, result, model, explain, cancel, delete):
        job.command(command.__name__.strip("_"))(command)
    order = typer.Typer(help="Orders that a node knows.", no_args_is_help=True)
    order.callback()(_group)
    order.command("list")(orders)
    events = typer.Typer(help="The journal of a job.", no_args_is_help=True)
    events.callback()(_group)
    events.command("export")(export)
    app.add_typer(job, name="job")
    app.add_typer(order, name="order")
    app.add_typer(events, name="events")


def _group() -> None:
    """Keeps a group's only command a command of the group."""


def _running(config: Path, *, as_json: bool = False, role: Role | None = "renter") -> Running:
    """The running network from this node."""
    from nodes.cli.running import Running  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    return Running(read_config(config, os.environ, role=role), output)


@o.asking
def quote(
    data: o.Data,
    config: o.Config,
    asked: o.Asked,
    *,
    accept_software_enclave: o.AcceptSoftware = False,
    as_json: o.Json = False,
) -> None:
    """What a job would take under each protection, and cost; nothing is ordered."""
    wishes = asked.wishes(accept_software_enclave=accept_software_enclave)
    finish(_running(config, as_json=as_json).quote(asked.inputs(data), wishes))


@o.asking
def submit(
    data: o.Data,
    config: o.Config,
    asked: o.Asked,
    whom: o.Whom,
    together: o.Together,
    *,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="NAME",
            help="Of this submission: the same again under it is the same job, and anything else is refused.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended; the exit code is the job's.")] = False,
    accept_software_enclave: o.AcceptSoftware = False,
    as_json: o.Json = False,
) -> None:
    """Submit a job to this renter's workers. Prints its id."""
    running = _running(config, as_json=as_json)
    if whom.score is not None:
        whom = replace(whom, score=finish(running.whole_id(whom.score)))
    inputs = asked.inputs(data, fits=together.algorithm is not None or whom.score is not None)
    wishes = asked.wishes(accept_software_enclave=accept_software_enclave, joint=whom.invitation(together))
    raise typer.Exit(finish(running.submit(inputs, wishes, wait=wait, key=key)))


def list_(
    *,
    config: o.Config,
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="Only jobs in it: running, completed, failed, …")
    ] = "",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Submitted then or later: 2026-03-01, or 7d for seven days ago."),
    ] = None,
    limit: o.Limit = o.LISTED,
    as_json: o.Json = False,
) -> None:
    """The jobs of this renter, newest first."""
    from nodes.cli.times import parse_time  # noqa: PLC0415
    from nodes.views.report import PHASES  # noqa: PLC0415

    if state not in ("", *PHASES):
        raise BadConfig(f"no job is ever {state!r}: --state is one of {', '.join(PHASES)}", field="state")
    begin = 0.0 if since is None else parse_time(since, "since", time.time())
    finish(_running(config, as_json=as_json).list_jobs(phase=state, since=begin, limit=limit))


def show(job: o.Job, *, config: o.Config, verbose: o.Verbose = False, as_json: o.Json = False) -> None:
    """A job: its state, who computes what, over which hubs, at what cost; all numbers with --verbose."""
    finish(_running(config, as_json=as_json).show(job, verbose=verbose))


def watch(job: o.Job, *, config: o.Config, verbose: o.Verbose = False, as_json: o.Json = False) -> None:
    """Show a job's progress until it has ended; the exit code is the job's."""
    raise typer.Exit(finish(_running(config, as_json=as_json).watch(job, verbose=verbose)))


def result(job: o.Job, *, config: o.Config, out: o.ResultOut = None, as_json: o.Json = False) -> None:
    """A completed job's output; with --json a description of it."""
    raise typer.Exit(finish(_running(config, as_json=as_json).result(job, out)))


def model(job: o.Job, *, config: o.Config, out: o.Out = None) -> None:
    """This renter's part of a model that a job fitted, as ONNX."""
    finish(_running(config).model(job, out))


def explain(job: o.Job, *, config: o.Config, verbose: o.Verbose = False, as_json: o.Json = False) -> None:
    """What happened in a job, and what was decided; with --verbose event by event, with every number."""
    finish(_running(config, as_json=as_json).explain(job, verbose=verbose))


def cancel(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Take a job back."""
    finish(_running(config, as_json=as_json).cancel(job))


def delete(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Remove all that there is of a job, its result too; one that runs is taken back first."""
    finish(_running(config, as_json=as_json).delete(job))


def orders(*, config: o.Config, limit: o.Limit = o.LISTED, as_json: o.Json = False) -> None:
    """The orders that a hub has in its book, or that a renter's jobs placed."""
    finish(_running(config, as_json=as_json, role=None).orders(limit=limit))


def export(job: o.Job, *, config: o.Config, out: o.Out = None) -> None:
    """The journal of a job as JSON lines, signed by the renter, to be replayed or kept."""
    finish(_running(config).export(job, out))
