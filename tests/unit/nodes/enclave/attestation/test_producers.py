"""Quoting on devices that behave as documented: races, errors and answers to other questions never become evidence."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import cbor2
import pytest

from nodes.enclave.attestation.envelope import decode
from nodes.enclave.attestation.port import NITRO, SGX, SNP, TDX, Claims, Quoter
from nodes.enclave.attestation.producers import configfs, gramine, host, nsm, quoting
from nodes.enclave.attestation.producers.configfs import ConfigfsQuoter
from nodes.enclave.attestation.producers.files import HostFiles
from nodes.enclave.attestation.producers.gramine import GramineQuoter
from nodes.enclave.attestation.producers.host import collateral_file, hardware_quoter
from nodes.enclave.attestation.producers.nsm import NsmQuoter
from nodes.enclave.errors import NoEvidence
from tests.unit.nodes.enclave.attestation import forge
from tests.unit.nodes.enclave.attestation.fake_devices import FakeGramine, FakeNsm, FakeTsm, Request
from tests.unit.nodes.enclave.attestation.forge import Forged

OTHER = bytes(range(64))


def snp_report(data: bytes) -> bytes:
    def edit(raw: bytearray) -> None:
        raw[0x50:0x90] = data

    return forge.snp_report(edit=edit)


def intel_quote(kind: str) -> Callable[[bytes], bytes]:
    def report(data: bytes) -> bytes:
        def edit(raw: bytearray) -> None:
            raw[-64:] = data

        return forge.intel_quote(kind, edit=edit)

    return report


def nitro_document(data: bytes) -> bytes:
    return forge.nitro(changes={"user_data": data}).evidence.blob


def quoter(tsm: FakeTsm, collateral: bytes = b"") -> ConfigfsQuoter:
    numbers = count()
    return ConfigfsQuoter(tsm, lambda: f"request-{next(numbers)}", collateral=lambda: collateral)


def ask(service: Quoter, *, debug: bool = False, report_data: bytes = forge.REPORT_DATA) -> bytes:
    return service.quote(report_data=report_data, pub=forge.PUBLIC, nonce=forge.NONCE, job=forge.JOB, debug=debug)


def verified(raw: bytes, forged: Forged) -> Claims:
    evidence = decode(raw)
    assert (evidence.pub, evidence.nonce, evidence.job) == (forge.PUBLIC, forge.NONCE, forge.JOB)
    return replace(forged, evidence=evidence).judged()


def refusal(service: Quoter) -> str:
    with pytest.raises(NoEvidence) as refused:
        ask(service)
    return str(refused.value)


# ---------------------------------------------------------------- SNP and TDX


def test_an_snp_guest_gives_evidence_that_verifies() -> None:
    table = forge.certificate_table(*(each.der for each in forge.amd()))
    tsm = FakeTsm(snp_report, auxblob=table)
    assert verified(ask(quoter(tsm)), forge.snp()).kind == SNP
    assert tsm.requests == {}


@pytest.mark.parametrize("auxblob", [b"", None], ids=["empty", "missing"])
def test_certificates_of_the_hosts_owner_fill_in_for_those_of_the_hypervisor(auxblob: bytes | None) -> None:
    kept = b"".join(each.pem for each in forge.amd())
    assert verified(ask(quoter(FakeTsm(snp_report, auxblob=auxblob), kept)), forge.snp()).kind == SNP


def test_a_trust_domain_gives_evidence_that_verifies() -> None:
    forged = forge.tdx()
    tsm = FakeTsm(intel_quote(TDX), provider="tdx_guest", auxblob=None)
    assert verified(ask(quoter(tsm, forged.evidence.aux)), forged).kind == TDX


@pytest.mark.parametrize("when", ["written", "outblob", "provider", "auxblob"])
def test_a_request_that_somebody_else_changes_is_made_again(when: str) -> None:
    left = [1]

    def meddle(tsm: FakeTsm, request: Request, name: str) -> None:
        if name == when and left:
            left.pop()
            tsm.ask(request, OTHER)

    tsm = FakeTsm(snp_report, meanwhile=meddle)
    assert decode(ask(quoter(tsm))).blob[0x50:0x90] == forge.REPORT_DATA
    assert len(tsm.asked) == 2
    assert tsm.requests == {}


def test_a_request_that_is_always_changed_ends_bounded() -> None:
    tsm = FakeTsm(snp_report, meanwhile=lambda tsm, request, name: tsm.ask(request, OTHER))
    assert "not once" in refusal(quoter(tsm))
    assert len(tsm.asked) == quoting.ATTEMPTS_MAX
    assert tsm.requests == {}


def test_a_write_that_the_kernel_dropped_unheard_is_noticed() -> None:
    tsm = FakeTsm(snp_report, ignored_writes=1)
    assert "Invalid argument" in refusal(quoter(tsm))
    assert tsm.requests == {}


def test_a_report_about_something_else_is_never_sent() -> None:
    tsm = FakeTsm(lambda data: snp_report(OTHER))
    assert "other report data" in refusal(quoter(tsm))
    assert len(tsm.asked) == quoting.ATTEMPTS_MAX


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT])
@pytest.mark.parametrize("place", [("mkdir", ""), ("write", "inblob"), ("read", "outblob"), ("read", "generation")])
def test_passing_errors_are_tried_again_in_a_fresh_request(number: int, place: tuple[str, str]) -> None:
    tsm = FakeTsm(snp_report, errors={place: [number] * (quoting.ATTEMPTS_MAX - 1)})
    assert decode(ask(quoter(tsm))).kind == SNP
    assert tsm.requests == {}


def test_passing_errors_that_do_not_pass_end_bounded() -> None:
    tsm = FakeTsm(snp_report, errors={("read", "outblob"): [errno.EBUSY] * 100})
    assert "busy" in refusal(quoter(tsm))
    assert len(tsm.asked) == quoting.ATTEMPTS_MAX


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EINVAL])
@pytest.mark.parametrize("place", [("mkdir", ""), ("write", "inblob"), ("read", "outblob"), ("read", "auxblob")])
def test_other_errors_end_at_once_and_leave_no_folder(number: int, place: tuple[str, str]) -> None:
    tsm = FakeTsm(snp_report, errors={place: [number]})
    refusal(quoter(tsm))
    assert len(tsm.asked) <= 1
    assert tsm.requests == {}


def test_a_name_that_is_taken_is_replaced() -> None:
    tsm = FakeTsm(snp_report, requests={configfs.ROOT / "request-0": Request()})
    assert decode(ask(quoter(tsm))).kind == SNP


def test_a_folder_that_cannot_be_removed_does_not_cost_the_evidence() -> None:
    tsm = FakeTsm(snp_report, errors={("rmdir", ""): [errno.EBUSY]})
    assert decode(ask(quoter(tsm))).kind == SNP


def test_a_guest_without_a_driver_gives_no_evidence() -> None:
    assert "No such device or address" in refusal(quoter(FakeTsm(snp_report, driver=False)))


def test_an_unknown_driver_gives_no_evidence() -> None:
    assert "arm_cca_guest" in refusal(quoter(FakeTsm(snp_report, provider="arm_cca_guest")))


@pytest.mark.parametrize("blob", [b"", b"noise", bytes(17 * 1024)], ids=["nothing", "noise", "too much"])
def test_what_is_no_report_is_never_sent(blob: bytes) -> None:
    refusal(quoter(FakeTsm(lambda data: blob)))


def test_two_enclaves_may_ask_at_once() -> None:
    tsm, barrier = FakeTsm(snp_report), threading.Barrier(2, timeout=10)

    def wait(tsm: FakeTsm, request: Request, name: str) -> None:
        if name == "written":
            barrier.wait()

    service = quoter(replace(tsm, meanwhile=wait))
    with ThreadPoolExecutor(2) as pool:
        raws = list(pool.map(lambda data: ask(service, report_data=data), [forge.REPORT_DATA, OTHER]))
    assert [decode(raw).blob[0x50:0x90] for raw in raws] == [forge.REPORT_DATA, OTHER]


# ---------------------------------------------------------------- SGX


def test_gramine_gives_evidence_that_verifies() -> None:
    forged = forge.sgx()
    files = FakeGramine(intel_quote(SGX))
    assert verified(ask(GramineQuoter(files, collateral=lambda: forged.evidence.aux)), forged).kind == SGX


def test_gramine_set_up_without_dcap_gives_no_evidence() -> None:
    assert "'none'" in refusal(GramineQuoter(FakeGramine(intel_quote(SGX), attestation_type="none")))


def test_report_data_that_somebody_overwrites_in_gramine_are_written_again() -> None:
    files = FakeGramine(intel_quote(SGX), meanwhile=[OTHER])
    assert decode(ask(GramineQuoter(files))).kind == SGX
    files = FakeGramine(intel_quote(SGX), meanwhile=[OTHER] * quoting.ATTEMPTS_MAX)
    assert "other report data" in refusal(GramineQuoter(files))


@pytest.mark.parametrize("name", ["attestation_type", "user_report_data", "quote"])
def test_errors_of_gramine_are_passing_or_final(name: str) -> None:
    passing = FakeGramine(intel_quote(SGX), errors={name: [errno.EINTR]})
    assert decode(ask(GramineQuoter(passing))).kind == SGX
    refusal(GramineQuoter(FakeGramine(intel_quote(SGX), errors={name: [errno.EACCES]})))


# ---------------------------------------------------------------- Nitro


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "nsm"
    path.write_bytes(b"")
    return path


def test_the_security_module_gives_evidence_that_verifies(device: Path) -> None:
    module = FakeNsm(nitro_document)
    assert verified(ask(NsmQuoter(device, module.ioctl)), forge.nitro()).kind == NITRO
    asked = {"Attestation": {"user_data": forge.REPORT_DATA, "nonce": None, "public_key": None}}
    assert module.requests == [asked]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (cbor2.dumps({"Error": "InvalidArgument"}), "refuses: InvalidArgument"),
        (cbor2.dumps({"Attestation": {}}), "cannot be read"),
        (cbor2.dumps({"Attestation": {"document": "text"}}), "refuses"),
        (cbor2.dumps({"Attestation": {"document": b"noise"}}), "no evidence"),
        (cbor2.dumps("noise"), "cannot be read"),
        (b"\x81" * 100, "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_an_answer_that_is_no_document_is_no_evidence(device: Path, response: bytes, message: str) -> None:
    assert message in refusal(NsmQuoter(device, FakeNsm(nitro_document, response=response).ioctl))


def test_an_answer_longer_than_its_room_is_no_evidence(device: Path) -> None:
    assert "room" in refusal(NsmQuoter(device, FakeNsm(nitro_document, length=2**40).ioctl))


def test_a_document_about_something_else_is_never_sent(device: Path) -> None:
    assert "other report data" in refusal(NsmQuoter(device, FakeNsm(lambda data: nitro_document(OTHER)).ioctl))


def test_errors_of_the_security_module_are_passing_or_final(device: Path) -> None:
    assert decode(ask(NsmQuoter(device, FakeNsm(nitro_document, errors=[errno.EINTR]).ioctl))).kind == NITRO
    refusal(NsmQuoter(device, FakeNsm(nitro_document, errors=[errno.EIO]).ioctl))
    assert "No such file" in refusal(NsmQuoter(device.with_name("none"), FakeNsm(nitro_document).ioctl))


# ---------------------------------------------------------------- all


def services(device: Path) -> list[Quoter]:
    module = FakeNsm(nitro_document)
    return [quoter(FakeTsm(snp_report)), GramineQuoter(FakeGramine(intel_quote(SGX))), NsmQuoter(device, module.ioctl)]


def test_hardware_does_not_vouch_for_a_child_that_is_not_locked_down(device: Path) -> None:
    for service in services(device):
        with pytest.raises(NoEvidence, match="not fully locked down"):
            ask(service, debug=True)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_report_data_of_another_size_are_refused(device: Path, size: int) -> None:
    for service in services(device):
        with pytest.raises(NoEvidence, match="64 bytes"):
            ask(service, report_data=bytes(size))


def test_the_host_is_asked_by_what_it_offers() -> None:
    assert isinstance(hardware_quoter(FakeTsm(snp_report)), ConfigfsQuoter)
    assert isinstance(hardware_quoter(FakeGramine(intel_quote(SGX))), GramineQuoter)
    with pytest.raises(NoEvidence, match="unknown"):
        hardware_quoter(FakeTsm(snp_report, provider="arm_cca_guest"))


def test_a_host_without_such_hardware_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nsm, "DEVICE", tmp_path / "none")
    for module in (gramine, configfs):
        monkeypatch.setattr(module, "ROOT", tmp_path / "none")
    with pytest.raises(NoEvidence, match="is there"):
        hardware_quoter(HostFiles())


def test_a_nitro_device_is_found(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    monkeypatch.setattr(nsm, "DEVICE", device)
    assert isinstance(hardware_quoter(HostFiles()), NsmQuoter)


def test_names_of_requests_differ() -> None:
    assert len({host.new_name() for _ in range(100)}) == 100


def test_collateral_is_read_anew_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "collateral.json"
    read = collateral_file(path)
    with pytest.raises(NoEvidence, match="cannot read"):
        read()
    for said in (b"old", b"new"):
        path.write_bytes(said)
        assert read() == said
    path.write_bytes(bytes(quoting.AUX_BYTES_MAX + 1))
    with pytest.raises(NoEvidence, match="more than"):
        read()


def test_the_hosts_own_files_are_read_and_written_as_they_are(tmp_path: Path) -> None:
    files, folder = HostFiles(), tmp_path / "request"
    assert not files.exists(folder)
    files.make_folder(folder)
    assert files.exists(folder)
    with pytest.raises(FileExistsError):
        files.make_folder(folder)
    (folder / "inblob").write_bytes(b"")
    files.write(folder / "inblob", forge.REPORT_DATA)
    assert files.read(folder / "inblob", 63) == forge.REPORT_DATA
    assert files.read(folder / "inblob", 10) == forge.REPORT_DATA[:11]
    with pytest.raises(FileNotFoundError):
        files.write(folder / "outblob", b"")
    (folder / "inblob").unlink()
    files.remove_folder(folder)
    assert not files.exists(folder)
