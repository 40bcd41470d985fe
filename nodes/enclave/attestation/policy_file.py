"""A renter's evidence policy as a TOML file. A field that does not exist is an error, never a policy without it.

format = 1
kinds = ["snp", "tdx"]                  # of evidence; none by default
measurements = ["8c5a…"]                # reference values, hexadecimal, as `sublet evidence show` prints them
platforms = ["0a1b…"]                   # optional: only these chips, processors or instances
tcb_statuses = ["UpToDate"]             # what Intel may say of a platform
rejected_advisories = ["INTEL-SA-00615"]
allow_debug = false                     # Intel enclaves under debug are refused in any case
accept_software = false                 # software enclaves, which are not confidential
nonce_seconds_max = 300                 # from asking until the evidence is there

[tcb_min.snp]                           # least security version numbers
bootloader = 4
microcode = 213
[tcb_min.tdx]
evaluation = 17                         # of Intel's TCB evaluation data
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from nodes.enclave.attestation.adapters.snp import TCB_PARTS
from nodes.enclave.attestation.policy import UP_TO_DATE, Policy
from nodes.enclave.attestation.port import NITRO, SGX, SNP, TDX
from nodes.network import convert, read_toml
from schemas.errors import BadConfig
from schemas.limits import NONCE_SECONDS_MAX

LIST_MAX: Final = 1024

Kind = Literal["snp", "tdx", "sgx", "nitro"]
Status = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
"""Every status of Intel's but `Revoked`, which nobody may accept."""
Measurement = Annotated[str, Meta(pattern=r"^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})\Z")]
Platform = Annotated[str, Meta(pattern=r"^([0-9a-f]{2}){1,128}\Z")]
Advisory = Annotated[str, Meta(pattern=r"^[A-Z0-9-]{4,40}\Z")]
Level = Annotated[int, Meta(ge=0, le=2**31)]

PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        SNP: frozenset(TCB_PARTS),
        TDX: frozenset({"evaluation"}),
        SGX: frozenset({"evaluation"}),
        NITRO: frozenset(),
    }
)


class PolicyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    format: Literal[1]
    kinds: Annotated[tuple[Kind, ...], Meta(max_length=LIST_MAX)] = ()
    measurements: Annotated[tuple[Measurement, ...], Meta(max_length=LIST_MAX)] = ()
    platforms: Annotated[tuple[Platform, ...], Meta(min_length=1, max_length=LIST_MAX)] | None = None
    tcb_statuses: Annotated[tuple[Status, ...], Meta(min_length=1)] = (UP_TO_DATE,)
    rejected_advisories: Annotated[tuple[Advisory, ...], Meta(max_length=LIST_MAX)] = ()
    tcb_min: dict[Kind, dict[str, Level]] = {}
    allow_debug: bool = False
    accept_software: bool = False
    nonce_seconds_max: Annotated[float, Meta(gt=0, le=NONCE_SECONDS_MAX)] = NONCE_SECONDS_MAX


def read_policy(path: Path) -> Policy:
    """The policy in a file.

    Raises:
        BadConfig: the file cannot be read, or a field is missing, unknown or out of range; naming it.
    """
    file = convert(read_toml(path), PolicyFile, path.name)
    for kind, levels in file.tcb_min.items():
        for part in levels.keys() - PARTS[kind]:
            known = ", ".join(sorted(PARTS[kind])) or "nothing"
            raise BadConfig(f"{path.name}: tcb_min.{kind} has {known}, not {part}", field=f"tcb_min.{kind}.{part}")
    return Policy(
        kinds=frozenset(file.kinds),
        measurements=frozenset(map(bytes.fromhex, file.measurements)),
        signers=None if file.platforms is None else frozenset(map(bytes.fromhex, file.platforms)),
        tcb_statuses=frozenset(file.tcb_statuses),
        rejected_advisories=frozenset(file.rejected_advisories),
        tcb_min=tuple((kind, part, level) for kind, parts in file.tcb_min.items() for part, level in parts.items()),
        allow_debug=file.allow_debug,
        accept_software=file.accept_software,
        nonce_seconds_max=file.nonce_seconds_max,
    )
