"""A request held against the data: what is refused, with which code, and that the reason tells nothing of the data."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nodes.crew.crew import Crew
from nodes.data.table import open_table
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import modulus
from nodes.joint.alignment import ids_digest
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.examine import erase, examine
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import RECORD_TYPES, Part, RequestExamined
from nodes.programs.check import check
from nodes.store.blobs import BlobStore
from nodes.store.port import Decision, Input
from nodes.store.sqlite import SqliteStore
from schemas.ids import derive_id
from schemas.joint import Algorithm, JointRequested
from tests.support import together as joint
from tests.support.together import Case
from tests.unit.nodes.hub.world import START
from tests.unit.nodes.partner.world import IDENTITY, JOB, RENTER, request

ROWS = 40
MODEL = derive_id("job", "model")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return joint.make_case(tmp_path, ROWS)


@pytest.fixture
async def services(tmp_path: Path, case: Case) -> AsyncIterator[Services]:
    store = await SqliteStore.open(None, RECORD_TYPES)
    partner = joint.local_partner(case, joint.policy(tmp_path))
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


def ids(case: Case) -> str:
    """As the renter has them."""
    digest = hashlib.sha256(f"sublet/v1/ids/{JOB}".encode())
    for line in case.partner.read_text().splitlines()[1:]:
        raw = line.split(",")[0].encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()


async def examined(services: Services, case: Case, secret: PaillierSecret, **changed: Any) -> RequestExamined:
    approved = changed.pop("approved", False)
    fields: dict[str, Any] = {
        "program": check(joint.partner_program()).canonical,
        "public_key": secret.public.to_bytes(),
        "modulus_proof": modulus.proof(secret.p, secret.q, modulus.context(JOB, RENTER)),
        "rows": ROWS,
        "ids": ids(case),
    } | changed
    await keep(services, request(**fields))
    ((event_type, found),) = await examine(services, Desk(services), {"approved": approved}, JOB)
    assert event_type == "request.examined"
    assert isinstance(found, RequestExamined)
    return found


async def keep(services: Services, asked: JointRequested) -> None:
    decision = Decision(START, put={"request": asked})
    arguments: dict[str, Any] = {"owner": "o", "lease_until": START, "performs_max": 0}
    await services.store.apply([Input("event-1", JOB)], lambda _, __: decision, **arguments)


async def test_what_is_covered_is_laid_out_for_the_job_and_erased_with_it(
    services: Services, case: Case, secret: PaillierSecret
) -> None:
    found = await examined(services, case, secret)
    assert (found.code, found.columns, found.outputs) == ("", ("premium", "claims"), 2)
    folder = services.folder(JOB)
    table = open_table(folder.table, folder.digest.read_text())
    assert ids_digest(JOB, table.all_ids()) == ids(case)
    assert table.read(0, ROWS).tolist() == case.theirs.tolist()
    output = services.blobs.put(b"an output")
    assert await erase(services, {"outputs": [output]}, JOB) == []
    assert not folder.path.exists()
    assert not services.blobs.path(output).exists()


async def test_ids_that_are_to_be_masked_are_counted_and_not_compared(
    services: Services, case: Case, secret: PaillierSecret, tmp_path: Path
) -> None:
    joint.policy(tmp_path, rows_min=17)
    found = await examined(services, case, secret, ids=None, salt=b"s" * 32, rows=ROWS + 5)
    assert (found.code, found.rows, found.rows_min) == ("", ROWS, 17)


@pytest.mark.parametrize(("line", "count"), [("", "1 of 41 rows have no id"), ("person-3", "1 of 41 ids were there")])
async def test_how_many_ids_do_not_name_one_row_is_for_this_side_alone(
    services: Services, case: Case, secret: PaillierSecret, line: str, count: str
) -> None:
    case.partner.write_text(case.partner.read_text() + f"{line},1,2\n")
    found = await examined(services, case, secret, ids=None, salt=b"s" * 32)
    assert (found.code, count in found.detail) == ("dataset-unfit", True)
    assert not any(each.isdigit() for each in found.reason.replace("C11.C12", ""))


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a result per row": ({"program": joint.partner_program(per_row=True)}, "per-row-output"),
    "no program": ({"program": b"no program"}, "bad-program"),
    "a program of other inputs": ({"program": joint.lessors_program()}, "bad-program"),
    "another width": ({"received": 3}, "bad-program"),
    "a modulus that is not proved to be good": ({"modulus_proof": b""}, "modulus-unproved"),
    "no key": ({"public_key": b"no key"}, "bad-key"),
    "columns that are not there": ({"columns": ("premium", "salary")}, "dataset-unfit"),
    "other ids": ({"ids": "0" * 64}, "not-aligned"),
    "fewer rows": ({"rows": ROWS - 1}, "not-aligned"),
    "another dataset": ({"dataset": "secrets"}, "unknown-dataset"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_has_its_code_and_tells_nothing_of_the_data(
    services: Services, case: Case, secret: PaillierSecret, refusal: str
) -> None:
    changed, code = REFUSALS[refusal]
    found = await examined(services, case, secret, **changed)
    assert found.code == code
    for told in ("premium", "salary", "insurer", "person", str(ROWS)):
        assert told not in found.reason


async def test_a_dataset_that_only_the_policy_names_is_as_unknown(
    services: Services, case: Case, secret: PaillierSecret, tmp_path: Path
) -> None:
    joint.policy(tmp_path, datasets='["claims", "secrets"]')
    assert (await examined(services, case, secret, dataset="secrets")).code == "unknown-dataset"


async def test_a_person_is_asked_where_the_policy_says_so_and_nothing_is_looked_at_before(
    services: Services, case: Case, secret: PaillierSecret, tmp_path: Path
) -> None:
    joint.policy(tmp_path, top='uncovered = "ask"', renters='["A11.A19"]')
    found = await examined(services, case, secret)
    assert found.undecided
    assert not found.code
    assert not services.folder(JOB).path.exists()
    again = await examined(services, case, secret, approved=True)
    assert (again.undecided, again.code, again.outputs) == (False, "", 2)


@pytest.mark.parametrize(("columns", "code"), [('["premium", "claims"]', ""), ('["premium"]', "column-not-allowed")])
@pytest.mark.parametrize("approved", [False, True], ids=["by policy", "by a person"])
async def test_rows_are_scored_with_columns_that_the_policy_allows_however_few_they_are(
    services: Services, case: Case, secret: PaillierSecret, tmp_path: Path, columns: str, code: str, approved: bool
) -> None:
    joint.policy(tmp_path, per_row="true", columns=columns)
    named = {"columns": ("premium", "claims"), "weights": (1.0, 2.0), "phase": "finished", "outputs": 2}
    agreed = Algorithm(name="ridge", penalty_per_row=1e-3)
    model = Part(job=MODEL, renter=RENTER, renter_key=b"k" * 32, dataset=joint.DATASET, algorithm=agreed, **named)  # type: ignore[arg-type]
    await services.store.apply(
        [Input("event-2", MODEL)],
        lambda _, __: Decision(START, put={"part": model}),
        owner="o",
        lease_until=START,
        performs_max=0,
    )
    wanted: dict[str, Any] = {"program": b"", "score": MODEL, "received": 1, "rounds": 1, "columns": ()}
    found = await examined(services, case, secret, approved=approved, rows=3, ids=None, salt=b"s" * 32, **wanted)
    assert found.code == ("" if approved else code)
    assert found.code or (found.columns, found.rows_min) == (("premium", "claims"), 1)
