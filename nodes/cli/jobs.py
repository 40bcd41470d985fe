"""`sublet job`, `sublet order`, `sublet events`: a running network, seen from one node's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output

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
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended; the exit code is the job's.")] = False,
    accept_software_enclave: o.AcceptSoftware = False,
    as_json: o.Json = False,
) -> None:
    """Submit a job to this renter's workers. Prints its id."""
    inputs = asked.inputs(data, fits=together.algorithm is not None or whom.score is not None)
    wishes = asked.wishes(accept_software_enclave=accept_software_enclave, joint=whom.invitation(together))
    raise typer.Exit(finish(_running(config, as_json=as_json).submit(inputs, wishes, wait=wait)))


def list_(*, config: o.Config, as_json: o.Json = False) -> None:
    """All jobs of this renter, oldest first."""
    finish(_running(config, as_json=as_json).list_jobs())


def show(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """A job: state, assessment with its numbers, contracts, route."""
    finish(_running(config, as_json=as_json).show(job))


def watch(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Show a job's progress until it has ended; the exit code is the job's."""
    raise typer.Exit(finish(_running(config, as_json=as_json).watch(job)))


def result(job: o.Job, *, config: o.Config, out: o.ResultOut = None, as_json: o.Json = False) -> None:
    """A completed job's output; with --json a description of it."""
    raise typer.Exit(finish(_running(config, as_json=as_json).result(job, out)))


def model(job: o.Job, *, config: o.Config, out: o.Out = None) -> None:
    """This renter's part of a model that a job fitted, as ONNX."""
    finish(_running(config).model(job, out))


def explain(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """What happened in a job, event by event, with the cause and numbers of every decision."""
    finish(_running(config, as_json=as_json).explain(job))


def cancel(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Take a job back."""
    finish(_running(config, as_json=as_json).cancel(job))


def delete(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Remove all that there is of a job, its result too; one that runs is taken back first."""
    finish(_running(config, as_json=as_json).delete(job))


def orders(*, config: o.Config, as_json: o.Json = False) -> None:
    """The orders that a hub has in its book, or that a renter's jobs placed."""
    finish(_running(config, as_json=as_json, role=None).orders())


def export(job: o.Job, *, config: o.Config, out: o.Out = None) -> None:
    """The journal of a job as JSON lines, signed by the renter, to be replayed or kept."""
    finish(_running(config).export(job, out))
