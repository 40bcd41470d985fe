"""Whole jobs through two hubs in one process: every protection gives what plaintext gives."""

from __future__ import annotations

import asyncio
import csv
import os
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nodes.demo
from broker.port import Message
from broker.topology import routing_key
from nodes.identity import verify
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs import plain
from nodes.programs.build import aggregate_sum, linear_from_csv
from nodes.programs.check import check
from nodes.renter.files import incidents
from nodes.renter.files.folder import JobFolder
from nodes.renter.protocol.records import BatchRecord, Subtask
from nodes.renter.submission import JobOptions
from nodes.views.errors import UnknownJob
from nodes.views.jobs import JobReport
from schemas import codec
from schemas.errors import BadConfig
from schemas.events import Event, OrderCancelled
from schemas.ids import address, derive_id
from tests.support.cheating import cheat, first_row
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

DEMO = Path(nodes.demo.__file__).parent
DATA = DEMO / "breast_cancer.csv"
LINEAR = (DEMO / "breast_cancer_linear.onnx").read_bytes()
SIGMOID = (DEMO / "sigmoid.onnx").read_bytes()
TOLERANCE = {"homomorphic": 1e-3, "sealed-result": 1e-3, "enclave": 1e-6}
JOB_SECONDS_MAX = 60


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
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    return names, rows


def table(path: Path, columns: list[str]) -> NDArray[np.float64]:
    with path.open(newline="") as file:
        return np.array([[float(row[name]) for name in columns] for row in csv.DictReader(file)])


@pytest.mark.parametrize("protection", ["homomorphic", "enclave", "sealed-result"])
async def test_every_protection_gives_what_plaintext_gives(network: LocalNetwork, protection: str) -> None:
    report = await run(network, DATA, LINEAR, SIGMOID, protection=protection, id_column="id")
    assert (report.phase, report.protection, report.rows_done) == ("completed", protection, 569)
    names, rows = read(report.output)
    program, local = check(LINEAR), check(SIGMOID)
    expected = plain.evaluate(local, plain.evaluate(program, table(DATA, list(program.column_names))))
    assert names == ["id", "probability"]
    assert [row[0] for row in rows] == [line.partition(",")[0] for line in DATA.read_text().splitlines()[1:]]
    got = np.array([[float(value) for value in row[1:]] for row in rows])
    assert np.abs(got - expected).max() < TOLERANCE[protection]


async def test_work_goes_to_both_lessors_and_some_stays(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="enclave", local_share=0.1)
    shares = {contract.lessor: contract.rows for contract in report.contracts}
    assert shares == {"B11.B12": 256, "B11.B13": 256}
    assert set(report.route) == {"A11.A12 → A11 → B11 → B11.B12", "A11.A12 → A11 → B11 → B11.B13"}


async def test_keys_live_no_longer_than_their_job(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="sealed-result")
    records = await network.store.read(report.id)
    names = [f"subtask/{record.id}" for record in records.values() if isinstance(record, Subtask)]
    assert len(names) == 2
    async with asyncio.timeout(JOB_SECONDS_MAX):
        for name in (f"homomorphic/{report.id}", *names):
            await until_forgotten(network, name)


async def until_forgotten(network: LocalNetwork, name: str) -> None:
    kept: bytes | None = b"sealed"
    while kept is not None:
        await asyncio.sleep(0)
        kept = await network.store.get_secret(name)


async def test_contracts_end_with_receipts_signed_by_both(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="enclave")
    lines = [line async for line in until_receipts(network, report.id, 2)]
    assert sum(line["type"] == "receipt.countersigned" for line in lines) == 2


async def until_receipts(network: LocalNetwork, job: str, count: int) -> AsyncIterator[dict[str, Any]]:
    """The journal once so many receipts are in: they may come after the job's end."""
    async with asyncio.timeout(JOB_SECONDS_MAX):
        while True:
            lines = await network.explain(job)
            if sum(line["type"] == "receipt.countersigned" for line in lines) >= count:
                break
            await asyncio.sleep(0)
    for line in lines:
        yield line


@pytest.mark.parametrize(
    ("seconds", "opening", "chosen"),
    [(60.0, None, "homomorphic"), (0.0, 60.0, "sealed-result"), (0.0, 0.0, "enclave"), (0.0, None, "enclave")],
)
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


async def test_what_a_job_took_is_told_beside_what_was_predicted(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="homomorphic")
    lines = await network.explain(report.id)
    (note,) = [note for line in lines for note in line["notes"] if note["kind"] == "predictions"]
    assert report.assessment is not None
    assert report.spent is not None
    for name in ("encrypt_seconds", "lessor_seconds", "decrypt_seconds"):
        shown = note["details"][name]
        assert shown["predicted"] == pytest.approx(getattr(report.assessment.costs, name), abs=1e-4)
        assert shown["actual"] == pytest.approx(getattr(report.spent, name), abs=1e-4)
        assert shown["actual"] > 0
    assert report.spent.bytes_sent == report.assessment.costs.bytes_sent
    assert report.spent.bytes_back == report.assessment.costs.bytes_back


@pytest.mark.skipif(find_spec("tenseal") is None and not os.environ.get("CI"), reason="TenSEAL is not installed")
async def test_ckks_computes_a_job_whose_results_stay(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="homomorphic", scheme="ckks", results_stay=True)
    assert report.assessment is not None
    assert (report.phase, report.assessment.scheme) == ("completed", "ckks")
    _, rows = read(report.output)
    expected = plain.evaluate(check(LINEAR), table(DATA, list(check(LINEAR).column_names)))
    error = np.abs(np.array([[float(row[1])] for row in rows]) - expected).max()
    bounds = [each.error_bound for each in report.assessment.candidates if each.scheme == "ckks"]
    assert bounds[0] is not None
    assert error <= bounds[0] <= 1e-4


@pytest.mark.skipif(find_spec("tenseal") is None and not os.environ.get("CI"), reason="TenSEAL is not installed")
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


async def test_exact_noise_is_named_and_computes_the_same(network: LocalNetwork) -> None:
    report = await run(network, DATA, LINEAR, protection="homomorphic", noise="exact")
    assert report.phase == "completed"
    assert report.assessment is not None
    assert report.assessment.noise == "exact"
    assert report.assessment.costs.encrypt_seconds > 1


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
    report = await run(network, DATA, LINEAR, protection="enclave", price_micros_max=1, match_seconds=0.5)
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


async def test_a_silent_lessors_work_is_done_by_the_other(tmp_path: Path) -> None:
    settings = {"batch_deadline_seconds": 3.0}
    async with LocalNetwork(tmp_path / "network", renter=settings) as network:
        spec = network.stage(DATA, LINEAR, None, JobOptions(protection="homomorphic", batch_rows=47))
        await network.silence("B11.B13")
        await network.submit(spec)
        report = await ended(network, spec.id)
        assert (report.phase, report.rows_done) == ("completed", 569)
        states = {contract.lessor: contract.subtask for contract in report.contracts}
        assert states == {"B11.B12": "completed", "B11.B13": "lost"}
        records = await network.store.read(spec.id)
        owners = [record for record in records.values() if isinstance(record, BatchRecord)]
        assert sum(record.rows for record in owners) == 569
        assert max(record.attempt for record in owners) > 1


async def test_a_lessor_that_computes_wrongly_is_caught_and_its_work_done_elsewhere(
    network: LocalNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheat(monkeypatch, "B11.B13", first_row)
    report = await run(network, DATA, LINEAR, protection="homomorphic")
    assert report.phase == "completed"
    states = {contract.lessor: (contract.subtask, contract.rows) for contract in report.contracts}
    assert states == {"B11.B12": ("completed", 512), "B11.B13": ("lost", 0)}
    notes = [note for line in await network.explain(report.id) for note in line["notes"]]
    caught = [note["details"] for note in notes if note["kind"] == "incident"]
    assert {each["code"] for each in caught} == {"wrong-result"}
    kept = incidents.read(JobFolder(network.jobs / report.id), caught[0]["evidence"])
    received = codec.decode(kept.headers, kept.body)
    assert received.event.source == "B11.B13"
    assert verify(network.identity(received.event.source).public, received.signed, received.signature)
    _, rows = read(report.output)
    expected = plain.evaluate(check(LINEAR), table(DATA, list(check(LINEAR).column_names)))
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
