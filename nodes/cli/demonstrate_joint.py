"""`sublet demo --joint`: a hospital and an insurer have columns of the same people; the bundled data is parted so."""

from __future__ import annotations

import asyncio
import csv
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nodes.cli import show
from nodes.cli.alone import SOFTWARE_WARNING
from nodes.cli.console import Output
from nodes.cli.demonstrate_files import HOSPITAL, ID_COLUMN, INSURER, LABEL, PROGRAMS, lay_down
from nodes.cli.inputs import Inputs
from nodes.cli.pooled import SCORES_ERROR_MAX, AgainstPooled, Both, Side, rows_in_common
from nodes.cli.together import Ended, JointRequest, compared, network_for, partner_of, policy_in, run_both, weights
from nodes.data.reading import Reading
from nodes.data.table import open_table
from nodes.joint.categories import Encoding
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.local_partner import allow
from nodes.model_files import read_program
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from nodes.renter.invitation import Invitation
from nodes.renter.submission import JobOptions
from nodes.views.parts import summed
from schemas.joint import PENALTIES_PER_ROW, Algorithm, Fitting, Learned

ROUNDS: Final = 3
SUMS_ERROR_MAX: Final = 1e-6
"""Of the largest sum, with which the demonstration succeeds."""
SHOWN_WEIGHTS: Final = 3
"""Of each side: the largest, of standardised columns."""
WIDTH: Final = 96
PARTIES: Final = {"renter": "hospital", "partner": "insurer", "lessor": "enclaves"}
STORY: Final = (
    "A hospital (A12 behind hub A11) has 549 patients: 10 columns and the diagnosis. An insurer (C12\n"
    "behind C11) has 20 other columns of 549 people. Neither shows the other a row. Enclaves that the\n"
    "hospital rents (B12 and B13 behind B11) encrypt for it, and send straight to the insurer, who\n"
    "computes on ciphertext."
)


@dataclass(frozen=True, slots=True)
class Sums:
    """The rounds of the first job, and what they are in plaintext."""

    offsets: tuple[float, ...]
    found: tuple[float, ...]
    expected: tuple[float, ...]

    @property
    def error(self) -> float:
        """Largest difference, as a part of the largest sum."""
        differences = (abs(a - b) for a, b in zip(self.found, self.expected, strict=True))
        return max(differences) / max(map(abs, self.expected))


async def demonstrate_joint(files: Path | None, output: Output) -> int:
    """Run and show both jobs; exit code 1 when one of them failed or came out otherwise than on pooled data.

    Args:
        files: a new folder for both parties' tables and programs, which stays; by default a temporary one.
        output: for the story.

    Raises:
        BadConfig: the folder is there already, or cannot be made.
    """
    output.text(STORY)
    output.note(SOFTWARE_WARNING)
    with tempfile.TemporaryDirectory(prefix="sublet-demo-") as folder:
        made = lay_down(Path(folder) / "files" if files is None else files)
        sums, model = _request(made, _rounds(made)), _request(made, _fit())
        async with network_for(model, Path(folder)) as network:
            allow(LOCAL_RENTER, _rounds(made), policy_in(Path(folder)))
            first = await _sums(network, sums, output)
            allow(LOCAL_RENTER, _fit(), policy_in(Path(folder)))
            second = await _model(network, model, output)
    output.result({"rounds": first, "model": second})
    if files is not None:
        output.text(f"\nfiles       {files}: {', '.join((HOSPITAL, INSURER, *PROGRAMS))}")
    return 0 if first["ok"] and second["ok"] else 1


# ---------------------------------------------------------------- what is asked


def _request(folder: Path, invitation: Invitation) -> JointRequest:
    program = b"" if invitation.fitting is not None else read_program(folder / PROGRAMS[0])
    wishes = JobOptions(id_column=ID_COLUMN, accept_software_enclave=True, joint=invitation)
    return JointRequest(Inputs(folder / HOSPITAL, program), wishes, folder / INSURER, ID_COLUMN, None, check=True)


def _rounds(folder: Path) -> Invitation:
    partner, dataset = partner_of(Path(INSURER))
    programs = (read_program(folder / name) for name in PROGRAMS[1:])
    return Invitation(partner=partner, dataset=dataset, rounds=ROUNDS, program=next(programs), update=next(programs))


def _fit() -> Invitation:
    partner, dataset = partner_of(Path(INSURER))
    algorithm = Algorithm(name="logistic", penalty_per_row=PENALTIES_PER_ROW["logistic"])
    fitting = Fitting(algorithm=algorithm, label=LABEL, outliers="move")
    return Invitation(partner=partner, dataset=dataset, fitting=fitting)


# ---------------------------------------------------------------- the story


async def _sums(network: LocalNetwork, request: JointRequest, output: Output) -> dict[str, Any]:
    _headline("A sum of both, in three rounds", output)
    ended = await run_both(network, request, output)
    if ended.report.output is None:
        return _failed(ended, output)
    sums, offset = await asyncio.to_thread(_plaintext, ended.report.output, request), "offset"
    good = sums.error <= SUMS_ERROR_MAX
    rows = zip(sums.offsets, sums.found, sums.expected, strict=True)
    output.text(
        *(f"route       {way}" for way in ended.report.route),
        f"rows        {_rows(ended)}",
        f"rounds      {offset:>10}{'more malignant at the hospital':>34}{'in plaintext':>16}",
        *(
            f"  {number:<10}{at:>10.4f}{found:>34.6f}{plain:>16.6f}"
            for number, (at, found, plain) in enumerate(rows, 1)
        ),
        f"check       {sums.error:.1e} of the largest sum off plaintext, {_allowed(SUMS_ERROR_MAX, good)}",
        *_learned(ended),
    )
    return show.as_value(ended.report) | {"sums": sums, "error": sums.error, "ok": good}


async def _model(network: LocalNetwork, request: JointRequest, output: Output) -> dict[str, Any]:
    _headline("A logistic model of both", output)
    ended = await run_both(network, request, output)
    against = await asyncio.to_thread(compared, ended, request)
    if against is None or ended.report.joint is None or ended.report.joint.fit is None:
        return _failed(ended, output)
    fit, found = ended.report.joint.fit, list(weights(ended, request))
    alone, joint, pooled = (f"{each:.4f}" for each in (against.alone, against.joint, against.pooled))
    output.text(
        f"rows        {_rows(ended)}",
        f"            {fit.moved} stood alone in the hospital's columns, and were moved towards the mean",
        f"weights     {'of standardised columns, the largest':<54}{'joint':>12}{'pooled':>12}",
        *_largest(found, against),
        f"check       {against.scores_error:.1e} of the spread off the scores of the pooled model, "
        f"{_allowed(SCORES_ERROR_MAX, against.good)}",
        f"auc         on these rows: hospital alone {alone}, joint {joint}, pooled in one place {pooled}",
        f"approximate {fit.approximate}",
        *_learned(ended),
    )
    listed = [{"column": name, "file": file, "weight": weight} for name, file, weight in found]
    return show.as_value(ended.report) | {"weights": listed, "pooled": against, "ok": against.good}


def _plaintext(found: Path, request: JointRequest) -> Sums:
    """The same rounds, here, of both tables."""
    joint = request.wishes.joint
    assert joint is not None
    assert joint.update is not None
    enclaves, insurer, hospital = (check(each) for each in (request.inputs.program, joint.program, joint.update))
    both, offset, offsets, expected = _both(request, enclaves.input_names[:-1]), 0.0, [], []
    for _ in range(ROUNDS):
        moved = np.column_stack([both.mine, np.full(len(both.mine), offset)])
        surplus = evaluate(insurer, np.column_stack([evaluate(enclaves, moved), both.theirs])).item()
        offsets.append(offset)
        expected.append(surplus)
        offset = evaluate(hospital, np.array([[surplus, offset]])).item()
    table = open_table(found)
    return Sums(tuple(offsets), tuple(table.read(0, table.rows)[:, 0].tolist()), tuple(expected))


def _both(request: JointRequest, columns: tuple[str, ...]) -> Both:
    with request.other.open(encoding="utf-8", newline="") as file:
        theirs = tuple(next(csv.reader(file))[1:])
    reading = Reading(ID_COLUMN)
    mine, others = (Encoding(numbers=each) for each in ((*columns, LABEL), theirs))
    return rows_in_common(Side(request.inputs.data, mine, reading), Side(request.other, others, reading))


def _headline(title: str, output: Output) -> None:
    output.text(f"\n{title} " + "─" * (WIDTH - 1 - len(title)))


def _failed(ended: Ended, output: Output) -> dict[str, Any]:
    show.say_why(output, ended.report)
    return show.as_value(ended.report) | {"ok": False}


def _rows(ended: Ended) -> str:
    """How many were found."""
    (count,) = (each.count for each in _ledger(ended) if (each.party, each.kind) == ("renter", "rows-in-common"))
    return f"{count:,} in common, found by private set intersection of the ids"


def _largest(found: Sequence[tuple[str, str, float]], against: AgainstPooled) -> Iterator[str]:
    """The largest weights of either side."""
    for file in (HOSPITAL, INSURER):
        own = [(name, *pair) for (name, of, _), pair in zip(found, against.standard, strict=False) if of == file]
        for name, joint, pooled in sorted(own, key=lambda each: -abs(each[1]))[:SHOWN_WEIGHTS]:
            yield f"  {file.partition('.')[0]:<10}{name:<54}{joint:>+12.4f}{pooled:>+12.4f}"


def _learned(ended: Ended) -> Iterator[str]:
    """The ledger, a line per party: how many numbers of what."""
    by: dict[str, list[str]] = {}
    for party, kind, _, count, _ in summed(_ledger(ended)):
        by.setdefault(party, []).append(f"{kind}\u00a0{count:,}")
    for at, (party, said) in enumerate(by.items()):
        first, whole = f"{'learned' if not at else '':<12}{PARTIES[party]:<10}", ", ".join(said)
        lines = textwrap.wrap(
            whole, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
        )
        yield from (line.replace("\u00a0", " ") for line in lines)


def _ledger(ended: Ended) -> tuple[Learned, ...]:
    return () if ended.report.joint is None else ended.report.joint.ledger


def _allowed(most: float, good: bool) -> str:
    return f"{most:.0e} allowed: {'ok' if good else 'FAILED'}"
