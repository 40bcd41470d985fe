"""`sublet job`, `sublet order`, `sublet events`: a running network, seen from one node's folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish

if TYPE_CHECKING:
    from nodes.cli.console import Output
    from nodes.config import NodeConfig, Role

Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where it goes; by default to stdout.")]


def add_to(app: typer.Typer) -> None:
    """Add the three groups."""
    job = typer.Typer(help="Jobs on a running network.", no_args_is_help=True)
    job.command("submit")(submit)
    job.command("list")(list_)
    job.command("show")(show)
    job.command("watch")(watch)
    job.command("result")(result)
    job.command("explain")(explain)
    job.command("cancel")(cancel)
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


def _opened(config: Path, *, as_json: bool, role: Role | None = "renter") -> tuple[NodeConfig, Output]:
    """The node's configuration, and where output goes."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.cli.logs import configure_logs  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    configure_logs("warning")
    return read_config(config, os.environ, role=role), Output(as_json=as_json)


def submit(
    data: o.Data,
    *,
    config: o.Config,
    program: o.Program = None,
    linear: o.Linear = None,
    aggregate: o.Aggregate = None,
    local_program: o.LocalProgram = None,
    id_column: o.IdColumn = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended; the exit code is the job's.")] = False,
    accept_software_enclave: Annotated[
        bool, typer.Option("--accept-software-enclave", help="Accept enclaves that are not confidential.")
    ] = False,
    protection: o.Protection = o.ProtectionChoice.AUTO,
    scheme: o.Scheme = o.SchemeChoice.AUTO,
    noise: o.Noise = o.NoiseChoice.FIXED_BASE,
    results_stay: o.ResultsStay = False,
    lessors: o.Lessors = o.LESSORS,
    encrypt_seconds_max: o.EncryptSecondsMax = o.ENCRYPT_SECONDS_MAX,
    decrypt_seconds_max: o.DecryptSecondsMax = None,
    max_error: o.MaxError = o.MAX_ERROR,
    local_share: o.LocalShare = o.LOCAL_SHARE,
    match_seconds: o.MatchSeconds = o.MATCH_SECONDS,
    price_max: o.PriceMax = o.PRICE_MAX,
    batch_rows: o.BatchRows = None,
    as_json: o.Json = False,
) -> None:
    """Submit a job to this renter's workers. Prints its id."""
    from nodes.cli import client  # noqa: PLC0415
    from nodes.cli.inputs import read_inputs  # noqa: PLC0415
    from nodes.renter.submission import JobOptions  # noqa: PLC0415

    wishes = JobOptions(
        protection=protection.value,
        scheme=scheme.value,
        noise=noise.value,
        results_stay=results_stay,
        id_column=id_column,
        lessors=lessors,
        encrypt_seconds_max=encrypt_seconds_max,
        decrypt_seconds_max=decrypt_seconds_max,
        max_error=max_error,
        local_share=local_share,
        price_micros_max=price_max,
        match_seconds=match_seconds,
        batch_rows=batch_rows,
        accept_software_enclave=accept_software_enclave,
    )
    inputs = read_inputs(data, program, linear, aggregate, local_program)
    node, output = _opened(config, as_json=as_json)
    raise typer.Exit(finish(client.submit_job(node, inputs, wishes, output, wait=wait)))


def list_(*, config: o.Config, as_json: o.Json = False) -> None:
    """All jobs of this renter, oldest first."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    finish(client.list_jobs(node, output))


def show(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """A job: state, assessment with its numbers, contracts, route."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    finish(client.show_job(node, job, output))


def watch(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Show a job's progress until it has ended; the exit code is the job's."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    raise typer.Exit(finish(client.watch_job(node, job, output)))


def result(job: o.Job, *, config: o.Config, out: Out = None, as_json: o.Json = False) -> None:
    """A completed job's output, as CSV; with --json a description of it."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    raise typer.Exit(finish(client.job_result(node, job, out, output)))


def explain(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """What happened in a job, event by event, with the cause and numbers of every decision."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    finish(client.explain_job(node, job, output))


def cancel(job: o.Job, *, config: o.Config, as_json: o.Json = False) -> None:
    """Take a job back."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json)
    finish(client.cancel_job(node, job, output))


def orders(*, config: o.Config, as_json: o.Json = False) -> None:
    """The orders that a hub has in its book, or that a renter's jobs placed."""
    from nodes.cli import client  # noqa: PLC0415

    node, output = _opened(config, as_json=as_json, role=None)
    finish(client.list_orders(node, output))


def export(job: o.Job, *, config: o.Config, out: Out = None) -> None:
    """The journal of a job as JSON lines, signed by the renter, to be replayed or kept."""
    from nodes.cli import client  # noqa: PLC0415

    node, _ = _opened(config, as_json=False)
    finish(client.export_events(node, job, out))
