"""A worker's computers by subtask: what an activity answers when there is none, or when it cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from nodes.crew.crew import Crew
from nodes.enclave.agreement.key_agreement import SealSpec
from nodes.enclave.errors import Code, EnclaveEnded, EnclaveUnavailable, EndReason, Rejected
from nodes.lessor.compute.workshop import Workshop
from nodes.lessor.protocol.records import ComputerFailed, EvidenceMade, SealAccepted
from schemas.errors import BadProgram
from schemas.events import KeySealed
from schemas.ids import derive_id
from schemas.manifest import cut
from schemas.orders import Protection
from tests.unit.nodes.lessor.protocol.desk import BATCH, PROGRAM, PUBLIC_KEY, terms

SUBTASK = derive_id("subtask", 1)


class FakeEnclave:
    """An enclave process that refuses what it is told to."""

    protections = ("landlock",)

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = 0
        self.seal: SealSpec | None = None
        """What it was told of the sealing of results."""

    async def offer(self, nonce: bytes, contract: str, job: str) -> bytes:
        if self.error is not None:
            raise self.error
        return b"evidence of " + nonce

    async def accept(self, *, seal: SealSpec | None, **_: Any) -> bytes:
        self.seal = seal
        return b"mac"

    async def close(self) -> None:
        self.closed += 1


def workshop(enclave: FakeEnclave | Exception) -> Workshop:
    async def start() -> Any:
        if isinstance(enclave, Exception):
            raise enclave
        return enclave

    return Workshop(Crew(1), start)


def params(**more: Any) -> dict[str, Any]:
    return {"subtask": SUBTASK, "nonce": b"n", "contract": "contract", "job": "job"} | more


async def test_an_offer_brings_the_evidence_of_a_fresh_enclave() -> None:
    assert await workshop(FakeEnclave()).perform("offer", **params()) == (
        "evidence.made",
        EvidenceMade(subtask=SUBTASK, evidence=b"evidence of n"),
    )


@pytest.mark.parametrize(
    ("enclave", "code"),
    [
        (EnclaveUnavailable(("landlock",)), "enclave-unavailable"),
        (EnclaveEnded(EndReason.CRASH, "it died"), "enclave-crash"),
        (FakeEnclave(EnclaveEnded(EndReason.MEMORY, "it died")), "enclave-memory"),
        (FakeEnclave(BadProgram("it cannot be run")), "bad-program"),
        (FakeEnclave(Rejected(Code.NONCE_REUSED)), Code.NONCE_REUSED),
    ],
)
async def test_an_enclave_that_cannot_offer_a_key_fails_with_its_code(
    enclave: FakeEnclave | Exception, code: str
) -> None:
    name, data = await workshop(enclave).perform("offer", **params())
    assert isinstance(data, ComputerFailed)
    assert (name, data.code, data.subtask) == ("computer.failed", code, SUBTASK)


async def sealing(protection: Protection, partner: str | None = None) -> SealSpec | None:
    """What an enclave is told of the sealing of its results."""
    enclave = FakeEnclave()
    shop = workshop(enclave)
    await shop.perform("offer", **params())
    sealed = KeySealed(subtask=SUBTASK, worker="w", sealed=b"", signature=b"", claims=b"", policy_digest=b"")
    files = {"program": (PROGRAM,), "public_key": () if protection == "enclave" else (PUBLIC_KEY,)}
    given = terms(protection, partner=partner)
    accepted = SealAccepted(subtask=SUBTASK, mac=b"mac", protections=("landlock",))
    assert await shop.perform("accept", SUBTASK, seal=sealed, terms=given, **files) == ("seal.accepted", accepted)
    return enclave.seal


async def test_results_are_sealed_as_the_terms_say_and_for_a_partner_otherwise() -> None:
    assert await sealing("enclave") is None
    assert await sealing("sealed-result") == SealSpec(PUBLIC_KEY, 20)
    assert await sealing("sealed-result", "C11.C12") not in (None, SealSpec(PUBLIC_KEY, 20))


async def test_a_seal_for_an_enclave_that_is_gone_is_refused() -> None:
    enclave = FakeEnclave()
    shop = workshop(enclave)
    await shop.perform("offer", **params())
    await shop.close(SUBTASK)
    assert enclave.closed == 1
    name, data = await shop.perform("accept", SUBTASK, seal=None, terms=None, program=b"", public_key=b"")
    assert isinstance(data, ComputerFailed)
    assert (name, data.code) == ("computer.failed", "enclave-closed")


@pytest.mark.parametrize("pieces", [(b"a ",), (b"program", b"a "), (b"a program", b"!"), ()])
async def test_pieces_that_do_not_make_up_the_announced_program_are_not_run(pieces: tuple[bytes, ...]) -> None:
    announced = terms(program=cut(b"a program")[0])
    shop = workshop(FakeEnclave())
    await shop.perform("offer", **params())
    for activity, more in (("build", {}), ("accept", {"seal": None})):
        _, data = await shop.perform(activity, SUBTASK, terms=announced, program=pieces, public_key=(), **more)
        assert isinstance(data, ComputerFailed)
        assert data.code == "bad-pieces"


async def test_a_batch_of_a_closed_session_finds_no_computer() -> None:
    shop = workshop(FakeEnclave())
    with pytest.raises(LookupError):
        await shop.compute(BATCH, b"")


async def test_another_offer_for_a_subtask_ends_its_earlier_enclave() -> None:
    enclave = FakeEnclave()
    shop = workshop(enclave)
    await shop.perform("offer", **params())
    await shop.perform("offer", **params())
    assert enclave.closed == 1
    await shop.close_all()
    assert enclave.closed == 2
