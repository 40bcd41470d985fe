"""What a theft opens: of one lessor with all its keys, of the whole broker with all hubs' keys, of a host's memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import nodes.bootstrap.lessor
import nodes.demo
import nodes.lessor.worker
import nodes.local
from nodes.enclave.agreement import chunks, key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT
from nodes.enclave.agreement.confirmation import is_confirmed
from nodes.enclave.attestation.measure import code_root
from nodes.enclave.errors import EnclaveEnded, EndReason
from nodes.enclave.host import process
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.enclave.offer import verify_offer
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.identity import Identity
from nodes.lessor.worker import LessorWorker
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.programs.build import linear_from_csv
from nodes.programs.check import check
from nodes.renter.protocol.records import Subtask
from nodes.renter.submission import JobOptions
from nodes.store.sqlite import SqliteStore
from nodes.views.report import JobReport
from schemas.errors import SubletError
from schemas.events import KeySealed
from schemas.ids import address, hub_address
from tests.support.adversary import (
    Intercepted,
    OpenEnclave,
    Wiretap,
    bytes_in,
    intercepted,
    keep_seeds,
    opens,
    unseals,
    windows,
)
from tests.support.hostile_child import ESCAPES, FIRST
from tests.unit.nodes.enclave.enclaves import (
    CONTRACT,
    JOB,
    NOW,
    VERIFIERS,
    agree,
    challenge,
    model,
    policy,
    quoter,
    renter,
    renter_public,
)
from tests.unit.nodes.enclave.enclaves import Subtask as EnclaveSubtask

DEMO = Path(nodes.demo.__file__).parent
DATA_FILE = DEMO / "breast_cancer.csv"
LINEAR = (DEMO / "breast_cancer_linear.onnx").read_bytes()
LESSORS = ("B11.B12", "B11.B13")
JOB_SECONDS_MAX = 60
NEEDLE_BYTES = 16
PAGE_BYTES = resource.getpagesize()


@dataclass
class Theft:
    """A network on which nothing is hidden from the test, and one job that ran on it."""

    network: LocalNetwork
    tap: Wiretap
    workers: dict[str, LessorWorker] = field(default_factory=dict)
    shifts: dict[str, Any] = field(default_factory=dict)
    """What workers know while they have their lanes."""
    enclaves: list[OpenEnclave] = field(default_factory=list)
    seeds: dict[bytes, list[bytes]] = field(default_factory=dict)
    kept: dict[str, bytes] = field(default_factory=dict)

    async def run(self, protection: str) -> JobReport:
        """One job under this protection, completed."""
        options = JobOptions(protection=protection, accept_software_enclave=True)
        spec = self.network.stage(DATA_FILE, LINEAR, None, options)
        await self.network.submit(spec)
        async with asyncio.timeout(JOB_SECONDS_MAX):
            reports = [each async for each in self.network.watch(spec.id)]
        assert reports[-1].phase == "completed"
        return reports[-1]

    def enclaves_of(self, report: JobReport, lessor: str) -> list[OpenEnclave]:
        """The enclaves that a lessor had for a job."""
        contracts = {contract.id for contract in report.contracts if contract.lessor == lessor}
        return [enclave for enclave in self.enclaves if enclave.contract in contracts]

    def holds(self, report: JobReport, lessor: str) -> set[bytes]:
        """Every 32 bytes in a row of anything that host and enclaves of a lessor hold."""
        worker = self.workers[lessor]
        shift = self.shifts[lessor]
        held = [identity_seed(worker.identity)]
        held += bytes_in([worker.config, worker.workshop, dict(shift._records), shift._waiting])
        for enclave in self.enclaves_of(report, lessor):
            held += [seed for pair in enclave.pairs for seed in self.seeds[pair.public]]
            held += bytes_in([enclave.inside, enclave.offers, enclave.contract])
            held.append(quoter_seed(enclave))
        return windows(held)


def identity_seed(identity: Identity) -> bytes:
    return identity._keys.key.private_bytes_raw()


def quoter_seed(enclave: OpenEnclave) -> bytes:
    key = enclave.quoter.key  # type: ignore[attr-defined]
    assert isinstance(key, Ed25519PrivateKey)
    return key.private_bytes_raw()


@pytest.fixture
async def theft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Theft]:
    seeds = keep_seeds(monkeypatch)
    enclaves: list[OpenEnclave] = []
    workers: dict[str, LessorWorker] = {}
    shifts: dict[str, Any] = {}
    make_worker, make_shift = nodes.bootstrap.lessor.lessor_worker, nodes.lessor.worker._Shift

    def make_enclave(quoter: Any, options: EnclaveOptions) -> OpenEnclave:
        enclaves.append(OpenEnclave(quoter, options))
        return enclaves[-1]

    def keep_worker(config: Any, identity: Identity, *args: Any, **options: Any) -> LessorWorker:
        workers[str(config.me)] = make_worker(config, identity, *args, **options)
        return workers[str(config.me)]

    monkeypatch.setattr(nodes.bootstrap.lessor, "EnclaveProcess", make_enclave)

    def keep_shift(worker: LessorWorker, *args: Any) -> Any:
        shifts[str(worker.config.me)] = make_shift(worker, *args)
        return shifts[str(worker.config.me)]

    monkeypatch.setattr("nodes.local.lessor_worker", keep_worker)
    monkeypatch.setattr("nodes.lessor.worker._Shift", keep_shift)
    network, tap = LocalNetwork(tmp_path / "network"), Wiretap()
    tap.install(network.server)
    async with network:
        yield Theft(network, tap, workers, shifts, enclaves, seeds, keep_secrets(monkeypatch))


def keep_secrets(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Every sealed secret that the renter's store is given from now on, by name: it erases them when their job ends."""
    kept: dict[str, bytes] = {}
    put = SqliteStore.put_secret

    async def keeping(store: SqliteStore, name: str, sealed: bytes) -> bytes:
        kept[name] = await put(store, name, sealed)
        return kept[name]

    monkeypatch.setattr(SqliteStore, "put_secret", keeping)
    return kept


def of(lessor: str, report: JobReport, found: list[Intercepted]) -> list[Intercepted]:
    """A lessor's share of what was intercepted."""
    contracts = {contract.id for contract in report.contracts if contract.lessor == lessor}
    return [each for each in found if each.contract in contracts]


async def test_all_that_one_lessor_holds_opens_nothing_of_another(theft: Theft) -> None:
    report = await theft.run("enclave")
    found = intercepted(theft.tap, key_agreement.schema_digest(check(LINEAR).canonical, None))
    offers = [offer for enclave in theft.enclaves for offer in enclave.offers]
    for thief, victim in (LESSORS, LESSORS[::-1]):
        keys, own, others = theft.holds(report, thief), of(thief, report, found), of(victim, report, found)
        assert {each.context.direction for each in own} == {each.context.direction for each in others} == {DATA, RESULT}
        assert all(any(opens(key, each) for key in keys) for each in own), "the attack does not even open its own"
        assert not await asyncio.to_thread(any_opens, keys, others)
        pairs = [pair for enclave in theft.enclaves_of(report, thief) for pair in enclave.pairs]
        seals = {
            name: [
                event.data.sealed
                for event, _ in theft.tap.events("key.sealed")
                if isinstance(event.data, KeySealed) and event.to == name
            ]
            for name in (thief, victim)
        }
        assert all(any(unseals(pair, offers, sealed) for pair in pairs) for sealed in seals[thief])
        assert seals[victim]
        assert not any(unseals(pair, offers, sealed) for pair in pairs for sealed in seals[victim])


async def test_the_brokers_whole_traffic_and_all_hubs_keys_open_nothing(theft: Theft) -> None:
    report = await theft.run("enclave")
    found = intercepted(theft.tap, key_agreement.schema_digest(check(LINEAR).canonical, None))
    hubs = [identity_seed(theft.network.identity(hub_address(hub))) for hub in nodes.local.LOCAL_HUBS]
    keys = windows([*hubs, *said(theft.tap)], every=8)
    assert len(found) >= 4
    assert not await asyncio.to_thread(any_opens, keys, found)
    (secret,) = await subtask_secrets(theft, report, LESSORS[0])
    assert any(opens(secret, each) for each in found), "the attack would not know a key if it had one"


@pytest.mark.parametrize("protection", ["enclave", "homomorphic", "sealed-result"])
async def test_neither_plaintext_nor_any_key_is_ever_published(theft: Theft, protection: str) -> None:
    report = await theft.run(protection)
    traffic = b"\n".join(message.body + json.dumps(dict(message.headers)).encode() for message in theft.tap.messages)
    secrets = [identity_seed(identity) for identity in theft.network._identities.values()]
    for lessor in LESSORS:
        secrets += await subtask_secrets(theft, report, lessor)
    secrets += [seed for seeds in theft.seeds.values() for seed in seeds]
    secrets += [quoter_seed(enclave) for enclave in theft.enclaves]
    if protection != "enclave":
        secrets += paillier_bytes(homomorphic_key(theft, report))
    shown = [form for secret in secrets for form in forms(secret)]
    kept = Counter(name.partition("/")[0] for name in theft.kept)
    assert kept == {"enclave": {"subtask": 2}, "homomorphic": {"homomorphic": 1}}.get(
        protection, {"subtask": 2, "homomorphic": 1}
    )
    assert not any(form in traffic for form in shown)
    assert not any(needle in traffic for needle in plaintext_needles())
    assert (
        theft.network.identity(LOCAL_RENTER).public.hex().encode() in traffic
        or base64.b64encode(theft.network.identity(LOCAL_RENTER).public) in traffic
    ), "the search would not find a key if there were one"


def any_opens(keys: set[bytes], found: list[Intercepted]) -> bool:
    """Whether any of the keys opens anything."""
    return any(opens(key, each) for key in keys for each in found)


def said(tap: Wiretap) -> Iterator[bytes]:
    """Every value of every control event, also decoded from base64 and hexadecimal; headers too. No batch bodies."""
    for message in tap.messages:
        yield from (str(value).encode() for value in message.headers.values())
        if message.headers.get("content-type") == "application/json":
            for text in bytes_in(json.loads(message.body)):
                yield from decoded(text)


def decoded(text: bytes) -> Iterator[bytes]:
    yield text
    for decode in (base64.b64decode, lambda raw: bytes.fromhex(raw.decode())):
        try:
            value = decode(text)
        except ValueError:
            continue
        yield value


def forms(secret: bytes) -> list[bytes]:
    """How a secret could be written: raw, hexadecimal, base64, and as Python shows bytes and lists of them."""
    shown = [secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret).encode()[2:-1]]
    encoded = [base64.b64encode(secret), base64.urlsafe_b64encode(secret)]
    return [*shown, *(each.rstrip(b"=") for each in encoded), str(list(secret)).encode()]


def plaintext_needles() -> list[bytes]:
    """Rows of the data as they stand in memory and in the file."""
    lines = DATA_FILE.read_text().splitlines()[1:]
    rows = [[float(value) for value in line.split(",")[1:]] for line in lines[::50]]
    texts = [line.partition(",")[2].encode() for line in lines[::50]]
    return [np.array(row[:2], kind).tobytes() for row in rows for kind in ("<f8", "<f4")] + texts


async def subtask_secrets(theft: Theft, report: JobReport, lessor: str) -> list[bytes]:
    """The secrets of a lessor's subtasks, as the renter's store kept them during the job."""
    network, identity, found = theft.network, theft.network.identity(LOCAL_RENTER), []
    contracts = {contract.id for contract in report.contracts if contract.lessor == lessor}
    for record in (await network.store.read(report.id)).values():
        if isinstance(record, Subtask) and record.contract in contracts:
            name = f"subtask/{record.id}"
            found += [identity.unseal(theft.kept[name], name)] if name in theft.kept else []
    return found


def homomorphic_key(theft: Theft, report: JobReport) -> PaillierSecret:
    name = f"homomorphic/{report.id}"
    return PaillierSecret.from_bytes(theft.network.identity(LOCAL_RENTER).unseal(theft.kept[name], name))


def paillier_bytes(key: PaillierSecret) -> list[bytes]:
    """The primes, in both byte orders."""
    primes = [int(key.p), int(key.q)]
    sizes = [(prime.bit_length() + 7) // 8 for prime in primes]
    big = [prime.to_bytes(size, "big") for prime, size in zip(primes, sizes, strict=True)]
    return big + [each[::-1] for each in big]


# Logs, errors, command lines, core files.


async def test_keys_and_plaintext_reach_no_log_and_no_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, before = io.StringIO(), structlog.get_config()
    caplog.set_level(logging.DEBUG)
    structlog.configure(
        processors=[structlog.processors.ExceptionRenderer(), structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: structlog.WriteLogger(said),
        cache_logger_on_first_use=False,
    )
    try:
        async with LocalNetwork(tmp_path / "network") as network:
            theft = Theft(network, Wiretap(), kept=keep_secrets(monkeypatch))
            secrets, shown = [], []
            for protection in ("enclave", "sealed-result"):
                report = await theft.run(protection)
                shown += [repr(report), repr(await network.explain(report.id))]
                secrets += [each for lessor in LESSORS for each in await subtask_secrets(theft, report, lessor)]
            secrets += paillier_bytes(homomorphic_key(theft, report))
            identities = [network.identity(LOCAL_RENTER), *(network.identity(address(*n.split("."))) for n in LESSORS)]
            shown += [repr(identities)]
            secrets += [identity_seed(identity) for identity in identities]
    finally:
        structlog.configure(**before)
    text = "\n".join([said.getvalue(), caplog.text, *shown])
    assert "worker ready" in said.getvalue()
    assert len(secrets) == 4 + 4 + 3
    assert not any(form in text.encode() for secret in secrets for form in forms(secret))
    assert not any(needle in text.encode() for needle in plaintext_needles())


async def test_keys_reach_no_exception() -> None:
    """Everything that goes wrong with a session's real keys at hand, and what Python would print of it."""
    errors: list[BaseException] = []
    async with EnclaveProcess(quoter(), EnclaveOptions(memory_bytes=64 * 1024**2)) as enclave:
        subtask = await agree(enclave, model(2, np.ones((2, 1))))
        context, rows = subtask.context(2), np.array([[np.pi, np.e], [np.nan, 1.0]])
        body = subtask.encrypt(context, rows)
        damaged = body[:-1] + bytes([body[-1] ^ 1])
        for each in (body, damaged, body[:40]):
            with pytest.raises(SubletError) as raised:
                await enclave.execute(context, each)
            errors.append(raised.value)
        with pytest.raises(SubletError) as raised:
            await agree(enclave, model(2, np.ones((2, 1))))
        errors.append(raised.value)
        os.kill(enclave.pid, signal.SIGSEGV)
        with pytest.raises(EnclaveEnded) as ended:
            await enclave.execute(context, body)
        errors.append(ended.value)
    with pytest.raises(SubletError) as raised:
        chunks.decrypt(subtask.secret, b"", body)
    errors.append(raised.value)
    text = "".join(line for error in errors for line in traceback.format_exception(error))
    text += repr(errors) + repr([vars(error) for error in errors])
    assert len({type(error) for error in errors}) >= 3
    assert not any(form in text.encode() for secret in keys_of(subtask) for form in forms(secret))
    assert not any(repr(value)[:10] in text for value in (np.pi, np.e))


async def test_keys_reach_neither_command_line_nor_environment_nor_a_core_file(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[int] = []
    collect = process._collect

    def keep_status(pid: int) -> int:
        statuses.append(collect(pid))
        return statuses[-1]

    monkeypatch.setattr(process, "_collect", keep_status)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        async with EnclaveProcess(quoter()) as enclave:
            subtask = await agree(enclave, model(2, np.ones((2, 1))))
            seen = await asyncio.to_thread(visible_of, enclave.pid)
            bounds = await asyncio.to_thread(Path(f"/proc/{enclave.pid}/limits").read_text)
            os.kill(enclave.pid, signal.SIGSEGV)
            with pytest.raises(EnclaveEnded) as ended:
                await enclave.offer(bytes(32), CONTRACT, JOB)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert not any(form in seen for secret in keys_of(subtask) for form in forms(secret))
    assert b"nodes.enclave.child.main" in seen
    assert re.search(r"Max core file size +0 +0 ", bounds)
    assert ended.value.reason is EndReason.CRASH
    assert [os.WTERMSIG(status) for status in statuses] == [signal.SIGSEGV]
    assert not any(os.WCOREDUMP(status) for status in statuses)


def visible_of(pid: int) -> bytes:
    """What other processes of this machine can see of a process by name."""
    seen = Path(f"/proc/{pid}/cmdline").read_bytes()
    with contextlib.suppress(PermissionError):  # of a process that is not dumpable only root sees it
        seen += Path(f"/proc/{pid}/environ").read_bytes()
    return seen


def keys_of(subtask: EnclaveSubtask) -> list[bytes]:
    """The subtask secret and the keys that come of it."""
    ways = (DATA, RESULT)
    return [subtask.secret, *(key_agreement.data_key(subtask.secret, CONTRACT, JOB, way, 0) for way in ways)]


# A program that broke out.


@pytest.mark.parametrize(("attempt", "code"), [("fork", "enclave-syscall"), ("take 3 GiB of memory", "enclave-memory")])
async def test_a_job_that_breaks_out_fails_with_its_reason_and_the_next_one_completes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: str, code: str
) -> None:
    monkeypatch.setattr(process, "_CHILD", "tests.support.hostile_child")
    hostile, good = tmp_path / "hostile.csv", tmp_path / "good.csv"
    wish = FIRST + list(ESCAPES).index(attempt)
    hostile.write_text("a,b\n" + f"{wish},1\n" * 600)
    good.write_text("a,b\n" + "1,1\n" * 600)
    program = linear_from_csv("name,weight\na,1\nb,2\n")
    options = JobOptions(protection="enclave", accept_software_enclave=True)
    async with LocalNetwork(tmp_path / "network") as network:
        endings = []
        for data in (hostile, good):
            spec = network.stage(data, program, None, options)
            await network.submit(spec)
            async with asyncio.timeout(JOB_SECONDS_MAX):
                endings.append([each async for each in network.watch(spec.id)][-1])
    assert [report.phase for report in endings] == ["failed", "completed"]
    assert endings[0].code == code
    assert endings[1].rows_done == 600


# The host's memory.

HOST = """
import asyncio, sys
from nodes.enclave.agreement.chunks import BatchContext
from nodes.enclave.host.process import EnclaveProcess
from nodes.enclave.attestation.measure import measurement
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

def take():
    return bytes.fromhex(sys.stdin.readline())

def give(raw):
    print(raw.hex(), flush=True)

async def serve():
    quoter = SoftwareQuoter(Ed25519PrivateKey.generate(), measurement())
    async with EnclaveProcess(quoter) as enclave:
        give(await enclave.offer(take(), sys.argv[1], sys.argv[2]))
        sealed, signature, renter, policy, claims, program, schema = (take() for _ in range(7))
        give(await enclave.accept(sealed, signature, renter_public=renter, policy_digest=policy, claims=claims,
                                  program=program))
        for batch in range(int(sys.argv[3])):
            context = BatchContext(sys.argv[2], "subtask-1", batch, 1, "data", 0, schema, 0, int(sys.argv[4]))
            body = take()
            result = await enclave.execute(context, body)
            give(result.body)
        take()

asyncio.run(serve())
"""
"""A lessor's host that does nothing but pass ciphertext in and out."""


def test_a_hosts_memory_holds_ciphertext_and_neither_plaintext_nor_keys() -> None:
    batches, rows, needle_rows = 3, 2000, 50
    data = np.random.default_rng(11).normal(size=(rows, 4))
    program, secret = model(4, np.arange(1.0, 5.0).reshape(4, 1)), key_agreement.new_secret()
    subtask = EnclaveSubtask(secret, program, None)
    arguments = [CONTRACT, JOB, str(batches), str(rows)]
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOST, *arguments],
        env={"PYTHONPATH": str(code_root())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            hand_over(process, program, secret)
            contexts = [subtask.context(rows, batch=batch) for batch in range(batches)]
            bodies = [subtask.encrypt(context, data) for context in contexts]
            results = [asked(process, body) for body in bodies]
            values = np.frombuffer(subtask.decrypt(contexts[0], results[0]))
            np.testing.assert_allclose(values, data @ np.arange(1.0, 5.0), atol=1e-12)
            plain = [row.tobytes()[:NEEDLE_BYTES] for row in data[:: rows // needle_rows]]
            plain += [values[at : at + 2].tobytes() for at in range(0, rows, rows // needle_rows)]
            memory = memory_of(process.pid)
        finally:
            process.kill()
    assert bodies[-1][:NEEDLE_BYTES] in memory, "the search does not find what the host does hold"
    assert not any(needle in memory for needle in plain)
    assert not any(key in memory for key in keys_of(subtask))


def hand_over(process: subprocess.Popen[str], program: bytes, secret: bytes) -> None:
    """The renter's half of the handshake over the host's pipes."""
    challenged = challenge()
    evidence = asked(process, challenged.nonce)
    offer = verify_offer(
        challenged, evidence, verifiers=VERIFIERS, policy=policy(), renter_public=renter_public(), now=NOW
    )
    sealed = offer.seal(secret, renter().sign)
    agreed = (renter_public(), offer.policy_digest, offer.claims.digest(), program)
    mac = asked(process, sealed.sealed, sealed.signature, *agreed, key_agreement.schema_digest(program, None))
    assert is_confirmed(mac, offer.confirmation_digest(secret, sealed))


def asked(process: subprocess.Popen[str], *said: bytes) -> bytes:
    """Lines in, one line out."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(each.hex() + "\n" for each in said))
    process.stdin.flush()
    return bytes.fromhex(process.stdout.readline())


def memory_of(pid: int) -> bytes:
    """All memory of a process that can be written, but for pages of zeros, which most of it is."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(edge, 16) for edge in span.split("-"))
            if "w" not in rights:
                continue
            with contextlib.suppress(OSError):
                memory.seek(start)
                pages = np.frombuffer(memory.read(end - start), dtype=np.uint64).reshape(-1, PAGE_BYTES // 8)
                found.append(pages[pages.any(axis=1)].tobytes())
    return b"".join(found)
