"""`sublet demo --joint`: a hospital and an insurer have columns of the same people; the bundled data is parted so."""

from __future__ import annotations

import asyncio
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from nodes.cli import show, story
from nodes.cli.alone import SOFTWARE_WARNING
from nodes.cli.console import Output
from nodes.cli.demonstrate import WIDTH, headline
from nodes.cli.demonstrate_files import HOSPITAL, ID_COLUMN, INSURER, LABEL, PROGRAMS, lay_down
from nodes.cli.inputs import Inputs
from nodes.cli.pooled import SCORES_ERROR_MAX, AgainstPooled
from nodes.cli.replayed import ERROR_MAX
from nodes.cli.together import Ended, JointRequest, against_all, network_for, partner_of, policy_in, replay, run_both
from nodes.cli.together_results import weights
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.local_partner import allow
from nodes.model_files import read_program
from nodes.renter.invitation import Invitation
from nodes.renter.submission import JobOptions
from nodes.views.parts import summed
from schemas.joint import PENALTIES_PER_ROW, Algorithm, Fitting, Learned

ROUNDS: Final = 3
SHOWN_WEIGHTS: Final = 3
"""Of each side: the largest, of standardised columns."""
PARTIES: Final = {"renter": "hospital", "partner": "insurer", "lessor": "enclaves"}
STORY: Final = (
    "A hospital (A12 behind hub A11) has 549 patients: 10 columns and the diagnosis.\n"
    "An insurer (C12 behind C11) has 20 other columns of 549 people. Neither shows\n"
    "the other a row. Enclaves that the hospital rents (B12 and B13 behind B11)\n"
    "encrypt for it, and send straight to the insurer, who computes on ciphertext."
)


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
    output.text("", headline("A sum of both, in three rounds"))
    ended = await run_both(network, request, output)
    against = await asyncio.to_thread(replay, ended, request)
    if against is None:
        return _failed(ended, output)
    offsets, found, expected = (each[:, 0].tolist() for each in (against.parameters, against.found, against.expected))
    rows = zip(offsets, found, expected, strict=True)
    output.text(
        *_routes(ended),
        f"rows        {_rows(ended)}",
        f"rounds      {'offset':>10}{'more malignant at the hospital':>34}{'in plaintext':>16}",
        *(
            f"  {number:<10}{at:>10.4f}{surplus:>34.6f}{plain:>16.6f}"
            for number, (at, surplus, plain) in enumerate(rows, 1)
        ),
        f"check       {against.error:.1e} of what is added up off plaintext, {_allowed(ERROR_MAX, against.good)}",
        *story.saw(ended.report),
        *story.cost(ended.report),
        *_learned(ended),
    )
    sums = {"offsets": offsets, "found": found, "expected": expected}
    return show.as_value(ended.report) | {"sums": sums, "error": against.error, "ok": against.good}


async def _model(network: LocalNetwork, request: JointRequest, output: Output) -> dict[str, Any]:
    output.text("", headline("A logistic model of both"))
    ended = await run_both(network, request, output)
    against = await asyncio.to_thread(against_all, ended, request)
    if against is None or ended.report.joint is None or ended.report.joint.fit is None:
        return _failed(ended, output)
    fit, found = ended.report.joint.fit, list(weights(ended, request))
    alone, joint, pooled = (f"{each:.4f}" for each in (against.alone, against.joint, against.pooled))
    output.text(
        f"rows        {_rows(ended)}",
        f"            {fit.moved} stood alone in the hospital's columns, and were moved towards the mean",
        f"weights     {'of standardised columns, the largest':<43}{'joint':>12}{'pooled':>12}",
        *_largest(found, against),
        f"check       {against.scores_error:.1e} of the spread off pooled scores, "
        f"{_allowed(SCORES_ERROR_MAX, against.good)}",
        f"auc         hospital alone {alone}, joint {joint}, pooled in one place {pooled}",
        f"note        approximate: {fit.approximate}",
        *story.cost(ended.report),
        *_learned(ended),
    )
    listed = [{"column": name, "file": file, "weight": weight} for name, file, weight in found]
    return show.as_value(ended.report) | {"weights": listed, "pooled": against, "ok": against.good}


def _failed(ended: Ended, output: Output) -> dict[str, Any]:
    show.say_why(output, ended.report)
    return show.as_value(ended.report) | {"ok": False}


def _routes(ended: Ended) -> Iterator[str]:
    """The way to the first lessor and from there to the partner; the others' are the same."""
    yield from (f"route       {way}" for way in ended.report.route[:: len(ended.report.route) // 2])


def _rows(ended: Ended) -> str:
    """How many were found."""
    (count,) = (each.count for each in _ledger(ended) if (each.party, each.kind) == ("renter", "rows-in-common"))
    return f"{count:,} in common, found by private set intersection of the ids"


def _largest(found: Sequence[tuple[str, str, float]], against: AgainstPooled) -> Iterator[str]:
    """The largest weights of either side."""
    for file in (HOSPITAL, INSURER):
        own = [(name, *pair) for (name, of, _), pair in zip(found, against.standard, strict=False) if of == file]
        for name, joint, pooled in sorted(own, key=lambda each: -abs(each[1]))[:SHOWN_WEIGHTS]:
            yield f"  {file.partition('.')[0]:<10}{name:<43}{joint:>+12.4f}{pooled:>+12.4f}"


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
