"""Evidence of kind `nitro` from the Nitro Security Module, by ioctl on /dev/nsm (include/uapi/linux/nsm.h).

One call takes the addresses of a request and of room for the response, both CBOR. The enclave's key is longer than the
document's public key field, so the report data go to `user_data`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cbor2

from nodes.enclave.attestation.adapters import nitro
from nodes.enclave.attestation.envelope import encode
from nodes.enclave.attestation.port import NITRO, Evidence
from nodes.enclave.attestation.producers.quoting import checked_request, persist, same_report_data
from nodes.enclave.errors import NoEvidence

DEVICE: Final = Path("/dev/nsm")
REQUEST: Final = 0xC0200A00
"""_IOWR(0x0A, 0, 32 bytes)."""
RESPONSE_BYTES_MAX: Final = 0x3000
CBOR_DEPTH_MAX: Final = 4
_MESSAGE: Final = struct.Struct("=QQQQ")
"""Address and length of the request, address and length of the response."""

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class NsmQuoter:
    """Asks the security module of the Nitro enclave that this process runs in."""

    device: Path = DEVICE
    ioctl: Ioctl = field(default=fcntl.ioctl, repr=False)

    def quote(self, *, report_data: bytes, pub: bytes, nonce: bytes, job: str, debug: bool) -> bytes:
        """The module's document in its envelope.

        Raises:
            NoEvidence: the module gives none.
        """
        checked_request(report_data, debug=debug)
        blob = persist(lambda: self._attempt(report_data), str(self.device))
        return encode(Evidence(kind=NITRO, blob=blob, aux=b"", pub=pub, nonce=nonce, job=job))

    def _attempt(self, report_data: bytes) -> bytes:
        asked = {"Attestation": {"user_data": report_data, "nonce": None, "public_key": None}}
        document = _document(self._exchange(cbor2.dumps(asked)))
        same_report_data(nitro.parse(document).report_data, report_data)
        return document

    def _exchange(self, request: bytes) -> bytes:
        """One request and its response."""
        sent = ctypes.create_string_buffer(request, len(request))
        room = ctypes.create_string_buffer(RESPONSE_BYTES_MAX)
        addresses = (ctypes.addressof(sent), len(request), ctypes.addressof(room), RESPONSE_BYTES_MAX)
        message = bytearray(_MESSAGE.pack(*addresses))
        descriptor = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.ioctl(descriptor, REQUEST, message)
        finally:
            os.close(descriptor)
        length = _MESSAGE.unpack(message)[3]
        if length > RESPONSE_BYTES_MAX:
            raise NoEvidence(f"the module answers {length} bytes, more than it was given room for")
        return room.raw[:length]


def _document(response: bytes) -> bytes:
    try:
        said = cbor2.loads(response, max_depth=CBOR_DEPTH_MAX)
        document = said["Attestation"]["document"] if "Attestation" in said else None
        refused = said.get("Error")
    except Exception as error:  # whatever a parser throws, the module said nothing that counts
        raise NoEvidence("the module's answer cannot be read") from error
    if not isinstance(document, bytes):
        raise NoEvidence(f"the module refuses: {str(refused)[:64]}")
    return document
