"""The partner's part in scores of single rows: what it adds, what leaves no room, and what is too much to travel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from gmpy2 import mpz

from nodes.crew.crew import Crew
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.partner.activities import scores
from nodes.partner.activities.scores import answer_scores, fixed, own_scores, scored
from nodes.partner.activities.services import Services
from nodes.partner.protocol.records import RECORD_TYPES, Part, Taken
from nodes.renter.protections.joint import open_scores
from nodes.store.blobs import BlobStore
from nodes.store.sqlite import SqliteStore
from tests.unit.nodes.hub.world import START, public_key
from tests.unit.nodes.partner.world import IDENTITY, JOB, LESSOR, RENTER

VALUES = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.25]])


def part(rows: int = 3) -> Part:
    return Part(
        job=JOB,
        renter=RENTER,
        renter_key=public_key(RENTER),
        phase="accepted",
        dataset="claims",
        columns=("a", "b"),
        weights=(2.0, 0.5),
        offset=-1.0,
        rows=rows,
        received=1,
        rounds=1,
    )


async def services(folder: Path) -> Services:
    return Services(
        identity=IDENTITY,
        store=await SqliteStore.open(None, RECORD_TYPES),
        blobs=BlobStore(folder / "blobs"),
        jobs=folder / "jobs",
        clock=lambda: START,
        crew=Crew(1),
        policy=folder / "policy.toml",
    )


def keep(there: Services, bodies: Mapping[int, bytes], rows: int) -> dict[str, Taken]:
    """Batches of so many rows each, under the first row of each."""
    found = {}
    for number, (first, body) in enumerate(bodies.items()):
        digest = f"{number:064d}"
        path = there.folder(JOB).partial(1, number, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        taken = Taken(batch=number, first_row=first, rows=rows, lessor=LESSOR, digest=digest)
        found[f"taken/1/{number}"] = taken
    return found


@pytest.mark.parametrize("places", [None, np.array([2, 0])], ids=["all rows", "rows in common"])
def test_own_scores_are_those_of_the_weights(tmp_path: Path, places: np.ndarray | None) -> None:
    table = write_table(tmp_path / "table", [Column("a"), Column("b")], [Block(VALUES)], id_column=None)
    expected = VALUES @ [2.0, 0.5] - 1.0
    assert own_scores(table, places, part()).tolist() == (expected if places is None else expected[places]).tolist()


@pytest.mark.parametrize(("bits", "room"), [(10, True), (60, False), (1000, False)])
def test_scores_that_leave_no_room_beside_the_renters_are_none(bits: int, room: bool) -> None:
    found = fixed(np.array([3.0, -2.5]), bits)
    assert (found is not None) == room
    if found is not None:
        assert found == [3 << bits, -(5 << bits) // 2]


def test_the_renter_opens_the_sum_of_both_parts_under_noise_of_its_own(secret: PaillierSecret) -> None:
    public, rows = secret.public, 70
    theirs, own = np.arange(rows)[:, None] - 30, [7 * row - 200 for row in range(rows)]
    body = public.encrypt(theirs.astype(np.int64))
    made = scored(public, body, own)
    assert not made.code
    expected = tuple((theirs[:, 0] + own).tolist())
    assert open_scores(secret, made.body, [rows]).numbers == expected
    size, n = public.ciphertext_bytes, public.n
    bodies = (body, made.body, scored(public, body, own).body)
    assert len({mpz.from_bytes(each[:size], "big") % n for each in bodies}) == 3  # one, were there no noise


def test_what_is_no_result_is_refused_on_both_sides(secret: PaillierSecret) -> None:
    public = secret.public
    assert scored(public, bytes(public.ciphertext_bytes), [1, 2, 3]).code == "ciphertext-invalid"
    body = public.encrypt(np.ones((3, 1), dtype=np.int64))
    assert open_scores(secret, body, [2, 1]).code == "ciphertext-invalid"
    assert open_scores(secret, body + body, [3]).code == "wrong-shape"


async def test_batches_are_answered_in_the_order_of_their_rows(tmp_path: Path) -> None:
    there = await services(tmp_path)
    made = await answer_scores(there, part(4), keep(there, {2: b"second", 0: b"first"}, 2), 9)
    assert (made.code, made.outputs, made.bits) == ("", 4, 9)
    assert there.blobs.get(made.digest) == b"firstsecond"
    lacking = await answer_scores(there, part(5), keep(there, {2: b"second", 0: b"first"}, 2), 9)
    assert lacking.code == "rows-not-covered"
    await there.store.close()


async def test_more_than_travels_in_one_message_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BODY_BYTES_MAX", 10)
    there = await services(tmp_path)
    made = await answer_scores(there, part(4), keep(there, {2: b"second", 0: b"first"}, 2), 9)
    assert made.code == "too-many-rows"
    await there.store.close()
