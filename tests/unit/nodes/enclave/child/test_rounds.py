"""An enclave in a joint job's rounds: rows come once, parameters each time, and what it seals only the renter opens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.agreement.rounds import Opening, packed, unpacked
from nodes.enclave.child import engine
from nodes.enclave.errors import Code, DataFault, Fault, Rejected
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import renter as joint_renter
from nodes.programs.build import identity
from schemas.fields import SCALE_BITS_MAX
from schemas.joint import VALUE_BITS_MAX
from tests.unit.nodes.enclave.child.test_engine import Renter
from tests.unit.nodes.enclave.enclaves import CONTRACT, JOB
from tests.unit.nodes.programs.models import data as serialised
from tests.unit.nodes.programs.models import model, node

ROWS = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.25]])
PROGRAM = serialised(model([node("Mul", ["x", "parameters"], ["y"])], inputs={"x": 2, "parameters": 2}, outputs=["y"]))
RESULT_BITS, VALUE_BITS = 8, 20


@pytest.fixture(scope="module")
def secret() -> PaillierSecret:
    return paillier.generate(2048)


class Joint:
    """One enclave in a joint subtask."""

    def __init__(self, secret: PaillierSecret) -> None:
        self.secret = secret
        self.seal = SealSpec(secret.public.to_bytes(), 0, "round")
        self.renter = Renter().ask().accept(program=PROGRAM, seal=self.seal)

    def round(
        self,
        number: int,
        parameters: tuple[float, float],
        *,
        rows: bool,
        batch: int = 0,
        first_row: int = 0,
        value_bits: int = VALUE_BITS,
    ) -> list[list[float]]:
        """What the renter reads of what the enclave sealed."""
        schema = key_agreement.schema_digest(PROGRAM, self.seal)
        whole = replace(self.renter.subtask.context(len(ROWS)), epoch=number - 1, schema=schema, direction=DATA)
        context = replace(whole, batch=batch, first_row=first_row)
        opening = Opening(RESULT_BITS, value_bits, np.array(parameters), ROWS if rows else None)
        key = key_agreement.data_key(self.renter.secret, CONTRACT, JOB, DATA, number - 1)
        body = chunks.encrypt(key, context.digest(), packed(opening))
        sealed = bytes(self.renter.enclave.execute(context, memoryview(body)))
        values: list[list[float]] = np.ldexp(
            self.secret.decrypt(sealed, len(ROWS), 2).astype(np.float64), -RESULT_BITS
        ).tolist()
        return values


@pytest.fixture
def joint(secret: PaillierSecret) -> Joint:
    return Joint(secret)


def test_rows_stay_between_rounds_and_parameters_change(joint: Joint) -> None:
    assert joint.round(1, (1.0, 1.0), rows=True) == ROWS.tolist()
    assert joint.round(2, (2.0, -1.0), rows=False) == (ROWS * [2.0, -1.0]).tolist()
    assert joint.round(3, (0.0, 0.5), rows=False) == (ROWS * [0.0, 0.5]).tolist()


@pytest.mark.parametrize("place", [{"batch": 1}, {"first_row": 3}])
def test_a_batch_whose_rows_are_not_there_is_refused_until_they_come(joint: Joint, place: dict[str, int]) -> None:
    joint.round(1, (1.0, 1.0), rows=True)
    with pytest.raises(Rejected) as refusal:
        joint.round(2, (1.0, 1.0), rows=False, **place)
    assert refusal.value.code == Code.NO_ROWS
    assert joint.round(2, (1.0, 1.0), rows=True, **place) == ROWS.tolist()


def test_rows_beyond_the_bound_give_way_and_come_again(joint: Joint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those go first that came longest ago: what was sent again is young again."""
    monkeypatch.setattr(engine, "KEPT_BYTES_MAX", 2 * ROWS.nbytes)
    for batch in (0, 1, 0, 2):
        joint.round(1, (1.0, 1.0), rows=True, batch=batch)
    for kept in (0, 2):
        assert joint.round(2, (1.0, 1.0), rows=False, batch=kept) == ROWS.tolist()
    with pytest.raises(Rejected):
        joint.round(2, (1.0, 1.0), rows=False, batch=1)


def test_a_result_past_the_announced_bound_is_named_and_not_cut(joint: Joint) -> None:
    with pytest.raises(DataFault) as fault:
        joint.round(1, (600.0, 600.0), rows=True, value_bits=19)
    assert (fault.value.fault, fault.value.row) == (Fault.RESULT_TOO_LARGE, 2)


def test_a_subtask_agreed_without_a_partner_takes_no_rounds(secret: PaillierSecret) -> None:
    joint = Joint(secret)
    joint.renter = Renter().ask().accept(program=PROGRAM, seal=replace(joint.seal, kind="result"))
    with pytest.raises(Rejected) as refusal:
        joint.round(1, (1.0, 1.0), rows=True)
    assert refusal.value.code == Code.CONTEXT


@pytest.mark.parametrize("cut", [0, 7, 8, 23, 25, 71, 73])
def test_a_round_of_another_length_is_no_round(cut: int) -> None:
    whole = packed(Opening(RESULT_BITS, VALUE_BITS, np.ones(2), ROWS)) + b"more"
    with pytest.raises(ValueError, match="round"):
        unpacked(whole[:cut], 2, len(ROWS), 2)


@pytest.mark.parametrize(
    ("result_bits", "value_bits"),
    [(SCALE_BITS_MAX + 1, 1), (-SCALE_BITS_MAX - 1, 1), (0, 0), (0, VALUE_BITS_MAX + 1)],
)
def test_scales_that_no_round_may_have_are_refused(result_bits: int, value_bits: int) -> None:
    with pytest.raises(ValueError, match="scales"):
        unpacked(packed(Opening(result_bits, value_bits, np.ones(2), ROWS)), 2, len(ROWS), 2)


def test_rows_are_sealed_one_in_a_ciphertext_and_only_within_what_was_agreed(secret: PaillierSecret) -> None:
    program = identity(("a", "b"))
    seal = SealSpec(secret.public.to_bytes(), 0, "row")
    renter = Renter().ask().accept(program=program, seal=seal)
    schema = key_agreement.schema_digest(program, seal)
    context = replace(renter.subtask.context(2), epoch=0, schema=schema, direction=DATA)

    def sealed(rows: list[list[float]]) -> bytes:
        key = key_agreement.data_key(renter.secret, CONTRACT, JOB, DATA, 0)
        body = chunks.encrypt(key, context.digest(), packed(Opening(0, 4, np.zeros(0), np.array(rows))))
        return bytes(renter.enclave.execute(context, memoryview(body)))

    body = sealed([[1.0, -16.0], [0.0, 16.0]])
    assert len(body) == 2 * secret.public.ciphertext_bytes
    assert joint_renter.opened(secret, body, 2, 2, 5) == [[1.0, -16.0], [0.0, 16.0]]
    with pytest.raises(DataFault) as raised:
        sealed([[1.0, 17.0], [0.0, 0.0]])
    assert raised.value.fault is Fault.RESULT_TOO_LARGE


def test_what_is_sealed_by_row_means_something_else(secret: PaillierSecret) -> None:
    seals = [SealSpec(secret.public.to_bytes(), 0, kind) for kind in ("result", "round", "row")]
    assert len({key_agreement.schema_digest(PROGRAM, seal) for seal in seals}) == len(seals)
