"""`sublet run` and `sublet demo`: a whole network in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish

_LOG_LEVEL = "warning"
"""Of a network in this process: what goes on is shown as progress."""


def add_to(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("demo")(demo)
    app.command("run")(run)


def demo(*, as_json: o.Json = False) -> None:
    """Three protections, one after the other, on bundled data; each compared with plaintext."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.cli.demonstrate import demonstrate  # noqa: PLC0415
    from nodes.cli.logs import configure_logs  # noqa: PLC0415

    configure_logs(_LOG_LEVEL)
    code = finish(demonstrate(Output(as_json=as_json)))
    raise typer.Exit(code)


def run(
    data: o.Data,
    *,
    program: o.Program = None,
    linear: o.Linear = None,
    aggregate: o.Aggregate = None,
    local_program: o.LocalProgram = None,
    id_column: o.IdColumn = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="OUT.csv", help="Where the result goes; by default to stdout.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compute in plaintext too and report the largest difference.")
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
    """One job on your data, with hubs, renter and lessors in this process.

    The enclaves of this network are software enclaves: they show how it works and are not confidential.
    With --check the exit code is 5 when the largest difference is over --max-error (over 1e-6 for `enclave`).
    """
    from nodes.cli.alone import Request, run_alone  # noqa: PLC0415
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.cli.inputs import read_inputs  # noqa: PLC0415
    from nodes.cli.logs import configure_logs  # noqa: PLC0415
    from nodes.renter.submission import JobOptions  # noqa: PLC0415

    configure_logs(_LOG_LEVEL)
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
        accept_software_enclave=True,
    )
    inputs = read_inputs(data, program, linear, aggregate, local_program)
    code = finish(run_alone(Request(inputs, wishes, out, check), Output(as_json=as_json)))
    raise typer.Exit(code)
