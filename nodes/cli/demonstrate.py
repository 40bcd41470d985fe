"""`sublet demo`: one job under each protection, on the bundled data, as a story on one screen each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from nodes.cli import show, story
from nodes.cli.alone import SOFTWARE_WARNING, Done, run_job
from nodes.cli.compare import Sample, sample
from nodes.cli.console import Output, table
from nodes.cli.inputs import Inputs
from nodes.cli.sight import Seen, Sight
from nodes.local import LocalNetwork
from nodes.model_files import read_program
from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED
from nodes.renter.submission import JobOptions
from nodes.scratch import scratch
from nodes.views import orders
from schemas.orders import PROTECTIONS, Protection

ID_COLUMN: Final = "id"
LESSORS: Final = 2
WIDTH: Final = 79
SHOWN_VALUES: Final = 5
ERROR_MAX: Final[dict[Protection, float]] = {CIPHERTEXT.name: 1e-3, ENCLAVE.name: 1e-6, SEALED.name: 1e-3}
"""Largest difference to plaintext with which the demonstration succeeds."""
STORY: Final = (
    "A clinic (renter A12 behind hub A11) has 569 biopsies and a model, and rents\n"
    "compute from two strangers (lessors B12 and B13 behind hub B11). The model's\n"
    "linear part runs there, its sigmoid at the clinic."
)
HOW: Final[dict[Protection, str]] = {
    CIPHERTEXT.name: "strangers compute on ciphertext, without any key",
    ENCLAVE.name: "strangers' enclaves decrypt, compute, and encrypt again",
    SEALED.name: "enclaves encrypt results so that only the clinic opens them",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One protection's run."""

    protection: Protection
    done: Done
    seen: Seen | None
    """The first batch that went to the first lessor."""
    sample: Sample | None
    """One of its rows."""

    @property
    def error(self) -> float | None:
        """Largest difference to plaintext; None when there is no result."""
        return None if self.done.comparison is None else self.done.comparison.max_abs_error

    @property
    def good(self) -> bool:
        """Whether the job completed and its difference is small enough."""
        return self.error is not None and self.error <= ERROR_MAX[self.protection]


async def demonstrate(output: Output, *, verbose: bool = False) -> int:
    """Run and show all protections; exit code 1 when one of them failed or differed too much."""
    output.text(STORY)
    data = resources.files("nodes.demo")
    with (
        resources.as_file(data / "breast_cancer.csv") as rows,
        resources.as_file(data / "breast_cancer_linear.onnx") as program,
        resources.as_file(data / "sigmoid.onnx") as local,
        scratch() as folder,
    ):
        inputs = Inputs(rows, read_program(program), read_program(local))
        async with LocalNetwork(folder, lessors=LESSORS) as network:
            shown = [await _one(network, inputs, protection, output, verbose) for protection in PROTECTIONS]
    _summary(shown, output)
    output.result([_value(each) for each in shown])
    return 0 if all(each.good for each in shown) else 1


async def _one(network: LocalNetwork, inputs: Inputs, protection: Protection, output: Output, verbose: bool) -> Shown:
    output.text("", headline(f"{protection}: {HOW[protection]}"))
    wishes = JobOptions(protection=protection, id_column=ID_COLUMN, lessors=LESSORS, accept_software_enclave=True)
    sight = Sight()
    with network.server.observed(sight):
        done = await run_job(network, inputs, wishes, output, check=True, quiet=not verbose)
    first, row = sight.first, None
    if first is not None and done.comparison is not None:
        row = await asyncio.to_thread(sample, inputs, wishes, done.report, first.first_row, first.rows)
    shown = Shown(protection, done, first, row)
    output.text(*_told(shown))
    show.say_why(output, done.report)
    if verbose:
        behind = await orders.of_job(network.store, done.report.id)
        output.text(show.job_orders_table(behind), *show.detail_lines(done.report))
    return shown


def headline(text: str) -> str:
    """Across the screen."""
    return f"{text} " + "─" * (WIDTH - 1 - len(text))


def _told(shown: Shown) -> Iterator[str]:
    report = shown.done.report
    yield f"job         {report.id}: {report.phase} in {report.seconds:.2f} s"
    yield from story.rents(report)
    yield f"stays here  {report.rows - sum(each.rows for each in report.contracts):,} rows; and the sigmoid of all"
    if shown.sample is not None:
        values = ", ".join(f"{each:g}" for each in shown.sample.columns[:SHOWN_VALUES])
        count = len(shown.sample.columns)
        yield f"goes out    biopsy {shown.sample.name}: {values}, … ({count} numbers), encrypted"
    yield from story.saw(report, shown.seen)
    if shown.sample is not None:
        here, plain = (f"{each:.6f}" for each in (shown.sample.found, shown.sample.expected))
        yield f"comes back  biopsy {shown.sample.name}: malignant with {here}; in plaintext {plain}"
    if shown.error is not None:
        allowed = f"{shown.error:.1e} at most, {ERROR_MAX[shown.protection]:.0e} allowed"
        same = "equal" if shown.good else "DIFFER FROM"
        yield f"check       all {report.rows:,} results {same} plaintext: off by {allowed}"
    yield from story.cost(report)


def _summary(shown: list[Shown], output: Output) -> None:
    made = table("", "protection", "#rows", "#seconds", "#largest difference", "#allowed", "")
    for each in shown:
        report = each.done.report
        error = "no result" if each.error is None else f"{each.error:.2e}"
        counts = (f"{report.rows_done:,}", f"{report.seconds:.2f}", error, f"{ERROR_MAX[each.protection]:.0e}")
        made.add_row(each.protection, *counts, "ok" if each.good else "FAILED")
    output.text("", headline("against plaintext"), made, f"{ENCLAVE.name} and {SEALED.name}: {SOFTWARE_WARNING}.")
    output.text("What decided all this, with its numbers: sublet demo --verbose")


def _value(shown: Shown) -> dict[str, Any]:
    value = show.as_value(shown.done.report) | {"output": None}
    return value | {"max_abs_error": shown.error, "ok": shown.good}
