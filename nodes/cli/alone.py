"""One job in a network that lives in this process: what `sublet run` does, and `sublet demo` three times."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.cli import show
from nodes.cli.compare import Comparison, compare
from nodes.cli.console import JobProgress, Output
from nodes.cli.inputs import Inputs
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.jobs import SOFTWARE_NOTE, JobReport
from schemas.errors import BadConfig, JobFailed, VerificationFailed

SOFTWARE_WARNING: Final = f"this network's enclaves are software, {SOFTWARE_NOTE}"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    inputs: Inputs
    wishes: JobOptions
    out: Path | None
    check: bool


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
    if request.out is not None and not request.out.absolute().parent.is_dir():
        raise BadConfig(f"there is no folder {request.out.absolute().parent} for --out", field="out")
    output.note(SOFTWARE_WARNING)
    with tempfile.TemporaryDirectory(prefix="sublet-") as folder:
        async with LocalNetwork(Path(folder), lessors=request.wishes.lessors) as network:
            done = await run_job(network, request.inputs, request.wishes, output, check=request.check)
        return _deliver(done, request.out, output)


async def run_job(network: LocalNetwork, inputs: Inputs, wishes: JobOptions, output: Output, *, check: bool) -> Done:
    """Stage, submit and watch one job until it ends; compare it when asked to.

    Raises:
        SubletError: the job cannot be submitted, or its output is of other rows than its input.
    """
    staging = asyncio.to_thread(network.stage, inputs.data, inputs.program, inputs.local_program, wishes)
    spec = await staging
    await network.submit(spec)
    report: JobReport | None = None
    with JobProgress(output) as progress:
        async for report in network.watch(spec.id):
            progress.show(report)
    if report is None:
        raise JobFailed(f"nothing was heard of {spec.id}")
    if not check or report.phase != "completed":
        return Done(report, None)
    output.note("comparing with plaintext")
    return Done(report, await asyncio.to_thread(compare, inputs, wishes.id_column, report, wishes.max_error))


def copy_result(source: Path, target: Path) -> None:
    """The job's output to where the user wants it, whole or not at all.

    Raises:
        BadConfig: it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=target.absolute().parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = Path(file.name)
        try:
            shutil.copyfile(source, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadConfig(f"cannot write {target}: {error.strerror or error}", field="out") from error


def print_result(source: Path) -> None:
    """The job's output to stdout."""
    with source.open(encoding="utf-8", newline="") as file:
        shutil.copyfileobj(file, sys.stdout)
    sys.stdout.flush()


def difference(comparison: Comparison) -> str:
    """A comparison in words."""
    return (
        f"largest difference to plaintext {comparison.max_abs_error:.2e} over {comparison.rows:,} rows, "
        f"allowed {comparison.tolerance:.2e}"
    )


def _deliver(done: Done, out: Path | None, output: Output) -> int:
    report, comparison = done.report, done.comparison
    completed = report.phase == "completed" and report.output is not None
    if completed and report.output is not None and out is not None:
        copy_result(report.output, out)
    value = show.as_value(report) | {"output": out if completed else None}
    if comparison is not None:
        value |= {"max_abs_error": comparison.max_abs_error, "tolerance": comparison.tolerance}
    output.result(value)
    _say(done, out, output)
    if completed and report.output is not None and out is None and not output.as_json:
        print_result(report.output)
    if report.phase == "failed":
        output.note(f"sublet: {report.id} failed: {report.reason}")
    if comparison is not None and not comparison.good:
        raise _different(comparison)
    return show.exit_code(report)


def _say(done: Done, out: Path | None, output: Output) -> None:
    """The report goes to stdout, or to stderr when stdout gets the rows or JSON."""
    lines = show.job_lines(done.report)
    if done.comparison is not None:
        lines.append(f"check       {difference(done.comparison)}")
    if out is not None and done.report.output is not None:
        lines.append(f"output      {out}")
    if out is not None and not output.as_json:
        output.text(*lines)
    else:
        for line in lines:
            output.progress.print(line, markup=False)


def _different(comparison: Comparison) -> VerificationFailed:
    return VerificationFailed(difference(comparison), code="different-from-plaintext")
