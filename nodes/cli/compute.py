"""`sublet run` and `sublet demo`: a whole network in this process."""

from __future__ import annotations

from typing import Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output


def add_to(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("demo")(demo)
    app.command("run")(run)


def demo(*, as_json: o.Json = False) -> None:
    """Three protections, one after the other, on bundled data; each compared with plaintext."""
    from nodes.cli.demonstrate import demonstrate  # noqa: PLC0415

    raise typer.Exit(finish(demonstrate(quiet_output(as_json=as_json))))


@o.asking
def run(
    data: o.Data,
    asked: o.Asked,
    *,
    out: o.ResultOut = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compute in plaintext too and report the largest difference.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """One job on your data, with hubs, renter and lessors in this process.

    The enclaves of this network are software enclaves: they show how it works and are not confidential.
    With --check the exit code is 5 when the largest difference is over --max-error (over 1e-6 for `enclave`).
    """
    from nodes.cli.alone import Request, run_alone  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    request = Request(asked.inputs(data, out), asked.wishes(accept_software_enclave=True), out, check)
    raise typer.Exit(finish(run_alone(request, output)))
