"""What evidence says of itself, for people. Nothing here is verified: whoever sent it can have made it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from nodes.enclave.attestation.adapters import nitro, quote, snp, software
from nodes.enclave.attestation.guard import guarded
from nodes.enclave.attestation.port import NITRO, SGX, SNP, SOFTWARE, TDX, Evidence
from nodes.enclave.errors import Code


@dataclass(frozen=True, slots=True)
class Description:
    """What a blob says: its report data, and the rest by name, in order."""

    report_data: bytes
    said: Mapping[str, str]


def describe(evidence: Evidence) -> Description:
    """What a blob says, unverified.

    Raises:
        Rejected: `evidence-malformed`, `evidence-version` or `evidence-size`.
    """
    with guarded(Code.EVIDENCE_MALFORMED):
        return _DESCRIBERS[evidence.kind](evidence.blob)


def _snp(blob: bytes) -> Description:
    report = snp.parse(blob)
    said = {
        "platform": f"AMD SEV-SNP, report version {report.version}",
        "measurement": report.measurement.hex(),
        "host data": report.host_data.hex(),
        "guest policy": f"{report.policy:#x}",
        "debug": _yes(report.debug),
        "privilege level": f"VMPL {report.vmpl}",
        "firmware": ", ".join(f"{part} {number}" for part, number in report.tcb),
        "chip": report.chip.hex(),
    }
    return Description(report.report_data, said)


def _intel(blob: bytes) -> Description:
    found = quote.parse(blob)
    said = {"platform": f"Intel {found.kind.upper()}, quote version {found.version}"}
    said |= {name: value.hex() for name, value in found.registers.items()}
    said |= {"measurement": found.measurement.hex(), "debug": _yes(found.debug)}
    return Description(found.report_data, said)


def _nitro(blob: bytes) -> Description:
    document = nitro.parse(blob)
    made = datetime.fromtimestamp(document.timestamp_ms / 1000, UTC)
    said = {"platform": nitro.STATEMENT, "module": document.module, "made": f"{made:%Y-%m-%d %H:%M:%SZ}"}
    said |= {f"PCR{number}": value.hex() for number, value in document.pcrs.items() if any(value)}
    said |= {"measurement": document.measurement.hex(), "debug": _yes(document.debug)}
    return Description(document.report_data, said)


def _software(blob: bytes) -> Description:
    report = software.parse(blob)
    said = {
        "platform": software.STATEMENT,
        "measurement": report.measurement.hex(),
        "debug": _yes(report.debug),
    }
    return Description(report.report_data, said)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


_DESCRIBERS: Final[Mapping[str, Callable[[bytes], Description]]] = MappingProxyType(
    {SNP: _snp, TDX: _intel, SGX: _intel, NITRO: _nitro, SOFTWARE: _software}
)
