"""Whole jobs through two hubs in one process: every protection gives what plaintext gives."""

from __future__ import annotations

import asyncio
import csv
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

import nodes.demo
from broker.names import routing_key
from broker.port import Message
from nodes.identity import verify
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs import runtime
from nodes.programs.build import aggregate_sum, linear_from_csv
from nodes.programs.check import check
from nodes.receipts import SETTLED
from nodes.renter.files import incidents
from nodes.renter.files.folder import JobFolder
from nodes.renter.protocol.records import Subtask
from nodes.renter.submission import JobOptions
from nodes.views.errors import UnknownJob
from nodes.views.report import JobReport
from schemas import codec
from schemas.errors import BadConfig
from schemas.events import Event, OrderCancelled
from schemas.ids import address, derive_id
from schemas.jobs import ONE_REFUSAL
from tests.support.cheating import adding_one, cheat, first_row
from tests.support.seal import needs_seal
from tests.support.silence import with_a_silent_lessor
from tests.support.tables import as_csv
from tests.support.traffic import of_a_job
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

DEMO = Path(nodes.demo.__file__).parent
DATA = DEMO / "breast_cancer.csv"
LINEAR = (DEMO / "breast_cancer_linear.onnx").read_bytes()
SIGMOID = (DEMO / "sigmoid.onnx").read_bytes()
TOLERANCE = {"homomorphic": 1e-3, "sealed-result": 1e-3, "enclave": 1e-6}
SETTLED_BYTES_MAX: Final = 4096
"""Of one `contract.settled`, its headers included."""
JOB_SECONDS_MAX = 60
FRAMING_BYTES_MAX = 1024
"""By which a job's batches to and from enclaves are longer than predicted: headers and tags are not counted."""


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[LocalNetwork]:
    async with LocalNetwork(tmp_path / "network") as running:
        yield running


async def run(
    network: LocalNetwork, data: Path, program: bytes, local: bytes | None = None, **options: Any
) -> JobReport:
    wishes = JobOptions(**({"accept_software_enclave": True} | options))
    spec = network.stage(data, program, local, wishes)
    await network.submit(spec)
    return await ended(network, spec.id)


async def ended(network: LocalNetwork, job: str) -> JobReport:
    async with asyncio.timeout(JOB_SECONDS_MAX):
        reports = [each async for each in network.watch(job)]
    return reports[-1]


def read(path: Path | None) -> tuple[list[str], list[list[str]]]:
    assert path is not None
    with as_csv(path).open(newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows


def table(path: Path, columns: list[str]) -> NDArray[np.float64]:
    with path.open(newline="") as file:
        return np.array([[float(row[name]) for name in columns] for row in csv.DictReader(file)])


@dataclass(frozen=True, slots=True)
class Finished:
    """A whole job under one protection, as it stood once both lessors' receipts were in."""

    report: JobReport
    protection: str
    output: Path
    secrets: frozenset[str]
    """Names of the job's keys that the renter still keeps."""
    lines: list[dict[str, Any]]

    def notes(self, kind: str) -> list[dict[str, Any]]:
        return [note["details"] for line in self.lines for note in line["notes"] if note["kind"] == kind]


@pytest.fixture(scope="module", params=["homomorphic", "enclave", "sealed-result"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return asyncio.run(finish(request.param, tmp_path_factory.mktemp("finished")))


async def finish(protection: str, folder: Path) -> Finished:
    """Run a job in a network of its own. Receipts, and the keys' ends, may come after the job's."""
    async with LocalNetwork(folder / "network") as network:
        report = await run(network, DATA, LINEAR, SIGMOID, protection=protection, id_column="id")
        assert report.phase == "completed", report.reason
        records = await network.store.read(report.id)
        names = [f"subtask/{record.id}" for record in records.values() if isinstance(record, Subtask)]
        deadline = time.monotonic() + JOB_SECONDS_MAX
        lines, secrets = await left(network, report.id, names)
        while (receipts(lines) < len(names) or secrets) and time.monotonic() < deadline:
            await asyncio.sleep(0)
            lines, secrets = await left(network, report.id, names)
        output = shutil.copytree(network.output(report.id), folder / "output")
    return Finished(report, protection, output, secrets, lines)


async def left(network: LocalNetwork, job: str, subtasks: list[str]) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """A job's journal, and those of its keys that are kept."""
    names = [f"homomorphic/{job}", *subtasks]
    secrets = [name for name in names if await network.store.get_secret(name) is not None]
    return await network.explain(job), frozenset(secrets)


def receipts(lines: list[dict[str, Any]]) -> int:
    return sum(line["type"] == "receipt.countersigned" for line in lines)


def test_every_protection_gives_what_plaintext_gives(finished: Finished) -> None:
    names, rows = read(finished.output)
    program, local = check(LINEAR), check(SIGMOID)
    expected = runtime.evaluate(local, runtime.evaluate(program, table(DATA, list(program.column_names))))
    assert names == ["id", "probability"]
    assert [row[0] for row in rows] == [line.partition(",")[0] for line in DATA.read_text().splitlines()[1:]]
    got = np.array([[float(value) for value in row[1:]] for row in rows])
    assert (finished.report.protection, finished.report.rows_done) == (finished.protection, 569)
    assert np.abs(got - expected).max() < TOLERANCE[finished.protection]


def test_work_goes_to_both_lessors_and_some_stays(finished: Finished) -> None:
    shares = {contract.lessor: contract.rows for contract in finished.report.contracts}
    assert shares == {"B11.B12": 256, "B11.B13": 256}
    assert set(finished.report.route) == {"A11.A12 → A11 → B11 → B11.B12", "A11.A12 → A11 → B11 → B11.B13"}


def test_keys_live_no_longer_than_their_job(finished: Finished) -> None:
    assert finished.secrets == frozenset()


def test_contracts_end_with_receipts_signed_by_both(finished: Finished) -> None:
    assert receipts(finished.lines) == 2


def test_what_a_job_took_is_told_beside_what_was_predicted(finished: Finished) -> None:
    report = finished.report
    (shown,) = finished.notes("predictions")
    assert report.assessment is not None
    assert report.spent is not None
    for name in ("encrypt_seconds", "lessor_seconds", "decrypt_seconds"):
        assert shown[name]["predicted"] == pytest.approx(getattr(report.assessment.costs, name), abs=1e-4)
        assert shown[name]["actual"] == pytest.approx(getattr(report.spent, name), abs=1e-4)
        assert shown[name]["actual"] > 0
    framing = 0 if finished.protection == "homomorphic" else FRAMING_BYTES_MAX
    for name in ("bytes_sent", "bytes_back"):
        assert getattr(report.spent, name) == pytest.approx(getattr(report.assessment.costs, name), abs=framing)


@pytest.mark.parametrize(("seconds", "opening", "chosen"), [(60.0, None, "homomorphic"), (0.0, 60.0, "sealed-result")])
async def test_auto_decides_by_what_encryption_would_take(
    network: LocalNetwork, seconds: float, opening: float | None, chosen: str
) -> None:
    report = await run(network, DATA, LINEAR, encrypt_seconds_max=seconds, decrypt_seconds_max=opening)
    assert (report.phase, report.protection) == ("completed", chosen)
    assert report.assessment is not None
    assert report.assessment.encrypt_seconds > 0
    lines = await network.explain(report.id)
    notes = [note for line in lines for note in line["notes"] if note["kind"] == "assessment"]
    assert notes[0]["details"]["encrypt_seconds_max"] == seconds


async def test_ckks_computes_a_job_whose_results_stay(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="homomorphic", scheme="ckks", results_stay=True)
    assert report.assessment is not None
    assert (report.phase, report.assessment.scheme) == ("completed", "ckks")
    _, rows = read(report.output)
    expected = runtime.evaluate(check(LINEAR), table(DATA, list(check(LINEAR).column_names)))
    error = np.abs(np.array([[float(row[1])] for row in rows]) - expected).max()
    bounds = [each.error_bound for each in report.assessment.candidates if each.scheme == "ckks"]
    assert bounds[0] is not None
    assert error <= bounds[0] <= 1e-4


@pytest.mark.parametrize(("operators", "scheme"), [(["Mul"], "ckks-degree-2"), (["Mul", "Mul"], "ckks-degree-4")])
async def test_products_of_columns_are_computed_on_ciphertext(
    network: LocalNetwork, tmp_path: Path, operators: list[str], scheme: str
) -> None:
    """A linear score times itself, once or twice."""
    data, rng = tmp_path / "data.csv", np.random.default_rng(6)
    rows = rng.uniform(-3, 3, size=(300, 3))
    data.write_text("a,b,c\n" + "\n".join(",".join(map(repr, row)) for row in rows.tolist()) + "\n")
    powers = [node(operator, [f"p{at}", "p0"], [f"p{at + 1}"]) for at, operator in enumerate(operators)]
    program = serialised(
        model(
            [node("Gemm", ["x", "w", "bias"], ["p0"]), *powers],
            outputs=(f"p{len(powers)}",),
            constants={"w": [[0.5], [-1.0], [0.25]], "bias": [0.125]},
        )
    )
    wishes: dict[str, Any] = {"protection": "homomorphic", "scheme": "ckks", "results_stay": True, "max_error": 1e-2}
    report = await run(network, data, program, **wishes)
    assert report.assessment is not None
    assert (report.phase, report.assessment.scheme) == ("completed", scheme)
    _, results = read(report.output)
    expected = (rows @ [0.5, -1.0, 0.25] + 0.125) ** (len(operators) + 1)
    bound = next(each.error_bound for each in report.assessment.candidates if each.scheme == scheme)
    assert bound is not None
    assert np.abs(np.array(results, dtype=np.float64)[:, -1] - expected).max() <= bound <= 1e-2


async def test_ckks_is_refused_where_results_may_be_shown(network: LocalNetwork) -> None:
    with pytest.raises(BadConfig, match="--results-stay"):
        network.stage(DATA, LINEAR, None, JobOptions(protection="homomorphic", scheme="ckks"))


async def test_exact_noise_is_named_and_computes_the_same(network: LocalNetwork, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("\n".join(DATA.read_text().splitlines()[:46]) + "\n")
    report = await run(network, data, LINEAR, protection="homomorphic", noise="exact")
    assert report.phase == "completed"
    assert report.assessment is not None
    assert report.assessment.noise == "exact"
    costs = report.assessment.costs
    assert costs.encrypt_seconds > 10 * costs.decrypt_seconds  # 30 ciphertexts in, 1 out; 3 times with other noise
    expected = runtime.evaluate(check(LINEAR), table(data, list(check(LINEAR).column_names)))[:, 0]
    _, rows = read(report.output)
    assert [float(row[-1]) for row in rows] == pytest.approx(expected, abs=TOLERANCE["homomorphic"])


@pytest.mark.parametrize("protection", ["homomorphic", "enclave", "sealed-result"])
async def test_a_sum_over_rows_is_one_row(network: LocalNetwork, protection: str) -> None:
    report = await run(network, DATA, aggregate_sum("mean_area"), protection=protection, max_error=1e-3)
    names, rows = read(report.output)
    assert len(rows) == 1
    assert len(names) == 1
    assert float(rows[0][0]) == pytest.approx(table(DATA, ["mean_area"]).sum(), abs=1e-3)


async def test_columns_are_found_by_name(network: LocalNetwork, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("note,b,a\nx,1,10\ny,2,20\nz,3,30\n")
    program = linear_from_csv("name,weight\na,1\nb,100\nintercept,0.5\n")
    report = await run(network, data, program, protection="homomorphic", id_column="note")
    _, rows = read(report.output)
    assert [row[0] for row in rows] == ["x", "y", "z"]
    assert [float(row[1]) for row in rows] == pytest.approx([110.5, 220.5, 330.5], abs=1e-4)


async def test_without_a_matching_sell_order_the_job_fails_in_time(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="enclave", price_max=1e-6, match_seconds=0.5)
    assert (report.phase, report.code) == ("failed", "no-match")
    assert "no compute for this job" in report.reason


async def test_software_enclaves_get_no_key_unless_asked_for(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="enclave", accept_software_enclave=False)
    assert (report.phase, report.code) == ("failed", "no-enclave")
    assert "no kind of enclave is accepted" in report.reason


async def test_an_enclave_that_runs_other_code_gets_no_key(tmp_path: Path) -> None:
    async with LocalNetwork(tmp_path / "network", reported_measurement=b"\0" * 64) as network:
        report = await run(network, DATA, LINEAR, protection="enclave", match_seconds=0.5)
        assert (report.phase, report.code) == ("failed", "measurement")
        lines = await network.explain(report.id)
        notes = [note for line in lines for note in line["notes"] if note["kind"] == "evidence-rejected"]
        assert {note["details"]["code"] for note in notes} == {"measurement"}
        assert not any("dispatch" in line["started"] for line in lines)


async def test_a_receipt_costs_three_small_events(tmp_path: Path) -> None:
    """The renter tells itself and its hub, the lessor its hub; per contract, however many batches it had."""
    traffic, contracts = await of_a_job(tmp_path / "network", "enclave")
    assert (contracts, traffic.events[SETTLED]) == (2, 3 * 2)
    assert traffic.bytes[SETTLED] <= traffic.events[SETTLED] * SETTLED_BYTES_MAX


async def test_a_silent_lessors_work_is_done_by_the_other(tmp_path: Path) -> None:
    settings = {"batch_deadline_seconds": 3.0}
    async with LocalNetwork(tmp_path / "network", renter=settings) as network:
        async with asyncio.timeout(JOB_SECONDS_MAX):
            seen = await with_a_silent_lessor(network, LINEAR)
    assert (seen.report.phase, seen.report.rows_done) == ("completed", 569)
    assert seen.states == {"B11.B12": "completed", "B11.B13": "lost"}
    assert seen.attempts > 1


@pytest.mark.parametrize("scheme", ["paillier", pytest.param("bfv", marks=needs_seal)])
async def test_a_lessor_that_computes_wrongly_is_caught_and_its_work_done_elsewhere(
    network: LocalNetwork, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """By the other lessor; under a scheme that allows one refusal, perhaps by the renter itself."""
    cheat(monkeypatch, "B11.B13", adding_one(first_row))
    report = await run(network, DATA, LINEAR, protection="homomorphic", scheme=scheme)
    assert report.phase == "completed"
    states = {contract.lessor: (contract.subtask, contract.rows) for contract in report.contracts}
    assert states["B11.B13"] == ("lost", 0)
    assert scheme in ONE_REFUSAL or states["B11.B12"] == ("completed", 512)
    notes = [note for line in await network.explain(report.id) for note in line["notes"]]
    caught = [note["details"] for note in notes if note["kind"] == "incident"]
    assert {each["code"] for each in caught} == {"wrong-result"}
    kept = incidents.read(JobFolder(network.jobs / report.id), caught[0]["evidence"])
    received = codec.decode(kept.headers, kept.body)
    assert received.event.source == "B11.B13"
    assert verify(network.identity(received.event.source).public, received.signed, received.signature)
    _, rows = read(report.output)
    expected = runtime.evaluate(check(LINEAR), table(DATA, list(check(LINEAR).column_names)))
    assert np.abs(np.array([[float(row[1])] for row in rows]) - expected).max() < TOLERANCE["homomorphic"]


async def test_a_sender_is_told_what_could_not_be_delivered(network: LocalNetwork) -> None:
    ghost, order = address("B11", "ghost"), derive_id("order", 1)
    data = OrderCancelled(order=order)
    event = Event("event-1", "order.buy.cancelled", LOCAL_RENTER, ghost, time.time(), order, data)
    headers, body = codec.encode(event, network.identity(LOCAL_RENTER).sign)
    message = Message(key=routing_key(ghost, LOCAL_RENTER, "control"), body=body, headers=headers, id=event.id)
    await network.server.connect(LOCAL_RENTER).publish(message, timeout_seconds=1)
    lines: list[dict[str, Any]] = []
    async with asyncio.timeout(JOB_SECONDS_MAX):
        while not lines:
            await asyncio.sleep(0)
            lines = await undelivered(network)
    assert lines[0]["notes"][0]["details"]["to"] == "B11.ghost"


async def undelivered(network: LocalNetwork) -> list[dict[str, Any]]:
    try:
        return await network.explain("undelivered")
    except UnknownJob:
        return []
