"""Preparing a job: which schemes are looked at, why they cannot be used, what they cost, and when a key is made."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pytest
from msgspec import Struct, structs

from nodes.crew.crew import Crew
from nodes.data.manifest import VALUES
from nodes.enclave.attestation.policy import Policy
from nodes.homomorphic import schemes
from nodes.homomorphic.audit import program_digest
from nodes.homomorphic.costs import Units
from nodes.homomorphic.encoding import integer_program
from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.port import IntegerProgram, SecretKey
from nodes.identity import Identity
from nodes.programs.build import aggregate_sum, linear
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.renter.activities.prepare import free_cores, prepare
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.prediction import calibration
from nodes.renter.prediction.encodings import wanted_schemes
from nodes.renter.prediction.predict import CiphertextParts, Part
from nodes.renter.prediction.rehearsal import rehearse_ciphertext, rehearse_enclave
from nodes.renter.protocol.assess import assess
from nodes.renter.protocol.machine import RenterMachine
from nodes.renter.protocol.outcomes import JobPrepared, JobSpoiled
from nodes.renter.protocol.records import Facts
from nodes.renter.submission import JobOptions, stage
from nodes.store.blobs import BlobStore
from nodes.store.sqlite import SqliteStore
from schemas.ids import address, derive_id
from schemas.jobs import JobSpec, Scheme
from schemas.manifest import joined
from tests.support.desk import Desk
from tests.support.seal import needs_seal
from tests.unit.nodes.programs.models import data, model, node

ROWS: Final = 300
LINEAR: Final = linear({"a": [2.0], "b": [-1.0]}, [10.0])
SIGMOID: Final = data(model([node("Sigmoid", ["x"], ["y"])], {"x": 2}))
UNITS: Final = Units(
    start=0.0,
    encrypt=(0.002, 0.001),
    tables=(0.003,),
    encrypt_exact=0.004,
    read_key=0.005,
    receive=0.006,
    step=0.007,
    output=0.008,
    decrypt=0.009,
)


LATTICES: Final[tuple[Literal["bfv", "ckks"], ...]] = ("bfv", "ckks")


@dataclass
class Renter:
    """A renter's services, and what preparing asked of them."""

    services: Services
    desk: Desk
    folder: Path
    generated: list[tuple[Scheme, int]] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def spec(self, program: bytes = LINEAR, *, changes: Mapping[str, Any] | None = None, **options: Any) -> JobSpec:
        """A staged job; `changes` are made past the checks of submission."""
        wishes = JobOptions(**({"accept_software_enclave": True} | options))
        staged = stage(
            self.folder / "input.csv",
            program,
            None,
            wishes,
            jobs=self.services.jobs,
            blobs=self.services.blobs,
            job_id=derive_id("job", len(list(self.services.jobs.glob("*")))),
        )
        return structs.replace(staged, **(changes or {}))

    async def outcome(self, spec: JobSpec) -> tuple[str, Struct]:
        (outcome,) = await prepare(
            self.services, Workbench(self.services), {"spec": msgspec.to_builtins(spec)}, spec.id
        )
        return outcome

    async def facts(self, spec: JobSpec) -> Facts:
        kind, prepared = await self.outcome(spec)
        assert kind == "job.prepared"
        assert isinstance(prepared, JobPrepared)
        return prepared.facts


@pytest.fixture(scope="module")
def keys() -> dict[Scheme, SecretKey]:
    """Kept between tests; smaller than those of jobs."""
    return {"paillier": paillier.generate(2048), "paillier-subgroup": paillier.generate(2048, subgroup=True)}


@pytest.fixture
async def renter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[Scheme, SecretKey]
) -> AsyncIterator[Renter]:
    values = np.random.default_rng(3).uniform(-100, 100, size=(ROWS, 2))
    (tmp_path / "input.csv").write_text("a,b\n" + "".join(f"{a:.6f},{b:.6f}\n" for a, b in values))
    desk = Desk(hands=3)
    store = await SqliteStore.open(tmp_path / "node.sqlite", RenterMachine.record_types)
    services = Services(
        identity=Identity.from_seed(address("A11", "A12"), b"\x07" * 32),
        store=store,
        blobs=BlobStore(tmp_path / "blobs"),
        jobs=tmp_path / "jobs",
        clock=time.time,
        core_clock=time.thread_time,
        crew=desk,
        calibration=tmp_path / "calibration.json",
        policy=lambda accept: Policy(accept_software=accept),
    )
    made = Renter(services, desk, tmp_path)

    async def units(crew: Crew, path: Path, wanted: Iterable[str]) -> dict[str, Units]:
        made.measured += wanted
        return dict.fromkeys(made.measured, UNITS)

    generate = schemes.generate

    def cached(scheme: Scheme, program: IntegerProgram, rows: int, at: int) -> SecretKey:
        made.generated.append((scheme, program.input_max.bit_length() - 1))
        return keys[scheme] if scheme in keys else generate(scheme, program, rows, at)

    monkeypatch.setattr(calibration, "units", units)
    monkeypatch.setattr(schemes, "generate", cached)
    yield made
    await store.close()


# ---------------------------------------------------------------- which schemes


def asked(**changes: Any) -> JobSpec:
    return JobSpec(id=derive_id("job", 1), data="0" * 64, program="0" * 64, **changes)


@pytest.mark.parametrize(
    ("wishes", "schemes_wanted"),
    [
        ({}, ("bfv", "paillier")),
        ({"results_stay": True}, ("bfv", "paillier", "ckks")),
        ({"results_stay": True, "protection": "homomorphic"}, ("bfv", "paillier", "ckks")),
        ({"scheme": "bfv"}, ("bfv",)),
        ({"results_stay": True, "noise": "exact"}, ("paillier",)),
        ({"scheme": "paillier-subgroup"}, ("paillier-subgroup",)),
        ({"scheme": "ckks", "results_stay": True}, ("ckks",)),
        ({"scheme": "paillier", "results_stay": True}, ("paillier",)),
        ({"protection": "enclave"}, ()),
        ({"protection": "sealed-result", "scheme": "paillier"}, ()),
    ],
)
def test_schemes_looked_at_are_those_that_need_no_assumption_the_user_did_not_allow(
    wishes: dict[str, Any], schemes_wanted: tuple[Scheme, ...]
) -> None:
    assert wanted_schemes(asked(**wishes), 1) == schemes_wanted


@pytest.mark.parametrize(("degree", "scheme"), [(2, "ckks-degree-2"), (3, "ckks-degree-4"), (4, "ckks-degree-4")])
def test_products_of_columns_need_the_keys_of_their_degree(degree: int, scheme: Scheme) -> None:
    assert wanted_schemes(asked(scheme="ckks", results_stay=True), degree) == (scheme,)
    assert wanted_schemes(asked(protection="enclave"), degree) == ()


def test_busy_cores_are_not_free_but_half_of_one_always_is() -> None:
    assert [free_cores(4, load) for load in (0.0, 1.5, 3.75, 90.0)] == [4.0, 2.5, 0.5, 0.5]


# ---------------------------------------------------------------- refusals


async def refusals(renter: Renter, spec: JobSpec) -> dict[str, str]:
    facts = await renter.facts(spec)
    assert all(each.costs is None for each in facts.schemes if each.refused)
    return {each.scheme: each.refused for each in facts.schemes}


async def test_ckks_is_refused_unless_results_stay(renter: Renter) -> None:
    spec = renter.spec(changes={"scheme": "ckks"})
    assert await refusals(renter, spec) == {"ckks": schemes.MUST_STAY}
    assert "--results-stay" in schemes.MUST_STAY
    assert await refusals(renter, renter.spec(scheme="ckks", results_stay=True)) == {"ckks": ""}


async def test_what_is_not_installed_is_refused_by_name(renter: Renter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "find_spec", lambda name: None)
    refused = await refusals(renter, renter.spec(results_stay=True))
    assert refused["paillier"] == ""
    assert "pip install" in refused["ckks"]


@needs_seal
async def test_a_batch_that_no_body_holds_is_refused(renter: Renter) -> None:
    refused = await refusals(renter, renter.spec(batch_rows=1_000_000))
    assert refused == {
        "bfv": "2 columns of 1000000 rows take 24,050,976 bytes, over 8,388,608",
        "paillier": "2 columns of 1000000 rows take 32,681,472 bytes, over 8,388,608",
    }


@needs_seal
async def test_an_error_that_cannot_be_proved_is_refused(renter: Renter) -> None:
    reasons = (await refusals(renter, renter.spec(max_error=1e-30))).values()
    assert all("the best provable error is" in reason for reason in reasons)


async def test_the_proved_error_is_within_what_is_allowed(renter: Renter) -> None:
    for program in (LINEAR, aggregate_sum("a")):
        facts = await renter.facts(renter.spec(program, max_error=1e-5, results_stay=True))
        usable = [each for each in facts.schemes if not each.refused]
        assert usable
        assert all(each.error_bound is not None and 0 < each.error_bound <= 1e-5 for each in usable)


async def test_a_program_that_is_not_linear_has_no_schemes(renter: Renter) -> None:
    facts = await renter.facts(renter.spec(SIGMOID))
    assert facts.schemes == ()
    assert "Sigmoid is not linear" in facts.needs_enclave
    assert facts.enclave is not None
    assert renter.generated == []
    assert renter.measured == []


async def test_lessors_will_compile_the_same_integers(renter: Renter) -> None:
    (scheme,) = (await renter.facts(renter.spec(scheme="paillier"))).schemes
    assert scheme.fixed_point is not None
    assert scheme.computation == program_digest(integer_program(affine(check(LINEAR)), scheme.fixed_point))


async def test_data_that_is_not_what_was_submitted_is_rejected(renter: Renter) -> None:
    spec = renter.spec()
    renter.services.folder(spec.id).table.joinpath(VALUES).write_bytes(bytes(16))
    kind, rejected = await renter.outcome(spec)
    assert kind == "job.spoiled"
    assert isinstance(rejected, JobSpoiled)
    assert (rejected.code, "submit it again" in rejected.reason) == ("bad-input", True)


# ---------------------------------------------------------------- costs


@needs_seal
@pytest.mark.parametrize(
    ("options", "costed"),
    [
        ({}, {"bfv", "paillier", "enclave"}),
        ({"results_stay": True}, {"bfv", "paillier", "ckks", "enclave"}),
        ({"decrypt_seconds_max": 1.0}, {"bfv", "paillier", "enclave", "sealed-result"}),
        ({"protection": "sealed-result"}, {"enclave", "sealed-result"}),
        ({"protection": "sealed-result", "scheme": "paillier-subgroup"}, {"enclave", "sealed-result"}),
        ({"protection": "enclave"}, {"enclave"}),
        ({"accept_software_enclave": False, "decrypt_seconds_max": 1.0}, {"bfv", "paillier"}),
        ({"local_share": 1.0}, set()),
    ],
)
async def test_whatever_can_be_chosen_has_its_costs(renter: Renter, options: dict[str, Any], costed: set[str]) -> None:
    spec = renter.spec(**options)
    facts = await renter.facts(spec)
    found = {each.scheme: each.costs for each in facts.schemes} | {
        "enclave": facts.enclave,
        "sealed-result": facts.sealed_result,
    }
    assert {name for name, costs in found.items() if costs is not None} == costed
    if costed:
        assert assess(spec, facts).costs.renter_seconds > 0


async def test_only_what_may_be_chosen_is_measured(renter: Renter) -> None:
    await renter.facts(renter.spec(protection="enclave"))
    assert renter.measured == []
    await renter.facts(renter.spec(protection="sealed-result", scheme="paillier-subgroup"))
    assert renter.measured == ["paillier-subgroup"]


async def test_costs_follow_the_ciphertexts_of_all_lessors(renter: Renter) -> None:
    """270 rows for three lessors, whose 81 take two ciphertexts in each of two columns: their slots are wide."""
    renter.desk.answers |= {rehearse_ciphertext: CiphertextParts(*[Part(0.0, 0.0, 0.0)] * 3)}
    wishes: dict[str, Any] = {"lessors": 3, "local_share": 0.1, "protection": "homomorphic", "scheme": "paillier"}
    (scheme,) = (await renter.facts(renter.spec(max_error=1e-9, **wishes))).schemes
    assert scheme.costs is not None
    assert 81 / 2 <= scheme.slots < 81
    assert scheme.costs.bytes_sent == 3 * 2 * 2 * 768
    assert scheme.costs.bytes_back == 3 * 2 * 1 * 768
    assert scheme.costs.decrypt_seconds == pytest.approx(6 * UNITS.decrypt)


@needs_seal
async def test_a_batch_of_the_jobs_own_rows_is_rehearsed_for_each_candidate(renter: Renter) -> None:
    await renter.facts(renter.spec())
    assert renter.desk.called == [rehearse_ciphertext, rehearse_ciphertext, rehearse_enclave]
    renter.desk.called.clear()
    await renter.facts(renter.spec(local_share=1.0))
    assert renter.desk.called == []


# ---------------------------------------------------------------- the key


async def test_homomorphic_jobs_get_a_key_for_their_values(renter: Renter, keys: dict[Scheme, SecretKey]) -> None:
    facts = await renter.facts(renter.spec(protection="homomorphic", scheme="paillier"))
    fixed = facts.of("paillier").fixed_point
    assert fixed is not None
    assert renter.generated == [("paillier", fixed.input_bits)]
    assert facts.public_key is not None
    assert facts.public_key.digest == keys["paillier"].public.digest
    assert renter.services.blobs.get(facts.public_key.pieces[0]) == keys["paillier"].public.to_bytes()


@needs_seal
async def test_the_key_is_of_the_scheme_that_was_chosen(renter: Renter) -> None:
    for wanted in LATTICES:
        renter.generated.clear()
        facts = await renter.facts(renter.spec(protection="homomorphic", scheme=wanted, results_stay=True))
        assert [scheme for scheme, _ in renter.generated] == [wanted]
        assert facts.public_key is not None
        pieces = tuple(map(renter.services.blobs.get, facts.public_key.pieces))
        public, known = schemes.read_public(wanted, joined(facts.public_key, pieces)), facts.of(wanted)
        assert (public.slots, public.ciphertext_bytes) == (known.slots, known.ciphertext_bytes)


async def test_sealed_results_get_a_key_of_paillier(renter: Renter) -> None:
    await renter.facts(renter.spec(SIGMOID, protection="sealed-result"))
    assert [scheme for scheme, _ in renter.generated] == ["paillier"]


@pytest.mark.parametrize("options", [{"protection": "enclave"}, {"encrypt_seconds_max": 0.0}])
async def test_enclaves_need_no_homomorphic_key(renter: Renter, options: dict[str, Any]) -> None:
    facts = await renter.facts(renter.spec(**options))
    assert renter.generated == []
    assert facts.public_key is None


async def test_a_job_that_will_be_refused_gets_no_key(renter: Renter) -> None:
    facts = await renter.facts(renter.spec(encrypt_seconds_max=0.0, accept_software_enclave=False))
    assert renter.generated == []
    assert facts.no_enclave
    assert facts.public_key is None


async def test_whoever_prepares_again_takes_the_same_key(renter: Renter) -> None:
    spec = renter.spec(protection="homomorphic")
    facts = [await renter.facts(spec) for _ in range(2)]
    assert len(renter.generated) == 1
    assert facts[0].public_key == facts[1].public_key
