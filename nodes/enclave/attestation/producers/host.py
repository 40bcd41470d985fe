"""Which hardware evidence this host offers: looked up by its devices, never guessed."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from nodes.enclave.attestation.port import Quoter
from nodes.enclave.attestation.producers import configfs, gramine, nsm
from nodes.enclave.attestation.producers.configfs import ConfigfsQuoter
from nodes.enclave.attestation.producers.files import Files, HostFiles
from nodes.enclave.attestation.producers.gramine import GramineQuoter
from nodes.enclave.attestation.producers.nsm import NsmQuoter
from nodes.enclave.attestation.producers.quoting import AUX_BYTES_MAX, Collateral, bounded, no_collateral
from nodes.enclave.errors import NoEvidence

NAME_BYTES: Final = 16


def hardware_quoter(files: Files | None = None, collateral: Collateral = no_collateral) -> Quoter:
    """The quoting service of this host's hardware: Nitro, then SGX, then SNP or TDX.

    Raises:
        NoEvidence: it has none.
    """
    host = files or HostFiles()
    if host.exists(nsm.DEVICE):
        return NsmQuoter()
    if host.exists(gramine.ROOT / "attestation_type"):
        return GramineQuoter(host, collateral=collateral)
    if host.exists(configfs.ROOT):
        quoter = ConfigfsQuoter(host, new_name, collateral=collateral)
        quoter.kind()
        return quoter
    raise NoEvidence(f"neither {nsm.DEVICE} nor {gramine.ROOT} nor {configfs.ROOT} is there")


def new_name() -> str:
    """A folder name that nobody else has."""
    return "sublet-" + secrets.token_hex(NAME_BYTES)


def collateral_file(path: Path) -> Collateral:
    """Collateral that the owner of the host keeps in a file and renews; read anew each time."""

    def read() -> bytes:
        try:
            return bounded(HostFiles().read(path, AUX_BYTES_MAX), AUX_BYTES_MAX, path.name)
        except OSError as error:
            raise NoEvidence(f"cannot read {path}: {error.strerror or error}") from error

    return read
