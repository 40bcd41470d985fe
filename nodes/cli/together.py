"""`sublet run --joint`: a joint job on two tables that are both here, each party's with a node of its own."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from nodes.cli import show
from nodes.cli.alone import SOFTWARE_WARNING, run_job, say
from nodes.cli.console import Output
from nodes.cli.files import write_result
from nodes.cli.inputs import Inputs
from nodes.cli.pooled import AgainstPooled, Linear, Side, against_pooled, rows_in_common
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.data.table import open_table
from nodes.joint.categories import Encoding
from nodes.local import LOCAL_PARTNER, LOCAL_RENTER, LocalNetwork
from nodes.local_partner import partner_for
from nodes.renter.submission import JobOptions
from nodes.views import journal, parts
from nodes.views.errors import UnknownJob
from nodes.views.jobs import JobReport
from nodes.views.parts import PartReport
from schemas.errors import BadConfig, BadData, VerificationFailed

INTERCEPT: Final = "intercept"


@dataclass(frozen=True, slots=True)
class JointRequest:
    """What the user asked for; `wishes.joint` is of the partner that `partner_of` names."""

    inputs: Inputs
    wishes: JobOptions
    other: Path
    other_id_column: str | None
    out: Path | None
    check: bool

    def require(self) -> None:
        """Raises BadInput: what can be told before a network is started."""
        joint = self.wishes.joint
        if not self.other.is_file():
            raise BadData(f"there is no file {self.other} for --joint")
        if joint is None or (joint.fitting is None and not joint.program):
            raise BadConfig("say what to compute with --joint: --algorithm and --label, or --partner-program")
        if self.wishes.id_column is None or self.other_id_column is None:
            raise BadConfig("rows of both tables are found by their ids: name them by --id-column", field="id_column")
        if self.check and (joint.fitting is None or not joint.fitting.algorithm.partner_coefficients):
            raise BadConfig("--check with --joint compares weights: it needs --algorithm, and those of both parties")


@dataclass(frozen=True, slots=True)
class Ended:
    """A joint job that is over, as both sides know it."""

    report: JobReport
    part: PartReport | None
    """None when the partner was never asked."""
    said: tuple[str, ...]
    """Why the partner refused, in words that are for itself."""

    @property
    def linear(self) -> Linear | None:
        """The whole model; None where none was fitted, or the partner's weights are withheld."""
        if self.report.output is None or self.part is None or not self.part.weights:
            return None
        *mine, constant = self.mine.values()
        return Linear(np.array([*mine, *self.part.weights.values()]), constant + self.part.offset)

    @property
    def mine(self) -> dict[str, float]:
        """The renter's weights, and last the constant."""
        assert self.report.output is not None
        table = open_table(self.report.output)
        return dict(zip(table.ids(0, table.rows), table.read(0, table.rows)[:, 0].tolist(), strict=True))


def partner_of(other: Path) -> tuple[str, str]:
    """The partner who has this table, and what it calls it."""
    return LOCAL_PARTNER, re.sub(r"[^\w.-]", "_", other.name)


async def run_together(request: JointRequest, output: Output) -> int:
    """Run one joint job; the exit code.

    Raises:
        SubletError: before the job began, or what came out is not the model of all columns.
    """
    request.require()
    output.note(SOFTWARE_WARNING)
    with tempfile.TemporaryDirectory(prefix="sublet-") as folder:
        async with network_for(request, Path(folder)) as network:
            ended = await run_both(network, request, output)
        against = await asyncio.to_thread(compared, ended, request) if request.check else None
        return _deliver(ended, against, request, output)


def network_for(request: JointRequest, folder: Path) -> LocalNetwork:
    """A network, not yet started, whose partner has the other table and allows what is asked."""
    assert request.wishes.joint is not None
    reading = replace(request.wishes.reading, columns=(), id_column=request.other_id_column)
    partner = partner_for(LOCAL_RENTER, request.wishes.joint, request.other, reading, policy_in(folder))
    return LocalNetwork(folder / "network", lessors=request.wishes.lessors, partner=partner)


def policy_in(folder: Path) -> Path:
    """The partner's, of such a network."""
    return folder / "policy.toml"


async def run_both(network: LocalNetwork, request: JointRequest, output: Output) -> Ended:
    """Submit and watch the job, and see what the partner has of it."""
    done = await run_job(network, request.inputs, request.wishes, output, check=False)
    assert network.partner_store is not None
    try:
        part = await parts.part(network.partner_store, done.report.id)
        lines = await journal.explain(network.partner_store, done.report.id)
    except UnknownJob:
        return Ended(done.report, None, ())
    notes = (note for line in lines for note in line["notes"])
    return Ended(done.report, part, tuple(note["text"] for note in notes if note["kind"] == "unfit" and note["text"]))


def compared(ended: Ended, request: JointRequest) -> AgainstPooled | None:
    """The model beside one of all columns; None where none was fitted."""
    joint, fit = ended.linear, None if ended.report.joint is None else ended.report.joint.fit
    if joint is None or fit is None or ended.part is None:
        return None
    assert request.wishes.joint is not None
    assert request.wishes.joint.fitting is not None
    fitting, reading = request.wishes.joint.fitting, replace(request.wishes.reading, columns=())
    mine, theirs = Encoding.of(fit.columns, fit.texts, fitting.label), Encoding.of(ended.part.columns, ended.part.texts)
    here = Side(request.inputs.data, mine, reading)
    there = Side(request.other, theirs, replace(reading, id_column=request.other_id_column))
    return against_pooled(rows_in_common(here, there), joint, fitting)


def weights(ended: Ended, request: JointRequest) -> Iterator[tuple[str, str, float]]:
    """Column, file and weight; the constant belongs to no file."""
    if ended.report.output is None or ended.report.joint is None or ended.report.joint.fit is None:
        return
    assert ended.part is not None
    *mine, (_, constant) = ended.mine.items()
    yield from ((name, request.inputs.data.name, weight) for name, weight in mine)
    yield from ((name, request.other.name, weight) for name, weight in ended.part.weights.items())
    yield INTERCEPT, "", constant + ended.part.offset


def pooled_line(against: AgainstPooled) -> str:
    """A comparison in words."""
    return (
        f"scores differ from those of a model of all columns in one place by {against.scores_error:.1e} of their "
        f"spread, weights by {against.weights_error:.1e} of the largest; {against.figure} here alone "
        f"{against.alone:.4f}, joint {against.joint:.4f}, all columns in one place {against.pooled:.4f}"
    )


def _deliver(ended: Ended, against: AgainstPooled | None, request: JointRequest, output: Output) -> int:
    report, out, found = ended.report, request.out, list(weights(ended, request))
    with tempfile.TemporaryDirectory(prefix="sublet-out-") as folder:
        result = _table(found, Path(folder) / "weights") if found else report.output
        if result is not None and (out is not None or not output.as_json):
            _write(result, ended, against, request, output)
    value: dict[str, Any] = show.as_value(report) | {"output": out if report.output is not None else None}
    value |= {"weights": [{"column": name, "file": file, "weight": weight} for name, file, weight in found]}
    omitted = () if ended.part is None else ended.part.omitted
    output.result(value | {"pooled": against, "partner_said": ended.said, "partner_omitted": omitted})
    if report.output is None:
        say(show.job_lines(report), out, output)
    show.say_why(output, report, said=[f"{request.other.name}: {each}" for each in ended.said])
    if against is not None and not against.good:
        raise VerificationFailed(pooled_line(against), code="different-from-pooled")
    return show.exit_code(report)


def _write(result: Path, ended: Ended, against: AgainstPooled | None, request: JointRequest, output: Output) -> None:
    lines = show.job_lines(ended.report)
    if ended.part is not None and ended.part.omitted:
        lines += [f"{request.other.name}:", *show.omitted_lines(ended.part.omitted)]
    if against is not None:
        lines.append(f"check       {pooled_line(against)}")
    if request.out is not None:
        write_result(result, request.out)
        lines.append(f"output      {request.out}")
    say(lines, request.out, output)
    if request.out is None:
        write_result(result, None)


def _table(found: list[tuple[str, str, float]], folder: Path) -> Path:
    names, files, values = zip(*found, strict=True)
    columns = (Column("column", "text"), Column("file", "text"), Column("weight"))
    write_table(folder, columns, [Block(np.array(values)[:, None], (list(names), list(files)))], id_column="column")
    return folder
