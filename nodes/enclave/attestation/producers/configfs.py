"""Evidence of kinds `snp` and `tdx` from Linux's configfs-tsm (Documentation/ABI/testing/configfs-tsm-report).

A fresh folder is a request of its own. Writing `inblob` raises `generation`; configfs hands the write to the driver
when the file is closed and cannot report that it failed, so `generation` is the only proof that it was taken, once,
and by nobody else. The folder is removed whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.enclave.attestation.adapters import quote, snp
from nodes.enclave.attestation.envelope import encode
from nodes.enclave.attestation.port import SNP, TDX, Evidence
from nodes.enclave.attestation.producers.files import Files
from nodes.enclave.attestation.producers.quoting import (
    AUX_BYTES_MAX,
    BLOB_BYTES_MAX,
    Collateral,
    Conflict,
    bounded,
    checked_request,
    no_collateral,
    persist,
    same_report_data,
)
from nodes.enclave.errors import NoEvidence

ROOT: Final = Path("/sys/kernel/config/tsm/report")
PROVIDERS: Final = {"sev_guest": SNP, "tdx_guest": TDX}
TEXT_BYTES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class ConfigfsQuoter:
    """Asks the kernel of an SNP or TDX guest. `new_name` gives a folder name that nobody else has."""

    files: Files
    new_name: Callable[[], str]
    root: Path = ROOT
    collateral: Collateral = field(default=no_collateral)

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """The kernel's report, or quote, in its envelope.

        Raises:
            NoEvidence: the kernel gives none.
        """
        checked_request(report_data, debug=debug)
        kind, blob, aux = persist(lambda: self._attempt(report_data), str(self.root))
        return encode(Evidence(kind=kind, blob=blob, aux=aux or self.collateral(), pub=pub, nonce=nonce, job=job))

    def kind(self) -> str:
        """What the kernel's driver produces.

        Raises:
            NoEvidence: there is no driver, or an unknown one.
        """
        return persist(self._probe, str(self.root))

    def _probe(self) -> str:
        with self._request() as folder:
            return self._kind(folder)

    def _attempt(self, report_data: bytes) -> tuple[str, bytes, bytes]:
        with self._request() as folder:
            before = self._generation(folder)
            self.files.write(folder / "inblob", report_data)
            blob = bounded(self.files.read(folder / "outblob", BLOB_BYTES_MAX), BLOB_BYTES_MAX, "outblob")
            kind = self._kind(folder)
            aux = self._auxiliary(folder)
            after = self._generation(folder)
        if after != before + 1:
            raise Conflict(f"the request changed {after - before} times, not once")
        parsed = snp.parse(blob).report_data if kind == SNP else quote.parse(blob).report_data
        same_report_data(parsed, report_data)
        return kind, blob, aux

    @contextlib.contextmanager
    def _request(self) -> Iterator[Path]:
        folder = self.root / self.new_name()
        self.files.make_folder(folder)
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):  # what matters was read; a folder that stays costs the kernel a page
                self.files.remove_folder(folder)

    def _kind(self, folder: Path) -> str:
        provider = self._text(folder / "provider")
        if provider not in PROVIDERS:
            raise NoEvidence(f"the provider {provider[:32]!r} is unknown")
        return PROVIDERS[provider]

    def _auxiliary(self, folder: Path) -> bytes:
        """Certificates that the hypervisor hands out. Many hand out none, and some drivers have no such file."""
        try:
            return bounded(self.files.read(folder / "auxblob", AUX_BYTES_MAX), AUX_BYTES_MAX, "auxblob")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENXIO):
                return b""
            raise

    def _generation(self, folder: Path) -> int:
        text = self._text(folder / "generation")
        if not text.isascii() or not text.isdigit():
            raise NoEvidence(f"the generation {text[:32]!r} is no number")
        return int(text)

    def _text(self, path: Path) -> str:
        return self.files.read(path, TEXT_BYTES_MAX).decode("ascii", "replace").strip()
