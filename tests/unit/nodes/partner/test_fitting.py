"""What a partner's data says to a request for a model: columns, what they would show, and a budget over all jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from nodes.crew.crew import Crew
from nodes.data.port import Source
from nodes.data.reading import Reading
from nodes.data.sources import open_source
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import modulus
from nodes.joint.alignment import ids_digest
from nodes.joint.row_sets import row_set
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.examine import examine
from nodes.partner.activities.fitting import columns_of
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import RECORD_TYPES, Part, RequestExamined
from nodes.store.blobs import BlobStore
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from schemas.errors import BadData
from schemas.ids import derive_id
from schemas.joint import Algorithm
from tests.support import together as joint
from tests.support.together import Case
from tests.unit.nodes.hub.world import START, public_key
from tests.unit.nodes.partner.world import IDENTITY, JOB, RENTER, request

ROWS = 569
ALGORITHM = Algorithm(name="ridge", penalty_per_row=1e-3)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_breast(tmp_path_factory.mktemp("case"))


@pytest.fixture
async def services(tmp_path: Path, case: Case) -> AsyncIterator[Services]:
    store = await SqliteStore.open(None, RECORD_TYPES)
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    yield Services(
        identity=IDENTITY,
        store=store,
        blobs=BlobStore(tmp_path / "blobs"),
        jobs=tmp_path / "jobs",
        clock=lambda: START,
        crew=Crew(1),
        policy=partner.policy,
        datasets=partner.datasets,
    )
    await store.close()


async def keep(services: Services, job: str, **records: Any) -> None:
    arguments: dict[str, Any] = {"owner": "o", "lease_until": START, "performs_max": 0}
    decision = Decision(START, put=records)
    await services.store.apply([Input(f"event-{job}-{'-'.join(records)}", job)], lambda _, __: decision, **arguments)


def part(job: str = JOB, **changed: Any) -> Part:
    fields: dict[str, Any] = {
        "job": job,
        "renter": RENTER,
        "renter_key": public_key(RENTER),
        "phase": "examining",
        "dataset": joint.DATASET,
        "columns": (),
        "algorithm": ALGORITHM,
        "rows": ROWS,
        "received": 11,
        "rounds": 1,
        "asked_at": START,
    } | changed
    return Part(**fields)


async def examined(services: Services, case: Case, secret: PaillierSecret, **changed: Any) -> RequestExamined:
    ids = [line.partition(",")[0] for line in case.partner.read_text().splitlines()[1:]]
    fields: dict[str, Any] = {
        "program": b"",
        "algorithm": ALGORITHM,
        "public_key": secret.public.to_bytes(),
        "modulus_proof": modulus.proof(secret.p, secret.q, modulus.context(JOB, RENTER)),
        "rows": ROWS,
        "received": 11,
        "rounds": 1,
        "ids": ids_digest(JOB, [ids]),
    } | changed
    await keep(services, JOB, request=request(**fields), part=part())
    ((_, found),) = await examine(services, Desk(services), {"approved": False}, JOB)
    assert isinstance(found, RequestExamined)
    return found


async def test_columns_become_integers_that_any_worker_reads_with_the_same_rotation(
    services: Services, case: Case, secret: PaillierSecret
) -> None:
    found = await examined(services, case, secret)
    assert (found.code, found.outputs, len(found.columns)) == ("", 20, 20)
    one, other = Desk(services), Desk(services)
    columns = await one.columns(JOB)
    assert columns.integers.shape == (ROWS, 20)
    assert 1 << 14 < np.abs(columns.integers[:, :].astype(np.int64)).max() < 1 << 15  # as so few rows ask for
    first, second = await one.rotation(JOB), await other.rotation(JOB)
    assert first.weights.tolist() == second.weights.tolist()
    assert first.exact.tolist() == second.exact.tolist()


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "columns that are not there": ({"columns": ("mean_radius", "salary")}, "dataset-unfit"),
    "other ids": ({"ids": "0" * 64}, "not-aligned"),
    "no proof": ({"modulus_proof": b""}, "modulus-unproved"),
    "a proof of another job": ({"modulus_proof": b"1" * 2816}, "modulus-unproved"),
    "no room": ({"received": 42, "algorithm": structs.replace(ALGORITHM, renter_bits=31, partner_bits=26)}, "no-room"),
    "more columns than rows allow": ({"received": 57}, "budget-spent"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_has_its_code_and_tells_nothing_of_the_data(
    services: Services, case: Case, secret: PaillierSecret, name: str
) -> None:
    changed, code = REFUSALS[name]
    found = await examined(services, case, secret, **changed)
    assert found.code == code
    for told in ("radius", "insurer", "patient", str(ROWS)):
        assert told not in found.reason


async def test_rows_that_stand_alone_are_refused_and_their_number_stays_here(
    services: Services, case: Case, secret: PaillierSecret, tmp_path: Path
) -> None:
    partner = joint.local_partner(case, joint.policy(tmp_path), "refuse")
    services.datasets.update(partner.datasets)  # type: ignore[attr-defined]
    found = await examined(services, case, secret)
    assert found.code == "high-leverage"
    assert "569" not in found.reason
    assert "of 569 rows" in found.detail


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([{"received": 45}], ""),
        ([{"received": 46}], "budget-spent"),
        ([{"received": 46, "phase": "refused"}], ""),
        ([{"received": 46, "phase": "failed", "answered": 1}], "budget-spent"),
        ([{"received": 46, "renter": "A11.A13"}], ""),
        ([{"received": 46, "dataset": "others"}], "budget-spent"),
        ([{"received": 46, "asked_at": START + 1}], "budget-spent"),
        ([{"received": 46, "algorithm": None}], ""),
        ([{"received": 46, "score": JOB}], ""),
        ([{"received": 46, "ids": ("somebody",) * 20}], ""),
        ([{"received": 23, "phase": "finished", "answered": 1}, {"received": 23, "answered": 1}], "budget-spent"),
    ],
    ids=[
        "within",
        "past",
        "refused",
        "failed after its answer",
        "another renter",
        "another name of the dataset",
        "at the same time",
        "no model",
        "scores",
        "other rows",
        "two",
    ],
)
async def test_a_renters_other_jobs_on_the_same_rows_count(
    services: Services, case: Case, secret: PaillierSecret, others: list[dict[str, Any]], code: str
) -> None:
    ids = [line.partition(",")[0] for line in case.partner.read_text().splitlines()[1:]]
    for number, changed in enumerate(others):
        job = derive_id("job", "earlier", number)
        had_rows(services, job, changed.pop("ids", ids))
        await keep(services, job, part=part(job, **({"asked_at": START - 1, "phase": "accepted"} | changed)))
    assert (await examined(services, case, secret)).code == code


@pytest.mark.parametrize(
    ("sets", "code"),
    [
        ([slice(0, None)], ""),
        ([slice(1, None)], "rows-too-alike"),
        ([slice(19, None)], "rows-too-alike"),
        ([slice(20, None)], ""),
        ([slice(0, 10)], "rows-too-alike"),
        ([slice(0, 284), slice(284, 568)], "rows-too-alike"),
        ([slice(0, 284), slice(284, None)], ""),
        ([slice(0, 300), slice(290, None)], "rows-too-alike"),
    ],
    ids=["equal", "one less", "19 less", "20 less", "ten of them", "one in neither", "halves", "ten in both"],
)
async def test_rows_that_sums_of_several_jobs_would_show_apart_are_refused(
    services: Services, case: Case, secret: PaillierSecret, sets: list[slice], code: str
) -> None:
    ids = [line.partition(",")[0] for line in case.partner.read_text().splitlines()[1:]]
    for number, rows in enumerate(sets):
        job = derive_id("job", "earlier", number)
        had_rows(services, job, ids[rows])
        await keep(services, job, part=part(job, phase="finished", answered=1, algorithm=None))
    found = await examined(services, case, secret)
    assert found.code == code
    assert not any(each.isdigit() for each in found.reason.replace("C11.C12", ""))


def had_rows(services: Services, job: str, ids: Sequence[str]) -> None:
    path = services.rows_of(job)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(np.unique(row_set([list(ids)])).astype("<u8").tobytes())


def source(folder: Path, header: Sequence[object], rows: Sequence[Sequence[object]]) -> Source:
    path = folder / "table.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in (header, *rows)))
    return open_source(path)


def test_a_model_takes_all_columns_but_the_ids_and_text_that_cannot_be_encoded(tmp_path: Path) -> None:
    rows = [(at, 0, ["Rome", "Bern"][at % 2], f"name {at}", 1) for at in range(80)]
    table = source(tmp_path, ("id", "a", "city", "name", "b"), rows)
    found = columns_of(table, Reading("id"), 20)
    assert found.names == ("a", "b", "city=Bern")
    assert [each.column for each in found.omitted] == ["name"]
    assert columns_of(table, Reading("id", ("b", "a")), 20).names == ("b", "a")
    assert columns_of(table, Reading("id"), 41).names == ("a", "b")
    with pytest.raises(BadData, match="'name' is text that no model can have"):
        columns_of(table, Reading("id", ("a", "name")), 20)


def test_a_model_has_a_column_and_not_too_many(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="1 to 1024"):
        columns_of(source(tmp_path, ["id", ""], [[1, 2]]), Reading("id"), 20)
    with pytest.raises(BadData, match="1 to 1024"):
        columns_of(source(tmp_path, range(1025), [range(1025)]), Reading(), 20)
