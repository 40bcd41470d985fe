"""`sublet program show`: a program explained before it is a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nodes.cli import options as o
from nodes.cli.console import Output, listed, numbers
from schemas.errors import BadProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nodes.views.program import ProgramView, ProtectionView, ResultView

_MARKS: Final = {"all": "+", "beginning": "+", "nothing": "-"}


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    program = typer.Typer(help="Programs, before they are jobs.", no_args_is_help=True)
    program.callback()(_group)
    program.command("show")(show)
    app.add_typer(program, name="program")


def _group() -> None:
    """Keeps the group's only command a command of the group."""


def show(
    file: Annotated[Path, typer.Argument(metavar="P.onnx", help="The program: an ONNX model.")],
    *,
    as_json: o.Json = False,
) -> None:
    """What a program takes and gives, what of it each protection would run and why not, and how to export it.

    The exit code is 2 when it is refused; what is known of it is shown all the same.
    """
    from nodes.model_files import read_program  # noqa: PLC0415
    from nodes.views.program import explain  # noqa: PLC0415

    output, view = Output(as_json=as_json), explain(read_program(file))
    output.text(*program_lines(file.name, view))
    output.result(view)
    if view.refused:
        output.note(f"sublet: {view.refused}")
        raise typer.Exit(BadProgram.exit_code)


def program_lines(name: str, view: ProgramView) -> Iterator[str]:
    """A program for people."""
    sets = ", ".join(f"{domain} {version}" for domain, version in view.operator_sets.items())
    yield f"program     {name}" + (f", by {view.producer}" if view.producer else "") + (f"; {sets}" if sets else "")
    for what, (size, most) in view.sizes.items():
        yield f"            {what}: {size:,} of at most {most:,}"
    for each in view.inputs:
        yield f"input       {each.name}: {each.type} [{', '.join(map(str, each.shape))}]"
    if view.columns:
        yield f"columns     by name: {listed(view.columns)}"
    elif view.results:
        yield "columns     by position: the program names none; --columns chooses them"
    if view.encoded:
        yield f"encoded     here, before anything travels: {listed(view.encoded)}"
    if view.results:
        yield f"results     {listed([_result(each) for each in view.results])}" + (
            "; one row, the sum over all" if view.sums_rows else ""
        )
    if view.operators:
        yield "operators   " + ", ".join(f"{each} ×{n}" if n > 1 else each for each, n in view.operators.items())
    for protection in view.protections:
        yield f"{_MARKS[protection.runs]} {protection.protection}: {_runs(protection)}"
    for framework in view.frameworks:
        yield f"export      {framework.name}, on ciphertext: {framework.on_ciphertext}"
        yield f"            in enclaves: {framework.in_enclaves}"
        code = framework.lines.splitlines() if view.refused else ()
        yield from (f"            {line}" for line in (framework.beware, *code) if line)


def _result(result: ResultView) -> str:
    if result.kind == "number":
        return result.name
    return f"{result.name} ({result.kind}{': ' if result.texts else ''}{listed(result.texts)})"


def _runs(view: ProtectionView) -> str:
    if view.runs == "nothing":
        return view.reason
    degree = f", degree {view.degree}" if view.degree else ""
    needs = f", with {view.needs}" if view.needs else ""
    if view.cut is None:
        return f"all of it{degree}{needs}"
    at = ", ".join(map(repr, view.cut.at))
    return (
        f"up to {at} ({numbers(view.cut.numbers)}{degree}){needs}, for {view.reason}; "
        f"locally: {', '.join(view.cut.locally)}"
    )
