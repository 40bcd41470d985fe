"""One job in a network that lives in this process: what `sublet run` does, and `sublet demo` three times."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from nodes.cli import show
from nodes.cli.compare import Comparison, compare
from nodes.cli.console import Output
from nodes.cli.files import write_result
from nodes.cli.inputs import Inputs
from nodes.cli.progress import ended, follow
from nodes.cli.sight import Seen, Sight
from nodes.cli.tables import Table
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.scratch import scratch
from nodes.views.report import JobReport
from nodes.views.reporting import SOFTWARE_NOTE
from schemas.errors import VerificationFailed

SOFTWARE_WARNING: Final = f"this network's enclaves are software, {SOFTWARE_NOTE}"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    inputs: Inputs
    wishes: JobOptions
    out: Path | None
    check: bool
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """An ended job; `comparison` when it was asked for and the job completed."""

    report: JobReport
    comparison: Comparison | None


async def run_alone(request: Request, output: Output) -> int:
    """Run one job; the exit code.

    Raises:
        SubletError: before the job began.
    """
    output.note(SOFTWARE_WARNING)
    with scratch() as folder:
        async with LocalNetwork(folder, lessors=request.wishes.lessors) as network:
            sight = Sight()
            with network.server.observed(sight):
                done = await run_job(network, request.inputs, request.wishes, output, check=request.check)
        return _deliver(done, request, sight.first, output)


async def run_job(
    network: LocalNetwork, inputs: Inputs, wishes: JobOptions, output: Output, *, check: bool, quiet: bool = False
) -> Done:
    """Stage, submit and watch one job until it ends; compare it when asked to. If `quiet`, without lines of progress.

    Raises:
        SubletError: the job cannot be submitted, or its output is of other rows than its input.
    """
    spec = await asyncio.to_thread(network.stage, inputs.data, inputs.program, inputs.local_program, wishes)
    await network.submit(spec)
    quiet = quiet and not output.progress.is_terminal
    report = await (ended(network.watch(spec.id)) if quiet else follow(network.watch(spec.id), output))
    if not check or report.phase != "completed":
        return Done(report, None)
    if not quiet:
        output.note("comparing with plaintext")
    return Done(report, await asyncio.to_thread(compare, inputs, wishes, report))


def difference(comparison: Comparison) -> str:
    """A comparison in words."""
    near = (
        f"; {comparison.near:,} rows differ by up to {comparison.near_error:.2e}, no more than errors of up to "
        f"{comparison.cut_error:.2e} where the program is cut make of them, which --max-error and rounding allow"
    )
    return (
        f"largest difference to plaintext {comparison.max_abs_error:.2e} over {comparison.rows:,} rows, "
        f"allowed {comparison.tolerance:.2e}{near if comparison.near else ''}"
    )


def _deliver(done: Done, request: Request, seen: Seen | None, output: Output) -> int:
    report, comparison, out = done.report, done.comparison, request.out
    if report.output is not None and out is not None:
        write_result(report.output, out)
    value = show.as_value(report) | {"output": out if report.output is not None else None}
    if comparison is not None:
        value |= {name: number for name, number in asdict(comparison).items() if name != "rows"}
    output.result(value)
    _say(done, request, seen, output)
    if report.output is not None and out is None and not output.as_json:
        write_result(report.output, None)
    show.say_why(output, report)
    if comparison is not None and not comparison.good:
        raise _different(comparison)
    return show.exit_code(report)


def say(lines: list[str | Table], out: Path | None, output: Output) -> None:
    """The report goes to stdout, or to stderr when stdout gets the rows or JSON."""
    if out is not None and not output.as_json:
        output.text(*lines)
    else:
        output.aside(*lines)


def _say(done: Done, request: Request, seen: Seen | None, output: Output) -> None:
    lines, out = show.job_lines(done.report, verbose=request.verbose, seen=seen), request.out
    if done.comparison is not None:
        lines.append(f"check       {difference(done.comparison)}")
    if out is not None and done.report.output is not None:
        lines.append(f"output      {out}")
    say(lines, out, output)


def _different(comparison: Comparison) -> VerificationFailed:
    return VerificationFailed(difference(comparison), code="different-from-plaintext")
