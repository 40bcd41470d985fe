"""`sublet demo`: one job under each protection, on the bundled data, everything shown."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from nodes.cli import show
from nodes.cli.alone import SOFTWARE_WARNING, Done, run_job
from nodes.cli.console import Output, table
from nodes.cli.inputs import Inputs
from nodes.local import LocalNetwork
from nodes.model_files import read_program
from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED
from nodes.renter.submission import JobOptions
from nodes.scratch import scratch
from nodes.views import orders
from schemas.orders import PROTECTIONS, Protection

ID_COLUMN: Final = "id"
LESSORS: Final = 2
ERROR_MAX: Final[dict[Protection, float]] = {CIPHERTEXT.name: 1e-3, ENCLAVE.name: 1e-6, SEALED.name: 1e-3}
"""Largest difference to plaintext with which the demonstration succeeds."""
STORY: Final = (
    "A clinic (renter A12 behind hub A11) has 569 biopsies and a model, and rents compute from two strangers\n"
    "(lessors B12 and B13 behind hub B11). The model's linear part runs there, its sigmoid at the clinic."
)


@dataclass(frozen=True, slots=True)
class Shown:
    """One protection's run."""

    protection: Protection
    done: Done

    @property
    def error(self) -> float | None:
        """Largest difference to plaintext; None when there is no result."""
        return None if self.done.comparison is None else self.done.comparison.max_abs_error

    @property
    def good(self) -> bool:
        """Whether the job completed and its difference is small enough."""
        return self.error is not None and self.error <= ERROR_MAX[self.protection]


async def demonstrate(output: Output) -> int:
    """Run and show all protections; exit code 1 when one of them failed or differed too much."""
    output.text(STORY)
    output.note(SOFTWARE_WARNING)
    data = resources.files("nodes.demo")
    with (
        resources.as_file(data / "breast_cancer.csv") as rows,
        resources.as_file(data / "breast_cancer_linear.onnx") as program,
        resources.as_file(data / "sigmoid.onnx") as local,
        scratch() as folder,
    ):
        inputs = Inputs(rows, read_program(program), read_program(local))
        async with LocalNetwork(folder, lessors=LESSORS) as network:
            shown = [await _one(network, inputs, protection, output) for protection in PROTECTIONS]
    _summary(shown, output)
    output.result([_value(each) for each in shown])
    return 0 if all(each.good for each in shown) else 1


async def _one(network: LocalNetwork, inputs: Inputs, protection: Protection, output: Output) -> Shown:
    output.text(f"\n{protection} " + "─" * (78 - len(protection)))
    wishes = JobOptions(protection=protection, id_column=ID_COLUMN, lessors=LESSORS, accept_software_enclave=True)
    done = await run_job(network, inputs, wishes, output, check=True)
    behind = await orders.of_job(network.store, done.report.id)
    output.text(show.job_orders_table(behind), *show.job_lines(done.report))
    return Shown(protection, done)


def _summary(shown: list[Shown], output: Output) -> None:
    made = table("Results against plaintext", "protection", "#rows", "#seconds", "#largest difference", "#allowed", "")
    for each in shown:
        report = each.done.report
        error = "no result" if each.error is None else f"{each.error:.2e}"
        counts = (f"{report.rows_done:,}", f"{report.seconds:.2f}", error, f"{ERROR_MAX[each.protection]:.0e}")
        made.add_row(each.protection, *counts, "ok" if each.good else "FAILED")
    output.text("", made, f"{ENCLAVE.name} and {SEALED.name}: {SOFTWARE_WARNING}.")


def _value(shown: Shown) -> dict[str, Any]:
    value = show.as_value(shown.done.report) | {"output": None}
    return value | {"max_abs_error": shown.error, "ok": shown.good}
