"""`sublet run` and `sublet demo`: a whole network in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output
from schemas.errors import BadConfig


def add_to(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("demo")(demo)
    app.command("run")(run)


def demo(
    *,
    joint: Annotated[
        bool, typer.Option("--joint", help="Instead: a hospital and an insurer, who have columns of the same people.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="FOLDER", help="With --joint: leave both parties' tables and programs there."),
    ] = None,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """Three protections, one after the other, on bundled data; each compared with plaintext."""
    output = quiet_output(as_json=as_json)
    if joint:
        from nodes.cli.demonstrate_joint import demonstrate_joint  # noqa: PLC0415

        raise typer.Exit(finish(demonstrate_joint(files, output)))
    if files is not None:
        raise BadConfig("--files is of the demonstration of two parties: add --joint", field="files")
    from nodes.cli.demonstrate import demonstrate  # noqa: PLC0415

    raise typer.Exit(finish(demonstrate(output, verbose=verbose)))


@o.asking
def run(
    data: o.Data,
    asked: o.Asked,
    together: o.Together,
    *,
    joint: Annotated[
        Path | None,
        typer.Option(
            "--joint",
            metavar="OTHER.csv",
            help="The table of another party, which this process plays too: what it has of the same rows.",
            rich_help_panel="Partner",
        ),
    ] = None,
    joint_id_column: Annotated[
        str | None,
        typer.Option(
            "--joint-id-column",
            metavar="NAME",
            help="That names its rows; by default as --id-column.",
            rich_help_panel="Partner",
        ),
    ] = None,
    score: Annotated[
        Path | None,
        typer.Option(
            "--score",
            metavar="NEW.csv",
            help="With --algorithm: then score these rows; the result is their scores. Where the label is there, it is "
            "told how good they are.",
            rich_help_panel="Partner",
        ),
    ] = None,
    score_joint: Annotated[
        Path | None,
        typer.Option(
            "--score-joint",
            metavar="OTHER_NEW.csv",
            help="The other party's columns of the rows to score; by default in OTHER.csv too.",
            rich_help_panel="Partner",
        ),
    ] = None,
    out: o.ResultOut = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compute in plaintext too and report the largest difference.")
    ] = False,
    verbose: o.Verbose = False,
    as_json: o.Json = False,
) -> None:
    """One job on your data, with hubs, renter and lessors in this process.

    The enclaves of this network are software enclaves: they show how it works and are not confidential.
    With --check the exit code is 5 when the largest difference is over --max-error (over 1e-6 for `enclave`).

    With --joint the rows that two tables have in common are computed on, and neither party sees the other's. --check
    then fits the same model to all columns in one place, and allows its scores a difference of 1 % of their spread; or
    runs the same programs on both tables, and allows a millionth of what is added up.
    """
    output = quiet_output(as_json=as_json)
    if joint is None:
        if (together, joint_id_column, score, score_joint) != (o.Together(), None, None, None):
            raise BadConfig("these options are of a job with a partner: name its table by --joint", field="joint")
        from nodes.cli.alone import Request, run_alone  # noqa: PLC0415

        request = Request(asked.inputs(data, out), asked.wishes(accept_software_enclave=True), out, check, verbose)
        raise typer.Exit(finish(run_alone(request, output)))
    if score is None and score_joint is not None:
        raise BadConfig("--score-joint is of rows to score: name them by --score", field="score_joint")
    from nodes.cli.inputs import require_no_input  # noqa: PLC0415
    from nodes.cli.run_joint import run_joint  # noqa: PLC0415
    from nodes.cli.together import JointRequest, Scoring, partner_of  # noqa: PLC0415

    require_no_input(out, (joint, score, score_joint))
    inputs = asked.inputs(data, out, fits=together.algorithm is not None)
    invitation = together.invitation(*partner_of(joint))
    wishes = asked.wishes(accept_software_enclave=True, joint=invitation)
    scoring = None if score is None else Scoring(score, score_joint or joint)
    ids = joint_id_column or asked.id_column
    raise typer.Exit(finish(run_joint(JointRequest(inputs, wishes, joint, ids, out, check, scoring), output)))
